package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/engine/idmap"
)

// volumeLabel on a snapshot names the pod, by its UID, whose volume it is.
const volumeLabel = "io.solopod.volume"

// MountImage mounts the files of an image at target, read-only, as the volume name of the pod uid, for the users ids. The caller unmounts it, and
// then calls ReleaseImages; also after an error, as a mount that did not end in time may still be made.
func (s *Images) MountImage(ctx context.Context, image Image, uid, name, target string, ids *specs.LinuxIDMapping) error {
	snapshotter, key := s.client.SnapshotService(s.config.Snapshotter), "volume-"+uid+"-"+name
	labels := idmap.Labels(map[string]string{volumeLabel: uid, "containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)}, ids)
	var mounts []mount.Mount
	err := s.call(ctx, snapshotLimit, "look into image "+image.Name, func(ctx context.Context) (err error) {
		mounts, err = snapshotter.View(ctx, key, image.ChainID, snapshots.WithLabels(labels))
		if errdefs.IsAlreadyExists(err) {
			mounts, err = snapshotter.Mounts(ctx, key)
		}
		if err == nil {
			err = idmap.Check(mounts, ids)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.within(ctx, unpackedLimit, "mount image "+image.Name, func(context.Context) error {
		if err := idmap.Mount(mounts, target, ids); err != nil {
			return fmt.Errorf("cannot mount image %s: %w", image.Name, err)
		}
		return nil
	})
}

// ReleaseImages lets go of the images that MountImage mounted for a pod.
func (s *Images) ReleaseImages(ctx context.Context, uid string) error {
	snapshotter := s.client.SnapshotService(s.config.Snapshotter)
	var keys []string
	err := s.call(ctx, answerLimit, "list the images mounted as volumes", func(ctx context.Context) error {
		return snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			keys = append(keys, info.Name)
			return nil
		}, fmt.Sprintf("labels.%q==%s", volumeLabel, uid))
	})
	errs := []error{err}
	for _, key := range keys {
		errs = append(errs, s.remove(ctx, snapshotLimit, "let go of an image that was mounted", func(ctx context.Context) error {
			return snapshotter.Remove(ctx, key)
		}))
	}
	return errors.Join(errs...)
}
