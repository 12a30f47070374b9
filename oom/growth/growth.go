// Package growth finds out how a container's memory grew before a kill: it keeps a few samples of each, says when the next one is worth
// its cost, and tells growth from noise.
package growth

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/solopod/solopod/oom/record"
)

const (
	// most bounds the samples that are kept: the older ones are thinned out, so that they reach back for minutes whatever their pace.
	most = 64
	// window is how far back growth is looked for.
	window = 10 * time.Minute
	// story is within which time several kills have one cause: a group, or a storm.
	story = 2 * time.Second
)

// What counts as growth.
const (
	fewest   = 4               // samples, the one at the kill counted
	shortest = 3 * time.Second // from the first to the last
	least    = 1 << 20         // bytes, and a part of what there was in the end:
	leastOf  = 10
	// bottom is the part of the rise up to which a sample still belongs to the time before it.
	bottom = 10
	// near is the part of the rise by which memory must have stayed below its end before: else it goes up and down.
	near = 4
	// rising is the share of the pairs of samples, in percent, of which the later one has to be the larger.
	rising = 75
	// off is the part of the rise by which samples may be beside an even one, all but one in a few, and by which the rate times the time
	// may differ from it.
	off, few = 4, 8
)

// Sample is what a container used at a time, which is counted from any one moment on.
type Sample struct {
	At    time.Duration
	Bytes int64
}

// Ring has the samples of a container. The zero value is ready.
type Ring struct {
	samples []Sample
	// killed is when the last story of kills began, before the one before it: what was sampled until then led to that one.
	killed, before time.Duration
	told           record.Growth
}

// Add takes a sample that is later than all others.
func (r *Ring) Add(s Sample) {
	if len(r.samples) == most {
		r.thin(s.At)
	}
	r.samples = append(r.samples, s)
}

// thin makes room: it lets go of what is too old, or of every other sample of the older half.
func (r *Ring) thin(now time.Duration) {
	r.samples = slices.DeleteFunc(r.samples, func(s Sample) bool { return s.At < now-window })
	if len(r.samples) < most {
		return
	}
	kept := r.samples[:0]
	for i, s := range r.samples {
		if i >= most/2 || i%2 == 0 {
			kept = append(kept, s)
		}
	}
	r.samples = kept
}

// Last is the last sample.
func (r *Ring) Last() (s Sample, ok bool) {
	if len(r.samples) == 0 {
		return s, false
	}
	return r.samples[len(r.samples)-1], true
}

// rate is how fast memory grew between the last two samples, in bytes a second; zero when it did not.
func (r *Ring) rate() int64 {
	n := len(r.samples)
	if n < 2 || r.samples[n-1].At <= r.samples[n-2].At {
		return 0
	}
	a, b := r.samples[n-2], r.samples[n-1]
	return max(0, int64(float64(b.Bytes-a.Bytes)/(b.At-a.At).Seconds()))
}

// Killed is how memory had grown when a process was killed; bytes is what the container used then, zero where that is not known. Kills that
// come together have the same answer; what led to an earlier one does not count.
func (r *Ring) Killed(at time.Duration, bytes int64) (record.Growth, bool) {
	if r.killed == 0 || at > r.killed+story {
		r.before, r.killed = r.killed, at
		r.told = of(r.until(at, bytes))
	}
	return r.told, r.told.PerSecond > 0
}

// until are the samples before a kill, and what there was at it.
func (r *Ring) until(at time.Duration, bytes int64) (out []Sample) {
	for _, s := range r.samples {
		if s.At < at && s.At >= at-window && (r.before == 0 || s.At > r.before) {
			out = append(out, s)
		}
	}
	if bytes > 0 {
		out = append(out, Sample{at, bytes})
	}
	return out
}

// of is the growth that leads to the last of the samples; zero when there is none that could be told from noise.
func of(samples []Sample) (none record.Growth) {
	if len(samples) < fewest {
		return none
	}
	last := samples[len(samples)-1]
	rise := last.Bytes - slices.MinFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Bytes, b.Bytes) }).Bytes
	if rise < max(least, last.Bytes/leastOf) {
		return none
	}
	from := begin(samples, rise)
	for _, s := range samples[:from] {
		if s.Bytes > last.Bytes-rise/near {
			return none
		}
	}
	for samples = samples[from:]; len(samples) >= fewest; samples = samples[1:] {
		if last.Bytes-samples[0].Bytes < rise/2 {
			return none
		}
		if g, ok := steady(samples); ok {
			return g
		}
	}
	return none
}

// steady is the growth over the samples, if it was about the same all the time. A burst is none together with the rest, or the slow leak,
// before it.
func steady(samples []Sample) (g record.Growth, ok bool) {
	first, last := samples[0], samples[len(samples)-1]
	took, rise := last.At-first.At, float64(last.Bytes-first.Bytes)
	if took < shortest {
		return g, false
	}
	beside := 0
	for _, s := range samples {
		even := float64(first.Bytes) + rise*(s.At-first.At).Seconds()/took.Seconds()
		if math.Abs(float64(s.Bytes)-even) > rise/off {
			beside++
		}
	}
	slope, share := slopeOf(samples)
	told := slope * took.Seconds()
	if share < rising || beside > len(samples)/few || told < rise*(off-1)/off || told > rise*off/(off-1) {
		return g, false
	}
	return record.Growth{PerSecond: int64(slope), Seconds: int64(took.Round(time.Second) / time.Second), From: first.Bytes}, true
}

// begin is where the rise to the last sample begins: where memory was at the bottom for the last time, and rose ever since.
func begin(samples []Sample, rise int64) int {
	last, from := samples[len(samples)-1], 0
	for i, s := range samples {
		if last.Bytes-s.Bytes >= rise-rise/bottom {
			from = i
		}
	}
	for from > 0 && samples[from-1].Bytes < samples[from].Bytes {
		from--
	}
	return from
}

// slopeOf is the median of the slopes between all pairs of samples (Theil and Sen's estimator), which a few samples that are off do not
// move, in bytes a second; and the share of those that rise, in percent.
func slopeOf(samples []Sample) (slope float64, share int) {
	var slopes []float64
	up := 0
	for i, a := range samples {
		for _, b := range samples[i+1:] {
			if b.At <= a.At {
				continue
			}
			if b.Bytes > a.Bytes {
				up++
			}
			slopes = append(slopes, float64(b.Bytes-a.Bytes)/(b.At-a.At).Seconds())
		}
	}
	if len(slopes) == 0 {
		return 0, 0
	}
	slices.Sort(slopes)
	return slopes[len(slopes)/2], 100 * up / len(slopes)
}
