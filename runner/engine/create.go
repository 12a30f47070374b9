package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sync/errgroup"

	"github.com/solopod/solopod/runner/engine/idmap"
	"github.com/solopod/solopod/runner/engine/sealing"
	"github.com/solopod/solopod/runner/rescue"
	"github.com/solopod/solopod/runner/seal"
)

// Create prepares a snapshot, writes the container's record and has the runtime set the container up; its process
// waits for Start. It returns the process id.
//
// On an error what was made is removed, for a few seconds at most, also when ctx has ended. Where that was not enough the error is
// also ErrLeftBehind: then Delete has to be called, later and until it succeeds. ErrRefused is what the OCI runtime itself has against
// the container.
func (c *Containers) Create(ctx context.Context, r CreateRequest) (pid uint32, err error) {
	begun := false // from then on it is Delete that lets go of the key
	if r.Shown != nil {
		defer func(p seal.Process) { err = seal.Hide(err, p, *r.Shown) }(sealing.ProcessOf(r.Spec))
		defer func() {
			if !begun {
				c.sealed.Forget(r.ID)
			}
		}()
		if r, err = c.seal(r); err != nil {
			return 0, err
		}
	} else {
		r.Labels = labelled(r.Labels, sealing.Nothing)
	}
	spec, err := typeurl.MarshalAny(r.Spec)
	if err != nil {
		return 0, fmt.Errorf("cannot encode the runtime spec: %w", err)
	}
	options, err := c.shimOptions(r)
	if err != nil {
		return 0, fmt.Errorf("cannot encode the shim's options: %w", err)
	}
	// The record refers to the snapshot by key only, so both can be made at once. The collector keeps a snapshot that
	// a record refers to; the lease keeps it until the record is there.
	leased, done, err := c.lease(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	begun = true
	if pid, err = c.make(leased, r, spec, options); err != nil {
		ctx, cancel := detached(ctx, undoLimit)
		defer cancel()
		return 0, errors.Join(err, c.Delete(ctx, r.ID))
	}
	return pid, nil
}

func (c *Containers) make(ctx context.Context, r CreateRequest, spec, options typeurl.Any) (pid uint32, err error) {
	rootfs, err := c.prepareRecords(ctx, r, spec, options)
	if err != nil {
		return 0, err
	}
	err = c.call(ctx, createLimit, "create the container's process", func(ctx context.Context) error {
		resp, err := c.client.TaskService().Create(ctx, &tasksapi.CreateTaskRequest{
			ContainerID: r.ID,
			Rootfs:      rootfs,
			Stdin:       r.IO.Stdin,
			Stdout:      r.IO.Stdout,
			Stderr:      r.IO.Stderr,
			Terminal:    r.IO.Terminal,
			Options:     typeurl.MarshalProto(options),
		})
		pid = resp.GetPid()
		return err
	})
	return pid, refused(err)
}

// prepareRecords makes the snapshot, the container's record and the record that keeps its exit code, side by side.
func (c *Containers) prepareRecords(ctx context.Context, r CreateRequest, spec, options typeurl.Any) ([]*types.Mount, error) {
	var rootfs []*types.Mount
	group, gctx := errgroup.WithContext(ctx)
	start := func(f func() error) {
		group.Go(func() error { return rescue.Do("record container "+r.ID, f) })
	}
	start(func() error {
		var mounts []mount.Mount
		err := c.call(gctx, snapshotLimit, "prepare the root file system from image "+r.Image.Name, func(ctx context.Context) (err error) {
			mounts, err = c.client.SnapshotService(c.config.Snapshotter).Prepare(ctx, r.ID, r.Image.ChainID,
				snapshots.WithLabels(idmap.Labels(map[string]string{"io.solopod.container": r.ID}, r.IDs)))
			if err == nil {
				err = idmap.Check(mounts, r.IDs)
			}
			return err
		})
		if err != nil {
			return err
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
	start(func() error {
		return c.call(gctx, answerLimit, "record the container", func(ctx context.Context) error {
			_, err := c.client.ContainerService().Create(ctx, containers.Container{
				ID:          r.ID,
				Labels:      r.Labels,
				Image:       r.Image.Name,
				Runtime:     containers.RuntimeInfo{Name: c.config.Shim, Options: options},
				Spec:        spec,
				Snapshotter: c.config.Snapshotter,
				SnapshotKey: r.ID,
			})
			return err
		})
	})
	start(func() error { return c.keepExitCode(gctx, r.ID) })
	return rootfs, group.Wait()
}

// keepExitCode writes a sandbox record of the container's id. containerd 1.7 and later end a shim without live
// processes when they start, and the exit code goes with it; a shim whose id has a sandbox record is kept
// (containerd, core/runtime/v2/shim_load.go). 1.6 has no such store, and keeps exit codes by itself.
func (c *Containers) keepExitCode(ctx context.Context, id string) error {
	err := c.call(ctx, answerLimit, "record the container's sandbox", func(ctx context.Context) error {
		_, err := c.client.SandboxStore().Create(ctx, sandbox.Sandbox{
			ID:        id,
			Runtime:   sandbox.RuntimeOpts{Name: c.config.Shim},
			Sandboxer: "podsandbox",
		})
		return err
	})
	if isUnimplemented(err) || errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func isUnimplemented(err error) bool {
	return errdefs.IsNotImplemented(err) || errdefs.IsNotImplemented(errgrpc.ToNative(err))
}

// shimOptions are the runc shim's.
func (c *Containers) shimOptions(r CreateRequest) (typeurl.Any, error) {
	runtime, ioOwner := r.Runtime, uint32(0)
	if r.IDs != nil {
		ioOwner = r.IDs.HostID // root in the container can open its own output again
	}
	if runtime == "" {
		runtime = c.config.Runtime
	}
	return typeurl.MarshalAny(&runcoptions.Options{
		BinaryName: runtime,
		Root:       c.config.RuntimeRoot,
		ShimCgroup: r.ShimCgroup,
		IoUid:      ioOwner,
		IoGid:      ioOwner,

		SystemdCgroup: c.config.SystemdCgroup,
	})
}
