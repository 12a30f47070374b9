package eviction

import (
	"time"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

// How often is measured.
const (
	// near is the kubelet's interval, for what is short or nearly so; nearest that of memory where nothing rings.
	near, nearest = 10 * time.Second, time.Second
	// far is the longest; farBlind that of memory where nothing rings.
	far, farBlind = 5 * time.Minute, 30 * time.Second
	// gap is the least time between two measurements, however often it rings.
	gap = 500 * time.Millisecond
	// much is the part of the capacity from which on far is often enough where it rings: what is missed then is what the kernel takes for
	// itself, which is slow.
	much = 4
	// most is how much of what is left may have gone until the next measurement, if it goes as fast as last: a half.
	most = 2
)

// rate is how fast the amount of a signal may go down, for a second, so that it is seen in time: bytes, files or processes.
func rate(s threshold.Signal) uint64 {
	switch s {
	case threshold.Memory:
		return 128 << 20
	case threshold.NodeSpace, threshold.ImageSpace:
		return 100 << 20
	case threshold.NodeFiles, threshold.ImageFiles:
		return 10_000
	default:
		return 200
	}
}

// interval is how long a signal need not be measured that has left more than its nearest threshold, of a capacity; rings: it is of memory,
// and the kernel tells when that is used up. fall is how much of it went down of late, for a second.
func interval(s threshold.Signal, left, capacity, fall uint64, rings bool) time.Duration {
	least, longest, seconds := near, far, left/rate(s)
	switch {
	case rings:
		seconds = uint64(float64(far/time.Second) * min(1, much*float64(left)/float64(max(capacity, 1))))
	case s == threshold.Memory:
		least, longest = nearest, farBlind
	}
	if fall > 0 {
		seconds = min(seconds, left/fall/most)
	}
	if seconds >= uint64(longest/time.Second) {
		return longest
	}
	return max(least, time.Duration(seconds)*time.Second) //nolint:gosec // less than longest
}

// trend remembers what was measured last, to tell how fast it goes down. The zero value is ready.
type trend struct {
	at     time.Time
	levels map[threshold.Signal]threshold.Level
	falls  map[threshold.Signal]uint64
}

// saw takes a measurement. One that follows at once says nothing, and is left out.
func (t *trend) saw(levels map[threshold.Signal]threshold.Level, now time.Time) {
	took := now.Sub(t.at)
	if took >= 0 && took < gap {
		return
	}
	falls := map[threshold.Signal]uint64{}
	for s, l := range levels {
		if before, known := t.levels[s]; known && took > 0 {
			falls[s] = uint64(float64(before.Available-min(before.Available, l.Available)) / took.Seconds())
		}
	}
	t.at, t.levels, t.falls = now, levels, falls
}

// DiskPace says how often the room on a disk is measured, for who does something else as it gets less. The zero value is ready.
type DiskPace struct{ trend trend }

// Next takes what was measured, and how much may still be used, and returns how long nothing has to be measured.
func (p *DiskPace) Next(l threshold.Level, left uint64, now time.Time) time.Duration {
	p.trend.saw(map[threshold.Signal]threshold.Level{threshold.ImageSpace: l}, now)
	return interval(threshold.ImageSpace, left, l.Capacity, p.trend.falls[threshold.ImageSpace], false)
}

// How evicted pods are let in again.
const (
	// firstHold is how long a pod waits that was evicted once; each time it is twice that, up to longestHold. What was short must have been
	// had for the transition period anyway.
	firstHold, longestHold = 10 * time.Second, 30 * time.Minute
	// settle is how long the pod that was let in last is given to take up what it needs.
	settle = 10 * time.Second
)

// hold is how long a pod waits that was evicted so often.
func hold(evictions int) time.Duration {
	d := firstHold
	for range evictions - 1 {
		if d *= 2; d >= longestHold {
			return longestHold
		}
	}
	return d
}
