package simulation

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed alone, and print what happens (TestSeed)")
	seeds     = flag.Uint64("seeds", 0, "how many seeds to run (TestSeeds); 0 means 20000, fewer with -short or -race")
	failures  = flag.Uint64("failures", 10, "how many failing seeds to show (TestSeeds)")
	firstSeed = flag.Uint64("first", 1, "the first seed (TestSeeds)")
)

// TestSeed runs one seed again, and prints what happens.
func TestSeed(t *testing.T) {
	if *oneSeed == 0 {
		t.Skip("which? -seed N")
	}
	r, err := runSeed(t, *oneSeed, Options{Trace: true})
	t.Logf("\n%s", strings.Join(r.Trace, "\n"))
	t.Logf("%s in the box, %d turns, effects: %v", r.Virtual, r.Turns, r.Effects)
	if err != nil {
		t.Error(err)
	}
}

func runSeed(t *testing.T, seed uint64, o Options) (r Result, err error) {
	t.Helper()
	// A circle takes no virtual time, so that the bubble cannot see it.
	watchdog := time.AfterFunc(mostTime, func() { panic(fmt.Sprintf("seed %d does not end", seed)) })
	defer watchdog.Stop()
	synctest.Test(t, func(*testing.T) { r, err = Run(seed, o) })
	return r, err
}

// mostTime is how long a seed may take in real time; it takes some milliseconds.
const mostTime = time.Minute

// TestSeeds runs many seeds. A failing one is printed; TestSeed shows it.
func TestSeeds(t *testing.T) {
	quiet(t)
	n := *seeds
	if n == 0 {
		n = 20000
		switch {
		case raceDetector:
			n = 100
		case testing.Short():
			n = 500
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // what one seed leaves is small
	begin := time.Now()
	var next, failed atomic.Uint64
	next.Store(*firstSeed)
	var total totals
	t.Run("run", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for {
					seed := next.Add(1) - 1
					if seed >= *firstSeed+n || failed.Load() >= *failures {
						return
					}
					r, err := runSeed(t, seed, Options{})
					total.add(r)
					if err != nil {
						failed.Add(1)
						t.Errorf("%v\n\tsee it: go test ./runner/simulation -run 'TestSeed$' -v -args -seed %d", err, seed)
					}
				}
			})
		}
	})
	took := time.Since(begin)
	t.Logf("%d seeds in %s: %.0f a second, %d failures; %s", total.runs, took.Round(time.Millisecond), float64(total.runs)/took.Seconds(), failed.Load(), &total)
}

type totals struct {
	mu      sync.Mutex
	runs    int
	virtual time.Duration
	turns   uint64
	effects map[string]int
	told    map[string]int
}

func (t *totals) add(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs++
	t.virtual += r.Virtual
	t.turns += r.Turns
	if t.effects == nil {
		t.effects, t.told = map[string]int{}, map[string]int{}
	}
	for k, n := range r.Effects {
		t.effects[k] += n
	}
	for k, n := range r.Told {
		t.told[k] += n
	}
}

func (t *totals) String() string {
	return fmt.Sprintf("%s in the boxes, effects %v, told %v", t.virtual.Round(time.Hour), t.effects, t.told)
}
