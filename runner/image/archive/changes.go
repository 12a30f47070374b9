package archive

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a directory must be left alone before it is read: an archive is written in many steps.
const settle = 500 * time.Millisecond

// lookEvery is how often a directory is read that cannot be watched: it does not exist, or inotify's instances are used up.
const lookEvery = 10 * time.Second

// Changes receives after the archives of dir may have changed, and settled, until ctx ends. When dir cannot be watched it receives at
// intervals instead, until it can.
func Changes(ctx context.Context, dir string) <-chan struct{} {
	changes := make(chan struct{}, 1)
	go func() {
		told := false
		for ctx.Err() == nil {
			err := watch(ctx, dir, changes)
			if err == nil {
				told = false // it was watched, and was removed or renamed
				continue
			}
			if !told {
				slog.Warn("cannot watch the images directory; it is read every few seconds", "dir", dir, "err", err)
				told = true
			}
			wait(ctx, lookEvery)
			tell(changes)
		}
	}()
	return changes
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func tell(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default: // one is waiting
	}
}

// watch watches dir until ctx ends, or dir goes.
func watch(ctx context.Context, dir string, changes chan<- struct{}) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // nothing is written
	if err := w.Add(dir); err != nil {
		return err
	}
	tell(changes) // what came before
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if filepath.Clean(e.Name) == filepath.Clean(dir) && e.Has(fsnotify.Remove|fsnotify.Rename) {
				wait(ctx, settle)
				return nil
			}
			if isArchive(filepath.Base(e.Name)) {
				settled = time.After(settle)
			}
		case err := <-w.Errors:
			slog.Warn("missed changes of the images directory; it is read again", "dir", dir, "err", err)
			settled = time.After(settle)
		case <-settled:
			settled = nil
			tell(changes)
		}
	}
}
