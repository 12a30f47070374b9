package reader

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/solopod/solopod/runner/logs/cri"
	"github.com/solopod/solopod/runner/logs/logfile"
)

// files are the files of a log as they are at one time. Rotation takes nothing from them afterwards but the oldest ones, which it removes.
type files struct {
	dir   logfile.Dir
	name  string // of the current one
	parts []part // the oldest first
}

// part is one file of a log.
type part struct {
	rotated string   // its name, empty for the current one
	file    *os.File // the current one, until it is taken
	lines   int64    // that end in it, where they were counted
}

// openFiles looks at a log. One without a file is os.ErrNotExist, what is no file of Solopod's in the place of the current one
// logfile.ErrForeign. The caller must close it.
func openFiles(path string) (*files, error) {
	dir, err := logfile.OpenDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, name: filepath.Base(path)}
	if err := f.list(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *files) close() {
	for i := range f.parts {
		if file := f.parts[i].file; file != nil {
			file.Close() //nolint:errcheck // only read from
		}
	}
	f.dir.Close() //nolint:errcheck // only looked at
}

func (f *files) list() error {
	// The current file is opened before the older ones are listed: what is rotated in between is seen nevertheless.
	current, openErr := f.dir.Open(f.name)
	if openErr != nil && !errors.Is(openErr, os.ErrNotExist) {
		return openErr
	}
	names, err := f.dir.Rotated(f.name)
	if err == nil {
		names, err = f.before(current, names)
	}
	for _, name := range names {
		f.parts = append(f.parts, part{rotated: name})
	}
	if current != nil {
		f.parts = append(f.parts, part{file: current})
	}
	if err == nil && len(f.parts) == 0 {
		return openErr
	}
	return err // without a current one it is being rotated
}

// before leaves out of the rotated files what was the current one a moment ago, and those behind it.
func (f *files) before(current *os.File, names []string) ([]string, error) {
	if current == nil {
		return names, nil
	}
	now, err := openOlder(f.dir, f.name)
	if err != nil || isSame(now, current) {
		return names, err
	}
	i, err := indexOf(f.dir, names, current)
	if err != nil || i < 0 {
		return names, err
	}
	return names[:i], nil
}

// indexOf finds the name that an open file has among these; -1 for none. The newest are looked at first: it was one of them mostly.
func indexOf(dir logfile.Dir, names []string, file *os.File) (int, error) {
	for i, name := range slices.Backward(names) {
		f, err := openOlder(dir, name)
		if err != nil {
			return -1, err
		}
		if isSame(f, file) {
			return i, nil
		}
	}
	return -1, nil
}

// take opens a part at its beginning, once; it is nil when the part has been removed. The caller closes it.
func (f *files) take(i int) (*os.File, error) {
	file := f.parts[i].file
	if file == nil {
		return openOlder(f.dir, f.parts[i].rotated)
	}
	f.parts[i].file = nil
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// last finds the last lines of a log, a last one without an end among them: the part in which what is left out of it ends. Left out are
// so many lines of that part, and then parts of a line that has no end and is none of the last.
func (f *files) last(ctx context.Context, tail int64) (first int, lines, parts int64, err error) {
	var c count
	for i := range f.parts {
		before := c.lines
		if err := f.count(ctx, &c, i); err != nil {
			return 0, 0, 0, err
		}
		f.parts[i].lines = c.lines - before
	}
	total := c.lines
	if c.parts > 0 {
		total++
	}
	lines = max(total-tail, 0)
	if lines > c.lines {
		lines, parts = c.lines, c.parts
	}
	// Not where the last of them ends a part: the first line that is printed may begin there.
	for ; first < len(f.parts)-1 && lines > f.parts[first].lines; first++ {
		lines -= f.parts[first].lines
	}
	return first, lines, parts, nil
}

// count adds the lines of a part.
func (f *files) count(ctx context.Context, c *count, i int) error {
	file := f.parts[i].file
	if file == nil {
		older, err := openOlder(f.dir, f.parts[i].rotated)
		if older == nil || err != nil {
			return err
		}
		defer older.Close() //nolint:errcheck // only read from
		file = older
	}
	return c.add(ctx, file)
}

// count is of full lines, and of the parts behind the last one; other parts belong to the line that follows.
type count struct{ lines, parts int64 }

func (c *count) add(ctx context.Context, file io.Reader) error {
	lines := newLineReader(file)
	for ctx.Err() == nil {
		b, err := lines.next()
		if err != nil {
			return nil //nolint:nilerr // io.EOF
		}
		switch line, err := cri.Parse(b); {
		case err != nil: // printed neither
		case line.Partial:
			c.parts++
		default:
			c.lines, c.parts = c.lines+1, 0
		}
	}
	return ctx.Err()
}

// isSame says whether f, which it closes, is the file that is open as other; nil is none. Who cannot be asked (EIO) cannot be read either.
func isSame(f, other *os.File) bool {
	if f == nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only looked at
	return other != nil && sameFile(f, other)
}

func sameFile(f, other *os.File) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := other.Stat()
	return err == nil && os.SameFile(a, b)
}

// openOlder opens a file that may have been rotated away; it is nil then. So it is for what only looks like a file of the log.
func openOlder(dir logfile.Dir, name string) (*os.File, error) {
	f, err := dir.Open(name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, logfile.ErrForeign) {
		return nil, nil
	}
	return f, err
}
