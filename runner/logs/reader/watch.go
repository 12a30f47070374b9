package reader

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/logs/logfile"
)

// followers share one watch of the kernel's: a user may have 128 of them (fs.inotify.max_user_instances), which other programs
// need as well. It exists while somebody follows.
var followers = hub{}

type hub struct {
	mu      sync.Mutex
	watcher *fsnotify.Watcher
	dirs    map[directory]*watched
}

// directory is a directory, whatever its names are.
type directory struct{ dev, ino uint64 }

// watched is a directory that is watched by a name that leads there without a look at the disk: that of an open descriptor.
type watched struct {
	fd        int
	listeners map[chan struct{}]bool
}

func (w *watched) path() string { return foreign.ByDescriptor(w.fd) }

// watch is the followers' for a log's directory.
func watch(dir logfile.Dir) (changed <-chan struct{}, cancel func(), err error) {
	found, err := dir.Find(".")
	if err != nil {
		return nil, nil, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return followers.watch(found)
}

// watch tells of changes in a directory that was found: changed holds one when something has happened since it was read last. The
// caller must call cancel.
func (h *hub) watch(dir *os.File) (changed <-chan struct{}, cancel func(), err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return nil, nil, err
	}
	key := directory{st.Dev, st.Ino}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher == nil {
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, nil, fmt.Errorf("cannot watch for what is written: %w", err)
		}
		h.watcher, h.dirs = w, map[directory]*watched{}
		go h.run(w)
	}
	if h.dirs[key] == nil {
		if err := h.add(key, int(dir.Fd())); err != nil {
			h.closeUnused()
			return nil, nil, fmt.Errorf("cannot watch for what is written: %w", err)
		}
	}
	c := make(chan struct{}, 1)
	h.dirs[key].listeners[c] = true
	return c, func() { h.leave(key, c) }, nil
}

// add watches another directory. h.mu is held.
func (h *hub) add(key directory, dir int) error {
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w := &watched{fd, map[chan struct{}]bool{}}
	if err := h.watcher.Add(w.path()); err != nil {
		unix.Close(fd) //nolint:errcheck // only referred to
		return err
	}
	h.dirs[key] = w
	return nil
}

func (h *hub) leave(key directory, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.dirs[key]
	if w == nil {
		return
	}
	delete(w.listeners, c)
	if len(w.listeners) == 0 {
		delete(h.dirs, key)
		h.watcher.Remove(w.path()) //nolint:errcheck // the directory may be gone
		unix.Close(w.fd)           //nolint:errcheck // only referred to
	}
	h.closeUnused()
}

// closeUnused ends the watch with the last follower. h.mu is held.
func (h *hub) closeUnused() {
	if len(h.dirs) == 0 && h.watcher != nil {
		h.watcher.Close() //nolint:errcheck // nothing is written
		h.watcher = nil
	}
}

func (h *hub) run(w *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			h.tell(w, filepath.Dir(e.Name))
		case _, ok := <-w.Errors:
			if !ok {
				return
			}
			h.tell(w, "") // some events were lost: everybody looks
		}
	}
}

// tell wakes the followers of a directory, or of all.
func (h *hub) tell(w *fsnotify.Watcher, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher != w {
		return
	}
	for _, dir := range h.dirs {
		if path != "" && dir.path() != path {
			continue
		}
		for c := range dir.listeners {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
