package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// maxAccountFile bounds what is read of an image's /etc/passwd and /etc/group.
const maxAccountFile = 1 << 20

// ReadFiles reads small regular files of an image's root file system. A file that does not exist is nil in the answer.
func (e *Engine) ReadFiles(ctx context.Context, image Image, names ...string) (files [][]byte, err error) {
	ctx, done, err := e.lease(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	snapshotter := e.client.SnapshotService(e.config.Snapshotter)
	key := "view-" + rand.Text()
	mounts, err := snapshotter.View(ctx, key, image.ChainID)
	if err != nil {
		return nil, fmt.Errorf("cannot look into image %s: %w", image.Name, native(err))
	}
	defer func() { err = errors.Join(err, snapshotter.Remove(context.WithoutCancel(ctx), key)) }()
	err = mount.WithReadonlyTempMount(ctx, mounts, func(dir string) error {
		root, err := os.OpenRoot(dir) // links inside the image cannot lead out of it
		if err != nil {
			return err
		}
		defer root.Close() //nolint:errcheck // only read from
		for _, name := range names {
			files = append(files, readSmall(root, name))
		}
		return nil
	})
	return files, err
}

// Usage is how many bytes of the disk a container's own layer takes.
func (e *Engine) Usage(ctx context.Context, id string) (int64, error) {
	usage, err := e.client.SnapshotService(e.config.Snapshotter).Usage(inNamespace(ctx), id)
	if err != nil {
		return 0, fmt.Errorf("cannot measure the container's layer: %w", native(err))
	}
	return usage.Size, nil
}

func readSmall(root *os.Root, name string) []byte {
	f, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // only read from
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxAccountFile))
	if err != nil {
		return nil
	}
	return b
}

// clearTempDir makes containerd's packages use dir for short-lived mounts, and unmounts what is left there.
func clearTempDir(dir string) error {
	if err := mount.SetTempMountLocation(dir); err != nil {
		return fmt.Errorf("cannot use %s for temporary mounts: %w", dir, err)
	}
	warnings, err := mount.CleanupTempMounts(unix.MNT_DETACH)
	if err = errors.Join(append(warnings, err)...); err != nil {
		return fmt.Errorf("cannot clear the temporary mounts of an earlier run: %w", err)
	}
	return nil
}
