// Package logfile has a container's log files: where they lie, how they are written and rotated so that no write is torn or
// doubled, and how they are opened. Nothing that pods put into the directories of logs leads it elsewhere.
package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Limits bound the log of one container.
type Limits struct {
	// MaxSize is the size in bytes at which a file is rotated.
	MaxSize int64
	// MaxFiles is how many files are kept, the current one included; at least 2.
	MaxFiles int
}

// File is a container's log file. Its streams share it. It is opened, and made, when it is needed, so that a disk that
// cannot be written holds only output back. It is safe for concurrent use, but who uses it waits for the disk: only the
// streams' goroutines do.
type File struct {
	path   string
	limits Limits
	// mu orders the streams' writes, and is so held while one is written.
	mu   sync.Mutex
	file *os.File
	torn *torn
}

// torn is a write that may have been done in part: the log had size bytes, and text was being written behind them.
type torn struct {
	size int64
	text []byte
}

// New names a log file. The caller owns the File, and must close it.
func New(path string, limits Limits) *File { return &File{path: path, limits: limits} }

// Path is where the current log lies.
func (f *File) Path() string { return f.path }

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closeLocked()
}

func (f *File) closeLocked() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// Make opens the file, or makes it.
func (f *File) Make() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.ready()
	return err
}

// ready opens the file where that is needed, also when somebody has removed it, cuts off what a write left behind that was
// not completed, and returns the size. f.mu is held.
func (f *File) ready() (size int64, err error) {
	var st unix.Stat_t
	for {
		if f.file == nil {
			if f.file, err = openLog(f.path); err != nil {
				f.file = nil
				return 0, fmt.Errorf("cannot open the log: %w", err)
			}
		}
		if err := unix.Fstat(int(f.file.Fd()), &st); err != nil {
			return 0, fmt.Errorf("cannot open the log: %w", errors.Join(err, f.closeLocked()))
		}
		if st.Nlink > 0 {
			break
		}
		if err := f.closeLocked(); err != nil {
			return 0, err
		}
	}
	if f.torn == nil {
		return st.Size, nil
	}
	size, err = f.cut(st.Size)
	if err == nil {
		f.torn = nil
	}
	return size, err
}

// cut removes the beginning of a torn write. Anything else is not touched: others have written behind it, or what told of the
// write was damaged. f.mu is held.
func (f *File) cut(size int64) (int64, error) {
	excess := size - f.torn.size
	if f.torn.size < 0 || excess <= 0 || excess > int64(len(f.torn.text)) {
		return size, nil
	}
	b := make([]byte, excess)
	if _, err := f.file.ReadAt(b, f.torn.size); err != nil && !errors.Is(err, io.EOF) {
		return size, fmt.Errorf("cannot read the log: %w", err)
	}
	if !bytes.HasPrefix(f.torn.text, b) {
		return size, nil
	}
	if err := f.file.Truncate(f.torn.size); err != nil {
		return size, fmt.Errorf("cannot cut a torn line off the log: %w", err)
	}
	return f.torn.size, nil
}

// Interrupted tells of a write that the last run may not have completed. It is looked at before the next one.
func (f *File) Interrupted(size int64, text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.torn = &torn{size, text}
}

// Transaction writes a batch. begin is told the size of the log before, and done that all was written.
func (f *File) Transaction(b []byte, begin func(size int64), done func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	size, err := f.ready()
	if err != nil {
		return err
	}
	begin(size)
	n, err := f.file.Write(b)
	if err != nil {
		// Nothing half-written may stay, or the batch would be doubled when it is written again.
		if n > 0 && f.file.Truncate(size) != nil {
			f.torn = &torn{size, bytes.Clone(b)}
		}
		return fmt.Errorf("cannot write the log: %w", err)
	}
	done()
	if f.limits.MaxSize > 0 && size+int64(n) >= f.limits.MaxSize {
		return f.rotate()
	}
	return nil
}

// rotate renames the log to <path>.<time>, as the kubelet does, and removes the oldest files. f.mu is held.
func (f *File) rotate() error {
	dir, err := OpenDir(filepath.Dir(f.path))
	if err != nil {
		return fmt.Errorf("cannot rotate the log: %w", err)
	}
	defer dir.Close() //nolint:errcheck // only looked at
	name := filepath.Base(f.path)
	old, err := dir.Rotated(name)
	if err != nil {
		return fmt.Errorf("cannot rotate the log: %w", err)
	}
	next := nextRotated(name, old)
	if err := dir.Rename(name, next); err != nil {
		return fmt.Errorf("cannot rotate the log: %w", err)
	}
	errs := []error{f.closeLocked()}
	_, err = f.ready()
	errs = append(errs, err)
	old = append(old, next)
	for len(old) > max(f.limits.MaxFiles-1, 1) {
		if err := dir.Remove(old[0]); !errors.Is(err, fs.ErrNotExist) { // others remove them where a disk is full
			errs = append(errs, err)
		}
		old = old[1:]
	}
	return errors.Join(errs...)
}
