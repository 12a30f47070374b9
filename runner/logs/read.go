package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Line is one line of a CRI log.
type Line struct {
	Time    time.Time
	Stream  string
	Partial bool
	Text    []byte
}

var errFormat = errors.New("the line is not in the CRI log format")

// ParseLine reads one line, without its newline. Text shares memory with b.
func ParseLine(b []byte) (Line, error) {
	stamp, rest, ok := bytes.Cut(b, []byte(" "))
	if !ok {
		return Line{}, errFormat
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{}, fmt.Errorf("%w: %w", errFormat, err)
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || string(stream) != "stdout" && string(stream) != "stderr" {
		return Line{}, errFormat
	}
	tag, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return Line{}, errFormat
	}
	return Line{at, string(stream), bytes.HasPrefix(tag, []byte("P")), text}, nil
}

// ReadOptions select what Read returns.
type ReadOptions struct {
	// Tail is the number of last lines; negative means all.
	Tail int64
	// Since drops older lines; zero means none.
	Since      time.Time
	Timestamps bool
	// Follow goes on with what is written later, until ctx ends or ended says that nothing more comes.
	Follow bool
	// LimitBytes ends the output after so many bytes; zero means no limit.
	LimitBytes int64
	// Positioned is called when it is settled which lines are old: what is written from then on is followed.
	Positioned func()
	// Stderr gets what the container wrote to its stderr; nil means that it goes where the rest goes.
	Stderr io.Writer
}

// Read writes the lines of the log at path, rotated files included, to w. With Follow, ended is asked after each wait;
// it must return a channel that is closed when the container has ended and its log is complete.
func Read(ctx context.Context, path string, o ReadOptions, w io.Writer, ended <-chan struct{}) error {
	out := &printer{w: w, o: o}
	if o.Tail >= 0 {
		if err := out.skipTo(path, o.Tail); err != nil {
			return err
		}
	}
	if o.Positioned != nil {
		o.Positioned()
	}
	if o.Follow {
		return out.follow(ctx, path, ended)
	}
	files, err := allFiles(path)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := out.file(file); err != nil {
			return done(err)
		}
	}
	return nil
}

func allFiles(path string) ([]string, error) {
	old, err := rotatedFiles(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil && len(old) == 0 {
		return nil, err
	}
	return append(old, path), nil
}

// printer writes selected lines.
type printer struct {
	w       io.Writer
	o       ReadOptions
	skip    int64 // lines still to be skipped for Tail
	written int64
	partial bool // the last line written was partial: the next one continues it
}

var errEnough = errors.New("enough")

func done(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// skipTo counts the lines, so that only the last tail are printed.
func (p *printer) skipTo(path string, tail int64) error {
	files, err := allFiles(path)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, name := range files {
		n, err := countLines(name)
		if err != nil {
			return err
		}
		total += n
	}
	p.skip = max(total-tail, 0)
	return nil
}

// countLines counts full lines; partial pieces belong to the line that follows.
func countLines(name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		if os.IsNotExist(err) {
			return 0, nil
		}
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read from
	n := int64(0)
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		b, err := r.ReadBytes('\n')
		if err != nil {
			return n, nil //nolint:nilerr // io.EOF
		}
		if line, err := ParseLine(bytes.TrimSuffix(b, []byte("\n"))); err == nil && !line.Partial {
			n++
		}
	}
}

func (p *printer) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	_, err = p.copy(bufio.NewReaderSize(f, 64<<10), nil)
	return err
}

// copy prints whole lines until the reader's end and returns the unfinished rest.
func (p *printer) copy(r *bufio.Reader, rest []byte) ([]byte, error) {
	for {
		b, err := r.ReadBytes('\n')
		if err != nil {
			return append(rest, b...), nil //nolint:nilerr // io.EOF
		}
		full := b
		if len(rest) > 0 {
			full, rest = append(rest, b...), nil
		}
		if err := p.line(bytes.TrimSuffix(full, []byte("\n"))); err != nil {
			return nil, err
		}
	}
}

func (p *printer) line(b []byte) error {
	line, err := ParseLine(b)
	if err != nil {
		return nil //nolint:nilerr // a torn line, as a power cut leaves it
	}
	if p.skip > 0 {
		if !line.Partial {
			p.skip--
		}
		return nil
	}
	if line.Time.Before(p.o.Since) {
		return nil
	}
	var out []byte
	if p.o.Timestamps && !p.partial {
		out = append(line.Time.AppendFormat(out, time.RFC3339Nano), ' ')
	}
	out = append(out, line.Text...)
	if p.partial = line.Partial; !p.partial {
		out = append(out, '\n')
	}
	if p.o.LimitBytes > 0 && p.written+int64(len(out)) > p.o.LimitBytes {
		out = out[:p.o.LimitBytes-p.written]
	}
	w := p.w
	if line.Stream == "stderr" && p.o.Stderr != nil {
		w = p.o.Stderr
	}
	n, err := w.Write(out)
	p.written += int64(n)
	if err == nil && p.o.LimitBytes > 0 && p.written >= p.o.LimitBytes {
		return errEnough
	}
	return err
}

// follow prints the log and what comes, over rotations.
func (p *printer) follow(ctx context.Context, path string, ended <-chan struct{}) error {
	changed, cancel, err := followers.watch(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot follow the log: %w", err)
	}
	defer cancel()
	old, err := rotatedFiles(path)
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := p.file(name); err != nil {
			return done(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }() //nolint:errcheck // only read from
	r := bufio.NewReaderSize(f, 64<<10)
	var rest []byte
	for {
		if rest, err = p.copy(r, rest); err != nil {
			return done(err)
		}
		if next, err := reopened(path, f); err != nil {
			return err
		} else if next != nil {
			if rest, err = p.copy(r, rest); err != nil { // written between the last read and the rename
				f.Close() //nolint:errcheck // only read from
				return done(err)
			}
			f.Close() //nolint:errcheck // only read from
			f, r = next, bufio.NewReaderSize(next, 64<<10)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			_, err := p.copy(r, rest)
			return done(err)
		case <-changed:
		}
	}
}

// reopened returns the file that path names now when it is another one than f.
func reopened(path string, f *os.File) (*os.File, error) {
	now, err := os.Stat(path)
	if err != nil {
		return nil, nil //nolint:nilerr // between the rename and the new file
	}
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if os.SameFile(now, before) {
		return nil, nil
	}
	return os.Open(path)
}
