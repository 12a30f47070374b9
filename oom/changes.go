package oom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// changes tells of changes of files, by one inotify instance for all of them: a user may have 128 (fs.inotify.max_user_instances),
// which other programs need as well. The instance exists while something is watched. The lock is held for questions to the
// kernel that cannot wait: inotify and the names of cgroups are in memory.
type changes struct {
	mu sync.Mutex
	// file and fd are the instance; file is nil while there is none. file's own Fd would make reads block a thread.
	file *os.File
	fd   int
	// done is closed when the instance's reader has ended.
	done chan struct{}
	// watched holds those who wait for a change of a file, by the kernel's number for it.
	watched map[int32]map[chan struct{}]bool
}

// watch tells of changes of the file at path: changed holds one when something has happened since it was read last, and is closed
// when the file is gone, or by leave, which must be called.
func (h *changes) watch(path string) (changed <-chan struct{}, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot make an inotify instance (fs.inotify.max_user_instances bounds their number): %w", err)
		}
		h.file, h.fd, h.done, h.watched = os.NewFile(uintptr(fd), "oom-inotify"), fd, make(chan struct{}), map[int32]map[chan struct{}]bool{}
		go h.run(h.file, h.done)
	}
	number, err := unix.InotifyAddWatch(h.fd, path, unix.IN_MODIFY)
	if err != nil {
		h.closeUnused()
		return nil, nil, fmt.Errorf("cannot watch %s (fs.inotify.max_user_watches bounds the number of watches): %w", path, err)
	}
	wd, c := int32(number), make(chan struct{}, 1)
	if h.watched[wd] == nil {
		h.watched[wd] = map[chan struct{}]bool{}
	}
	h.watched[wd][c] = true
	return c, func() { h.leave(wd, c) }, nil
}

func (h *changes) leave(wd int32, c chan struct{}) {
	h.mu.Lock()
	if h.watched[wd][c] {
		delete(h.watched[wd], c)
		close(c)
		if len(h.watched[wd]) == 0 {
			delete(h.watched, wd)
			unix.InotifyRmWatch(h.fd, uint32(wd)) //nolint:errcheck // the file may be gone
		}
	}
	ended := h.closeUnused()
	h.mu.Unlock()
	if ended != nil {
		<-ended // its file is closed
	}
}

// closeUnused ends the instance when nothing is watched; ended is closed when its reader has ended. h.mu is held.
func (h *changes) closeUnused() (ended <-chan struct{}) {
	if len(h.watched) > 0 || h.file == nil {
		return nil
	}
	h.file.Close() //nolint:errcheck // nothing is written
	h.file = nil
	return h.done
}

// run reads the instance's events until it is closed.
func (h *changes) run(file *os.File, done chan struct{}) {
	defer close(done)
	buf := make([]byte, 4096)
	for {
		n, err := file.Read(buf)
		if err != nil {
			h.over(file, err)
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; { // inotify(7)
			wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
			name := int(binary.NativeEndian.Uint32(b[12:]))
			h.tell(file, wd, mask)
			b = b[min(unix.SizeofInotifyEvent+name, len(b)):]
		}
	}
}

// tell wakes those who wait for a file.
func (h *changes) tell(file *os.File, wd int32, mask uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != file {
		return
	}
	for number, list := range h.watched {
		if number != wd && mask&unix.IN_Q_OVERFLOW == 0 { // with an overflow everybody looks
			continue
		}
		if mask&unix.IN_IGNORED != 0 { // the file is gone
			closeAll(list)
			delete(h.watched, number)
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

// over ends all watches of an instance that cannot be read any more.
func (h *changes) over(file *os.File, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != file || errors.Is(err, os.ErrClosed) {
		return
	}
	for _, list := range h.watched {
		closeAll(list)
	}
	clear(h.watched)
	h.closeUnused()
}

func closeAll(list map[chan struct{}]bool) {
	for c := range list {
		close(c)
	}
}
