package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrForeign is returned for a link, a FIFO, another user's file or the like in the place of a log. Pods that collect logs
// can write to the directories of logs, and must not lead Solopod to other files.
var ErrForeign = errors.New("it is not a log file of Solopod's")

// depth is how many of a log's directories can be written by others: <pod>/<container>/<attempt>.log. What is above them is
// the operator's, and may be a link.
const depth = 2

// openDir opens the directory of a log without following a link in its last two names; with create it makes it, and removes
// what is in its way. The caller must close it.
func openDir(path string, create bool) (*os.File, error) {
	var names []string
	base := path
	for len(names) < depth && filepath.Dir(base) != base {
		names = append(names, filepath.Base(base))
		base = filepath.Dir(base)
	}
	if create {
		if err := os.MkdirAll(base, 0o755); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: base, Err: err}
	}
	for _, name := range slices.Backward(names) {
		next, err := openSubdir(fd, name, create)
		unix.Close(fd) //nolint:errcheck // only referred to
		if err != nil {
			return nil, fmt.Errorf("cannot open the directory %s of logs: %w", path, err)
		}
		fd = next
	}
	return os.NewFile(uintptr(fd), path), nil
}

func openSubdir(parent int, name string, create bool) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, name, flags, 0)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		if !create {
			return -1, fmt.Errorf("%s: %w", name, ErrForeign)
		}
		if err := makeWay(parent, name); err != nil {
			return -1, err
		}
	case !create || !errors.Is(err, unix.ENOENT):
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	if err := unix.Mkdirat(parent, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	if fd, err = unix.Openat(parent, name, flags, 0); err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// foreignSuffix marks what was in the way and may be somebody's data. A later one replaces it.
const foreignSuffix = ".foreign"

// makeWay makes a name free: links and special files are removed, a regular file or a directory is renamed.
func makeWay(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR:
		err = unix.Renameat(dir, name, dir, name+foreignSuffix)
	default:
		err = unix.Unlinkat(dir, name, 0)
	}
	if err != nil {
		return fmt.Errorf("cannot make way for a log, %s: %w", name, err)
	}
	return nil
}

// openRegular opens a file of a directory with flags of open(2). Its type and owner are known before it is opened: opening a
// device can do something, opening a FIFO can wait.
func openRegular(dir *os.File, name string, flags int) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // only referred to
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s: %w", path, ErrForeign)
	}
	return reopen(fd, path, flags)
}

// reopen opens the file of a descriptor anew, with other flags.
func reopen(fd int, path string, flags int) (*os.File, error) {
	next, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(next), path), nil
}

// openLog opens a log for appending, and makes it and its directories when they are missing or something else is in their
// place.
func openLog(path string) (*os.File, error) {
	dir, err := openDir(filepath.Dir(path), true)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only referred to
	const flags = unix.O_RDWR | unix.O_APPEND
	name := filepath.Base(path)
	for try := 0; ; try++ {
		f, err := openRegular(dir, name, flags)
		if errors.Is(err, ErrForeign) {
			if err = makeWay(int(dir.Fd()), name); err == nil {
				err = os.ErrNotExist
			}
		}
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o640)
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		if !errors.Is(err, unix.EEXIST) || try == 3 { // somebody makes it again and again
			return nil, &os.PathError{Op: "create", Path: path, Err: err}
		}
	}
}

// openToRead opens a log, or an older file of it, for reading.
func openToRead(path string) (*os.File, error) {
	dir, err := openDir(filepath.Dir(path), false)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only referred to
	return openRegular(dir, filepath.Base(path), unix.O_RDONLY)
}
