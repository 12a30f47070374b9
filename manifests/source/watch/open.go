package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// File is a regular file, open for reading. Who gets it closes it.
type File struct {
	*os.File
	// Info is what fstat says of the open file.
	Info fs.FileInfo
	// Version is the one that was opened.
	Version Version
}

var (
	// ErrBeingWritten says that some process has the file open for writing.
	ErrBeingWritten = errors.New("it is open for writing")
	// errNoLease: the file system cannot say whether a file is being written.
	errNoLease = errors.New("the file system knows no leases")
)

// Open opens a regular file for reading, through links. Nothing else is opened, for a FIFO or a device could block or act.
func Open(path string) (*File, error) {
	found, err := foreign.FindFollowing(path)
	if err != nil {
		return nil, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	info, err := found.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(info); err != nil {
		return nil, err
	}
	f, err := foreign.Reopen(found, foreign.Regular, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{File: f, Info: info, Version: VersionOf(info)}, nil
}

// regular says what a file is that is not a regular one.
func regular(info fs.FileInfo) error {
	kind := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a FIFO"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	default:
		kind = "something else"
	}
	return fmt.Errorf("it is not a regular file but %s", kind)
}

// complete asks the kernel whether nobody has the file open for writing: a read lease is refused then (fcntl(2), F_SETLEASE).
// It is given back at once, for while it is held a writer would have to wait. The error is ErrBeingWritten, or errNoLease where
// the file system or the lack of a privilege allows no lease.
func (f *File) complete() error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return ErrBeingWritten
	case err != nil:
		return errNoLease
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return err
}

// Unchanged says whether the file still is the version that was opened. It is asked behind a read: bytes that were read while
// somebody wrote are worth nothing.
func (f *File) Unchanged() bool {
	info, err := f.Stat()
	return err == nil && VersionOf(info) == f.Version
}
