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
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"github.com/solopod/solopod/runner/engine/intake"
	"github.com/solopod/solopod/runner/engine/unrecorded"
	"github.com/solopod/solopod/runner/seal"
)

// Namespace is the containerd namespace that holds everything of Solopod's.
const Namespace = "solopod"

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: the container, process or image does not exist.
	ErrNotFound = errors.New("not found")
	// ErrInvalidName: an image's name is none.
	ErrInvalidName = errors.New("invalid image reference")
	// ErrNotRunning: a signal or an exec was asked of a process that has ended.
	ErrNotRunning = errors.New("not running")
	// ErrUnanswered: containerd, a container's shim or the OCI runtime has not answered within the limit (limits.go). What was asked
	// for may still happen.
	ErrUnanswered = errors.New("no answer")
	// ErrLeftBehind: something of a container could not be removed; Delete has to be called again, later.
	ErrLeftBehind = errors.New("left behind")
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
	// Bundles is where containerd keeps a directory for each container, by id; empty where that is not known.
	Bundles string
	// SystemdCgroup: the OCI runtime asks systemd for a container's cgroup.
	SystemdCgroup bool
	// Snapshotter is containerd's name of the snapshotter; empty means overlayfs.
	Snapshotter string
	// MaxImageSize is what the layers of an image may unpack to, in bytes; zero leaves it to the room on the disk.
	MaxImageSize int64
	// Owner tells several daemons that use one containerd apart.
	Owner string
	// TempDir is where file systems are mounted for a moment; what a killed run left there is cleared.
	TempDir string
	// Silent says of a container whether its shim runs and containerd could not load it, because it does not answer: the process may
	// live, and containerd does not know of it. nil: there is none such.
	Silent func(id string) bool
	// Sweep removes what shims that have ended leave in the state directory; nil: nothing.
	Sweep func()
	// Woken receives when Silent has changed; nil: never.
	Woken <-chan struct{}
	// Seal hides the values of Secrets from containerd's database; nil: containers with such are not made.
	Seal *seal.Store
}

// Engine drives one containerd: what there is to be done is parted by subject. It is safe for concurrent use.
type Engine struct {
	*connection
	*Containers
	*Processes
	*Images
}

// connection is how all parts reach containerd, and what ends with it.
type connection struct {
	config  Config
	client  *containerd.Client
	puller  *containerd.Client // writes no records of images
	sealed  *seal.Ledger
	version atomic.Pointer[string]
	// background are the goroutines that clean up after calls that have returned. They end with running, or when the system call
	// returns that they hang in.
	background sync.WaitGroup
	running    context.Context //nolint:containedctx // the Engine's own life, between Connect and Close
	end        context.CancelFunc
}

// Connect dials containerd, makes sure that it answers, and ends processes that no record of a container names. The caller owns the
// Engine and must Close it.
func Connect(ctx context.Context, c Config) (*Engine, error) {
	if c.Snapshotter == "" {
		c.Snapshotter = "overlayfs"
	}
	if c.Sweep == nil {
		c.Sweep = func() {}
	}
	if c.Silent == nil {
		c.Silent = func(string) bool { return false }
	}
	if err := clearTempDir(c.TempDir); err != nil {
		return nil, err
	}
	layers := &intake.Applier{}
	client, err := containerd.New(c.Address, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(connectLimit),
		containerd.WithServices(containerd.WithDiffService(layers)))
	if err != nil {
		return nil, fmt.Errorf("cannot reach containerd at %s (is it running?): %w", c.Address, err)
	}
	layers.Connect(client)
	puller, err := unrecorded.Client(client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	link := &connection{config: c, client: client, puller: puller, sealed: seal.NewLedger(c.Seal)}
	link.running, link.end = context.WithCancel(context.WithoutCancel(ctx)) // until Close
	e := &Engine{link, &Containers{link}, &Processes{link}, &Images{connection: link}}
	if err := e.prepare(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) prepare(ctx context.Context) error {
	if err := e.Answers(ctx); err != nil {
		return fmt.Errorf("containerd at %s: %w", e.config.Address, err)
	}
	err := e.call(ctx, answerLimit, "create containerd's namespace "+Namespace, func(ctx context.Context) error {
		return e.client.NamespaceService().Create(ctx, Namespace, nil)
	})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	if err := e.dropLeases(ctx); err != nil {
		return err
	}
	e.disk = intake.DiskOf(inNamespace(ctx), e.client, e.config.Snapshotter)
	strays := e.endStrays(ctx)
	e.findSealed(ctx, strays)
	return nil
}

// Answers returns an error when containerd does not answer.
func (e *Engine) Answers(ctx context.Context) error {
	return e.call(ctx, answerLimit, "reach containerd", func(ctx context.Context) error {
		v, err := e.client.Version(ctx)
		if err == nil {
			e.version.Store(&v.Version)
		}
		return err
	})
}

// Version is the version that containerd reported last.
func (e *Engine) Version() string {
	if v := e.version.Load(); v != nil {
		return *v
	}
	return ""
}

// Sweep removes what shims that have ended leave in the state directory.
func (e *Engine) Sweep() { e.config.Sweep() }

// Close ends the connection, and what still goes on in the background; containers are not touched. It returns within seconds: what
// hangs in a system call is left behind.
func (e *Engine) Close() error {
	e.end()
	ended := make(chan struct{})
	go func() { e.background.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(closeLimit):
		slog.Warn("something that was asked of containerd or a file system hangs; it is left behind")
	}
	return e.client.Close()
}

func inNamespace(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}
