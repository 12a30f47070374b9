package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/archive"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/namespace"
)

// ErrNotRunning is returned for a container that should be entered and does not run; its text says why.
var ErrNotRunning = errors.New("not running")

// probeOutput is how much of an exec probe's output is kept.
const probeOutput = 10 << 10

// Beginning keeps the first Most bytes of what is written to it, and drops the rest.
type Beginning struct {
	Most int
	Kept []byte
}

func (l *Beginning) Write(b []byte) (int, error) {
	l.Kept = append(l.Kept, b[:min(len(b), l.Most-len(l.Kept))]...)
	return len(b), nil
}

// probe runs a command for a probe or a hook; it returns its exit code and the beginning of its output.
func (r *Runner) probe(ctx context.Context, id, dir string, command []string) (uint32, []byte, error) {
	out := &Beginning{Most: probeOutput}
	code, err := r.exec(ctx, id, dir, command, engine.ExecIO{Stdout: out, Stderr: out})
	return code, out.Kept, err
}

// exec runs a command in a container with the identity and environment of its main process.
func (r *Runner) exec(ctx context.Context, id, dir string, command []string, sio engine.ExecIO) (uint32, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	process, err := r.engine.Process(ctx, id)
	if err != nil {
		return 0, err
	}
	process.Args, process.Terminal = command, sio.Sizes != nil
	if process.Terminal && !slices.ContainsFunc(process.Env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		process.Env = append(process.Env, "TERM=xterm")
	}
	return r.engine.Exec(ctx, id, dir, process, sio)
}

// inside is a container that can be entered.
type inside struct {
	pod  *v1.Pod
	spec *v1.Container
	id   string
	// dir holds the files of the container's attempt.
	dir     string
	attempt int
}

// enter finds a running container; an empty name means the pod's only one.
func (r *Runner) enter(ns, name, container string) (*inside, error) {
	pod, err := r.Pod(ns, name)
	if err != nil {
		return nil, err
	}
	s, err := pickContainer(pod, container)
	if err != nil {
		return nil, err
	}
	if s.State.Running == nil {
		why := "it has ended"
		if w := s.State.Waiting; w != nil {
			why = "it is waiting: " + w.Reason
		}
		return nil, fmt.Errorf("container %s of pod %s/%s is %w; %s", s.Name, ns, name, ErrNotRunning, why)
	}
	attempt := int(s.RestartCount)
	return &inside{
		pod: pod, spec: containerOf(pod, s.Name), id: strings.TrimPrefix(s.ContainerID, containerID("")),
		dir: filepath.Join(r.stateDir(string(pod.UID)), "containers", s.Name, strconv.Itoa(attempt)), attempt: attempt,
	}, nil
}

// CanEnter says why a container cannot be entered: it, or a pod with this UID, does not exist, or it does not run. An empty uid
// means any.
func (r *Runner) CanEnter(ns, name, uid, container string) error {
	if err := r.CanReach(ns, name, uid); err != nil {
		return err
	}
	_, err := r.enter(ns, name, container)
	return err
}

// CanReach says whether there is such a pod.
func (r *Runner) CanReach(ns, name, uid string) error {
	pod, err := r.Pod(ns, name)
	if err == nil && uid != "" && uid != string(pod.UID) {
		err = fmt.Errorf("pod %s/%s with the UID %s: %w", ns, name, uid, ErrNotFound)
	}
	return err
}

// Exec runs a command in a container, as its main process's user and with its environment, and returns the exit code.
func (r *Runner) Exec(ctx context.Context, ns, pod, container string, command []string, sio engine.ExecIO) (uint32, error) {
	in, err := r.enter(ns, pod, container)
	if err != nil {
		return 0, err
	}
	return r.exec(ctx, in.id, filepath.Join(in.dir, "exec"), command, sio)
}

// Attach connects to a container's main process until that ends, or ctx does. Output comes by way of the log, from this moment
// on, so that nothing is taken from it.
func (r *Runner) Attach(ctx context.Context, ns, pod, container string, sio engine.ExecIO) error {
	in, err := r.enter(ns, pod, container)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := logs.ReadOptions{Tail: 0, Follow: true, Stderr: sio.Stderr}
	if sio.Stdin != nil {
		// What the container says to its input must not pass for old.
		if o.Positioned, err = r.attachStdin(ctx, in, sio.Stdin); err != nil {
			return err
		}
	}
	if sio.Sizes != nil {
		go func() {
			for s := range sio.Sizes {
				r.engine.Resize(ctx, in.id, s)
			}
		}()
	}
	out := sio.Stdout
	if out == nil {
		out = io.Discard
	}
	if sio.Stderr == nil {
		o.Stderr = io.Discard
	}
	ended := r.whenEnded(ctx, in.pod, in.spec.Name, in.attempt)
	return logs.Read(ctx, r.logFile(in.pod, in.spec.Name, in.attempt), o, out, ended)
}

// attachStdin reaches a container's input; begin copies the user's to it. With stdinOnce its end is the end of the container's.
func (r *Runner) attachStdin(ctx context.Context, in *inside, stdin io.Reader) (begin func(), err error) {
	if !in.spec.Stdin {
		return nil, fmt.Errorf("container %s reads no input; set stdin: true in its manifest", in.spec.Name)
	}
	fifo, err := os.OpenFile(filepath.Join(in.dir, "io", "stdin"), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the container's input: %w", err)
	}
	context.AfterFunc(ctx, func() { fifo.Close() }) //nolint:errcheck // the copying ends then
	copying := func() {
		io.Copy(fifo, stdin) //nolint:errcheck // the session's end
		fifo.Close()         //nolint:errcheck // all was written
		if in.spec.StdinOnce {
			r.toOwner(in.id, inputOver{in.id})
		}
	}
	return func() { go copying() }, nil
}

// toOwner sends a message to the worker that owns a container.
func (r *Runner) toOwner(id string, m message) {
	r.mu.Lock()
	w := r.owners[id]
	r.mu.Unlock()
	if w != nil {
		w.send(m)
	}
}

// inputOver: the one session has ended that a container with stdinOnce takes input from.
type inputOver struct{ id string }

func (m inputOver) take(ctx context.Context, w *worker) {
	name := w.nameOf(m.id)
	if name == "" || w.live[name].pump == nil {
		return
	}
	err := w.live[name].pump.CloseStdin()
	if err == nil {
		err = w.runner.engine.CloseStdin(ctx, m.id)
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		w.warn(name, "StdinNotClosed", "cannot end the input of container %s: %v", name, err)
	}
}

// Archive is where the files of a running container can be read and written.
func (r *Runner) Archive(ns, pod, container string) (archive.Container, error) {
	in, err := r.enter(ns, pod, container)
	if err != nil {
		return archive.Container{}, err
	}
	for _, t := range r.Targets() {
		if t.ID == in.id && t.Running {
			return archive.Container{Pid: t.Pid}, nil
		}
	}
	return archive.Container{}, fmt.Errorf("container %s of pod %s/%s is %w", in.spec.Name, ns, pod, ErrNotRunning)
}

// Dial connects to a TCP port of a pod, in its own network.
func (r *Runner) Dial(ctx context.Context, ns, name string, port uint16) (conn net.Conn, err error) {
	pod, err := r.Pod(ns, name)
	if err != nil {
		return nil, err
	}
	dial := func() error {
		var d net.Dialer
		var err6 error
		if conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))); err == nil {
			return nil
		}
		if conn, err6 = d.DialContext(ctx, "tcp", net.JoinHostPort("::1", strconv.Itoa(int(port)))); err6 == nil {
			return nil
		}
		return err // of the family that almost everybody uses
	}
	if pod.Spec.HostNetwork {
		err = dial()
	} else {
		err = namespace.InNetwork(filepath.Join(r.stateDir(string(pod.UID)), "ns", "net"), dial)
	}
	return conn, err
}
