package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine/fifo"
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

// Processes reaches into containers that run.
type Processes struct{ *connection }

// Exec runs a further process in a running container, waits for its end, and until all that it has written is delivered, and
// returns its exit code. dir is a directory for FIFOs, which are removed.
//
// When ctx ends first the process is sent SIGKILL and ctx's error is returned, within two seconds, whether it has ended or not: a
// process that is frozen, or in the D state, does not. It is then looked after in the background, until Close at the latest.
func (p *Processes) Exec(ctx context.Context, id, dir string, process *specs.Process, sio ExecIO) (code uint32, err error) {
	x := &execution{processes: p, container: id, id: "exec-" + rand.Text(), ended: make(chan exit, 1)}
	spec, err := typeurl.MarshalAny(process)
	if err != nil {
		return 0, err
	}
	if x.pipes, err = fifo.Open(filepath.Join(dir, x.id), fifo.Streams{
		Stdin: sio.Stdin, Stdout: sio.Stdout, Stderr: sio.Stderr, Terminal: sio.Sizes != nil, Ask: x.ask,
	}); err != nil {
		return 0, err
	}
	if err := x.start(ctx, spec, process.Terminal); err != nil {
		x.abandon()
		p.cutRuntimeLog(id)
		return 0, err
	}
	x.pipes.Feed(sio.Stdin, x.closeStdin)
	w, err := x.wait(ctx, sio.Sizes)
	if err != nil {
		x.abandon()
		return 0, err
	}
	// Before the process is deleted: a shim that is told to gives up what it has not copied.
	err = x.pipes.Finish(ctx)
	x.delete()
	return w.code, err
}

// ask has the shim answer something: what it was about to do it has had a turn for then.
func (x *execution) ask() {
	x.processes.call(x.processes.running, signalLimit, "ask for the process", func(ctx context.Context) error { //nolint:errcheck // it answers, or not
		_, err := x.processes.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: x.container, ExecID: x.id})
		return err
	})
}

// execution is one process that Exec runs.
type execution struct {
	processes     *Processes
	container, id string
	pipes         *fifo.Pipes
	waited        bool // something will come from ended
	ended         chan exit
}

// exit is what containerd says at the end of a process.
type exit struct {
	code uint32
	err  error
}

func (x *execution) start(ctx context.Context, spec typeurl.Any, terminal bool) error {
	tasks := x.processes.client.TaskService()
	err := x.processes.call(ctx, startLimit, "create the process", func(ctx context.Context) error {
		_, err := tasks.Exec(ctx, &tasksapi.ExecProcessRequest{
			ContainerID: x.container, ExecID: x.id, Stdin: x.pipes.Stdin, Stdout: x.pipes.Stdout, Stderr: x.pipes.Stderr, Terminal: terminal,
			Spec: typeurl.MarshalProto(spec),
		})
		return err
	})
	if err != nil {
		return err
	}
	x.waited = true
	x.processes.background.Go(func() {
		// No limit but the Engine's end: a session may last for days.
		w, err := tasks.Wait(inNamespace(x.processes.running), &tasksapi.WaitRequest{ContainerID: x.container, ExecID: x.id})
		x.ended <- exit{w.GetExitStatus(), native(err)}
	})
	return x.processes.call(ctx, startLimit, "start the process", func(ctx context.Context) error {
		_, err := tasks.Start(ctx, &tasksapi.StartRequest{ContainerID: x.container, ExecID: x.id})
		return err
	})
}

// wait waits for the process's end, and passes on the sizes of its terminal.
func (x *execution) wait(ctx context.Context, sizes <-chan Size) (exit, error) {
	for {
		select {
		case s, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			x.processes.resize(ctx, x.container, x.id, s)
		case w := <-x.ended:
			if w.err != nil {
				x.waited = false
				return w, fmt.Errorf("cannot wait for the process: %w", w.err)
			}
			return w, nil
		case <-ctx.Done():
			return exit{}, context.Cause(ctx)
		}
	}
}

// abandon kills the process and cleans up after it. It returns when that is done, or after killedLimit.
func (x *execution) abandon() {
	done := make(chan struct{})
	x.processes.background.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(x.processes.running, abandonedLimit)
		defer cancel()
		x.kill(ctx)
		gone, cancel := context.WithTimeout(x.processes.running, killedLimit)
		defer cancel()
		x.pipes.Finish(gone) //nolint:errcheck // nobody waits for the output any more
		x.delete()
	})
	select {
	case <-done:
	case <-time.After(killedLimit):
		slog.Warn("a process in a container does not end; it is left behind", "container", x.container)
	}
}

// killAgain is when a signal is repeated: the first may have come before the process was started.
const killAgain = 5 * time.Second

// kill sends SIGKILL until the process has ended.
func (x *execution) kill(ctx context.Context) {
	for ctx.Err() == nil {
		err := x.processes.call(ctx, signalLimit, "kill the process", func(ctx context.Context) error {
			_, err := x.processes.client.TaskService().Kill(ctx, &tasksapi.KillRequest{
				ContainerID: x.container, ExecID: x.id, Signal: uint32(unix.SIGKILL),
			})
			return err
		})
		if !x.waited {
			return // it was never started, or nobody can say when it ends
		}
		slog.Debug("killed a process", "container", x.container, "err", err)
		select {
		case <-x.ended:
			return
		case <-ctx.Done():
		case <-time.After(killAgain):
		}
	}
}

// delete has the shim forget the process. It goes with the container at the latest.
func (x *execution) delete() {
	err := x.processes.call(x.processes.running, signalLimit, "delete the process", func(ctx context.Context) error {
		_, err := x.processes.client.TaskService().DeleteProcess(ctx, &tasksapi.DeleteProcessRequest{ContainerID: x.container, ExecID: x.id})
		return err
	})
	if err != nil {
		slog.Debug("cannot delete a process", "container", x.container, "err", err)
	}
}

func (x *execution) closeStdin() {
	err := x.processes.closeStdin(x.processes.running, x.container, x.id)
	if err != nil {
		slog.Debug("cannot end a process's input; it may have ended", "container", x.container, "err", err)
	}
}

// resize: a size that cannot be set is no reason to end a session.
func (p *Processes) resize(ctx context.Context, id, execID string, s Size) {
	if s.Width == 0 || s.Height == 0 {
		return
	}
	err := p.call(ctx, signalLimit, "resize the terminal", func(ctx context.Context) error {
		_, err := p.client.TaskService().ResizePty(ctx, &tasksapi.ResizePtyRequest{
			ContainerID: id, ExecID: execID, Width: uint32(s.Width), Height: uint32(s.Height),
		})
		return err
	})
	if err != nil {
		slog.Debug("cannot resize a terminal", "container", id, "err", err)
	}
}

// Resize sets the size of a container's own terminal.
func (p *Processes) Resize(ctx context.Context, id string, s Size) { p.resize(ctx, id, "", s) }

// CloseStdin ends the input of a container's main process.
func (p *Processes) CloseStdin(ctx context.Context, id string) error {
	return p.closeStdin(ctx, id, "")
}

func (p *Processes) closeStdin(ctx context.Context, id, execID string) error {
	return p.call(ctx, signalLimit, "end the process's input", func(ctx context.Context) error {
		_, err := p.client.TaskService().CloseIO(ctx, &tasksapi.CloseIORequest{ContainerID: id, ExecID: execID, Stdin: true})
		return err
	})
}

// maxRuntimeLog is how long a container's log of its OCI runtime may get, in bytes.
const maxRuntimeLog = 64 << 10

// cutRuntimeLog empties a long one. The runtime adds a line for each process that it cannot start, as for a probe whose command the container
// has removed, which nobody else ever takes away; it lies in the state directory.
func (p *Processes) cutRuntimeLog(container string) {
	if p.config.Bundles == "" {
		return
	}
	f, err := durable.OpenFile(filepath.Join(p.config.Bundles, container, "log.json"), os.O_WRONLY, 0)
	if err != nil { // the container has ended, or the runtime has written nothing
		return
	}
	defer f.Close() //nolint:errcheck // only cut
	if info, err := f.Stat(); err == nil && info.Size() > maxRuntimeLog {
		if err := f.Truncate(0); err != nil {
			slog.Warn("cannot cut the OCI runtime's log of a container", "container", container, "err", err)
		}
	}
}
