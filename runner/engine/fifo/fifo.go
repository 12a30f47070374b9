// Package fifo connects a process that a shim starts with who started it: by FIFOs, which the shim opens by their paths.
package fifo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/rescue"
)

// Streams are where a process reads and writes. A nil field is like /dev/null.
type Streams struct {
	Stdin io.Reader
	// Stdout and Stderr may be the same: then what is written keeps its order. With a terminal Stderr is not used.
	Stdout, Stderr io.Writer
	Terminal       bool
	// Ask returns when the shim has answered something, or not for a while. Nil is for no shim.
	Ask func()
}

// Pipes are the FIFOs between a process and who started it.
type Pipes struct {
	// Stdin, Stdout and Stderr are paths; empty where there is none.
	Stdin, Stdout, Stderr string
	input                 *os.File
	terminal              bool
	ask                   func()
	outputs               []*output
	copying               sync.WaitGroup
	// finished is closed when the process has ended.
	finished chan struct{}
	finish   sync.Once
}

// output is one FIFO that a process writes to.
type output struct {
	read *os.File
	// hold is a writing end: without it the FIFO would be at its end before the process opens it.
	hold *os.File
}

// Open makes the FIFOs, whose paths begin with prefix, and begins to copy what comes. The caller must call Finish.
func Open(prefix string, sio Streams) (p *Pipes, err error) {
	p = &Pipes{terminal: sio.Terminal, ask: sio.Ask, finished: make(chan struct{})}
	defer func() {
		if err != nil {
			p.Finish(context.Background()) //nolint:errcheck // nothing was written
		}
	}()
	if !sio.Terminal && (sio.Stdout == nil) != (sio.Stderr == nil) {
		// A shim wants both or none.
		if sio.Stdout == nil {
			sio.Stdout = io.Discard
		} else {
			sio.Stderr = io.Discard
		}
	}
	if sio.Stdin != nil {
		p.Stdin = prefix + "-in"
		if err := unix.Mkfifo(p.Stdin, 0o600); err != nil {
			return nil, fmt.Errorf("cannot make a FIFO for the process's input: %w", err)
		}
		if p.input, err = foreign.OpenFIFO(p.Stdin, os.O_RDWR); err != nil {
			return nil, fmt.Errorf("cannot open the FIFO of the process's input: %w", err)
		}
	}
	if sio.Stdout != nil {
		p.Stdout = prefix + "-out"
		if err := p.open(p.Stdout, sio.Stdout); err != nil {
			return nil, err
		}
	}
	switch {
	case sio.Stderr == nil || sio.Terminal:
	case sio.Stderr == sio.Stdout:
		p.Stderr = p.Stdout
	default:
		p.Stderr = prefix + "-err"
		if err := p.open(p.Stderr, sio.Stderr); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// open makes a FIFO and copies what comes through it.
func (p *Pipes) open(path string, to io.Writer) error {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("cannot make a FIFO for the process's output: %w", err)
	}
	read, err := foreign.OpenFIFO(path, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("cannot open the FIFO of the process's output: %w", err)
	}
	hold, err := foreign.OpenFIFO(path, os.O_WRONLY)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot open the FIFO of the process's output: %w", err), read.Close())
	}
	o := &output{read, hold}
	p.outputs = append(p.outputs, o)
	p.copying.Go(func() { o.copy(to, p.ask) })
	return nil
}

// drainLimit is how long the output of a process that has ended may take to be delivered to who asked for it.
const drainLimit = 30 * time.Second

// leftOver is how long a FIFO is waited on that somebody still holds open after the process has ended: a child of it. A shim that had no
// turn on a busy machine holds it as well, and what it has not copied: before a silent FIFO is given up it is asked something, and waited for
// once more.
const leftOver = 200 * time.Millisecond

// copy delivers the output up to its end. When nobody takes it any more it is still read: the process must not hang.
func (o *output) copy(to io.Writer, ask func()) {
	buf := make([]byte, 32<<10)
	over, asked := false, ask == nil
	for {
		if over {
			o.read.SetReadDeadline(time.Now().Add(leftOver)) //nolint:errcheck // a FIFO supports deadlines
		}
		n, err := o.read.Read(buf)
		if n > 0 && to != nil {
			if err := rescue.Do("deliver a process's output", func() error { _, err := to.Write(buf[:n]); return err }); err != nil {
				to = nil
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !over {
			over = true // the process has ended; what is left is read
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !asked {
			asked = true
			ask()
			continue
		}
		asked = asked && (n == 0 || ask == nil)
		if err != nil {
			return
		}
	}
}

// Feed copies stdin into the process's, and has done called at its end. The input of a terminal has no end that the process
// could outlive: a shim hangs the terminal up with it. So the FIFO stays open there, the terminal is told as by a user, and done is
// not called.
func (p *Pipes) Feed(stdin io.Reader, done func()) {
	if p.input == nil {
		return
	}
	go func() {
		last := &lastByte{w: p.input}
		rescue.Do("feed a process's input", func() error { //nolint:errcheck // the process may end first
			_, err := io.Copy(last, stdin)
			return err
		})
		if p.terminal {
			p.endTerminal(last.b)
			return
		}
		p.input.Close() //nolint:errcheck // all was written
		done()
	}()
}

// lastByte remembers what was written last.
type lastByte struct {
	w io.Writer
	b byte
}

func (l *lastByte) Write(b []byte) (int, error) {
	n, err := l.w.Write(b)
	if n > 0 {
		l.b = b[n-1]
	}
	return n, err
}

// endOfInput is what a user types for it, Ctrl-D. At the beginning of a line a read finds nothing then, as at the end of a
// file; behind an unfinished line the first one only passes that on (termios(3), VEOF).
const endOfInput = 4

// How often a terminal is told of the end of its input: each time ends one read, or none, when the process was about to change the
// terminal's mode.
const (
	firstEnd = 100 * time.Millisecond
	lastEnd  = 10 * time.Second
)

// endTerminal tells the process of the end of its input until it has ended. last is the last byte of the input.
func (p *Pipes) endTerminal(last byte) {
	end := []byte{endOfInput}
	if last != 0 && last != '\n' && last != '\r' {
		end = append(end, endOfInput)
	}
	for pause := firstEnd; ; pause = min(2*pause, lastEnd) {
		if _, err := p.input.Write(end); err != nil {
			return // it is closed: the process has ended
		}
		end = end[:1]
		select {
		case <-p.finished:
			return
		case <-time.After(pause):
		}
	}
}

// errNotDelivered: who asked for the output does not take it.
var errNotDelivered = errors.New("the process has ended; what it wrote last was not taken in time")

// Finish waits until the output is delivered, and removes the FIFOs. The process has ended, or nobody waits for it any more. When ctx
// or drainLimit ends first, what is not delivered is lost, and a write that hangs is left behind; the FIFOs go in any case.
func (p *Pipes) Finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainLimit, errNotDelivered)
	defer cancel()
	p.finish.Do(func() { close(p.finished) })
	for _, o := range p.outputs {
		o.hold.Close()                     //nolint:errcheck // nothing was written to it
		o.read.SetReadDeadline(time.Now()) //nolint:errcheck // a FIFO supports deadlines
	}
	copied := make(chan struct{})
	go func() { p.copying.Wait(); close(copied) }()
	var err error
	select {
	case <-copied:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	for _, o := range p.outputs {
		o.read.Close() //nolint:errcheck // only read from
	}
	if p.input != nil {
		p.input.Close() //nolint:errcheck // it may be closed; what the process has not read is of no use
	}
	for _, path := range []string{p.Stdin, p.Stdout, p.Stderr} {
		if path != "" {
			os.Remove(path) //nolint:errcheck // the directory goes with the pod
		}
	}
	return err
}
