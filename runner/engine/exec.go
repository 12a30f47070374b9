package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Size is a terminal's.
type Size struct{ Width, Height uint16 }

// ExecIO is where a process reads and writes. A nil field is like /dev/null.
type ExecIO struct {
	// Stdin is read until its end, or for a moment longer than the process lives: a read that waits then is left waiting.
	Stdin io.Reader
	// Stdout and Stderr may be the same: then what is written keeps its order. With a terminal Stderr is not used.
	Stdout, Stderr io.Writer
	// Sizes are those of the terminal; nil means that the process has none. The channel is read until the process ends.
	Sizes <-chan Size
}

// Exec runs a further process in a running container, waits for its end, and until all that it has written is delivered, and
// returns its exit code. When ctx ends first the process is killed and ctx's error is returned. dir is a directory for FIFOs,
// which are removed.
func (e *Engine) Exec(ctx context.Context, id, dir string, process *specs.Process, sio ExecIO) (code uint32, err error) {
	base := inNamespace(context.WithoutCancel(ctx))
	execID := "exec-" + rand.Text()
	pipes, err := openPipes(filepath.Join(dir, execID), sio)
	if err != nil {
		return 0, err
	}
	defer pipes.finish()
	spec, err := typeurl.MarshalAny(process)
	if err != nil {
		return 0, err
	}
	tasks := e.client.TaskService()
	if _, err := tasks.Exec(base, &tasksapi.ExecProcessRequest{
		ContainerID: id, ExecID: execID, Stdin: pipes.stdin, Stdout: pipes.stdout, Stderr: pipes.stderr, Terminal: process.Terminal,
		Spec: typeurl.MarshalProto(spec),
	}); err != nil {
		return 0, fmt.Errorf("cannot create the process: %w", native(errgrpc.ToNative(err)))
	}
	defer func() {
		pipes.finish() // before: a shim that is told to delete gives up what it has not copied
		// It goes with the container at the latest.
		_, err := tasks.DeleteProcess(base, &tasksapi.DeleteProcessRequest{ContainerID: id, ExecID: execID})
		if err != nil {
			slog.Debug("cannot delete a process", "container", id, "err", err)
		}
	}()
	type end struct {
		code uint32
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		w, err := tasks.Wait(base, &tasksapi.WaitRequest{ContainerID: id, ExecID: execID})
		ended <- end{w.GetExitStatus(), errgrpc.ToNative(err)}
	}()
	if _, err := tasks.Start(base, &tasksapi.StartRequest{ContainerID: id, ExecID: execID}); err != nil {
		return 0, fmt.Errorf("cannot start the process: %w", native(errgrpc.ToNative(err)))
	}
	pipes.feed(sio.Stdin, func() {
		tasks.CloseIO(base, &tasksapi.CloseIORequest{ContainerID: id, ExecID: execID, Stdin: true}) //nolint:errcheck // it may have ended
	})
	for {
		select {
		case s, ok := <-sio.Sizes:
			if !ok {
				sio.Sizes = nil
				continue
			}
			e.resize(base, id, execID, s)
		case w := <-ended:
			if w.err != nil {
				return 0, fmt.Errorf("cannot wait for the process: %w", native(w.err))
			}
			return w.code, nil
		case <-ctx.Done():
			tasks.Kill(base, &tasksapi.KillRequest{ContainerID: id, ExecID: execID, Signal: uint32(unix.SIGKILL)}) //nolint:errcheck // it may have ended
			<-ended
			return 0, ctx.Err()
		}
	}
}

// resize: a size that cannot be set is no reason to end a session.
func (e *Engine) resize(ctx context.Context, id, execID string, s Size) {
	if s.Width == 0 || s.Height == 0 {
		return
	}
	_, err := e.client.TaskService().ResizePty(ctx, &tasksapi.ResizePtyRequest{
		ContainerID: id, ExecID: execID, Width: uint32(s.Width), Height: uint32(s.Height),
	})
	if err != nil {
		slog.Debug("cannot resize a terminal", "container", id, "err", err)
	}
}

// Resize sets the size of a container's own terminal.
func (e *Engine) Resize(ctx context.Context, id string, s Size) {
	e.resize(inNamespace(ctx), id, "", s)
}

// CloseStdin ends the input of a container's main process.
func (e *Engine) CloseStdin(ctx context.Context, id string) error {
	_, err := e.client.TaskService().CloseIO(inNamespace(ctx), &tasksapi.CloseIORequest{ContainerID: id, Stdin: true})
	return native(errgrpc.ToNative(err))
}

// pipes are the FIFOs between a process and who started it.
type pipes struct {
	stdin, stdout, stderr string // paths; empty where there is none
	input                 *os.File
	outputs               []*output
	copying               sync.WaitGroup
	once                  sync.Once
}

// output is one FIFO that a process writes to.
type output struct {
	read *os.File
	// hold is a writing end: without it the FIFO would be at its end before the process opens it.
	hold  *os.File
	ended chan struct{}
}

func openPipes(prefix string, sio ExecIO) (p *pipes, err error) {
	p = &pipes{}
	defer func() {
		if err != nil {
			p.finish()
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
	o := &output{read, hold, make(chan struct{})}
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

// finish waits until the output is delivered, and removes the FIFOs. The process has ended. It can be repeated.
func (p *pipes) finish() { p.once.Do(p.drain) }

func (p *pipes) drain() {
	for _, o := range p.outputs {
		o.hold.Close()                     //nolint:errcheck // nothing was written to it
		o.read.SetReadDeadline(time.Now()) //nolint:errcheck // a FIFO supports deadlines
	}
	p.copying.Wait()
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
}

// Process returns the main process of a container's spec, as the pattern for an Exec.
func (e *Engine) Process(ctx context.Context, id string) (*specs.Process, error) {
	record, err := e.client.ContainerService().Get(inNamespace(ctx), id)
	if err != nil {
		return nil, native(err)
	}
	var s specs.Spec
	if err := json.Unmarshal(record.Spec.GetValue(), &s); err != nil {
		return nil, fmt.Errorf("cannot read the container's spec: %w", err)
	}
	return s.Process, nil
}
