package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing/synctest"
	"time"
)

// Options of a run.
type Options struct {
	// Trace: what happens is written down, for people.
	Trace bool
}

// Result is what a run has shown.
type Result struct {
	// Trace is what happened, a line each, if that was asked for.
	Trace []string
	// Virtual is how long it took in the box.
	Virtual time.Duration
	// Turns are those of all workers; Effects counts effects by kind, Told what was told by reason.
	Turns   uint64
	Effects map[string]int
	Told    map[string]int
}

// Run runs one seed. It must be called in a bubble of testing/synctest. The error says what did not hold.
func Run(seed uint64, o Options) (Result, error) {
	b := newBox(seed, o)
	s := newScript(b)
	s.run()
	b.mu.Lock()
	r := Result{Trace: b.trace, Virtual: time.Since(b.began), Turns: s.turns, Effects: b.effects, Told: b.told}
	var err error
	if len(b.violations) > 0 {
		err = fmt.Errorf("seed %d: %w", seed, errors.New(strings.Join(b.violations, "\n\t")))
	}
	b.mu.Unlock()
	return r, err
}

// run is the whole story of a box.
func (s *script) run() {
	b := s.box
	s.begin()
	for range 10 + s.r.IntN(20) {
		s.step()
		if b.failed() {
			break
		}
	}
	if !b.failed() {
		s.spared()
	}
	if !b.failed() {
		s.settle()
	}
	s.dump()
	s.end()
}

// end ends the daemon and all that hangs.
func (s *script) end() {
	b := s.box
	b.mu.Lock()
	b.calm = true
	b.mu.Unlock()
	s.count()
	if d := b.daemon; d != nil {
		begin := time.Now()
		d.owner.Stop()
		if took := time.Since(begin); took > 10*time.Second {
			b.violated("the daemon took %s to end", took)
		}
	}
	b.kill()
	b.letGo()
	synctest.Wait()
}

// dump adds what the workers know at the end to the trace.
func (s *script) dump() {
	b := s.box
	if !b.options.Trace || b.daemon == nil {
		return
	}
	for _, snapshot := range b.daemon.owner.Snapshots() {
		uid := string(snapshot.Pod.UID)
		text, err := json.Marshal(snapshot.State.Live)
		if err != nil {
			text = []byte(err.Error())
		}
		b.note("==== %s: %s", uid, text)
		record, err := snapshot.State.Encode()
		b.note("==== %s: %s %v", uid, record, err)
		for name, c := range snapshot.State.Containers {
			text, err := json.Marshal([]any{c.Making, c.Now})
			b.note("==== %s %s: %s %v", uid, name, text, err)
		}
	}
}
