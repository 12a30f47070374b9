// Package source watches directories of files that people and tools put there.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

// settleTime is how long a file that was written in place must be left alone before it is read. A file that is moved
// in is read at once.
const settleTime = 300 * time.Millisecond

// Directory watches a directory of manifests.
type Directory struct {
	path   string
	opts   decode.Options
	set    *manifests.Set
	update func(manifests.Snapshot)
	read   map[string]fileVersion
	// busy holds when a file that is not complete yet may be looked at again.
	busy map[string]time.Time
}

// fileVersion tells whether a file has changed since it was read.
type fileVersion struct {
	device, inode uint64
	size          int64
	modified      time.Time
	changed       time.Time
}

// NewDirectory prepares to watch path. known are the pods that an earlier run applied. update is called from Run's
// goroutine with each new desired state; it must not block for long.
func NewDirectory(path string, opts decode.Options, known []manifests.Desired, update func(manifests.Snapshot)) *Directory {
	return &Directory{
		path: filepath.Clean(path), opts: opts, set: manifests.NewSet(known), update: update,
		read: map[string]fileVersion{}, busy: map[string]time.Time{},
	}
}

// Run reads the directory, calls update, and goes on with every change until ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	w, err := newWatcher()
	if err != nil {
		return err
	}
	events := make(chan []rawEvent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		buf := make([]byte, 16<<10)
		for {
			list, err := w.read(buf)
			if err != nil {
				return
			}
			select {
			case events <- list:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		if err := w.close(); err != nil {
			slog.Warn("cannot close the manifests' watch", "err", err)
		}
		<-done
	}()
	d.loop(ctx, w, events)
	return nil
}

func (d *Directory) loop(ctx context.Context, w *watcher, events <-chan []rawEvent) {
	d.scan(w)
	for {
		var wake <-chan time.Time
		if next, ok := d.nextLook(); ok {
			wake = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case list := <-events:
			if d.relevant(w, list) {
				d.scan(w)
			}
		case <-wake:
			d.scan(w)
		}
	}
}

// relevant notes which files are being written and says whether a scan is due now.
func (d *Directory) relevant(w *watcher, list []rawEvent) bool {
	due := false
	for _, raw := range list {
		c, ok := w.interpret(raw)
		if !ok {
			continue
		}
		name := c.name
		if c.dir != d.path {
			// The parent of a missing directory, or the directory that a link points into.
			due = due || c.settled
			if !c.settled {
				d.busy[""] = time.Now().Add(settleTime)
			}
			continue
		}
		if c.settled {
			delete(d.busy, name)
			due = true
		} else if isManifest(name) {
			d.busy[name] = time.Now().Add(settleTime)
		}
	}
	return due
}

func (d *Directory) nextLook() (time.Time, bool) {
	var next time.Time
	for _, t := range d.busy {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next, !next.IsZero()
}

// scan compares the whole directory with what was read, so that a lost event does no harm.
func (d *Directory) scan(w *watcher) {
	now := time.Now()
	watched := map[string]bool{d.path: true}
	err := w.add(d.path)
	if err == nil {
		err = CheckPermissions(d.path)
	}
	var entries []os.DirEntry
	if err == nil {
		entries, err = os.ReadDir(d.path)
	}
	if err != nil {
		d.directoryFailed(w, err)
		return
	}
	d.set.SetDirectoryError("")
	names := map[string]bool{}
	for _, e := range entries {
		if name := e.Name(); isManifest(name) {
			if d.look(name, now, watched) {
				names[name] = true
			}
		}
	}
	for name, at := range d.busy {
		if !names[name] && !at.After(now) {
			delete(d.busy, name)
		}
	}
	for name := range d.read {
		if !names[name] {
			delete(d.read, name)
		}
	}
	d.set.Keep(names)
	for dir := range watched {
		if err := w.add(dir); err != nil && dir != d.path {
			slog.Warn("cannot watch the directory that a manifest links into", "dir", dir, "err", err)
		}
	}
	w.only(watched)
	d.update(d.set.Snapshot(now))
}

// directoryFailed keeps the desired state as it is: a directory that is missing or cannot be trusted says nothing about
// what should run. It waits for the directory by watching the nearest parent that exists.
func (d *Directory) directoryFailed(w *watcher, err error) {
	message := fmt.Sprintf("cannot use the manifests directory: %v; the pods stay as they are", err)
	if errors.Is(err, os.ErrNotExist) {
		message = fmt.Sprintf("the manifests directory %s does not exist; the pods stay as they are (create it, even empty)", d.path)
		for parent := filepath.Dir(d.path); ; parent = filepath.Dir(parent) {
			if err := w.add(parent); err == nil {
				w.only(map[string]bool{parent: true})
				break
			}
			if parent == "/" || parent == "." {
				break
			}
		}
		if _, err := os.Stat(d.path); err == nil {
			d.busy[""] = time.Now() // it came into being meanwhile
		} else {
			delete(d.busy, "")
		}
	}
	d.set.SetDirectoryError(message)
	d.update(d.set.Snapshot(time.Now()))
}

// look reads one file when it has changed and is complete. It returns false when the name is not a file at all.
func (d *Directory) look(name string, now time.Time, watched map[string]bool) bool {
	path := filepath.Join(d.path, name)
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			watched[filepath.Dir(target)] = true
		}
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() || errors.Is(err, os.ErrNotExist) && !isLink(path) {
		return false
	}
	if until, ok := d.busy[name]; ok && until.After(now) {
		return true
	}
	delete(d.busy, name)
	if err == nil && d.read[name] == versionOf(info) {
		return true
	}
	data, err := readComplete(path)
	if errors.Is(err, errBeingWritten) {
		d.busy[name] = now.Add(settleTime)
		return true
	}
	if err != nil {
		delete(d.read, name)
		d.set.Put(name, manifests.Contents{}, manifests.Problems{{File: name, Message: "cannot be read: " + err.Error()}}, now)
		return true
	}
	d.read[name] = versionOf(info)
	if err := checkWritable(path, info); err != nil {
		d.set.Put(name, manifests.Contents{}, manifests.Problems{{File: name, Message: err.Error()}}, now)
		return true
	}
	contents, problems := decode.Decode(name, data, d.opts)
	if len(contents.Secrets) > 0 {
		if err := checkReadable(path, info); err != nil {
			problems = append(problems, manifests.Problem{File: name, Message: err.Error()})
		}
	}
	d.set.Put(name, contents, problems, now)
	return true
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

// isManifest: *.yaml, *.yml and *.json, but no dotfiles and no files that editors make beside the one being edited.
func isManifest(name string) bool {
	if name == "" || strings.ContainsAny(name[:1], ".#~") {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
