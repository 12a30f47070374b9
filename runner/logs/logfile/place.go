package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/solopod/solopod/runner/foreign"
)

// ErrForeign is returned for a link, a FIFO, another user's file or the like in the place of a log. Pods that collect logs
// can write to the directories of logs, and must not lead Solopod to other files.
var ErrForeign = errors.New("it is not a log file of Solopod's")

// depth is how many of a log's directories can be written by others: <pod>/<container>/<attempt>.log. What is above them is
// the operator's, and may be a link.
const depth = 2

// Dir is the directory of a container's logs. The caller must close it.
type Dir struct{ *foreign.Dir }

// OpenDir opens the directory of a log without following a link in its last two names. What is in its place and no directory is
// ErrForeign; one that does not exist is fs.ErrNotExist. The caller must close it.
func OpenDir(path string) (Dir, error) { return openDir(path, false) }

// openDir with create makes the directory, and removes what is in its way.
func openDir(path string, create bool) (Dir, error) {
	var names []string
	base := path
	for len(names) < depth && filepath.Dir(base) != base {
		names = append(names, filepath.Base(base))
		base = filepath.Dir(base)
	}
	if create {
		if err := os.MkdirAll(base, 0o755); err != nil {
			return Dir{}, err
		}
	}
	dir, err := foreign.OpenDir(base, foreign.NoLinks)
	if err != nil {
		return Dir{}, err
	}
	for _, name := range slices.Backward(names) {
		next, err := openSubdir(dir, name, create)
		dir.Close() //nolint:errcheck // only looked at
		if err != nil {
			return Dir{}, fmt.Errorf("cannot open the directory %s of logs: %w", path, err)
		}
		dir = next
	}
	return Dir{dir}, nil
}

func openSubdir(parent *foreign.Dir, name string, create bool) (*foreign.Dir, error) {
	sub, err := parent.Sub(name)
	switch {
	case err == nil:
		return sub, nil
	case errors.Is(err, foreign.ErrNotDirectory):
		if !create {
			return nil, fmt.Errorf("%w: %w", ErrForeign, err)
		}
		if err := makeWay(parent, name); err != nil {
			return nil, err
		}
	case !create || !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := parent.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return parent.Sub(name)
}

// foreignSuffix marks what was in the way and may be somebody's data. A later one replaces it.
const foreignSuffix = ".foreign"

// makeWay makes a name free: links and special files are removed, a regular file or a directory is renamed.
func makeWay(dir *foreign.Dir, name string) error {
	kind, err := kindOf(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if kind == foreign.Regular || kind == foreign.Directory {
		err = dir.Rename(name, name+foreignSuffix)
	} else {
		err = dir.Remove(name)
	}
	if err != nil {
		return fmt.Errorf("cannot make way for a log: %w", err)
	}
	return nil
}

// kindOf says what a name is.
func kindOf(dir *foreign.Dir, name string) (foreign.Kind, error) {
	found, err := dir.FindLink(name)
	if err != nil {
		return 0, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return foreign.KindOf(found)
}

// open opens a log with flags of open(2). Its type and owner are known before it is opened: opening a device can do something,
// opening a FIFO can wait.
func (d Dir) open(name string, flags int) (*os.File, error) {
	found, err := d.FindLink(name)
	if err != nil {
		return nil, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	info, err := found.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s: %w", found.Name(), ErrForeign)
	}
	f, err := foreign.Reopen(found, foreign.Regular, flags)
	if errors.Is(err, foreign.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return f, err
}

// Open opens a log, or an older file of it, for reading. One that does not exist is fs.ErrNotExist, what is no file of Solopod's
// ErrForeign. The caller must close it.
func (d Dir) Open(name string) (*os.File, error) { return d.open(name, os.O_RDONLY) }

// Open opens a log, or an older file of it, as Dir.Open.
func Open(path string) (*os.File, error) {
	dir, err := OpenDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	return dir.Open(filepath.Base(path))
}

// openLog opens a log for appending, and makes it and its directories when they are missing or something else is in their
// place.
func openLog(path string) (*os.File, error) {
	dir, err := openDir(filepath.Dir(path), true)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	const flags = os.O_RDWR | os.O_APPEND
	name := filepath.Base(path)
	for try := 0; ; try++ {
		f, err := dir.open(name, flags)
		if errors.Is(err, ErrForeign) {
			if err = makeWay(dir.Dir, name); err == nil {
				err = fs.ErrNotExist
			}
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		f, err = dir.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, 0o640)
		if err == nil || !errors.Is(err, fs.ErrExist) || try == 3 { // somebody makes it again and again
			return f, err
		}
	}
}

// entries reads the names in the directory, a part at a time, until use says that it has enough.
func (d Dir) entries(use func(names []string) (enough bool)) error {
	found, err := d.Find(".")
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // only looked at
	list, err := foreign.Reopen(found, foreign.Directory, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // only read from
	for {
		names, err := list.Readdirnames(256)
		if use(names) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
