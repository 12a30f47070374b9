package threshold

import (
	"slices"
	"time"
)

// Watch remembers which thresholds are crossed, and since when. The zero value with its list is ready; it is for one goroutine.
type Watch struct {
	List []Threshold
	// since is when each was crossed, by its place in the list; zero where it is not.
	since []time.Time
}

// Crossed is what Look has found.
type Crossed struct {
	Threshold
	Level Level
	// Due: the grace period is over.
	Due bool
}

// Look compares levels with the thresholds; a signal whose level is not known keeps what was found before, and is due no more. When none of
// a signal is crossed any more there has been Reclaim beyond each.
func (w *Watch) Look(levels map[Signal]Level, now time.Time) []Crossed {
	if w.since == nil {
		w.since = make([]time.Time, len(w.List))
	}
	var out []Crossed
	for i, t := range w.List {
		level, known := levels[t.Signal]
		if !known {
			continue
		}
		if !t.Crossed(level, !w.since[i].IsZero()) {
			w.since[i] = time.Time{}
			continue
		}
		if w.since[i].IsZero() || now.Before(w.since[i]) {
			w.since[i] = now
		}
		out = append(out, Crossed{t, level, now.Sub(w.since[i]) >= t.Grace})
	}
	return out
}

// Due is when the next grace period ends, of those that go on; zero where none does.
func (w *Watch) Due(now time.Time) (next time.Time) {
	for i, at := range w.since {
		if at.IsZero() {
			continue
		}
		if end := at.Add(w.List[i].Grace); end.After(now) && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return next
}

// Worst is the threshold to deal with first: one that is due, of the signal that comes first in Signals, hard before soft; ok is false
// where none is due.
func Worst(list []Crossed) (worst Crossed, ok bool) {
	order := func(c Crossed) int {
		n := 2 * slices.Index(Signals, c.Signal)
		if c.Soft {
			n++
		}
		return n
	}
	for _, c := range list {
		if c.Due && (!ok || order(c) < order(worst)) {
			worst, ok = c, true
		}
	}
	return worst, ok
}
