package services

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Limits of writes.
const (
	writeLimit = 10 * time.Second
	firstRetry = 250 * time.Millisecond
	mostRetry  = 10 * time.Second
	endLimit   = 3 * time.Second
)

// writer has the newest of what it is given written. It has a goroutine only while there is something to write, so that nothing is held up
// by a kernel or a disk that does not answer, and what comes meanwhile costs one more write.
type writer[T any] struct {
	what  string // for messages
	write func(ctx context.Context, value T) error
	// done is called after each try of the newest value, with up to which change nothing else is to be written; without a value where one
	// that was written before stands for more changes. It may be nil.
	done func(value *T, change uint64, err error)

	mu      sync.Mutex
	next    *T
	change  uint64 // up to which next, or what was written last, stands for what there is
	said    uint64 // was told to done
	running bool
	fresh   chan struct{} // closed when there is a new value while an old one waits for its next try
	wg      sync.WaitGroup
}

// put has a value, which is of a change, written in place of those before it, until ctx ends.
func (w *writer[T]) put(ctx context.Context, value T, change uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next, w.change = &value, change
	if w.fresh != nil {
		close(w.fresh)
		w.fresh = nil
	}
	if !w.running {
		w.running = true
		w.wg.Go(func() { w.run(ctx) })
	}
}

// stands says that what was put last stands for a change, too. It is told to done when that is written.
func (w *writer[T]) stands(change uint64) {
	w.mu.Lock()
	w.change = change
	idle := !w.running
	w.mu.Unlock()
	if idle {
		w.tell(nil, nil)
	}
}

// tell tells done, unless there is a newer value.
func (w *writer[T]) tell(value *T, err error) {
	w.mu.Lock()
	newest, change := w.next == nil, w.change
	if newest {
		w.said = change
	}
	w.mu.Unlock()
	if newest && w.done != nil {
		w.done(value, change, err)
	}
}

// wait returns when nothing is written any more. When the context of put has ended, what is left is tried once.
func (w *writer[T]) wait() { w.wg.Wait() }

// take takes the value that is to be written; without one nobody writes any more. late: a change has come behind the last one that was told.
func (w *writer[T]) take() (value *T, fresh chan struct{}, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	value, w.next, w.fresh = w.next, nil, nil
	if w.running = value != nil; w.running {
		w.fresh = make(chan struct{})
	}
	return value, w.fresh, value == nil && w.said != w.change
}

func (w *writer[T]) run(ctx context.Context) {
	for {
		value, fresh, late := w.take()
		if late {
			w.tell(nil, nil)
		}
		if value == nil {
			return
		}
		w.persist(ctx, value, fresh)
	}
}

// persist writes a value until it is written, there is a newer one, or ctx has ended.
func (w *writer[T]) persist(ctx context.Context, value *T, fresh <-chan struct{}) {
	for retry := firstRetry; ; retry = min(2*retry, mostRetry) {
		err := w.once(ctx, *value)
		w.tell(value, err)
		if err == nil {
			if retry > firstRetry {
				slog.Info("it could be written again", "what", w.what)
			}
			return
		}
		if retry == firstRetry && ctx.Err() == nil {
			slog.Error("it cannot be written, and is tried again", "what", w.what, "err", err)
		}
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
			continue
		case <-fresh:
		case <-ctx.Done():
		}
		timer.Stop()
		return
	}
}

func (w *writer[T]) once(ctx context.Context, value T) error {
	limited, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	return w.write(limited, value)
}
