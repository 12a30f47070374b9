// Package foreign opens files that containers, images or other users of the machine can shape. Whatever they put there, an open
// never blocks, never triggers a device, and never leads where the caller did not mean to go:
//
//   - A name is first only found (open(2), O_PATH), then what was found is asked for its kind, and only then is just that opened, by its
//     descriptor: who swaps files meanwhile gains nothing.
//   - No link is followed unless the function's name, or the Dir, says so.
//   - FIFOs, devices, sockets and directories are errors that say what is there.
//   - What is read is bounded.
//
// What is left to block is the file system itself: one on a network, or in user space, may not answer. The caller's limit
// is for that.
package foreign

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// harmless are the flags of every open: it does not wait, does not take a terminal, and is not inherited.
const harmless = unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// Find finds what path is, a link itself if it is one, without opening it: the file is good for KindOf, Stat, mounts and reopening only.
// The caller closes it.
func Find(path string) (*os.File, error) { return find(path, unix.O_NOFOLLOW) }

// FindFollowing is Find for what links lead to.
func FindFollowing(path string) (*os.File, error) { return find(path, 0) }

func find(path string, flags int) (*os.File, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0) })
	if err != nil {
		return nil, wrap("open", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Open opens a regular file for reading; path itself must be no link. The caller closes it.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFollowing opens the regular file that path leads to, for reading: for files that an operator names, or that are links on many
// systems, as /etc/resolv.conf. The caller closes it.
func OpenFollowing(path string) (*os.File, error) {
	return openFound(Regular, os.O_RDONLY, func() (*os.File, error) { return FindFollowing(path) })
}

// OpenFIFO opens a FIFO with flags, one of os.O_RDONLY, os.O_WRONLY and os.O_RDWR; path itself must be no link. It does not wait for the
// other side: to write where nobody reads is unix.ENXIO. The caller closes it.
func OpenFIFO(path string, flags int) (*os.File, error) {
	return openFound(FIFO, flags, func() (*os.File, error) { return Find(path) })
}

// OpenFile opens a regular file with flags, as os.OpenFile; path itself must be no link. With os.O_CREATE a file that does not exist
// is made, with mode. The caller closes it.
func OpenFile(path string, flags int, mode os.FileMode) (*os.File, error) {
	return openOrCreate(flags, func() (*os.File, error) { return Find(path) }, func(flags int) (*os.File, error) {
		return create(unix.AT_FDCWD, path, path, flags, mode)
	})
}

// OpenDirectoryFollowing opens the directory that path leads to, for listing and syncing: for directories that an operator names, and may
// have moved and left a link. The caller closes it.
func OpenDirectoryFollowing(path string) (*os.File, error) {
	return openFound(Directory, os.O_RDONLY, func() (*os.File, error) { return FindFollowing(path) })
}

// tries bounds how often something is looked up again that is swapped all the time.
const tries = 32

// openOrCreate opens what find finds, or makes it where flags say so.
func openOrCreate(flags int, find func() (*os.File, error), create func(flags int) (*os.File, error)) (f *os.File, err error) {
	for range tries {
		if flags&os.O_CREATE != 0 {
			f, err = create(flags)
			if err == nil || !errors.Is(err, os.ErrExist) || flags&os.O_EXCL != 0 {
				return f, err
			}
		}
		f, err = openFound(Regular, flags&^(os.O_CREATE|os.O_EXCL), find)
		if flags&os.O_CREATE == 0 || !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	return f, err // a link that leads nowhere, or someone who swaps files faster than they can be opened
}

// create makes a file that must not exist.
func create(dir int, name, path string, flags int, mode os.FileMode) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dir, name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|harmless, bits(mode))
	})
	if err != nil {
		return nil, wrap("create", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openFound opens what find finds if it is of the kind.
func openFound(want Kind, flags int, find func() (*os.File, error)) (*os.File, error) {
	found, err := find()
	if err != nil {
		return nil, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return Reopen(found, want, flags)
}

// Reopen opens what was found, if it is of the kind. flags are as for os.OpenFile. found stays open; the caller closes both.
func Reopen(found *os.File, want Kind, flags int) (*os.File, error) {
	got, err := KindOf(found)
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, &KindError{Path: found.Name(), Got: got, Want: want}
	}
	var fd int
	err = control(found, func(path int) (err error) {
		fd, err = retry(func() (int, error) { return unix.Open(ByDescriptor(path), flags|harmless, 0) })
		return err
	})
	if err != nil {
		return nil, wrap("open", found.Name(), err)
	}
	return os.NewFile(uintptr(fd), found.Name()), nil
}

// ByDescriptor is a path of what a descriptor refers to, also one that was only found, whatever its name leads to meanwhile
// (proc_pid_fd(5)). It is good as long as the descriptor is open.
func ByDescriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// retry calls f again when a signal came.
func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// bits are the system's bits of a mode.
func bits(mode os.FileMode) uint32 {
	out := uint32(mode.Perm())
	for flag, bit := range map[os.FileMode]uint32{os.ModeSetuid: unix.S_ISUID, os.ModeSetgid: unix.S_ISGID, os.ModeSticky: unix.S_ISVTX} {
		if mode&flag != 0 {
			out |= bit
		}
	}
	return out
}
