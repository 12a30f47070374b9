package runner

import (
	"context"
	"log/slog"
	"sync"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/volume"
)

// claimWriter writes down what PersistentVolumeClaims ask for, in a goroutine of its own: the newest set counts.
type claimWriter struct {
	mu sync.Mutex
	// next is to be written; written is closed when it was. Both are nil when there is nothing to write.
	next    map[string]*v1.PersistentVolumeClaim
	written chan struct{}
	signal  chan struct{}
}

func newClaimWriter() *claimWriter { return &claimWriter{signal: make(chan struct{}, 1)} }

func (w *claimWriter) put(claims map[string]*v1.PersistentVolumeClaim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = claims
	if w.written == nil {
		w.written = make(chan struct{})
	}
	select { // under the lock, so that a set without its signal is never taken for a written one
	case w.signal <- struct{}{}:
	default:
	}
}

// wait returns when what was put before is written, or cannot be, or ctx has ended.
func (w *claimWriter) wait(ctx context.Context) {
	w.mu.Lock()
	written := w.written
	w.mu.Unlock()
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// run writes until ctx ends.
func (w *claimWriter) run(ctx context.Context, volumes volume.Manager) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.signal:
		}
		w.mu.Lock()
		claims := w.next
		w.mu.Unlock()
		for _, c := range claims {
			if ctx.Err() != nil {
				return
			}
			if err := volumes.Record(c); err != nil {
				slog.Warn("cannot write down what a claim asks for", "claim", c.Namespace+"/"+c.Name, "err", err)
			}
		}
		w.done()
	}
}

// done: one set was written. Another one that came meanwhile has given its signal.
func (w *claimWriter) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.signal) == 0 {
		close(w.written)
		w.next, w.written = nil, nil
	}
}
