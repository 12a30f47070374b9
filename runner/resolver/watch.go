package resolver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// calm is for how long the files must not have changed before they are read: many programs empty a file before they write it.
	calm = 200 * time.Millisecond
	// restless is how long a row of changes is waited for.
	restless = 2 * time.Second
	// anew is the pause before a watch that has failed begins again.
	anew = 30 * time.Second
)

// Watch calls changed with what the configuration says, at first and whenever that is something else than before, until ctx ends. The kernel
// tells of changes of the file, of links on the way to it, and of the files with the servers behind local ones.
func (r *Resolver) Watch(ctx context.Context, changed func(Found)) {
	var said *Found
	look := func() {
		found := r.Read(ctx)
		if ctx.Err() == nil && (said == nil || found.Revision() != said.Revision() || found.Problem != said.Problem) {
			said = &found
			changed(found)
		}
	}
	if r.path == "" {
		look()
		return
	}
	told := ""
	for ctx.Err() == nil {
		err := r.follow(ctx, look)
		if ctx.Err() != nil {
			return
		}
		if err.Error() != told {
			told = err.Error()
			slog.Warn("changes of the resolver configuration cannot be followed at once; new pods get what it says then", "file", r.path, "err", err)
		}
		look()
		select {
		case <-ctx.Done():
		case <-time.After(anew):
		}
	}
}

// follow watches what is there now, looks, and begins anew with the next change: other files may matter then.
func (r *Resolver) follow(ctx context.Context, look func()) error {
	for {
		w, err := watch([]string{r.path, ofResolved, ofNetworkManager, ofDnsmasq})
		if err != nil {
			return err
		}
		look()
		err = w.next(ctx)
		err = errors.Join(err, w.Close())
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// watcher watches some files, whether they exist or not.
type watcher struct {
	*fsnotify.Watcher
	wanted map[string]bool // names whose changes matter
}

func watch(files []string) (*watcher, error) {
	inner, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{inner, map[string]bool{}}
	for i, file := range files {
		err := w.add(file)
		if err != nil && i == 0 {
			return nil, errors.Join(err, inner.Close())
		}
	}
	return w, nil
}

// mostLinks is how many links are followed for one name, as by the kernel (path_resolution(7)).
const mostLinks = 40

// add watches a file: the directories of its name and of what links lead to, and the file itself, which may be mounted there from elsewhere.
func (w *watcher) add(file string) error {
	name := file
	for range mostLinks {
		there, err := w.addName(name)
		if err != nil {
			return err
		}
		target, err := os.Readlink(name)
		if !there || err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(name))
			if err != nil {
				break
			}
			target = filepath.Join(dir, target)
		}
		name = filepath.Clean(target)
	}
	w.wanted[name] = true
	if err := w.Add(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// addName watches the directory of a name, or, while that does not exist, the nearest above it, and says whether the name can exist.
func (w *watcher) addName(name string) (there bool, err error) {
	for there = true; ; there = false {
		dir := filepath.Dir(name)
		w.wanted[name], w.wanted[dir] = true, true // a directory that goes takes its watch along
		switch err := w.Add(dir); {
		case err == nil:
			return there, nil
		case !errors.Is(err, os.ErrNotExist) || dir == name:
			return false, err
		}
		name = dir
	}
}

// next waits for a change that matters, and for the end of the row that it begins.
func (w *watcher) next(ctx context.Context) error {
	var quiet, over <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-quiet:
			return nil
		case <-over:
			return nil
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return err
			}
		case e, open := <-w.Events:
			if !open {
				return errors.New("the watch has ended")
			}
			if !w.wanted[e.Name] {
				continue
			}
		}
		quiet = time.After(calm)
		if over == nil {
			over = time.After(restless)
		}
	}
}
