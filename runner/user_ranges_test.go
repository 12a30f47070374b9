package runner

import (
	"fmt"
	"testing"

	"github.com/solopod/solopod/manifests"
)

// No two pods have the same ids, a pod keeps those that it has, and what is given back can be had again.
func TestUserRanges(t *testing.T) {
	u := newUserRanges("solopod")
	seen := map[uint32]string{}
	for i := range userRangeCount {
		uid := fmt.Sprint(i)
		first, err := u.claim(uid, 0)
		if err != nil || first < firstUserRange || first > 2147352576-manifests.IDsPerPod || first%manifests.IDsPerPod != 0 || seen[first] != "" {
			t.Fatalf("pod %s gets %d, %v; it is of %q", uid, first, err, seen[first])
		}
		seen[first] = uid
	}
	if first, err := u.claim("more", 0); err == nil {
		t.Errorf("there is one more range: %d", first)
	}
	mine := u.pods["7"]
	if again, err := u.claim("7", mine); err != nil || again != mine {
		t.Errorf("a pod loses its range: %d, %v, not %d", again, err, mine)
	}
	u.release("7")
	if first, err := u.claim("more", 0); err != nil || first != mine {
		t.Errorf("a free range is not given: %d, %v, not %d", first, err, mine)
	}
	u.release("9")
	if first, err := u.claim("7", mine); err != nil || first == mine {
		t.Errorf("a range is given twice: %d, %v", first, err)
	}
}
