package step_test

import (
	"testing"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// Why a container was killed for memory is known before its end or after it, is of that kill, and outlives Solopod; the first of
// several processes counts.
func TestExplained(t *testing.T) {
	end := at(time.Minute)
	says := func(id, text string, when time.Time) state.Event {
		return state.Explained{ID: id, Text: text, At: when}
	}
	for name, c := range map[string]struct {
		before, after []state.Event
		want          string
	}{
		"nothing":                    {},
		"before":                     {before: []state.Event{says("m0", "a", end.Add(-time.Second))}, want: "a"},
		"after":                      {after: []state.Event{says("m0", "a", end.Add(2*time.Second))}, want: "a"},
		"a group":                    {[]state.Event{says("m0", "a", end)}, []state.Event{says("m0", "b", end)}, "a"},
		"two of a group before":      {before: []state.Event{says("m0", "a", end), says("m0", "b", end.Add(time.Millisecond))}, want: "a"},
		"another kill":               {before: []state.Event{says("m0", "a", end.Add(-time.Minute/2))}},
		"another kill, and this":     {before: []state.Event{says("m0", "a", end.Add(-time.Minute/2)), says("m0", "b", end)}, want: "b"},
		"another container's":        {[]state.Event{says("m9", "a", end)}, []state.Event{says("m9", "a", end)}, ""},
		"of an earlier one, at last": {after: []state.Event{says("m0", "a", end.Add(-time.Minute))}},
	} {
		s := killed(steps(running(), c.before...), "m0", "m1", end)
		s = steps(s, c.after...)
		last := restored(t, s).Containers["main"].Last
		if last == nil || last.ID != "m0" || last.Explained != c.want {
			t.Errorf("%s: %+v", name, last)
		}
	}
	s := steps(running(), says("m0", "a", end))
	s = steps(s, state.Exited{ID: "m0", Code: 1, When: end},
		state.Begun{Thing: "end/main", Flight: state.Flight{Kind: state.KindExamine, Name: "main", ID: "m0", Token: 4}},
		state.Returned{Thing: "end/main", Token: 4, At: end, Result: state.Examined{}}, says("m0", "b", end))
	if e := s.Containers["main"].Ended; e == nil || e.Explained != "" {
		t.Errorf("one that failed for another reason: %+v", e)
	}
}
