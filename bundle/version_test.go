package bundle

import "testing"

func TestCompare(t *testing.T) {
	order := []string{"0", "0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0",
		"1.0.1", "1.2", "1.10", "2", "20270131", "100000000000000000000000000001"}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare(a, b); got != want {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
	for a, b := range map[string]string{"1.0": "1", "1.0.0": "1.0", "01.2": "1.02", "1.0-rc.01": "1-rc.1"} {
		if Compare(a, b) != 0 || Compare(b, a) != 0 {
			t.Errorf("%s and %s differ", a, b)
		}
	}
}
