package testbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
)

// Engine is a containerd in memory. It behaves as package engine does: what it is asked for it does, in the order of the calls,
// and a call that hangs ends with its context.
type Engine struct {
	*trace
	*shelf

	mu         sync.Mutex
	containers map[string]*held
	pids       uint32
	exits      chan engine.Exit
	resyncs    chan struct{}

	// Deaf containers heed SIGKILL only.
	Deaf bool
	// OnStart is called when a container's process runs.
	OnStart func(id string)
	// OnExec runs a further process in a container.
	OnExec func(ctx context.Context, id string, p *specs.Process, sio engine.ExecIO) (uint32, error)
	// Repaired are the images that Repair removes.
	Repaired []string
	// Written is what each container has written to its root file system, in bytes.
	Written int64
}

type held struct {
	engine.Container
	request engine.CreateRequest
	update  *specs.LinuxResources
	out     []*os.File
}

// NewEngine makes one without images and containers.
func NewEngine() *Engine {
	t := &trace{faults: map[string]*fault{}}
	return &Engine{
		trace: t, shelf: &shelf{trace: t, images: map[string]*Image{}}, containers: map[string]*held{}, pids: 1 << 22,
		exits: make(chan engine.Exit, 100), resyncs: make(chan struct{}, 1),
	}
}

// Request is what a container was made from; false when there is no such container.
func (e *Engine) Request(id string) (engine.CreateRequest, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil {
		return engine.CreateRequest{}, false
	}
	return c.request, true
}

// Updated are the resources that a container was given last.
func (e *Engine) Updated(id string) *specs.LinuxResources {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		return c.update
	}
	return nil
}

// Put adds a container that an earlier Solopod is said to have made.
func (e *Engine) Put(c engine.Container) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[c.ID] = &held{Container: c}
}

// IDs are those of the containers that exist.
func (e *Engine) IDs() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.containers))
}

// Write lets a container's process write to its standard output.
func (e *Engine) Write(id, text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil || len(c.out) == 0 {
		return errors.New("no such container, or it has no output")
	}
	_, err := c.out[0].WriteString(text)
	return err
}

// Exit ends a container's process by itself.
func (e *Engine) Exit(id string, code uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exit(id, code, true)
}

// Lose ends a container with its shim: nobody learns of it, nor of its exit code.
func (e *Engine) Lose(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exit(id, 0, false)
	if c := e.containers[id]; c != nil {
		c.State = engine.Unknown
	}
}

// SetState says what is found of a container from now on.
func (e *Engine) SetState(id, state string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id].State = state
}

// exit ends a process. e.mu is held.
func (e *Engine) exit(id string, code uint32, tell bool) {
	c := e.containers[id]
	if c == nil || c.State == engine.Stopped {
		return
	}
	ran := c.State == engine.Running
	c.State, c.ExitCode, c.ExitedAt = engine.Stopped, code, time.Now()
	for _, f := range c.out {
		f.Close() //nolint:errcheck // a pipe
	}
	c.out = nil
	if tell && ran {
		e.exits <- engine.Exit{ID: id, Code: code, At: c.ExitedAt}
	}
}

// Reconnect is a connection that was lost and made anew.
func (e *Engine) Reconnect() {
	select {
	case e.resyncs <- struct{}{}:
	default:
	}
}

// Create implements container.Engine.
func (e *Engine) Create(ctx context.Context, r engine.CreateRequest) (uint32, error) {
	if err := e.begin(ctx, "Create", r.ID); err != nil {
		return 0, err
	}
	c := &held{request: r, Container: engine.Container{ID: r.ID, Labels: r.Labels, CreatedAt: time.Now(), State: engine.Created}}
	for _, path := range []string{r.IO.Stdout, r.IO.Stderr} {
		if path == "" {
			continue
		}
		f, err := foreign.OpenFIFO(path, os.O_WRONLY) // as the shim's open, it needs a reader
		if err != nil {
			return 0, err
		}
		c.out = append(c.out, f)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.containers[r.ID] != nil {
		return 0, fmt.Errorf("container %s exists", r.ID)
	}
	e.pids++
	c.Pid = e.pids
	e.containers[r.ID] = c
	return c.Pid, nil
}

// Start implements container.Engine.
func (e *Engine) Start(ctx context.Context, id string) error {
	if err := e.begin(ctx, "Start", id); err != nil {
		return err
	}
	e.mu.Lock()
	c := e.containers[id]
	if c == nil || c.State != engine.Created {
		e.mu.Unlock()
		return engine.ErrNotFound
	}
	c.State = engine.Running
	e.mu.Unlock()
	if e.OnStart != nil {
		e.OnStart(id)
	}
	return nil
}

// Kill implements container.Engine.
func (e *Engine) Kill(ctx context.Context, id string, signal uint32, _ bool) error {
	if err := e.begin(ctx, "Kill", fmt.Sprintf("%s %d", id, signal)); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch c := e.containers[id]; {
	case c == nil || c.State == engine.Unknown:
		return engine.ErrNotFound
	case c.State == engine.Stopped:
		return engine.ErrNotRunning
	case signal == uint32(unix.SIGKILL) || !e.Deaf:
		e.exit(id, 128+signal, true)
	}
	return nil
}

// Get implements container.Engine.
func (e *Engine) Get(ctx context.Context, id string) (engine.Container, error) {
	if err := e.begin(ctx, "Get", id); err != nil {
		return engine.Container{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		return c.Container, nil
	}
	return engine.Container{}, engine.ErrNotFound
}

// Delete implements container.Engine.
func (e *Engine) Delete(ctx context.Context, id string) error {
	if err := e.begin(ctx, "Delete", id); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exit(id, 137, true)
	delete(e.containers, id)
	return nil
}

// List implements runner.Containerd.
func (e *Engine) List(ctx context.Context) ([]engine.Container, error) {
	if err := e.begin(ctx, "List", ""); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []engine.Container
	for _, id := range slices.Sorted(maps.Keys(e.containers)) {
		out = append(out, e.containers[id].Container)
	}
	return out, nil
}

// Watch implements runner.Containerd.
func (e *Engine) Watch(ctx context.Context, l engine.Listener) {
	l.Resync()
	for {
		select {
		case <-ctx.Done():
			return
		case exit := <-e.exits:
			l.Exited(exit)
		case <-e.resyncs:
			l.Resync()
		}
	}
}

// Repair implements runner.Containerd.
func (e *Engine) Repair(ctx context.Context) ([]string, error) {
	err := e.begin(ctx, "Repair", "")
	return e.Repaired, err
}

// Version implements runner.Containerd.
func (e *Engine) Version() string { return "0.0.0-memory" }

// Update implements container.Changer.
func (e *Engine) Update(ctx context.Context, id string, r *specs.LinuxResources) error {
	if err := e.begin(ctx, "Update", id); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.containers[id] == nil {
		return engine.ErrNotFound
	}
	e.containers[id].update = r
	return nil
}

// CloseStdin implements container.Changer.
func (e *Engine) CloseStdin(ctx context.Context, id string) error {
	return e.begin(ctx, "CloseStdin", id)
}

// Process implements session.Executor.
func (e *Engine) Process(ctx context.Context, id string) (*specs.Process, error) {
	if err := e.begin(ctx, "Process", id); err != nil {
		return nil, err
	}
	r, ok := e.Request(id)
	if !ok {
		return nil, engine.ErrNotFound
	}
	p := *r.Spec.Process
	return &p, nil
}

// Exec implements session.Executor.
func (e *Engine) Exec(ctx context.Context, id, _ string, p *specs.Process, sio engine.ExecIO) (uint32, error) {
	if err := e.begin(ctx, "Exec", id+" "+strings.Join(p.Args, " ")); err != nil {
		return 0, err
	}
	if e.OnExec == nil {
		return 0, nil
	}
	return e.OnExec(ctx, id, p, sio)
}

// Resize implements session.Engine.
func (e *Engine) Resize(context.Context, string, engine.Size) {}

// Checkpoint implements session.Engine.
func (e *Engine) Checkpoint(context.Context, string, string, string) (json.RawMessage, error) {
	return nil, errors.New("this containerd makes no checkpoints")
}

// Usage implements sandbox.Engine.
func (e *Engine) Usage(ctx context.Context, id string) (foreign.Space, error) {
	return foreign.Space{Bytes: e.Written, Inodes: 1}, e.begin(ctx, "Usage", id)
}
