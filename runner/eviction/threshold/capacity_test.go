package threshold

import (
	"fmt"
	"strings"
	"testing"
)

// A threshold beyond what the machine has would have pods evicted for ever.
func TestCheck(t *testing.T) {
	type m = map[string]string
	levels := map[Signal]Level{Memory: {0, 24 * gibi}, Processes: {0, 32768}, NodeFiles: {0, 16_700_000}, NodeSpace: {0, 100 * gibi}, ImageFiles: {}}
	graces := m{"memory.available": "1m"}
	for name, c := range map[string]struct {
		text Text
		want []string
	}{
		"by default":            {Text{}, nil},
		"processes":             {Text{Hard: m{"pid.available": "40000"}}, []string{"evictionHard: pid.available: 40000 must be left, and the machine has 32768 in all"}},
		"all processes":         {Text{Hard: m{"pid.available": "32768"}}, []string{"32768 in all"}},
		"nearly all":            {Text{Hard: m{"pid.available": "32767"}}, nil},
		"files":                 {Text{Hard: m{"nodefs.inodesFree": "500G"}}, []string{"evictionHard: nodefs.inodesFree: 500000000000 must be left, and the machine has 16700000 in all"}},
		"memory, softly":        {Text{Hard: m{}, Soft: m{"memory.available": "30Gi"}, SoftGracePeriod: graces}, []string{"evictionSoft: memory.available: 30Gi must be left, and the machine has 24Gi in all"}},
		"all of it, softly":     {Text{Hard: m{}, Soft: m{"memory.available": "10E"}, SoftGracePeriod: graces}, []string{"evictionSoft: memory.available: "}},
		"more than there is":    {Text{Hard: m{"nodefs.available": "1e30", "memory.available": "1e30", "pid.available": "16E"}}, []string{"evictionHard: memory.available", "evictionHard: nodefs.available", "evictionHard: pid.available"}},
		"with what is had then": {Text{Hard: m{"memory.available": "20Gi"}, MinimumReclaim: m{"memory.available": "5Gi"}}, []string{"evictionMinimumReclaim: memory.available: 5Gi beyond the 20Gi of evictionHard must be had"}},
		"parts of it":           {Text{Hard: m{"memory.available": "60%"}, MinimumReclaim: m{"memory.available": "41%"}}, []string{"evictionMinimumReclaim: memory.available: 41% beyond the 60% "}},
		"just all of it":        {Text{Hard: m{"memory.available": "20Gi"}, MinimumReclaim: m{"memory.available": "4Gi"}}, nil},
		"no bound of it":        {Text{Hard: m{"imagefs.inodesFree": "1e30"}}, nil},
		"not known":             {Text{Hard: m{"imagefs.available": "1e30"}}, nil},
	} {
		var got []string
		for _, p := range Check(must(Parse(c.text)), levels) {
			got = append(got, fmt.Sprintf("%s: %s", p.Setting, p.Err))
		}
		ok := len(got) == len(c.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.Contains(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}
