package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// place is a directory that is watched: its path, and what stood there when the watch was set.
type place struct {
	path string
	at   identity
}

// notifier tells that something may have changed. It is fsnotify where the machine has a watch to give, and otherwise a clock:
// inotify's instances and watches are bounded for each user, and others use them up.
type notifier struct {
	watcher *fsnotify.Watcher
	places  map[string]identity
	// err says why there is no watch; next is when one is tried again, and pause after how long.
	err   error
	next  time.Time
	pause time.Duration
	// events of the watcher in use; nil without one.
	events chan fsnotify.Event
	errors chan error
	what   string // for the log
}

// Pauses between looks at a directory that cannot be watched.
const (
	firstPause = time.Second
	lastPause  = 15 * time.Second
)

// watch sets the watches: those and no others. It may hang with the file system, and runs in an attempt; what it changes is in
// the value that it returns.
func (n notifier) watch(places []place, now time.Time) notifier {
	if n.watcher == nil {
		if now.Before(n.next) {
			return n
		}
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return n.failed(err, now)
		}
		n.watcher, n.events, n.errors, n.places = w, w.Events, w.Errors, map[string]identity{}
	}
	wanted, have := map[string]identity{}, map[string]identity{}
	for _, p := range places {
		wanted[p.path] = p.at
	}
	alive := map[string]bool{} // fsnotify drops a watch whose directory was moved, removed or unmounted
	for _, path := range n.watcher.WatchList() {
		alive[path] = true
	}
	for path, at := range n.places {
		if alive[path] && wanted[path] == at {
			have[path] = at
		} else if alive[path] {
			if err := n.watcher.Remove(path); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) && !errors.Is(err, syscall.EINVAL) {
				return n.failed(err, now)
			}
		}
	}
	for path, at := range wanted {
		if _, ok := have[path]; ok {
			continue
		}
		err := n.watcher.Add(path)
		if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.EACCES) {
			return n.failed(err, now)
		}
		if err == nil {
			have[path] = at
		}
	}
	n.places = have
	if n.err != nil {
		slog.Info("the directory is watched again", "dir", n.what)
		n.err, n.pause = nil, 0
	}
	return n
}

// failed goes on without a watch.
func (n notifier) failed(err error, now time.Time) notifier {
	n.close()
	if n.err == nil {
		slog.Warn("the directory cannot be watched; it is looked at from time to time", "dir", n.what, "err", explainWatch(err))
	}
	n.watcher, n.events, n.errors, n.places = nil, nil, nil, nil
	n.err = err
	n.pause = min(max(2*n.pause, firstPause), lastPause)
	n.next = now.Add(n.pause)
	return n
}

// close gives the watches back. It can hang where setting one does.
func (n notifier) close() {
	if n.watcher == nil {
		return
	}
	if err := n.watcher.Close(); err != nil {
		slog.Warn("cannot close a watch", "dir", n.what, "err", err)
	}
}

// explainWatch says what to do about a watch that the kernel does not give.
func explainWatch(err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%w: inotify's instances, or open files, are used up (raise fs.inotify.max_user_instances)", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: inotify's watches are used up (raise fs.inotify.max_user_watches)", err)
	}
	return err
}

// warning says why the directory is not watched; empty when it is.
func (n notifier) warning() string {
	if n.err == nil {
		return ""
	}
	return fmt.Sprintf("cannot be watched: %v; it is looked at every %s at most", explainWatch(n.err), n.pause)
}

// wake is when to look without an event; zero means not at all.
func (n notifier) wake() time.Time {
	if n.err == nil {
		return time.Time{}
	}
	return n.next
}

// relevant says whether an event can concern the files. way is where the directory stands; behind are the directories that links
// lead into.
func relevant(e fsnotify.Event, w way, wanted func(string) bool, behind []place) bool {
	parent, name := filepath.Split(e.Name)
	parent = filepath.Clean(parent)
	switch {
	case w.steps[e.Name], slices.ContainsFunc(behind, func(p place) bool { return p.path == parent }):
		return true
	case w.ends[parent]:
		return len(behind) > 0 && !e.Has(fsnotify.Write) || wanted(name)
	case w.steps[parent]:
		return false // something else in a directory above
	}
	return len(behind) > 0 // one path of several to a directory that is watched
}
