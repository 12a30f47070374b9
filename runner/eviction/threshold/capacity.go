package threshold

import "fmt"

// Check says which thresholds can never be met, of what a machine has at most: pods would be evicted for ever. Of signals without a level
// nothing is said.
func Check(list []Threshold, levels map[Signal]Level) []Problem {
	var wrong []Problem
	for _, t := range list {
		has := levels[t.Signal].Capacity
		if has == 0 {
			continue
		}
		setting := hardSetting
		if t.Soft {
			setting = softSetting
		}
		least, reclaim := t.Least.Of(has), t.Reclaim.Of(has)
		switch {
		case least >= has:
			wrong = append(wrong, Problem{setting, fmt.Errorf("%s: %s must be left, and the machine has %s in all: pods would be evicted for ever; ask for less", t.Signal, t.Least.Text(t.Signal), t.Signal.Format(has))})
		case least+reclaim > has:
			wrong = append(wrong, Problem{reclaimSetting, fmt.Errorf("%s: %s beyond the %s of %s must be had once that was crossed, and the machine has %s in all: pods would be evicted for ever; ask for less",
				t.Signal, t.Reclaim.Text(t.Signal), t.Least.Text(t.Signal), setting, t.Signal.Format(has))})
		}
	}
	return wrong
}
