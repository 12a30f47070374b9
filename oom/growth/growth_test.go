package growth

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/solopod/solopod/oom/record"
)

const mi = 1 << 20

// ring has samples of a function of seconds, in MiB, from one time to another.
func ring(from, to, step int, at func(second int) float64) *Ring {
	var r Ring
	more(&r, from, to, step, at)
	return &r
}

func more(r *Ring, from, to, step int, at func(second int) float64) {
	for s := from; s < to; s += step {
		r.Add(Sample{time.Duration(s) * time.Second, int64(at(s) * mi)})
	}
}

// pairs has samples of times in seconds, each with MiB.
func pairs(of ...int) *Ring {
	var r Ring
	for i := 0; i < len(of); i += 2 {
		r.Add(Sample{time.Duration(of[i]) * time.Second, int64(of[i+1]) * mi})
	}
	return &r
}

// join has the samples of both.
func join(first, then *Ring) *Ring {
	var r Ring
	for _, s := range append(append([]Sample{}, first.samples...), then.samples...) {
		r.Add(s)
	}
	return &r
}

func TestKilled(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	leak := func(s int) float64 { return 40 + 1.2*float64(s) }
	still := ring(0, 600, 30, func(int) float64 { return 30 })
	for name, c := range map[string]struct {
		ring  *Ring
		at    int
		bytes int64
		// perSecond is in MiB, within 5 %; seconds and from (MiB) exactly, or within 5 %.
		perSecond       float64
		seconds, within int64
		from            int64
	}{
		"a leak":                  {ring: ring(0, 180, 10, leak), at: 180, bytes: 256, perSecond: 1.2, seconds: 180, from: 40},
		"a leak, and noise":       {ring: ring(0, 180, 5, func(s int) float64 { return leak(s) + 4*noise.Float64() }), at: 180, bytes: 256, perSecond: 1.2, seconds: 180, within: 20, from: 40},
		"after a rest":            {ring: ring(0, 400, 10, func(s int) float64 { return max(100, 100+1.5*float64(s-300)) }), at: 400, bytes: 250, perSecond: 1.5, seconds: 100, from: 100},
		"what the usage leaves":   {ring: ring(0, 180, 10, leak), at: 180, perSecond: 1.2, seconds: 170, from: 40},
		"in the first seconds":    {ring: ring(0, 8, 2, func(s int) float64 { return 3 * float64(s) }), at: 8, bytes: 24, perSecond: 3, seconds: 8},
		"a burst":                 {ring: ring(0, 600, 30, func(int) float64 { return 30 }), at: 600, bytes: 256},
		"a slow leak and a burst": {ring: ring(0, 180, 10, func(s int) float64 { return 40 + 0.1*float64(s) }), at: 180, bytes: 256},
		"up and down":             {ring: ring(0, 300, 5, func(s int) float64 { return 100 + 10*float64(s%60)/6 }), at: 300, bytes: 205},
		"up and down, and up":     {ring: ring(0, 300, 5, func(s int) float64 { return 40 + 0.7*float64(s) + 10*float64(s%30)/30 }), at: 300, bytes: 260, perSecond: 0.72, seconds: 300, within: 40, from: 40},
		"a burst that is seen":    {ring: join(still, pairs(600, 100, 601, 150, 602, 200)), at: 603, bytes: 256, perSecond: 50, seconds: 3, from: 100},
		"from some time on":       {ring: join(still, pairs(600, 80, 605, 105, 610, 130, 620, 180)), at: 630, bytes: 230, perSecond: 5, seconds: 30, from: 80},
		"a burst after a leak":    {ring: join(ring(0, 600, 10, func(s int) float64 { return 30 + float64(s)/6 }), pairs(600, 130, 602, 155, 604, 180)), at: 608, bytes: 230, perSecond: 12.5, seconds: 8, from: 130},
		"a burst between samples": {ring: join(still, pairs(600, 200, 601, 220, 602, 240)), at: 603, bytes: 256},
		"it doubles":              {ring: pairs(0, 4, 1, 8, 2, 16, 3, 32, 4, 64, 5, 128), at: 6, bytes: 256, perSecond: 74.6, seconds: 3, from: 32},
		"noise":                   {ring: ring(0, 300, 5, func(int) float64 { return 200 + 50*noise.Float64() }), at: 300, bytes: 256},
		"at rest":                 {ring: ring(0, 300, 10, func(int) float64 { return 255 }), at: 300, bytes: 256},
		"too little of all":       {ring: ring(0, 300, 10, func(s int) float64 { return 250 + float64(s)/50 }), at: 300, bytes: 256},
		"too few":                 {ring: ring(0, 20, 10, leak), at: 20, bytes: 64},
		"nothing":                 {ring: &Ring{}, at: 20, bytes: 64},
		"only later":              {ring: ring(30, 60, 5, leak), at: 20, bytes: 64},
		"long ago":                {ring: ring(0, 100, 10, leak), at: 900, bytes: 256},
	} {
		got, ok := c.ring.Killed(time.Duration(c.at)*time.Second, c.bytes*mi)
		per := float64(got.PerSecond) / mi
		if ok != (c.perSecond > 0) || per < c.perSecond*0.95 || per > c.perSecond*1.05 || got.Seconds < c.seconds-c.within || got.Seconds > c.seconds+c.within ||
			ok && c.within == 0 && got.From != c.from*mi {
			t.Errorf("%s: %.2fMi/s for %d s from %dMi", name, per, got.Seconds, got.From/mi)
		}
	}
}

// Kills that come together have one growth; the next one has that since.
func TestStories(t *testing.T) {
	leak := func(s int) float64 { return 10 + float64(s%100) }
	r := ring(0, 100, 5, leak)
	first, ok := r.Killed(100*time.Second, 110*mi)
	if again, too := r.Killed(101*time.Second, 110*mi); !ok || !too || again != first {
		t.Errorf("a group: %+v, %+v", first, again)
	}
	more(r, 101, 200, 5, leak)
	if second, ok := r.Killed(200*time.Second, 110*mi); !ok || second.Seconds != 99 || second.PerSecond < mi*9/10 {
		t.Errorf("the next one: %+v", second)
	}
	if third, ok := r.Killed(203*time.Second, 110*mi); ok {
		t.Errorf("at once after it: %+v", third)
	}
}

// Samples are bounded, and reach back for minutes also where they are dense.
func TestBounds(t *testing.T) {
	r := ring(0, 500, 1, func(s int) float64 { return float64(s) })
	if len(r.samples) > most || cap(r.samples) > 2*most {
		t.Errorf("%d samples, room for %d", len(r.samples), cap(r.samples))
	}
	if got, ok := r.Killed(500*time.Second, 500*mi); !ok || got.Seconds < 300 || got.PerSecond != mi {
		t.Errorf("%+v", got)
	}
	if got := (record.Growth{}); got != of(nil) {
		t.Error("of no samples there is growth")
	}
}

func TestWait(t *testing.T) {
	const old = time.Hour
	still, grows := ring(0, 60, 30, func(int) float64 { return 1 }), ring(0, 20, 10, func(s int) float64 { return float64(s) })
	for name, c := range map[string]struct {
		ring        *Ring
		free, limit int64
		age, want   time.Duration
	}{
		"far":                           {still, 256 * mi, 256 * mi, old, time.Minute},
		"half":                          {still, 128 * mi, 256 * mi, old, 30 * time.Second},
		"near":                          {still, 64 * mi, 256 * mi, old, 15 * time.Second},
		"full":                          {still, 0, 256 * mi, old, 10 * time.Second},
		"above":                         {still, -mi, 256 * mi, old, 10 * time.Second},
		"growing":                       {grows, 80 * mi, 256 * mi, old, 10 * time.Second},
		"growing and near":              {grows, 16 * mi, 256 * mi, old, 2 * time.Second},
		"growing and full":              {grows, mi, 256 * mi, old, time.Second},
		"growing far from a huge limit": {grows, 1 << 62, 1 << 62, old, time.Minute},
		"begun":                         {still, 256 * mi, 256 * mi, 0, 2 * time.Second},
		"young":                         {still, 256 * mi, 256 * mi, 20 * time.Second, 10 * time.Second},
		"young, growing and near":       {grows, 8 * mi, 256 * mi, 20 * time.Second, time.Second},
		"no limit":                      {still, 0, 0, old, time.Minute},
		"no samples":                    {&Ring{}, 128 * mi, 256 * mi, old, 30 * time.Second},
	} {
		if got := c.ring.Wait(c.free, c.limit, c.age); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}
