package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// change is one inotify event that matters here.
type change struct {
	dir  string // the watched directory
	name string // the entry in it; empty when the directory itself is meant
	// settled: the file is complete now (moved in, or a link that appeared); otherwise it may still be written.
	settled bool
	// overflow: the kernel's queue was full; anything may have changed.
	overflow bool
}

// watcher is a thin layer over inotify. fsnotify, otherwise the choice for file events, does not tell a file that was
// moved in from one that is being written: it reports neither IN_CLOSE_WRITE nor IN_MOVED_TO as such, and so would
// make every manifest wait.
type watcher struct {
	file  *os.File
	fd    int // file.Fd() would switch the descriptor to blocking reads
	paths map[int32]string
	wds   map[string]int32
}

const watchMask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE |
	unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch the manifests (raise fs.inotify.max_user_instances?): %w", err)
	}
	return &watcher{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, paths: map[int32]string{}, wds: map[string]int32{}}, nil
}

// add watches a directory; a second call for the same path looks again at what the path means now.
func (w *watcher) add(dir string) error {
	wd, err := unix.InotifyAddWatch(w.fd, dir, watchMask)
	if err != nil {
		return &os.PathError{Op: "watch", Path: dir, Err: err}
	}
	if old, ok := w.wds[dir]; ok && old != int32(wd) {
		delete(w.paths, old)
	}
	w.paths[int32(wd)], w.wds[dir] = dir, int32(wd)
	return nil
}

// only removes the watches of all directories but those named.
func (w *watcher) only(keep map[string]bool) {
	for dir, wd := range w.wds {
		if !keep[dir] {
			// The error would say that the directory is gone, and its watch with it.
			unix.InotifyRmWatch(w.fd, uint32(wd)) //nolint:errcheck
			delete(w.wds, dir)
			delete(w.paths, wd)
		}
	}
}

// read waits for events and returns them. It ends with os.ErrClosed after close.
func (w *watcher) read(buf []byte) ([]rawEvent, error) {
	n, err := w.file.Read(buf)
	if err != nil {
		if errors.Is(err, os.ErrClosed) {
			return nil, os.ErrClosed
		}
		return nil, err
	}
	return parseEvents(buf[:n]), nil
}

func (w *watcher) close() error { return w.file.Close() }

type rawEvent struct {
	wd   int32
	mask uint32
	name string
}

// parseEvents reads struct inotify_event (inotify(7)).
func parseEvents(buf []byte) []rawEvent {
	var out []rawEvent
	for len(buf) >= unix.SizeofInotifyEvent {
		length := int(binary.NativeEndian.Uint32(buf[12:]))
		if len(buf) < unix.SizeofInotifyEvent+length {
			break
		}
		name, _, _ := bytes.Cut(buf[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+length], []byte{0})
		out = append(out, rawEvent{
			wd:   int32(binary.NativeEndian.Uint32(buf)),
			mask: binary.NativeEndian.Uint32(buf[4:]),
			name: string(name),
		})
		buf = buf[unix.SizeofInotifyEvent+length:]
	}
	return out
}

// interpret turns a raw event into a change; ok is false when nothing of interest happened.
func (w *watcher) interpret(e rawEvent) (c change, ok bool) {
	if e.mask&unix.IN_Q_OVERFLOW != 0 {
		return change{overflow: true, settled: true}, true
	}
	dir, known := w.paths[e.wd]
	if !known {
		return change{}, false
	}
	if e.mask&unix.IN_IGNORED != 0 {
		delete(w.paths, e.wd)
		if w.wds[dir] == e.wd {
			delete(w.wds, dir)
		}
		return change{dir: dir, settled: true}, true
	}
	c = change{dir: dir, name: e.name}
	switch {
	case e.mask&(unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
		c.settled = true
	case e.mask&unix.IN_ATTRIB != 0:
		c.settled = e.name == "" // the directory's own mode; a file's may change while it is written
	case e.mask&unix.IN_CREATE != 0:
		// A symbolic or hard link is complete at once; a regular file is reported again when it is closed.
		info, err := os.Lstat(filepath.Join(dir, e.name))
		c.settled = err == nil && info.Mode()&os.ModeSymlink != 0
	}
	return c, true
}
