package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pipes are the FIFOs between a process and who started it.
type pipes struct {
	stdin, stdout, stderr string // paths; empty where there is none
	input                 *os.File
	outputs               []*output
	copying               sync.WaitGroup
}

// output is one FIFO that a process writes to.
type output struct {
	read *os.File
	// hold is a writing end: without it the FIFO would be at its end before the process opens it.
	hold *os.File
}

func openPipes(prefix string, sio ExecIO) (p *pipes, err error) {
	p = &pipes{}
	defer func() {
		if err != nil {
			p.finish(context.Background()) //nolint:errcheck // nothing was written
		}
	}()
	if sio.Sizes == nil && (sio.Stdout == nil) != (sio.Stderr == nil) {
		// A shim wants both or none.
		if sio.Stdout == nil {
			sio.Stdout = io.Discard
		} else {
			sio.Stderr = io.Discard
		}
	}
	if sio.Stdin != nil {
		p.stdin = prefix + "-in"
		if err := unix.Mkfifo(p.stdin, 0o600); err != nil {
			return nil, fmt.Errorf("cannot make a FIFO for the process's input: %w", err)
		}
		if p.input, err = os.OpenFile(p.stdin, os.O_RDWR|unix.O_NONBLOCK, 0); err != nil {
			return nil, fmt.Errorf("cannot open the FIFO of the process's input: %w", err)
		}
	}
	if sio.Stdout != nil {
		p.stdout = prefix + "-out"
		if err := p.open(p.stdout, sio.Stdout); err != nil {
			return nil, err
		}
	}
	switch {
	case sio.Stderr == nil || sio.Sizes != nil:
	case sio.Stderr == sio.Stdout:
		p.stderr = p.stdout
	default:
		p.stderr = prefix + "-err"
		if err := p.open(p.stderr, sio.Stderr); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// open makes a FIFO and copies what comes through it.
func (p *pipes) open(path string, to io.Writer) error {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("cannot make a FIFO for the process's output: %w", err)
	}
	read, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("cannot open the FIFO of the process's output: %w", err)
	}
	hold, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot open the FIFO of the process's output: %w", err), read.Close())
	}
	o := &output{read, hold}
	p.outputs = append(p.outputs, o)
	p.copying.Go(func() { o.copy(to) })
	return nil
}

// leftOver is how long a FIFO is waited on that somebody still holds open after the process has ended: a child of it.
const leftOver = 200 * time.Millisecond

// copy delivers the output up to its end. When nobody takes it any more it is still read: the process must not hang.
func (o *output) copy(to io.Writer) {
	buf := make([]byte, 32<<10)
	over := false
	for {
		if over {
			o.read.SetReadDeadline(time.Now().Add(leftOver)) //nolint:errcheck // a FIFO supports deadlines
		}
		n, err := o.read.Read(buf)
		if n > 0 && to != nil {
			if _, err := to.Write(buf[:n]); err != nil {
				to = nil
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !over {
			over = true // the process has ended; what is left is read
			continue
		}
		if err != nil {
			return
		}
	}
}

// feed copies stdin into the process's, and has done called at its end.
func (p *pipes) feed(stdin io.Reader, done func()) {
	if p.input == nil {
		return
	}
	go func() {
		io.Copy(p.input, stdin) //nolint:errcheck // the process may end first
		p.input.Close()         //nolint:errcheck // all was written
		done()
	}()
}

// errNotDelivered: who asked for the output does not take it.
var errNotDelivered = errors.New("the process has ended; what it wrote last was not taken in time")

// finish waits until the output is delivered, and removes the FIFOs. The process has ended, or nobody waits for it any more. When ctx
// or drainLimit ends first, what is not delivered is lost, and a write that hangs is left behind; the FIFOs go in any case.
func (p *pipes) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainLimit, errNotDelivered)
	defer cancel()
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
	for _, path := range []string{p.stdin, p.stdout, p.stderr} {
		if path != "" {
			os.Remove(path) //nolint:errcheck // the directory goes with the pod
		}
	}
	return err
}
