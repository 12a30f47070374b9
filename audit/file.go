package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// Log is the file of audit lines, and older ones beside it: PATH.1 is the one before, PATH.2 that before it. One goroutine writes to it.
//
// Lines are not synced one by one, which would wear flash out: the kernel writes them within half a minute or so, a rotation and Sync at
// once. A power cut may take the last lines, and half of one, which the next start ends.
type Log struct {
	// Path is the file; its directory must exist. MaxSize is the size in bytes from which on a new one is begun, MaxBackups how many
	// older ones are kept.
	Path       string
	MaxSize    int64
	MaxBackups int

	file *os.File
	info os.FileInfo // of the open file
	size int64
	told bool // that it cannot be written
	lost atomic.Uint64
}

// Lost is how many lines could not be written. It may be called meanwhile.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// Open opens the file, or makes it, before there is a line, so that a start tells what is wrong with its place. It may wait for the disk.
func (l *Log) Open() { l.tell(l.open()) }

// Write writes whole lines. It may wait for the disk. Those that cannot be written are counted, and the log says so once.
func (l *Log) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		err := l.write(line)
		if err != nil {
			l.lost.Add(1)
			l.close()
		}
		l.tell(err)
	}
	return len(lines), nil
}

func (l *Log) tell(err error) {
	if err != nil && !l.told {
		slog.Error("cannot write audit lines to their file; they are in this log only", "file", l.Path, "err", err)
	}
	l.told = err != nil
}

func (l *Log) write(line []byte) error {
	if l.file != nil && !l.inPlace() { // removed, or renamed as logrotate does it: nobody would find what is written there
		l.close()
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size > 0 && l.size+int64(len(line)) > l.MaxSize {
		if err := l.rotate(); err != nil {
			return err
		}
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(line)
	if err != nil && n > 0 { // half a line would spoil the next one
		err = errors.Join(err, l.file.Truncate(l.size))
		n = 0
	}
	l.size += int64(n)
	return err
}

// inPlace says whether the open file is still the one that its name leads to.
func (l *Log) inPlace() bool {
	info, err := os.Lstat(l.Path)
	return err == nil && os.SameFile(info, l.info)
}

// open opens the file, or makes it, for root alone, and ends a line that a power cut has left.
func (l *Log) open() error {
	f, err := durable.OpenFile(l.Path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := prepare(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.info, l.size = f, info, size
	return nil
}

// prepare makes the file root's alone and returns its size.
func prepare(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != uint32(os.Geteuid()) || st.Nlink > 1 {
		return 0, fmt.Errorf("%s belongs to another user or has another name too, so that others could change it: remove it", f.Name())
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return 0, err
		}
	}
	size := info.Size()
	last := []byte{'\n'}
	if size > 0 {
		if _, err := f.ReadAt(last, size-1); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	if last[0] != '\n' {
		n, err := f.Write([]byte{'\n'})
		return size + int64(n), err
	}
	return size, nil
}

// rotate ends the file and gives it its place among the older ones.
func (l *Log) rotate() error {
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.close()
	if l.MaxBackups == 0 {
		return foreign.RemoveAll(l.Path)
	}
	backup := func(n int) string { return l.Path + "." + strconv.Itoa(n) }
	free := 1 // the first place without one, or the last place: a rotation that was cut off has left a gap, and what is behind it stays
	for ; free < l.MaxBackups; free++ {
		if _, err := os.Lstat(backup(free)); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	for n := free - 1; n >= 1; n-- {
		if err := os.Rename(backup(n), backup(n+1)); err != nil {
			return err
		}
	}
	return os.Rename(l.Path, backup(1))
}

func (l *Log) close() {
	if l.file != nil {
		l.file.Close() //nolint:errcheck // what counts was synced
		l.file = nil
	}
}
