package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// attained is a file's value, or why there is none.
type attained[T any] struct {
	value   T
	version Version
	err     error
}

// load loads one file, if it is complete, and notes what comes of it.
func (w *Watcher[T]) load(ctx context.Context, name string, still bool, seen edition, round *Round[T], v *verdict) {
	back := w.leave(name)
	a, err := Attempt(ctx, w.limit(), func() attained[T] { return w.attain(name, still) }, func(attained[T]) { back() })
	now := time.Now()
	if errors.Is(err, errPanicked) {
		a.err, err = err, nil
	}
	var mismatch *Mismatch
	var later *Later
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.hung[name] = true
		w.judge.refused(name, err)
		w.judge.hang(name, true)
		round.Failed[name] = err
	case a.err == nil:
		round.Gone = append(round.Gone, w.judge.took(name, seen.of(a.version))...)
		round.Loaded[name] = Loaded[T]{a.version, a.value}
		delete(w.waiting, name)
	case errors.Is(a.err, errNoLease):
		v.wakeAt(w.judge.unsettled(name, now))
	case errors.Is(a.err, ErrBeingWritten):
		w.tryAgain(name, fmt.Errorf("%w; it is read when that ends", ErrBeingWritten), now, v)
	case errors.As(a.err, &later):
		w.tryAgain(name, fmt.Errorf("%w; it is tried again", later.Err), now, v)
	case errors.As(a.err, &mismatch):
		if again := w.judge.mismatched(name, seen.of(a.version), now); !again.IsZero() {
			v.wakeAt(again)
			break
		}
		delete(w.waiting, name)
		round.Failed[name] = a.err
	case errors.Is(a.err, fs.ErrNotExist): // it has gone meanwhile
		v.wakeAt(now)
	default:
		delete(w.waiting, name)
		if w.judge.refused(name, a.err) {
			round.Failed[name] = a.err
		}
	}
}

// tryAgain notes that a file cannot be used for now, and tells when that lasts.
func (w *Watcher[T]) tryAgain(name string, why error, now time.Time, v *verdict) {
	again, tell := w.judge.busy(name, now)
	v.wakeAt(again)
	if tell {
		w.waiting[name] = why
	}
}

// of is the edition of the version that was opened. What stands beside it is as it was seen before: when that has changed meanwhile the
// file is loaded again.
func (e edition) of(opened Version) edition {
	e.version = opened
	return e
}

// attain opens a file and loads it. It runs in an Attempt.
func (w *Watcher[T]) attain(name string, still bool) (a attained[T]) {
	f, err := Open(filepath.Join(w.o.Dir, name))
	if err != nil {
		a.err = err
		return a
	}
	if err := f.complete(); err != nil && (!still || !errors.Is(err, errNoLease)) {
		f.Close() //nolint:errcheck // only read from
		a.err = err
		return a
	}
	a.version = f.Version
	a.value, a.err = w.o.Load(f)
	return a
}
