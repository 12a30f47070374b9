package reader

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/solopod/solopod/runner/logs/logfile"
)

// lookAgain is how long a follower waits when the kernel has no watch to give, or the log is between two files.
const lookAgain = time.Second

// follow prints the log, from one of its parts on, and what comes, over rotations: every file of it, in their order.
func (p *printer) follow(ctx context.Context, log *files, first int, ended <-chan struct{}) error {
	changed, cancel, err := watch(log.dir)
	if err != nil {
		slog.Debug("a log is followed by looking at it from time to time", "dir", log.dir.Name(), "log", log.name, "err", err)
		changed, cancel = nil, func() {}
	}
	defer cancel()
	at := &position{dir: log.dir, name: log.name, lines: newLineReader(strings.NewReader(""))}
	defer at.close()
	if err := p.begin(at, log, first); err != nil {
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

// begin opens the first part that is still there. There is none where all were removed: what comes next is looked for.
func (p *printer) begin(at *position, log *files, first int) error {
	for i := first; i < len(log.parts); i++ {
		f, err := log.take(i)
		if err != nil {
			return err
		}
		if f != nil {
			at.move(&opened{f, log.parts[i].rotated})
			return nil
		}
		at.rotated = log.parts[i].rotated
		p.leftOut()
	}
	return nil
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

// oldest opens the first that exists of rotated files; nil when there is none.
func (p *position) oldest(names []string) (*opened, error) {
	for _, name := range names {
		f, err := openOlder(p.dir, name)
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
	current, err := openOlder(p.dir, p.name)
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

// at says whether f is the file at hand.
func (p *position) at(f *os.File) bool {
	return p.file != nil && sameFile(f, p.file)
}

// between opens the rotated file that is right behind the one at hand; nil when there is none: it is the current one,
// or nothing is behind it.
func (p *position) between(current *os.File) (*opened, error) {
	if current != nil && p.at(current) {
		return nil, nil
	}
	names, err := p.dir.Rotated(p.name)
	if err != nil {
		return nil, err
	}
	i, err := indexOf(p.dir, names, p.file)
	if err != nil {
		return nil, err
	}
	if i >= 0 {
		p.rotated = names[i]
		return p.oldest(names[i+1:])
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
