package watch

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// sleep waits for a moment; it returns false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wait waits for a reason to look again: again, or an event.
func (w *Watcher[T]) wait(ctx context.Context, again time.Time, mounted <-chan struct{}) {
	if wake := w.notifier.wake(); !wake.IsZero() && (again.IsZero() || wake.Before(again)) {
		again = wake
	}
	var clock <-chan time.Time
	if !again.IsZero() {
		timer := time.NewTimer(time.Until(again))
		defer timer.Stop()
		clock = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock:
			return
		case <-w.kick:
			return
		case <-mounted:
			if w.moved(ctx) {
				return
			}
		case e, ok := <-w.notifier.events:
			if !ok {
				w.notifier.events = nil
				return
			}
			if e.Has(fsnotify.Write) && w.judge.waits(filepath.Base(e.Name)) {
				continue // it is looked at again in a while, however much is written
			}
			if relevant(e, w.way, w.o.concerns, w.behind) {
				return
			}
		case err, ok := <-w.notifier.errors: // the kernel's queue was full: anything may have changed
			slog.Debug("events of a directory were lost; it is read again", "dir", w.o.Dir, "err", err)
			if !ok {
				w.notifier.errors = nil
			}
			return
		}
	}
}

// A backlog of events has come to its end when none comes for as long as lull: the events of a burst stand in the kernel's queue, and
// come one by one, each when the one before was taken. In a storm without a lull a look is due after backlogLimit.
const (
	lull         = time.Millisecond
	backlogLimit = 100 * time.Millisecond
)

// drain takes the events that are there already: the look that follows sees what they tell. One that was left would bring another
// look, and a thousand of them a thousand looks.
func (w *Watcher[T]) drain(ctx context.Context) {
	limit, end := time.NewTimer(backlogLimit), time.NewTimer(lull)
	defer limit.Stop()
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-limit.C:
			return
		case <-end.C:
			return
		case _, ok := <-w.notifier.events:
			if !ok {
				w.notifier.events = nil
			}
		case _, ok := <-w.notifier.errors:
			if !ok {
				w.notifier.errors = nil
			}
		}
		end.Reset(lull)
	}
}
