package amount

import (
	"math"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

const most = math.MaxInt64

func TestAmounts(t *testing.T) {
	for text, want := range map[string]struct{ whole, milli int64 }{
		"0": {0, 0}, "1": {1, 1000}, "1m": {1, 1}, "1500m": {2, 1500}, "1n": {1, 1}, "64Ki": {65536, 65536000}, "-1": {-1, -1000},
		"8E": {8e18, most}, "8Ei": {most, most}, "10E": {most, most}, "16E": {most, most}, "16Ei": {most, most}, "20E": {most, most}, "1e19": {most, most}, "1e30": {most, most},
		"9223372036854775807": {most, most}, "9223372036854775808": {most, most}, "100000000000000000000000000000000000001": {most, most},
		"9223372036854775": {9223372036854775, most}, "9223372036854774": {9223372036854774, 9223372036854774000}, "9223372036854774.5": {9223372036854775, 9223372036854774500},
		"1e16": {1e16, most}, "1e15": {1e15, 1e18}, "-1e30": {-most, -most}, "-1e17": {-1e17, -most},
	} {
		q := resource.MustParse(text)
		if got := Whole(q); got != want.whole {
			t.Errorf("%s is %d, not %d", text, got, want.whole)
		}
		if got := Milli(q); got != want.milli {
			t.Errorf("%s is %d thousandths, not %d", text, got, want.milli)
		}
	}
	sum := resource.MustParse("8E")
	sum.Add(resource.MustParse("8E"))
	if got := Whole(sum); got != most {
		t.Errorf("8E and 8E are %d", got)
	}
	for text, want := range map[string]bool{"1": true, "1.5": false, "1500m": false, "3000m": true, "1.5Ki": true, "1e30": true, "0": true, "1n": false} {
		if got := IsWhole(resource.MustParse(text)); got != want {
			t.Errorf("that %s is whole is %t", text, got)
		}
	}
	if Sum(most, 1) != most || Sum(most-1, 1) != most || Sum(1, 2) != 3 {
		t.Error("sums are wrong")
	}
}
