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
	names, err := p.dir.Rotated(p.name)
	if err != nil {
		return err
	}
	next, err := p.oldest(names)
	if err != nil {
		return err
	}
	if next == nil {
		return fmt.Errorf("cannot follow the log %s: %w", filepath.Join(p.dir.Name(), p.name), os.ErrNotExist)
	}
	p.move(next)
	return nil
}

// oldest opens the first that exists of rotated files and the current one; nil when there is none.
func (p *position) oldest(names []string) (*opened, error) {
	for _, name := range append(names, p.name) {
		f, err := openOlder(filepath.Join(p.dir.Name(), name))
		if err != nil {
			return nil, err
		}
		if f != nil {
			if name == p.name {
				name = ""
			}
			return &opened{f, name}, nil
		}
	}
	return nil, nil
}

// next opens the file behind the one at hand; nil while there is none.
func (p *position) next() (*opened, error) {
	here, err := p.file.Stat()
	if err != nil {
		return nil, err
	}
	current, err := openOlder(filepath.Join(p.dir.Name(), p.name))
	if err != nil {
		return nil, err
	}
	if current != nil {
		info, err := current.Stat()
		current.Close() //nolint:errcheck // only read from
		if err != nil || os.SameFile(here, info) {
			return nil, err
		}
	}
	names, err := p.dir.Rotated(p.name)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		f, err := openOlder(filepath.Join(p.dir.Name(), name))
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		info, err := f.Stat()
		f.Close() //nolint:errcheck // only read from
		if err != nil {
			return nil, err
		}
		if os.SameFile(here, info) {
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
