package kmsg

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock tells the time of records. The log's own clock begins with the boot, runs apart from the machine's by some seconds in a
// month, and stands still while the machine sleeps; and people set the machine's.
type clock struct {
	// booted is when the log's clock began, by the machine's.
	booted time.Time
	now    func() time.Time
}

func newClock() *clock {
	var ts unix.Timespec
	now := wall()
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return &clock{now, wall}
	}
	return &clock{now.Add(-time.Duration(ts.Nano())), wall}
}

// wall is the machine's clock alone: differences of Go's own times do not see that it was set (package time, monotonic clocks).
func wall() time.Time { return time.Now().Round(0) }

// slack is how far off the clocks may be before it counts.
const slack = time.Second

// time is when a record was written. fresh says that it was just now: then the clocks are compared. It is never in the future.
func (c *clock) time(uptime time.Duration, fresh bool) time.Time {
	now, at := c.now(), c.booted.Add(uptime)
	if off := now.Sub(at); fresh && (off > slack || off < -slack) || off < 0 {
		c.booted = now.Add(-uptime)
		at = now
	}
	return at
}
