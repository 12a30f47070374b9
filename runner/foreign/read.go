package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadFile reads a regular file of at most limit bytes; path itself must be no link.
func ReadFile(path string, limit int64) ([]byte, error) { return readClose(limit)(Open(path)) }

// ReadFollowing reads the regular file that path leads to, of at most limit bytes.
func ReadFollowing(path string, limit int64) ([]byte, error) {
	return readClose(limit)(OpenFollowing(path))
}

// ReadIn reads a regular file of at most limit bytes of a tree that is a root directory, as an image's: links in it are followed as seen
// from inside it.
func ReadIn(root, name string, limit int64) ([]byte, error) {
	return readDir(root, name, InRoot, limit)
}

// ReadBeneath reads a regular file of at most limit bytes beneath a directory; a link that leads out of it is an error.
func ReadBeneath(root, name string, limit int64) ([]byte, error) {
	return readDir(root, name, Beneath, limit)
}

func readDir(root, name string, links Links, limit int64) ([]byte, error) {
	dir, err := OpenDir(root, links)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	return dir.ReadFile(name, limit)
}

// ReadAll reads an open file of at most limit bytes.
func ReadAll(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are taken: %w", f.Name(), info.Size(), limit, ErrTooLarge)
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit { // it grows, or its size is not known, as in /proc
		return nil, fmt.Errorf("%s has more than %d bytes: %w", f.Name(), limit, ErrTooLarge)
	}
	return b.Bytes(), nil
}

func readClose(limit int64) func(*os.File, error) ([]byte, error) {
	return func(f *os.File, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read from
		return ReadAll(f, limit)
	}
}

// maxKernelFile bounds what is read of a file of the kernel, in bytes: enough for the maps of the largest process.
const maxKernelFile = 64 << 20

// ReadKernel reads a file that the kernel makes: of /proc, /sys, a cgroup. Its path must be one that nobody else can shape, so
// that no more is checked.
func ReadKernel(path string) ([]byte, error) {
	return readClose(maxKernelFile)(OpenKernel(path, os.O_RDONLY))
}

// ReadNumber reads a file that the kernel makes and that has a number alone, as ReadKernel does.
func ReadNumber(path string) (int64, error) {
	text, err := ReadKernel(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// WriteKernel writes text, which is a number or a word, to a file that the kernel makes, in one write. The file is not created: where it
// does not exist the kernel does not know the setting. What the kernel answers is the error, EAGAIN as well: Go would wait for the file to
// become writable, of which the kernel does not tell.
func WriteKernel(path, text string) error {
	fd, err := retry(func() (int, error) { return unix.Open(path, os.O_WRONLY|harmless, 0) })
	if err != nil {
		return wrap("open", path, err)
	}
	// Not by os.File, which takes EAGAIN for a reason to wait until the file can be written, for ever: of a file of the kernel it is an answer.
	n, err := retry(func() (int, error) { return unix.Write(fd, []byte(text)) })
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return errors.Join(wrap("write", path, err), unix.Close(fd))
}

// OpenKernel opens a file that the kernel makes, to read or to write to: of /proc, /sys, /dev, a cgroup, a namespace. Its path must be one
// that nobody else can shape, so that no more is checked. The caller closes it.
func OpenKernel(path string, flags int) (*os.File, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, flags&^os.O_CREATE|harmless, 0) })
	if err != nil {
		return nil, wrap("open", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
