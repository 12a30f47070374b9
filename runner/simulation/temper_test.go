package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// temper is how much goes wrong in one run: most faults are rare in most runs, and frequent in some.
type temper struct {
	fail, hang, slow, deaf, late, panics, nothing float64
	refuse                                        float64
	lostExits, doubleExits, crashes               float64
	diskFails, diskHangs                          float64
	reports                                       float64
}

func newTemper(r *rand.Rand) temper {
	p := func(rare, often float64) float64 {
		switch r.IntN(4) {
		case 0, 1:
			return 0
		case 2:
			return rare
		}
		return often
	}
	return temper{
		fail: p(0.03, 0.3), hang: p(0.02, 0.15), slow: p(0.1, 0.5), deaf: p(0.2, 0.8), late: p(0.1, 0.7), panics: p(0.01, 0.05),
		nothing: p(0.002, 0.01), lostExits: p(0.1, 0.5), doubleExits: p(0.1, 0.5), crashes: p(0.2, 0.8), diskFails: p(0.05, 0.5), diskHangs: p(0.02, 0.1),
		reports: p(0.002, 0.01), refuse: p(0.03, 0.3),
	}
}

// fate is how one effect goes.
type fate struct {
	// before and after are how long it takes until it changes the world, and from then until it returns.
	before, after time.Duration
	fail          bool
	// hang: it waits until it is let go before it changes the world. deaf: it does not heed its cancellation. late: it succeeds
	// when it is cancelled.
	hang, deaf, late bool
	panics, nothing  bool
	// refuse: the OCI runtime cannot run the container.
	refuse bool
	// outlives: it is done by another process, which goes on when the daemon is killed.
	outlives bool
}

// external effects are those that another process can complete when the daemon is gone.
var external = map[string]bool{state.KindCreate: true, state.KindStart: true, state.KindSignal: true, state.KindDelete: true, state.KindPull: true}

func (d *daemon) fate(uid, kind, name string) fate {
	r := d.box.draw("fate", uid, kind, name)
	t := d.box.temper
	f := fate{before: time.Duration(r.Int64N(int64(20 * time.Millisecond))), after: time.Duration(r.Int64N(int64(5 * time.Millisecond)))}
	if kind == state.KindPull {
		f.before += time.Duration(r.Int64N(int64(5 * time.Second)))
	}
	if d.box.isCalm() || d.box.spared(uid) {
		return f
	}
	yes := func(p float64) bool { return r.Float64() < p }
	f.fail, f.hang, f.deaf, f.late = yes(t.fail), yes(t.hang), yes(t.deaf), yes(t.late)
	f.refuse = (kind == state.KindCreate || kind == state.KindStart) && yes(t.refuse)
	f.panics, f.nothing, f.outlives = yes(t.panics), yes(t.nothing), external[kind] && yes(0.5)
	if kind == state.KindPull {
		f.hang = f.hang || yes(2*t.hang)
	}
	if yes(t.slow) {
		f.before += time.Duration(r.Int64N(int64(40 * time.Second)))
	}
	if yes(t.slow / 4) {
		f.after += time.Duration(r.Int64N(int64(10 * time.Second)))
	}
	return f
}

// spared pods have no faults, so that it shows whether others' hold them.
func (b *box) spared(uid string) bool {
	return b.seed%4 == 0 && (uid == podUID(0) || uid == twinUID(podUID(0)))
}
