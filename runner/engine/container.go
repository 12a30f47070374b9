package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/engine/refusal"
	"github.com/solopod/solopod/runner/seal"
)

// GroupAnnotation in a spec makes containers with the same value share one shim. It must be an annotation: the runc
// shim reads it from the bundle's config.json and ignores labels (containerd, cmd/containerd-shim-runc-v2/manager).
const GroupAnnotation = "io.containerd.runc.v2.group"

// Process states of a container.
const (
	Created = "created"
	Running = "running"
	Stopped = "stopped"
	// Unknown: containerd holds a record of the container and no process; how it ended cannot be learned.
	Unknown = "unknown"
	// Unanswered: the container's shim, or containerd, did not say in time. The process may live, or have ended; nothing is known
	// of it but the container's record. Ask again later: a shim that goes on is told by Listener.Resync, for one that containerd in
	// this process could not load; else by the answer only.
	Unanswered = "unanswered"
)

// Containers makes containers, says what there is of them, and ends them.
type Containers struct{ *connection }

// Container is what containerd knows about one container.
type Container struct {
	ID        string
	Labels    map[string]string
	CreatedAt time.Time
	State     string
	Pid       uint32
	// ExitCode and ExitedAt hold when State is Stopped.
	ExitCode uint32
	ExitedAt time.Time
}

// CreateRequest describes a container to be created.
type CreateRequest struct {
	ID     string
	Image  Image
	Labels map[string]string
	Spec   *specs.Spec
	// Shown is what of the process's environment and arguments may be seen by all, and stand in containerd's database; nil: all of them.
	Shown *seal.Process
	// IO names the FIFOs that the shim connects; all empty means /dev/null.
	IO IO
	// ShimCgroup is an existing cgroup that the shim's process joins when it is started; empty means the daemon's.
	ShimCgroup string
	// Runtime is the OCI runtime, a name or a path; empty means the engine's own.
	Runtime string
	// IDs are the users and groups of the container as the host has them; nil means the host's own.
	IDs *specs.LinuxIDMapping
}

// IO holds paths of FIFOs. The caller makes them and must have the output ends open for reading before the container
// is created: the shim's open blocks without a reader.
type IO struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}

// ErrRefused is what the OCI runtime has against a container.
var ErrRefused = refusal.Err

func refused(err error) error {
	if errors.Is(err, ErrUnanswered) {
		return err
	}
	return refusal.Mark(err)
}

// Start lets the container's process run. ErrRefused is what the OCI runtime itself has against it.
func (c *Containers) Start(ctx context.Context, id string) error {
	return refused(c.call(ctx, startLimit, "start the container's process", func(ctx context.Context) error {
		_, err := c.client.TaskService().Start(ctx, &tasksapi.StartRequest{ContainerID: id})
		return err
	}))
}

// Update gives a running container other resources.
func (c *Containers) Update(ctx context.Context, id string, r *specs.LinuxResources) error {
	resources, err := typeurl.MarshalAny(r)
	if err != nil {
		return fmt.Errorf("cannot encode resources: %w", err)
	}
	return c.call(ctx, signalLimit, "change the container's resources", func(ctx context.Context) error {
		_, err := c.client.TaskService().Update(ctx, &tasksapi.UpdateTaskRequest{ContainerID: id, Resources: typeurl.MarshalProto(resources)})
		return err
	})
}

// Kill sends a signal to the container's main process, or with all to each of its processes. It returns ErrNotFound or
// ErrNotRunning when there is nothing to signal, and ErrUnanswered when the signal may or may not have been sent.
func (c *Containers) Kill(ctx context.Context, id string, signal uint32, all bool) error {
	c.sealed.Reach(id)
	err := c.call(ctx, signalLimit, "send the signal", func(ctx context.Context) error {
		_, err := c.client.TaskService().Kill(ctx, &tasksapi.KillRequest{ContainerID: id, Signal: signal, All: all})
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound) && c.config.Silent(id):
		return fmt.Errorf("cannot send the signal: %w from the container's shim", ErrUnanswered)
	case errdefs.IsFailedPrecondition(err):
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return err
}
