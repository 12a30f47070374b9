package logs

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// followers share one watch of the kernel's: a user may have 128 of them (fs.inotify.max_user_instances), which other programs
// need as well. It exists while somebody follows.
var followers = hub{}

type hub struct {
	mu      sync.Mutex
	watcher *fsnotify.Watcher
	dirs    map[string]map[chan struct{}]bool
}

// watch tells of changes in dir: changed holds one when something has happened since it was read last. The caller must call cancel.
func (h *hub) watch(dir string) (changed <-chan struct{}, cancel func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher == nil {
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, nil, fmt.Errorf("cannot watch for what is written: %w", err)
		}
		h.watcher, h.dirs = w, map[string]map[chan struct{}]bool{}
		go h.run(w)
	}
	if h.dirs[dir] == nil {
		if err := h.watcher.Add(dir); err != nil {
			h.closeUnused()
			return nil, nil, fmt.Errorf("cannot watch for what is written: %w", err)
		}
		h.dirs[dir] = map[chan struct{}]bool{}
	}
	c := make(chan struct{}, 1)
	h.dirs[dir][c] = true
	return c, func() { h.leave(dir, c) }, nil
}

func (h *hub) leave(dir string, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.dirs[dir], c)
	if len(h.dirs[dir]) == 0 {
		delete(h.dirs, dir)
		h.watcher.Remove(dir) //nolint:errcheck // the directory may be gone
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
func (h *hub) tell(w *fsnotify.Watcher, dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher != w {
		return
	}
	for d, list := range h.dirs {
		if dir != "" && d != dir {
			continue
		}
		for c := range list {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
