package runner

import (
	"testing"
	"time"

	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/plan"
)

// A record that was made while the clock stood in 1970: what happened since the boot is moved to the clock of today, what
// an earlier boot left is not.
func TestFollowClock(t *testing.T) {
	boot := 90 * time.Second // since 1970 began
	started := time.Unix(0, int64(boot+20*time.Second))
	before := time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC)
	rec := &record{ClockOffset: boot, StartTime: started, Containers: map[string]*containerRecord{"c": {
		StartedAt: started, Backoff: plan.Backoff{Delay: 10 * time.Second, Set: started},
		Ended: &ending{StartedAt: started, FinishedAt: started.Add(5 * time.Second)}, Last: &ending{FinishedAt: before},
	}}}
	rec.followClock()
	uptime := 20 * time.Second
	want := clock.Booted(clock.Offset()).Add(uptime)
	c := rec.Containers["c"]
	for what, got := range map[string]time.Time{"pod": rec.StartTime, "container": c.StartedAt, "back-off": c.Backoff.Set, "ending": c.Ended.FinishedAt.Add(-5 * time.Second)} {
		if diff := got.Sub(want).Abs(); diff > clock.Step {
			t.Errorf("%s: %s, which is %s off", what, got, diff)
		}
	}
	if !c.Last.FinishedAt.Equal(before) {
		t.Errorf("the last boot's ending is moved to %s", c.Last.FinishedAt)
	}
	again := *rec
	rec.followClock()
	if rec.StartTime != again.StartTime || rec.ClockOffset != again.ClockOffset {
		t.Error("a second time moves it again")
	}
}
