package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// volumeLabel on a snapshot names the pod, by its UID, whose volume it is.
const volumeLabel = "io.solopod.volume"

// MountImage mounts the files of an image at target, read-only, as the volume name of the pod uid, for the users ids. The caller unmounts it, and
// then calls ReleaseImages.
func (e *Engine) MountImage(ctx context.Context, image Image, uid, name, target string, ids *specs.LinuxIDMapping) error {
	ctx = inNamespace(ctx)
	snapshotter, key := e.client.SnapshotService(e.config.Snapshotter), "volume-"+uid+"-"+name
	labels := idLabels(map[string]string{volumeLabel: uid, "containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)}, ids)
	mounts, err := snapshotter.View(ctx, key, image.ChainID, snapshots.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		mounts, err = snapshotter.Mounts(ctx, key)
	}
	if err == nil {
		err = checkMapped(mounts, ids)
	}
	if err != nil {
		return fmt.Errorf("cannot look into image %s: %w", image.Name, native(err))
	}
	if err := mountMapped(mounts, target, ids); err != nil {
		return fmt.Errorf("cannot mount image %s: %w", image.Name, err)
	}
	return nil
}

// ReleaseImages lets go of the images that MountImage mounted for a pod.
func (e *Engine) ReleaseImages(ctx context.Context, uid string) error {
	ctx = inNamespace(ctx)
	snapshotter := e.client.SnapshotService(e.config.Snapshotter)
	var keys []string
	err := snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		keys = append(keys, info.Name)
		return nil
	}, fmt.Sprintf("labels.%q==%s", volumeLabel, uid))
	if err != nil {
		return fmt.Errorf("cannot list the images mounted as volumes: %w", native(err))
	}
	var errs []error
	for _, key := range keys {
		if err := snapshotter.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cannot let go of an image that was mounted: %w", native(err)))
		}
	}
	return errors.Join(errs...)
}
