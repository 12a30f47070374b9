// Package engine is the only package that talks to containerd, in-process or outside.
//
// It speaks in containers, processes and images, and knows nothing of pods. It uses the service clients rather than
// the client's Container and Task objects: those fetch the record and the spec again at every step, which a pod's
// start would pay for several times.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
)

// Namespace is the containerd namespace that holds everything of Solopod's.
const Namespace = "solopod"

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: the container, process or image does not exist.
	ErrNotFound = errors.New("not found")
	// ErrNotRunning: a signal or an exec was asked of a process that has ended.
	ErrNotRunning = errors.New("not running")
)

// Config says how to reach containerd and how it shall run containers.
type Config struct {
	// Address is the path of containerd's gRPC socket.
	Address string
	// Shim is the runtime: an absolute path of a shim binary, or a name like io.containerd.runc.v2 that an outside
	// containerd resolves by itself.
	Shim string
	// Runtime is the OCI runtime that the shim calls: a name in PATH or an absolute path; empty means runc.
	Runtime string
	// RuntimeRoot is where the OCI runtime keeps its state; empty leaves it to the shim.
	RuntimeRoot string
	// SystemdCgroup: the OCI runtime asks systemd for a container's cgroup.
	SystemdCgroup bool
	// Snapshotter is containerd's name of the snapshotter; empty means overlayfs.
	Snapshotter string
	// Owner tells several daemons that use one containerd apart.
	Owner string
	// TempDir is where file systems are mounted for a moment; what a killed run left there is cleared.
	TempDir string
}

// Engine drives one containerd. It is safe for concurrent use.
type Engine struct {
	config  Config
	client  *containerd.Client
	version string
	// described: digest -> Image, without name and time.
	described sync.Map
}

// Connect dials containerd and makes sure that it answers. The caller owns the Engine and must Close it.
func Connect(ctx context.Context, c Config) (*Engine, error) {
	if c.Snapshotter == "" {
		c.Snapshotter = "overlayfs"
	}
	if err := clearTempDir(c.TempDir); err != nil {
		return nil, err
	}
	client, err := containerd.New(c.Address,
		containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(10*time.Second))
	if err != nil {
		return nil, fmt.Errorf("cannot reach containerd at %s (is it running?): %w", c.Address, err)
	}
	e := &Engine{config: c, client: client}
	if err := e.prepare(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return e, nil
}

func (e *Engine) prepare(ctx context.Context) error {
	v, err := e.client.Version(ctx)
	if err != nil {
		return fmt.Errorf("containerd at %s does not answer: %w", e.config.Address, err)
	}
	e.version = v.Version
	err = e.client.NamespaceService().Create(ctx, Namespace, nil)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create containerd namespace %q: %w", Namespace, err)
	}
	return e.dropLeases(ctx)
}

// Answers returns an error when containerd does not answer.
func (e *Engine) Answers(ctx context.Context) error {
	if _, err := e.client.Version(ctx); err != nil {
		return fmt.Errorf("containerd does not answer: %w", err)
	}
	return nil
}

// shimOptions are the runc shim's.
func (e *Engine) shimOptions(r CreateRequest) (typeurl.Any, error) {
	runtime, ioOwner := r.Runtime, uint32(0)
	if r.IDs != nil {
		ioOwner = r.IDs.HostID // root in the container can open its own output again
	}
	if runtime == "" {
		runtime = e.config.Runtime
	}
	return typeurl.MarshalAny(&runcoptions.Options{
		BinaryName: runtime,
		Root:       e.config.RuntimeRoot,
		ShimCgroup: r.ShimCgroup,
		IoUid:      ioOwner,
		IoGid:      ioOwner,

		SystemdCgroup: e.config.SystemdCgroup,
	})
}

// Version is the version that containerd reports.
func (e *Engine) Version() string { return e.version }

// Close ends the connection; containers are not touched.
func (e *Engine) Close() error { return e.client.Close() }

func inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// native turns containerd's error kinds into this package's.
func native(err error) error {
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	default:
		return err
	}
}
