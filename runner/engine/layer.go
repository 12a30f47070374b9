package engine

import (
	"context"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/solopod/solopod/runner/foreign"
)

// Usage is what a container's own layer takes up on the disk. It walks the layer, for as long as ctx allows.
func (c *Containers) Usage(ctx context.Context, id string) (foreign.Space, error) {
	snapshotter := c.client.SnapshotService(c.config.Snapshotter)
	var mounts []mount.Mount
	err := c.call(ctx, snapshotLimit, "find the container's layer", func(ctx context.Context) (err error) {
		mounts, err = snapshotter.Mounts(ctx, id)
		return err
	})
	if err != nil {
		return foreign.Space{}, err
	}
	if upper := upperDir(mounts); upper != "" {
		// Not by the snapshotter: a container shapes what is walked, and containerd's walk remembers each file, however many there are.
		dir, err := foreign.OpenDir(upper, foreign.NoLinks)
		if err != nil {
			return foreign.Space{}, err
		}
		defer dir.Close() //nolint:errcheck // only looked at
		return dir.Space(ctx)
	}
	var space foreign.Space
	err = c.call(ctx, snapshotLimit, "measure the container's layer", func(ctx context.Context) error {
		usage, err := snapshotter.Usage(ctx, id)
		space = foreign.Space{Bytes: usage.Size, Inodes: usage.Inodes}
		return err
	})
	return space, err
}

// upperDir is where a file system of overlays keeps what is written; empty for other kinds.
func upperDir(mounts []mount.Mount) string {
	if len(mounts) != 1 || mounts[0].Type != "overlay" {
		return ""
	}
	for _, o := range mounts[0].Options {
		if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
			return dir
		}
	}
	return ""
}
