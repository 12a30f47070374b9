// Package claims writes down what PersistentVolumeClaims ask for, beside the pods that use them.
package claims

import (
	"context"
	"log/slog"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Writer writes down what PersistentVolumeClaims ask for: of each claim the newest version, in a goroutine of its own, so that
// one whose directory does not answer holds up no other.
type Writer struct {
	record func(*v1.PersistentVolumeClaim) error
	begin  func(func()) // starts a goroutine

	mu sync.Mutex
	// busy are the claims that are being written, by namespace and name.
	busy map[string]*writing
}

type writing struct {
	next *v1.PersistentVolumeClaim // to be written after what is being written; nil when nothing is
	done chan struct{}             // closed when all is written
}

// NewWriter makes a Writer that records claims with record, in goroutines that begin starts.
func NewWriter(record func(*v1.PersistentVolumeClaim) error, begin func(func())) *Writer {
	return &Writer{record: record, begin: begin, busy: map[string]*writing{}}
}

// Put has claims written, by namespace and name. It does not wait.
func (w *Writer) Put(claims map[string]*v1.PersistentVolumeClaim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, c := range claims {
		if b := w.busy[key]; b != nil {
			b.next = c
			continue
		}
		w.busy[key] = &writing{done: make(chan struct{})}
		w.begin(func() { w.write(key, c) })
	}
}

// write writes a claim, and what comes meanwhile.
func (w *Writer) write(key string, c *v1.PersistentVolumeClaim) {
	for c != nil {
		if err := w.record(c); err != nil {
			slog.Warn("cannot write down what a claim asks for", "claim", key, "err", err)
		}
		c = w.following(key)
	}
}

// following is what is to be written next of a claim; nil when that was all.
func (w *Writer) following(key string) *v1.PersistentVolumeClaim {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.busy[key]
	next := b.next
	if b.next = nil; next == nil {
		delete(w.busy, key)
		close(b.done)
	}
	return next
}

// limit is how long a pod waits for its claims to be written down. It goes on without: the claim is made by its set-up then, and
// says less.
const limit = 2 * time.Second

// Wait returns when what was put before of these claims is written, or cannot be, after limit, or when ctx has ended.
func (w *Writer) Wait(ctx context.Context, keys []string) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for _, key := range keys {
		w.mu.Lock()
		b := w.busy[key]
		w.mu.Unlock()
		if b == nil {
			continue
		}
		select {
		case <-b.done:
		case <-over.C:
			slog.Warn("what a claim asks for cannot be written down in time", "claim", key)
			return
		case <-ctx.Done():
			return
		}
	}
}
