package testbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
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
	mu         sync.Mutex
	containers map[string]*held
	images     map[string]*Image
	faults     map[string]*fault
	calls      []string
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

// Image is one that the Engine has.
type Image struct {
	engine.Image
	// Files of the image, by their paths without the first slash.
	Files map[string]string
	// Unsynced: it is not known to be on the disk.
	Unsynced bool
}

type held struct {
	engine.Container
	request engine.CreateRequest
	update  *specs.LinuxResources
	out     []*os.File
}

type fault struct {
	err   error
	until chan struct{} // hangs until it is closed
	deaf  bool          // a hang that does not heed its context
}

// NewEngine makes one without images and containers.
func NewEngine() *Engine {
	return &Engine{
		containers: map[string]*held{}, images: map[string]*Image{}, faults: map[string]*fault{}, pids: 1 << 22,
		exits: make(chan engine.Exit, 100), resyncs: make(chan struct{}, 1),
	}
}

// Fail lets calls of an operation, by its method's name, fail; nil lets them succeed again.
func (e *Engine) Fail(operation string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.faults, operation)
	if err != nil {
		e.faults[operation] = &fault{err: err}
	}
}

// Hang lets calls of an operation hang until their context ends or release is called. deaf: they do not heed their context.
func (e *Engine) Hang(operation string, deaf bool) (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := &fault{until: make(chan struct{}), deaf: deaf}
	e.faults[operation] = f
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		close(f.until)
		if e.faults[operation] == f {
			delete(e.faults, operation)
		}
	})
}

// begin notes a call, and fails or hangs as it shall.
func (e *Engine) begin(ctx context.Context, operation, of string) error {
	e.mu.Lock()
	e.calls = append(e.calls, strings.TrimSpace(operation+" "+of))
	f := e.faults[operation]
	e.mu.Unlock()
	switch {
	case f == nil:
		return ctx.Err()
	case f.until == nil:
		return f.err
	case f.deaf:
		<-f.until
		return nil
	}
	select {
	case <-f.until:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Calls are the calls so far: the operation, and what it was about.
func (e *Engine) Calls(operations ...string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, c := range e.calls {
		name, _, _ := strings.Cut(c, " ")
		if len(operations) == 0 || slices.Contains(operations, name) {
			out = append(out, c)
		}
	}
	return out
}

// AddImage adds, or replaces, an image by its name in the full form.
func (e *Engine) AddImage(i Image) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i.Digest == "" {
		i.Digest = "sha256:" + strings.Repeat("1", 64)
	}
	if i.ChainID == "" {
		i.ChainID = "chain of " + i.Name
	}
	e.images[i.Name] = &i
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

// ---- containers

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
func (e *Engine) Usage(ctx context.Context, id string) (int64, error) {
	return e.Written, e.begin(ctx, "Usage", id)
}

// ---- images

// MountImage implements sandbox.Engine: the image's files lie on a tmpfs.
func (e *Engine) MountImage(ctx context.Context, image engine.Image, _, name, target string, _ *specs.LinuxIDMapping) error {
	if err := e.begin(ctx, "MountImage", name+" "+image.Name); err != nil {
		return err
	}
	return unix.Mount("image", target, "tmpfs", 0, "")
}

// ReleaseImages implements sandbox.Engine.
func (e *Engine) ReleaseImages(ctx context.Context, uid string) error {
	return e.begin(ctx, "ReleaseImages", uid)
}

// ReadFiles implements container.Changer.
func (e *Engine) ReadFiles(ctx context.Context, image engine.Image, names ...string) ([][]byte, error) {
	if err := e.begin(ctx, "ReadFiles", image.Name); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([][]byte, len(names))
	for i, name := range names {
		if text, ok := e.images[image.Name].Files[name]; ok {
			out[i] = []byte(text)
		}
	}
	return out, nil
}

func (e *Engine) image(name string) (*Image, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.images[name]; i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("image %s: %w", name, engine.ErrNotFound)
}

// Image implements image.Library.
func (e *Engine) Image(ctx context.Context, name string) (engine.Image, error) {
	if err := e.begin(ctx, "Image", name); err != nil {
		return engine.Image{}, err
	}
	i, err := e.image(name)
	if err != nil {
		return engine.Image{}, err
	}
	return i.Image, nil
}

// Synced implements image.Library.
func (e *Engine) Synced(ctx context.Context, name string) (bool, error) {
	if err := e.begin(ctx, "Synced", name); err != nil {
		return false, err
	}
	i, err := e.image(name)
	if err != nil {
		return false, err
	}
	return !i.Unsynced, nil
}

// ListImages implements image.Library.
func (e *Engine) ListImages(ctx context.Context) ([]engine.Image, error) {
	if err := e.begin(ctx, "ListImages", ""); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []engine.Image
	for _, name := range slices.Sorted(maps.Keys(e.images)) {
		out = append(out, e.images[name].Image)
	}
	return out, nil
}

// RemoveImage implements image.Library.
func (e *Engine) RemoveImage(ctx context.Context, name string) error {
	if err := e.begin(ctx, "RemoveImage", name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.images, name)
	return nil
}

// Import implements image.Engine: an archive is the image's name.
func (e *Engine) Import(ctx context.Context, archive io.Reader, name func(string) string, _ func(context.Context) error) ([]engine.Image, error) {
	text, err := io.ReadAll(archive)
	if err != nil {
		return nil, err
	}
	full := name(strings.TrimSpace(string(text)))
	if err := e.begin(ctx, "Import", full); err != nil {
		return nil, err
	}
	e.AddImage(Image{Image: engine.Image{Name: full}})
	i, err := e.image(full)
	if err != nil {
		return nil, err
	}
	return []engine.Image{i.Image}, nil
}

// Pull implements image.Engine: every registry is empty but for what AddImage adds meanwhile. It asks for a login.
func (e *Engine) Pull(ctx context.Context, name string, _ *http.Client, login func(host string) (string, string, error), _ func(context.Context) error) (engine.Image, error) {
	host, _, _ := strings.Cut(name, "/")
	user, _, err := login(host)
	if err != nil {
		return engine.Image{}, err
	}
	if err := e.begin(ctx, "Pull", strings.TrimSpace(name+" "+user)); err != nil {
		return engine.Image{}, err
	}
	e.AddImage(Image{Image: engine.Image{Name: name}})
	i, err := e.image(name)
	if err != nil {
		return engine.Image{}, err
	}
	return i.Image, nil
}
