package reader

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/runner/logs/logfile"
)

// lookAgain is how long a follower waits when the kernel has no watch to give, or the log is between two files.
const lookAgain = time.Second

// follow prints the log and what comes, over rotations: every file of it, in their order.
func (p *printer) follow(ctx context.Context, path string, ended <-chan struct{}) error {
	dir, err := logfile.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	changed, cancel, err := watch(dir)
	if err != nil {
		slog.Debug("a log is followed by looking at it from time to time", "log", path, "err", err)
		changed, cancel = nil, func() {}
	}
	defer cancel()
	at := &position{dir: dir, name: filepath.Base(path)}
	defer at.close()
	if err := at.first(); err != nil {
		return err
	}
	for over := false; ; {
		// Which file is next is asked before the end of this one is read, so that it has its last lines by then.
		next, err := at.next()
		if err != nil {
			return err
		}
		if err := p.copy(ctx, at.lines); err != nil || over && next == nil {
			return unlessEnded(ctx, err)
		}
		if next != nil {
			at.move(next)
			continue
		}
		var again <-chan time.Time
		if changed == nil {
			again = time.After(lookAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			over = true
		case <-changed:
		case <-again:
		}
	}
}

// unlessEnded: it is no error when who follows has enough.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// position is where in a log's files a follower is.
type position struct {
	dir   logfile.Dir
	name  string // of the current file
	file  *os.File
	lines *lineReader
	// rotated is the name that the file at hand was seen under last, empty while it is the current one.
	rotated string
}

// opened is a file with the name that it was opened by, empty for the current one.
type opened struct {
	file    *os.File
	rotated string
}

// first opens the oldest file.
func (p *position) first() error {
	next, err := p.next()
	if err != nil {
		return err
	}
	if next == nil {
		return fmt.Errorf("cannot follow the log %s: %w", filepath.Join(p.dir.Name(), p.name), os.ErrNotExist)
	}
	p.move(next)
	return nil
}

// oldest opens the first that exists of rotated files; nil when there is none.
func (p *position) oldest(names []string) (*opened, error) {
	for _, name := range names {
		f, err := openOlder(filepath.Join(p.dir.Name(), name))
		if err != nil {
			return nil, err
		}
		if f != nil {
			return &opened{f, name}, nil
		}
	}
	return nil, nil
}

// next opens the file behind the one at hand; nil while there is none.
func (p *position) next() (*opened, error) {
	// The current file is opened before the older ones are listed: whatever is rotated meanwhile is either among them, or behind it.
	current, err := openOlder(filepath.Join(p.dir.Name(), p.name))
	if err != nil {
		return nil, err
	}
	next, err := p.between(current)
	if err == nil && next == nil && current != nil && !p.at(current) {
		return &opened{file: current}, nil
	}
	if current != nil {
		current.Close() //nolint:errcheck // only read from
	}
	return next, err
}

// at says whether f is the file at hand. Who cannot be asked (EIO) cannot be read either.
func (p *position) at(f *os.File) bool {
	if p.file == nil {
		return false
	}
	here, err := p.file.Stat()
	if err != nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && os.SameFile(here, info)
}

// between opens the rotated file that is right behind the one at hand, the oldest at first; nil when there is none: it is the current one,
// or nothing is behind it.
func (p *position) between(current *os.File) (*opened, error) {
	if current != nil && p.at(current) {
		return nil, nil
	}
	names, err := p.dir.Rotated(p.name)
	if err != nil {
		return nil, err
	}
	if p.file == nil {
		return p.oldest(names)
	}
	for i, name := range names {
		f, err := openOlder(filepath.Join(p.dir.Name(), name))
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		here := p.at(f)
		f.Close() //nolint:errcheck // only read from
		if here {
			p.rotated = name
			return p.oldest(names[i+1:])
		}
	}
	// The file at hand is gone, and maybe others behind it: who reads slower than the container writes misses what is removed.
	for len(names) > 0 && names[0] <= p.rotated {
		names = names[1:]
	}
	return p.oldest(names)
}

func (p *position) move(next *opened) {
	p.close()
	p.file, p.rotated, p.lines = next.file, next.rotated, newLineReader(next.file)
}

func (p *position) close() {
	if p.file != nil {
		p.file.Close() //nolint:errcheck // only read from
	}
}
