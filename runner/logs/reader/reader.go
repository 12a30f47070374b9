// Package reader reads containers' logs over their rotations, and follows what is written to them.
package reader

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/solopod/solopod/runner/logs/cri"
)

// Options select what Read returns.
type Options struct {
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
// it must return a channel that is closed when the container has ended and its log is complete. A log that does not exist
// is os.ErrNotExist; what is in its place and was not made by Solopod is logfile.ErrForeign. It waits for the disk and for w,
// whatever ctx says: who must not wait leaves it behind. Lines that are there at the same time are written together, whole ones.
func Read(ctx context.Context, path string, o Options, w io.Writer, ended <-chan struct{}) error {
	out := &printer{w: w, o: o}
	log, err := openFiles(path)
	if err != nil {
		return err
	}
	defer log.close()
	first := 0
	if o.Tail >= 0 {
		if first, out.skip, out.skipParts, err = log.last(ctx, o.Tail); err != nil {
			return err
		}
	}
	if o.Positioned != nil {
		o.Positioned()
	}
	if o.Follow {
		return done(out.follow(ctx, log, first, ended))
	}
	for i := first; i < len(log.parts); i++ {
		if err := out.part(ctx, log, i); err != nil {
			return done(err)
		}
	}
	return nil
}

// Find says whether there is a log at path that can be read; its errors are those of Read.
func Find(path string) error {
	log, err := openFiles(path)
	if err == nil {
		log.close()
	}
	return err
}

// printer writes selected lines.
type printer struct {
	w    io.Writer
	o    Options
	skip int64 // lines still to be skipped for Tail
	// skipParts are parts of a line still to be skipped after these: the line has no end, and is none of the last.
	skipParts int64
	partial   bool  // the last line was partial: the next one continues it
	printed   int64 // bytes, with those that are not written yet
	text      []byte
	stderr    bool // text goes to the writer of its own
}

// enoughText is from how many bytes on lines are written together: a write may cost a system call, or a packet.
const enoughText = 32 << 10

// flush writes the lines at hand.
func (p *printer) flush() error {
	if len(p.text) == 0 {
		return nil
	}
	w := p.w
	if p.stderr {
		w = p.o.Stderr
	}
	_, err := w.Write(p.text)
	p.text = p.text[:0]
	return err
}

var errEnough = errors.New("enough")

func done(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// part prints one file of a log.
func (p *printer) part(ctx context.Context, log *files, i int) error {
	f, err := log.take(i)
	if f == nil {
		p.leftOut()
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	return p.copy(ctx, newLineReader(f))
}

// leftOut: a file of the log has been removed, and with it what of it was to be skipped.
func (p *printer) leftOut() { p.skip, p.skipParts = 0, 0 }

// maxLogLine is the longest line, in bytes, that Read takes for one: a line of the log format holds cri.MaxLine of text.
const maxLogLine = 64 << 10

// lineReader reads whole lines of a file that may grow, in a fixed amount of memory.
type lineReader struct {
	r       *bufio.Reader
	rest    []byte // of a line without an end yet
	tooLong bool   // the line at hand was, and is left out
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, maxLogLine)}
}

// next returns a line without its newline, valid until it is called again. At the end of the file it returns io.EOF, and may
// be called again when the file has grown.
func (l *lineReader) next() ([]byte, error) {
	if len(l.rest) > 0 && l.rest[len(l.rest)-1] == '\n' {
		l.rest = l.rest[:0]
	}
	for {
		b, err := l.r.ReadSlice('\n')
		if len(l.rest)+len(b) > maxLogLine {
			l.tooLong, l.rest = true, l.rest[:0]
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			l.tooLong, l.rest = true, l.rest[:0]
		case err != nil:
			if !l.tooLong {
				l.rest = append(l.rest, b...)
			}
			return nil, err
		case l.tooLong: // its end
			l.tooLong = false
		case len(l.rest) > 0:
			l.rest = append(l.rest, b...)
			return l.rest[:len(l.rest)-1], nil
		default:
			return b[:len(b)-1], nil
		}
	}
}

// ready says that a line, or the end of one that is left out, is at hand: next will not ask the file.
func (l *lineReader) ready() bool {
	b, err := l.r.Peek(l.r.Buffered())
	return err == nil && bytes.IndexByte(b, '\n') >= 0
}

// copy prints the whole lines until the reader's end. When it returns, all of them are written.
func (p *printer) copy(ctx context.Context, lines *lineReader) error {
	err := p.lines(ctx, lines)
	if ferr := p.flush(); err == nil {
		err = ferr
	}
	return err
}

func (p *printer) lines(ctx context.Context, lines *lineReader) error {
	for {
		if !lines.ready() { // the disk may take its time
			if err := p.flush(); err != nil {
				return err
			}
		}
		b, err := lines.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := p.line(b); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// line prints a line; it is written with others.
func (p *printer) line(b []byte) error {
	line, err := cri.Parse(b)
	if err != nil {
		return nil //nolint:nilerr // a torn line, as a power cut leaves it
	}
	if p.skip > 0 {
		if !line.Partial {
			p.skip--
		}
		return nil
	}
	if p.skipParts > 0 {
		p.skipParts--
		return nil
	}
	if line.Time.Before(p.o.Since) {
		return nil
	}
	if stderr := line.Stream == "stderr" && p.o.Stderr != nil; stderr != p.stderr {
		if err := p.flush(); err != nil {
			return err
		}
		p.stderr = stderr
	}
	before := len(p.text)
	if p.o.Timestamps && !p.partial {
		p.text = append(line.Time.AppendFormat(p.text, time.RFC3339Nano), ' ')
	}
	p.text = append(p.text, line.Text...)
	if p.partial = line.Partial; !p.partial {
		p.text = append(p.text, '\n')
	}
	p.printed += int64(len(p.text) - before)
	if over := p.printed - p.o.LimitBytes; p.o.LimitBytes > 0 && over >= 0 {
		p.text = p.text[:len(p.text)-int(over)]
		if err := p.flush(); err != nil {
			return err
		}
		return errEnough
	}
	if len(p.text) >= enoughText {
		return p.flush()
	}
	return nil
}
