package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits bound the log of one container.
type Limits struct {
	// MaxSize is the size in bytes at which a file is rotated.
	MaxSize int64
	// MaxFiles is how many files are kept, the current one included; at least 2.
	MaxFiles int
}

// File is a container's log file. Its streams share it. It is safe for concurrent use.
type File struct {
	path   string
	limits Limits
	mu     sync.Mutex
	file   *os.File
	size   int64
}

// OpenFile opens or makes a log file. The caller owns the File and must Close it.
func OpenFile(path string, limits Limits) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f := &File{path: path, limits: limits}
	return f, f.open()
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("cannot open the log file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Path is where the current log lies.
func (f *File) Path() string { return f.path }

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}

// transaction writes a batch. begin is told the size of the log before; it returns what to write.
func (f *File) transaction(begin func(size int64) []byte, done func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := begin(f.size)
	n, err := f.file.Write(b)
	f.size += int64(n)
	if err != nil {
		// Nothing half-written may stay, or the batch would be doubled when it is written again.
		if terr := f.file.Truncate(f.size - int64(n)); terr == nil {
			f.size -= int64(n)
		}
		return fmt.Errorf("cannot write the log: %w", err)
	}
	done()
	if f.limits.MaxSize > 0 && f.size >= f.limits.MaxSize {
		return f.rotate()
	}
	return nil
}

// cut shortens the log to the size that it had before an interrupted write.
func (f *File) cut(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size < 0 || size >= f.size {
		return nil
	}
	if err := f.file.Truncate(size); err != nil {
		return err
	}
	f.size = size
	return nil
}

// rotate renames the log to <path>.<time>, as the kubelet does, and removes the oldest files.
func (f *File) rotate() error {
	rotated := f.path + "." + time.Now().UTC().Format("20060102-150405.000000000")
	if err := os.Rename(f.path, rotated); err != nil {
		return fmt.Errorf("cannot rotate the log: %w", err)
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("cannot rotate the log: %w", err)
	}
	if err := f.open(); err != nil {
		return err
	}
	old, err := rotatedFiles(f.path)
	if err != nil {
		return err
	}
	var errs []error
	for len(old) > max(f.limits.MaxFiles-1, 1) {
		errs = append(errs, os.Remove(old[0]))
		old = old[1:]
	}
	return errors.Join(errs...)
}

// rotatedFiles lists the older files of a log, the oldest first.
func rotatedFiles(path string) ([]string, error) {
	matches, err := filepath.Glob(escapeGlob(path) + ".*")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range matches {
		if suffix := strings.TrimPrefix(m, path+"."); len(suffix) > 8 && suffix[8] == '-' {
			out = append(out, m)
		}
	}
	sort.Strings(out)
	return out, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// PruneAttempts removes the logs of old attempts of a container: the newest and the one before it are kept, as the
// kubelet keeps one dead container. dir holds <attempt>.log files.
func PruneAttempts(dir string, current int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	var errs []error
	for _, e := range entries {
		number, _, ok := strings.Cut(e.Name(), ".log")
		attempt, err := strconv.Atoi(number)
		if ok && err == nil && attempt < current-1 {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
