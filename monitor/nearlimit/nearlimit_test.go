package nearlimit

import "testing"

func TestRatio(t *testing.T) {
	for name, c := range map[string]struct {
		memory  Memory
		ratio   float64
		limited bool
	}{
		"no limit":                    {Memory{Usage: 100}, 0, false},
		"nothing used":                {Memory{Limit: 100}, 0, true},
		"at the limit":                {Memory{Usage: 100, Limit: 100}, 1, true},
		"full of cached files":        {Memory{Usage: 100, ActiveFile: 60, InactiveFile: 30, Limit: 100}, 0.1, true},
		"above a limit that was less": {Memory{Usage: 150, Limit: 100}, 1.5, true},
		"counted at different times":  {Memory{Usage: 100, ActiveFile: 70, InactiveFile: 40, Limit: 100}, 0, true},
	} {
		if ratio, limited := c.memory.Ratio(); ratio != c.ratio || limited != c.limited {
			t.Errorf("%s: %v, %v", name, ratio, limited)
		}
	}
}
