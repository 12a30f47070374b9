package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Exec runs a further process in a running container, waits for its end and returns its exit code. At most limit bytes
// of its output (both streams, in the order of arrival) are returned; the rest is read and dropped. When ctx ends
// first the process is killed and ctx's error is returned. dir is a directory for the FIFO, which is removed.
func (e *Engine) Exec(ctx context.Context, id, dir string, process *specs.Process, limit int) (code uint32, output []byte, err error) {
	base := inNamespace(context.WithoutCancel(ctx))
	execID := "exec-" + rand.Text()
	fifo := filepath.Join(dir, execID)
	out, err := openFIFO(fifo)
	if err != nil {
		return 0, nil, err
	}
	defer os.Remove(fifo) //nolint:errcheck // the directory goes with the pod
	spec, err := typeurl.MarshalAny(process)
	if err != nil {
		out.Close() //nolint:errcheck // nothing was written
		return 0, nil, err
	}
	collected := make(chan []byte, 1)
	go func() { collected <- readLimited(out, limit) }()
	finish := func() []byte {
		// The shim has copied everything when the process record is deleted; what is left lies in the FIFO.
		out.SetReadDeadline(time.Now()) //nolint:errcheck // a FIFO supports deadlines
		b := append(<-collected, readRest(out, limit)...)
		out.Close() //nolint:errcheck // only read from
		return b[:min(len(b), limit)]
	}
	tasks := e.client.TaskService()
	if _, err := tasks.Exec(base, &tasksapi.ExecProcessRequest{
		ContainerID: id, ExecID: execID, Stdout: fifo, Stderr: fifo, Spec: typeurl.MarshalProto(spec),
	}); err != nil {
		finish()
		return 0, nil, fmt.Errorf("cannot create the process: %w", native(errgrpc.ToNative(err)))
	}
	waited := make(chan *tasksapi.WaitResponse, 1)
	failed := make(chan error, 1)
	go func() {
		w, err := tasks.Wait(base, &tasksapi.WaitRequest{ContainerID: id, ExecID: execID})
		if err != nil {
			failed <- errgrpc.ToNative(err)
			return
		}
		waited <- w
	}()
	remove := func() { tasks.DeleteProcess(base, &tasksapi.DeleteProcessRequest{ContainerID: id, ExecID: execID}) } //nolint:errcheck // goes with the container at the latest
	if _, err := tasks.Start(base, &tasksapi.StartRequest{ContainerID: id, ExecID: execID}); err != nil {
		remove()
		return 0, finish(), fmt.Errorf("cannot start the process: %w", native(errgrpc.ToNative(err)))
	}
	select {
	case w := <-waited:
		remove()
		return w.ExitStatus, finish(), nil
	case err := <-failed:
		remove()
		return 0, finish(), fmt.Errorf("cannot wait for the process: %w", native(err))
	case <-ctx.Done():
		tasks.Kill(base, &tasksapi.KillRequest{ContainerID: id, ExecID: execID, Signal: uint32(unix.SIGKILL)}) //nolint:errcheck // it may have ended
		select {
		case <-waited:
		case <-failed: //nolint:errcheck // the context's error is the one that tells
		}
		remove()
		return 0, finish(), ctx.Err()
	}
}

// openFIFO makes a FIFO and opens it for reading without waiting for a writer, and so that it never reports its end.
func openFIFO(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("cannot make a FIFO for the process's output: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the FIFO of the process's output: %w", err)
	}
	return f, nil
}

func readLimited(r io.Reader, limit int) []byte {
	var kept []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if room := limit - len(kept); n > 0 && room > 0 {
			kept = append(kept, buf[:min(n, room)]...)
		}
		if err != nil {
			return kept
		}
	}
}

// readRest reads what a FIFO holds at this moment, after its reader has stopped on a deadline.
func readRest(f *os.File, limit int) []byte {
	f.SetReadDeadline(time.Now().Add(time.Millisecond)) //nolint:errcheck // a FIFO supports deadlines
	return readLimited(f, limit)
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
