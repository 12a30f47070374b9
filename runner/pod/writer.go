package pod

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// Records keeps the pods' records. Its methods may take long, or for ever: they are called from a goroutine that nobody waits
// for.
type Records interface {
	// Write replaces a pod's record; a crash of Solopod leaves the old or the new one.
	Write(uid string, data []byte) error
	// Sync makes what was written outlive a power cut.
	Sync(uid string) error
	// Remove removes a pod's record and its directory.
	Remove(uid string) error
}

// writer writes one pod's record when it changed: the newest state counts, those in between may be skipped.
type writer struct {
	uid     string
	records Records
	// report tells the worker. It does not block.
	report func(e state.Event)

	mu     sync.Mutex
	next   *writing
	signal chan struct{}

	// ---- owned by run
	current, kept *writing
	last          []byte // what the disk has
	hangs         bool
}

// writing is a record to be written; without data it is removed.
type writing struct {
	data []byte
	step uint64
	gone chan<- struct{}
}

const (
	// rewriteAfter is when a record that could not be written is tried again without a change.
	rewriteAfter = 30 * time.Second
	// hangsAfter is when nobody waits any longer for a disk that does not answer.
	hangsAfter = 15 * time.Second
)

func (w *writer) put(next writing) {
	w.mu.Lock()
	w.next = &next
	w.mu.Unlock()
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

func (w *writer) take() *writing {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.next
	w.next = nil
	return next
}

// waiting is the step of the newest record that waits for its turn, or zero.
func (w *writer) waiting() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		return 0
	}
	return w.next.step
}

// run writes until ctx ends, and then what is still to be written.
func (w *writer) run(ctx context.Context) {
	ended, done := false, ctx.Done()
	var busy chan error
	var limit, again <-chan time.Time
	for {
		select {
		case <-done:
			ended, done = true, nil
		case <-w.signal:
		case <-again:
			again = nil
		case <-limit:
			w.hangs, limit = true, nil
		case err := <-busy:
			w.hangs, busy, limit = false, nil, nil
			if again = w.finished(err); again == nil {
				w.kept = nil
			}
		}
		switch {
		case busy != nil && w.hangs:
			w.pass()
		case busy != nil:
		case w.begin(again == nil && !ended):
			busy, limit, again = make(chan error, 1), time.After(hangsAfter), nil
			go w.do(*w.current, busy)
		case ended:
			return
		}
	}
}

// begin chooses what is written next: what is new, or what could not be written, when retry says that it is time.
func (w *writer) begin(retry bool) bool {
	next := w.take()
	if next == nil && retry {
		next = w.kept
	}
	if next == nil {
		return false
	}
	w.kept = nil
	if next.data != nil && bytes.Equal(next.data, w.last) {
		w.report(state.Saved{Step: next.step, Synced: true})
		return w.begin(false)
	}
	w.current = next
	return true
}

// do writes, or removes, and says what came of it.
func (w *writer) do(next writing, result chan<- error) {
	err := fmt.Errorf("writing it failed in Solopod's own code")
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("writing it failed in Solopod's own code: %v", p)
		}
		result <- err
	}()
	if next.data == nil {
		err = w.records.Remove(w.uid)
		return
	}
	if err = w.records.Write(w.uid, next.data); err == nil {
		w.report(state.Saved{Step: next.step})
		err = w.records.Sync(w.uid)
	}
}

// finished tells what came of the writing at hand. What failed is kept, and tried again when the channel says so. A record that
// cannot be removed is left to the next start, which finds no manifest for it.
func (w *writer) finished(err error) (again <-chan time.Time) {
	done := w.current
	w.current, w.last = nil, nil
	saved := state.Saved{Step: done.step, Synced: true}
	if err != nil {
		saved.Problem = err.Error() // then nobody waits for it any longer
	}
	w.report(saved)
	switch {
	case done.data == nil:
		close(done.gone)
	case err != nil:
		w.kept = done
		return time.After(rewriteAfter)
	default:
		w.last = done.data
	}
	return nil
}

// pass lets nobody wait for a disk that does not answer.
func (w *writer) pass() {
	w.report(state.Saved{Step: max(w.current.step, w.waiting()), Synced: true, Problem: "the disk does not answer"})
}
