package foreign

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDepth bounds how deep directories may be nested, and with it how many of them are open at the same time.
const maxDepth = 128

// batch is how many names of a directory are read at a time: who makes millions of files shall not fill the memory.
const batch = 512

// Walk calls use for the directory itself, as ".", and for everything below it, with its path beneath the directory; no link is followed.
// What is found is good until use returns. With oneMount what is mounted below is left out, mount points included. What vanishes meanwhile
// is left out; nesting too deep is ErrTooDeep.
func (d *Dir) Walk(oneMount bool, use func(name string, found *os.File) error) error {
	root, err := d.find(".", 0)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only looked at
	return walk(root, ".", oneMount, 0, use)
}

func walk(found *os.File, name string, oneMount bool, depth int, use func(name string, found *os.File) error) error {
	if err := use(name, found); err != nil {
		return err
	}
	if kind, err := KindOf(found); err != nil || kind != Directory {
		return err
	}
	if depth == maxDepth {
		return wrap("walk", found.Name(), ErrTooDeep)
	}
	gone := func(err error) bool { return depth > 0 && errors.Is(err, unix.ENOENT) }
	list, err := Reopen(found, Directory, os.O_RDONLY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // only read from
	for {
		names, err := list.Readdirnames(batch)
		for _, base := range names {
			if err := walkChild(list, base, path.Join(name, base), oneMount, depth+1, use); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func walkChild(dir *os.File, base, name string, oneMount bool, depth int, use func(name string, found *os.File) error) error {
	found, err := findChild(dir, base, oneMount)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, ErrLeadsOut) {
		return nil
	}
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return walk(found, name, oneMount, depth, use)
}

// FindChild is Find for an entry of an open directory. What is mounted there is ErrLeadsOut.
func FindChild(dir *os.File, base string) (*os.File, error) { return findChild(dir, base, true) }

func findChild(dir *os.File, base string, oneMount bool) (*os.File, error) {
	where := filepath.Join(dir.Name(), base)
	var fd int
	err := control(dir, func(parent int) (err error) {
		fd, err = openChild(parent, base, unix.O_PATH, oneMount)
		return err
	})
	if err != nil {
		return nil, wrap("open", where, err)
	}
	return os.NewFile(uintptr(fd), where), nil
}

// openChild opens an entry of a directory; with oneMount one that is mounted there is EXDEV.
func openChild(parent int, base string, flags int, oneMount bool) (int, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	if oneMount {
		how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_BENEATH}
		fd, err := retry(func() (int, error) { return unix.Openat2(parent, base, &how) })
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
			return fd, err
		}
	}
	fd, err := retry(func() (int, error) { return unix.Openat(parent, base, flags, 0) })
	if err != nil || !oneMount {
		return fd, err
	}
	return sameMount(parent, fd)
}

// sameMount says EXDEV, and closes fd, when another file system is mounted there than that of parent: for kernels without openat2(2).
func sameMount(parent, fd int) (int, error) {
	here, err := mountID(fd)
	if err == nil {
		var above string
		above, err = mountID(parent)
		if err == nil && here != above {
			err = unix.EXDEV
		}
	}
	if err != nil {
		unix.Close(fd) //nolint:errcheck // only looked at
		return -1, err
	}
	return fd, nil
}

// mountID is the id of the mount that an open file is of (proc_pid_fdinfo(5)).
func mountID(fd int) (string, error) {
	text, err := ReadKernel("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", fmt.Errorf("the kernel does not tell the mount of a file: %w", errors.ErrUnsupported)
}

// RemoveAll removes a file, a link itself, or a directory with everything in it, however deep. It never removes what is mounted
// there: that is ErrMounted, and the rest goes. What does not exist is no error.
func RemoveAll(name string) error {
	name = filepath.Clean(name)
	parent, err := OpenDir(filepath.Dir(name), Beneath)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close() //nolint:errcheck // only looked at
	return parent.RemoveAll(filepath.Base(name))
}

// RemoveAll is the function RemoveAll for what is at name.
func (d *Dir) RemoveAll(name string) error {
	err := d.at(name, func(parent int, base, where string) error {
		r := remover{}
		r.remove(parent, base, where, 0)
		return r.err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// remover removes a tree and remembers the first error; the rest is tried nevertheless.
type remover struct {
	top    int // the tree's directory
	failed int
	err    error
}

// fail notes an error. What has vanished is none.
func (r *remover) fail(where string, err error) {
	switch {
	case errors.Is(err, unix.ENOENT):
		return
	case errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY):
		err = ErrMounted
	}
	r.failed++
	if r.err == nil {
		r.err = &os.PathError{Op: "remove", Path: where, Err: err}
	}
}

func (r *remover) remove(parent int, base, where string, depth int) {
	var err error
	for range tries {
		if err = unix.Unlinkat(parent, base, 0); errors.Is(err, unix.EISDIR) {
			err = r.removeDir(parent, base, where, depth)
		}
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) { // it is not a directory any more
			break
		}
	}
	if err != nil {
		r.fail(where, err)
	}
}

func (r *remover) removeDir(parent int, base, where string, depth int) error {
	if depth == maxDepth { // continued from the top, so that no more directories are open
		return unix.Renameat(parent, base, r.top, ".removed-"+rand.Text())
	}
	fd, err := openChild(parent, base, unix.O_RDONLY|unix.O_DIRECTORY, true)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), where)
	defer dir.Close() //nolint:errcheck // only read from
	if depth == 0 {
		r.top = fd
	}
	if empty, err := r.empty(dir, fd, depth); err != nil || !empty {
		return err
	}
	return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
}

// maxRounds bounds how often a directory is gone through: once for each maxDepth levels below it, and a few times
// because names move while others are removed.
const maxRounds = 1 << 16

// empty removes everything in a directory, and says whether it is empty.
func (r *remover) empty(dir *os.File, fd, depth int) (bool, error) {
	before := r.failed
	for range maxRounds {
		count, err := r.round(dir, fd, depth)
		if count == 0 || err != nil || r.failed > before {
			return count == 0 && err == nil, err
		}
	}
	return false, errors.New("it fills up again")
}

// round goes through a directory once and says how many names it had.
func (r *remover) round(dir *os.File, fd, depth int) (int, error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	for count := 0; ; {
		names, err := dir.Readdirnames(batch)
		for _, base := range names {
			r.remove(fd, base, filepath.Join(dir.Name(), base), depth+1)
		}
		count += len(names)
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
	}
}
