package simulation

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// drawLocked is draw with b.mu held.
func (b *box) drawLocked(parts ...string) *rand.Rand {
	b.mu.Unlock()
	defer b.mu.Lock()
	return b.draw(parts...)
}

// live decides what a process does that has just been started. b.mu is held.
func (b *box) live(c *container) {
	r := b.drawLocked("life", c.uid, c.name)
	h := b.history(c.uid, c.name)
	h.last, h.refused = c, 0
	s := b.sandbox(c.uid)
	if c.sidecar {
		s.done[c.name] = true
	}
	code := int32(0)
	var after time.Duration
	switch {
	case c.init:
		after = time.Duration(r.Int64N(int64(3 * time.Second)))
		if r.IntN(4) == 0 && !b.calm {
			code = 1
		}
	case c.name == "task": // runs to its end
		after = time.Duration(r.Int64N(int64(time.Minute)))
		if r.IntN(3) == 0 && !b.calm {
			code = 3
		}
	case b.calm || b.spared(c.uid) || r.Float64() > b.temper.crashes:
		return
	default:
		after = time.Duration(r.ExpFloat64() * float64(time.Minute))
		if r.IntN(3) == 0 {
			after = time.Duration(r.Int64N(int64(30 * time.Millisecond))) // at once
		}
		if r.IntN(2) == 0 {
			code = 2
		}
	}
	time.AfterFunc(after, func() {
		b.mu.Lock()
		if b.calm && !c.init && c.name != "task" {
			b.mu.Unlock()
			return // no more faults
		}
		b.exitLocked(c, code)
		b.mu.Unlock()
	})
}

// dieOf is what a signal does. b.mu is held.
func (b *box) dieOf(c *container, signal int) {
	c.signalled = true
	r := b.drawLocked("die", c.uid, c.name)
	after, code := time.Duration(r.Int64N(int64(30*time.Millisecond))), int32(128+signal)
	if signal != 9 {
		switch r.IntN(4) {
		case 0: // it does not listen
			return
		case 1:
			after = time.Duration(r.Int64N(int64(20 * time.Second)))
			code = 0
		case 2: // as many programs do
			code = 0
		}
	} else if !b.calm && !b.spared(c.uid) && r.Float64() < b.temper.hang {
		gate := b.open // in an uninterruptible wait
		go func() {
			<-gate
			b.mu.Lock()
			b.exitLocked(c, 137)
			b.mu.Unlock()
		}()
		return
	}
	time.AfterFunc(after, func() {
		b.mu.Lock()
		b.exitLocked(c, code)
		b.mu.Unlock()
	})
}

// exitLocked ends a process, and tells the daemon that there is, if that is not lost. b.mu is held.
func (b *box) exitLocked(c *container, code int32) {
	if c.status != state.FoundRunning {
		return
	}
	c.status, c.code, c.ended = state.FoundStopped, code, time.Now()
	b.ends[c.id] = ending{code: code, at: c.ended}
	if s := b.sandboxes[c.uid]; s != nil && c.init && code == 0 {
		s.done[c.name] = true
	}
	d := b.daemon
	e := state.Exited{ID: c.id, Code: code, When: c.ended}
	r := b.drawLocked("exit", c.uid, c.name)
	if d == nil {
		return
	}
	deliver := func(after time.Duration) {
		time.AfterFunc(after, func() {
			b.mu.Lock()
			alive := d.alive
			b.mu.Unlock()
			if alive {
				b.note("%s exited: %s %.6s with %d", c.uid, c.name, c.id, code)
				d.owner.Exited(e)
			}
		})
	}
	calm := b.calm || b.spared(c.uid)
	soon := time.Duration(r.Int64N(int64(5 * time.Millisecond)))
	switch {
	case !calm && r.Float64() < b.temper.lostExits: // until the events are subscribed to again
		time.AfterFunc(time.Duration(r.Int64N(int64(time.Minute))), func() {
			b.mu.Lock()
			alive := d.alive
			b.mu.Unlock()
			if alive {
				d.owner.Resync()
			}
		})
		return
	case !calm && r.IntN(10) == 0:
		soon += time.Duration(r.Int64N(int64(5 * time.Second)))
	}
	deliver(soon)
	if !calm && r.Float64() < b.temper.doubleExits {
		deliver(soon + time.Duration(r.Int64N(int64(time.Second))))
	}
}

// killForMemory is what the kernel does to a container that runs. b.mu is held.
func (b *box) killForMemory(c *container, main bool) {
	c.kills++
	close(c.changed)
	c.changed = make(chan struct{})
	if main {
		b.exitLocked(c, 137)
	}
}

func (d doer) watchKills(ctx context.Context, w plan.WatchKills, f fate, say func(state.Result)) state.Result {
	b := d.box
	var breaks <-chan time.Time
	if f.fail {
		breaks = time.After(f.before)
	}
	done := ctx.Done()
	gate := (<-chan struct{})(nil)
	if f.hang && f.deaf {
		done, gate = nil, b.gate()
	}
	seen := uint64(0)
	for {
		b.mu.Lock()
		c := b.containers[w.ID]
		var changed chan struct{}
		kills := uint64(0)
		if c != nil {
			changed, kills = c.changed, c.kills
		}
		b.mu.Unlock()
		if kills > seen {
			seen = kills
			say(state.KillsSeen{Kills: kills})
		}
		select {
		case <-changed:
		case <-breaks:
			return state.WatchEnded{Problem: state.Problem{Reason: "NotWatched", Message: "the watch broke"}}
		case <-done:
			d.apart(f)
			return state.WatchEnded{}
		case <-gate:
			return state.WatchEnded{}
		case <-d.dead:
			return state.WatchEnded{}
		}
	}
}

func (d doer) probe(ctx context.Context, uid string, w plan.Probe, f fate, say func(state.Result)) state.Result {
	b := d.box
	spec := state.ProbeOf(w.Spec, w.Kind)
	period := time.Duration(max(spec.PeriodSeconds, 1)) * time.Second
	r := b.draw("probe", uid, w.Name, string(w.Kind))
	for {
		select {
		case <-time.After(period + time.Duration(r.Int64N(int64(time.Millisecond)))):
		case <-ctx.Done():
			d.apart(f)
			return state.WatchEnded{}
		case <-d.dead:
			return state.WatchEnded{}
		}
		failure := ""
		if !b.isCalm() && !b.spared(uid) && r.Float64() < b.temper.fail {
			failure = "it does not answer"
		}
		say(state.Probed{Kind: w.Kind, Failure: failure})
	}
}
