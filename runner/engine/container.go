package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sync/errgroup"
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
)

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

// Create prepares a snapshot, writes the container's record and has the runtime set the container up; its process
// waits for Start. It returns the process id. On an error nothing is left behind.
func (e *Engine) Create(ctx context.Context, r CreateRequest) (pid uint32, err error) {
	ctx = inNamespace(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Delete(context.WithoutCancel(ctx), r.ID))
		}
	}()
	spec, err := typeurl.MarshalAny(r.Spec)
	if err != nil {
		return 0, fmt.Errorf("cannot encode the runtime spec: %w", err)
	}
	options, err := e.shimOptions(r)
	if err != nil {
		return 0, fmt.Errorf("cannot encode the shim's options: %w", err)
	}
	// The record refers to the snapshot by key only, so both can be made at once. The collector keeps a snapshot that
	// a record refers to; the lease keeps it until the record is there.
	ctx, done, err := e.lease(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	rootfs, err := e.prepareRecords(ctx, r, spec, options)
	if err != nil {
		return 0, err
	}
	resp, err := e.client.TaskService().Create(ctx, &tasksapi.CreateTaskRequest{
		ContainerID: r.ID,
		Rootfs:      rootfs,
		Stdin:       r.IO.Stdin,
		Stdout:      r.IO.Stdout,
		Stderr:      r.IO.Stderr,
		Terminal:    r.IO.Terminal,
		Options:     typeurl.MarshalProto(options),
	})
	if err != nil {
		return 0, fmt.Errorf("cannot create the container's process: %w", errgrpc.ToNative(err))
	}
	return resp.Pid, nil
}

// prepareRecords makes the snapshot, the container's record and the record that keeps its exit code, side by side.
func (e *Engine) prepareRecords(ctx context.Context, r CreateRequest, spec, options typeurl.Any) ([]*types.Mount, error) {
	var rootfs []*types.Mount
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		mounts, err := e.client.SnapshotService(e.config.Snapshotter).Prepare(gctx, r.ID, r.Image.ChainID,
			snapshots.WithLabels(idLabels(map[string]string{"io.solopod.container": r.ID}, r.IDs)))
		if err == nil {
			err = checkMapped(mounts, r.IDs)
		}
		if err != nil {
			return fmt.Errorf("cannot prepare the root file system from image %s: %w", r.Image.Name, err)
		}
		for _, m := range mounts {
			options := m.Options
			if context := label.FormatMountLabel("", r.Spec.Linux.MountLabel); context != "" {
				options = append(slices.Clone(options), context)
			}
			rootfs = append(rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: options})
		}
		return nil
	})
	group.Go(func() error {
		_, err := e.client.ContainerService().Create(gctx, containers.Container{
			ID:          r.ID,
			Labels:      r.Labels,
			Image:       r.Image.Name,
			Runtime:     containers.RuntimeInfo{Name: e.config.Shim, Options: options},
			Spec:        spec,
			Snapshotter: e.config.Snapshotter,
			SnapshotKey: r.ID,
		})
		if err != nil {
			return fmt.Errorf("cannot record the container: %w", err)
		}
		return nil
	})
	group.Go(func() error { return e.keepExitCode(gctx, r.ID) })
	return rootfs, group.Wait()
}

// keepExitCode writes a sandbox record of the container's id. containerd 1.7 and later end a shim without live
// processes when they start, and the exit code goes with it; a shim whose id has a sandbox record is kept
// (containerd, core/runtime/v2/shim_load.go). 1.6 has no such store, and keeps exit codes by itself.
func (e *Engine) keepExitCode(ctx context.Context, id string) error {
	_, err := e.client.SandboxStore().Create(ctx, sandbox.Sandbox{
		ID:        id,
		Runtime:   sandbox.RuntimeOpts{Name: e.config.Shim},
		Sandboxer: "podsandbox",
	})
	if err != nil && !isUnimplemented(err) && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("cannot record the container's sandbox: %w", err)
	}
	return nil
}

func isUnimplemented(err error) bool {
	return errdefs.IsNotImplemented(err) || errdefs.IsNotImplemented(errgrpc.ToNative(err))
}

// Start lets the container's process run.
func (e *Engine) Start(ctx context.Context, id string) error {
	_, err := e.client.TaskService().Start(inNamespace(ctx), &tasksapi.StartRequest{ContainerID: id})
	if err != nil {
		return fmt.Errorf("cannot start the container's process: %w", native(errgrpc.ToNative(err)))
	}
	return nil
}

// Update gives a running container other resources.
func (e *Engine) Update(ctx context.Context, id string, r *specs.LinuxResources) error {
	resources, err := typeurl.MarshalAny(r)
	if err != nil {
		return fmt.Errorf("cannot encode resources: %w", err)
	}
	_, err = e.client.TaskService().Update(inNamespace(ctx), &tasksapi.UpdateTaskRequest{ContainerID: id, Resources: typeurl.MarshalProto(resources)})
	if err != nil {
		return fmt.Errorf("cannot change the container's resources: %w", native(errgrpc.ToNative(err)))
	}
	return nil
}

// Kill sends a signal to the container's main process, or with all to each of its processes. It returns ErrNotFound or
// ErrNotRunning when there is nothing to signal.
func (e *Engine) Kill(ctx context.Context, id string, signal uint32, all bool) error {
	_, err := e.client.TaskService().Kill(inNamespace(ctx), &tasksapi.KillRequest{
		ContainerID: id, Signal: signal, All: all,
	})
	err = errgrpc.ToNative(err)
	if errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return native(err)
}

// Delete removes the container: a living process is killed, then process record, container record, snapshot and
// sandbox record go. What does not exist is skipped, so that it can be repeated after a crash. The container's output
// must be read while Delete runs: the shim waits for its FIFOs to drain.
func (e *Engine) Delete(ctx context.Context, id string) error {
	ctx = inNamespace(ctx)
	if err := e.deleteTask(ctx, id); err != nil {
		return err
	}
	var errs []error
	if err := e.client.ContainerService().Delete(ctx, id); err != nil && !errdefs.IsNotFound(err) {
		errs = append(errs, fmt.Errorf("cannot delete the container's record: %w", err))
	}
	if err := e.client.SnapshotService(e.config.Snapshotter).Remove(ctx, id); err != nil && !errdefs.IsNotFound(err) {
		errs = append(errs, fmt.Errorf("cannot delete the container's snapshot: %w", err))
	}
	err := e.client.SandboxStore().Delete(ctx, id)
	if err != nil && !errdefs.IsNotFound(err) && !isUnimplemented(err) {
		errs = append(errs, fmt.Errorf("cannot delete the container's sandbox record: %w", err))
	}
	return errors.Join(errs...)
}

func (e *Engine) deleteTask(ctx context.Context, id string) error {
	tasks := e.client.TaskService()
	_, err := tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id})
	if err = errgrpc.ToNative(err); err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("cannot delete the container's process: %w", err)
	}
	// It lives, or was created and never started.
	_, err = tasks.Kill(ctx, &tasksapi.KillRequest{ContainerID: id, Signal: 9, All: true})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("cannot kill the container's process: %w", err)
	}
	if _, err := tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: id}); err != nil {
		if err = errgrpc.ToNative(err); !errdefs.IsNotFound(err) && ctx.Err() != nil {
			return fmt.Errorf("cannot wait for the container's process: %w", err)
		}
	}
	_, err = tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("cannot delete the container's process: %w", err)
	}
	return nil
}

// List returns every container in Solopod's namespace with the state of its process.
func (e *Engine) List(ctx context.Context) ([]Container, error) {
	ctx = inNamespace(ctx)
	records, err := e.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list containers: %w", err)
	}
	list := make([]Container, 0, len(records))
	for _, r := range records {
		c := Container{ID: r.ID, Labels: r.Labels, CreatedAt: r.CreatedAt, State: Unknown}
		if err := e.fillState(ctx, &c); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Get returns one container, or ErrNotFound.
func (e *Engine) Get(ctx context.Context, id string) (Container, error) {
	ctx = inNamespace(ctx)
	r, err := e.client.ContainerService().Get(ctx, id)
	if err != nil {
		return Container{}, native(err)
	}
	c := Container{ID: r.ID, Labels: r.Labels, CreatedAt: r.CreatedAt, State: Unknown}
	return c, e.fillState(ctx, &c)
}

func (e *Engine) fillState(ctx context.Context, c *Container) error {
	resp, err := e.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: c.ID})
	if err = errgrpc.ToNative(err); err != nil {
		if errdefs.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("cannot read the state of container %s: %w", c.ID, err)
	}
	c.Pid = resp.Process.Pid
	switch resp.Process.Status {
	case tasktypes.Status_CREATED:
		c.State = Created
	case tasktypes.Status_RUNNING, tasktypes.Status_PAUSED, tasktypes.Status_PAUSING:
		c.State = Running
	case tasktypes.Status_STOPPED:
		c.State = Stopped
		c.ExitCode = resp.Process.ExitStatus
		if resp.Process.ExitedAt != nil {
			c.ExitedAt = resp.Process.ExitedAt.AsTime()
		}
	}
	return nil
}

// SetLabels merges labels into the container's record.
func (e *Engine) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	paths := make([]string, 0, len(labels))
	for k := range labels {
		paths = append(paths, "labels."+k)
	}
	_, err := e.client.ContainerService().Update(inNamespace(ctx), containers.Container{ID: id, Labels: labels}, paths...)
	return native(err)
}

// Unanswered: nobody could say in time; the process may live.
const Unanswered = "unanswered"
