package pod

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// Records keeps the pods' records. Its methods may take long: they are called from a goroutine of the pod that nobody waits
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
	report  func(e state.Event)
	failed  func(err error)

	mu     sync.Mutex
	next   *writing
	signal chan struct{}
}

// writing is a record to be written; without data it is removed.
type writing struct {
	data []byte
	step uint64
	gone chan<- struct{}
}

// rewriteAfter is when a record that could not be written is tried again without a change.
const rewriteAfter = 30 * time.Second

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

// run writes until ctx ends, and then what is still to be written.
func (w *writer) run(ctx context.Context) {
	var last []byte
	var again <-chan time.Time
	var kept *writing
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-w.signal:
		case <-again:
		}
		again = nil
		next := w.take()
		if next == nil {
			next = kept // the last one could not be written
		}
		kept = nil
		if next == nil {
			continue
		}
		switch {
		case next.data == nil:
			if err := w.records.Remove(w.uid); err != nil {
				w.failed(err)
			}
			last = nil
			close(next.gone)
		case bytes.Equal(next.data, last):
			w.report(state.Saved{Step: next.step, Synced: true})
		case w.write(next):
			last = next.data
		default:
			last, kept, again = nil, next, time.After(rewriteAfter)
		}
	}
}

// write returns false when the record could not be written; then nobody waits for it any longer.
func (w *writer) write(next *writing) bool {
	err := w.records.Write(w.uid, next.data)
	if err == nil {
		w.report(state.Saved{Step: next.step})
		err = w.records.Sync(w.uid)
	}
	if err != nil {
		w.failed(err)
	}
	w.report(state.Saved{Step: next.step, Synced: true})
	return err == nil
}
