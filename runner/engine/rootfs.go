package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// maxAccountFile bounds what is read of an image's /etc/passwd and /etc/group.
const maxAccountFile = 1 << 20

// ReadFiles reads small regular files of an image's root file system. A file that does not exist, is too large, or leads out of the
// image, is nil in the answer. One that is a FIFO or a device is an error: an OCI runtime opens it too, and would wait for ever.
func (s *Images) ReadFiles(ctx context.Context, image Image, names ...string) (files [][]byte, err error) {
	var read [][]byte
	err = s.view(ctx, unpackedLimit, "read files of image "+image.Name, image, func(root string) error {
		for _, name := range names {
			b, err := foreign.ReadIn(root, name, maxAccountFile)
			if kind := new(foreign.KindError); errors.As(err, &kind) && waits(kind.Got) {
				return fmt.Errorf("image %s cannot be run: its /%s is a %s", image.Name, name, kind.Got)
			}
			if err != nil {
				slog.Debug("a file of an image is not read", "image", image.Name, "file", name, "err", err)
			}
			read = append(read, b)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return read, nil
}

// CopyDirs copies directories of an image's root file system, with their owners, modes and attributes: from is to, an empty directory
// of the host. One that the image does not have stays empty. When it fails what was copied is of no use.
func (s *Images) CopyDirs(ctx context.Context, image Image, dirs map[string]string) error {
	return s.view(ctx, copyLimit, "copy volumes of image "+image.Name, image, func(root string) error {
		for from, to := range dirs {
			source, err := fs.RootPath(root, from) // no link leads out, and nobody changes an image
			if err != nil {
				return fmt.Errorf("cannot find %s in image %s: %w", from, image.Name, err)
			}
			info, err := os.Lstat(source)
			switch {
			case errors.Is(err, os.ErrNotExist):
				continue
			case err == nil && !info.IsDir():
				return fmt.Errorf("image %s cannot be run: its volume %s is not a directory there", image.Name, from)
			case err == nil:
				err = fs.CopyDir(to, source, fs.WithXAttrExclude("security.selinux")) // which the container's own label is for
			}
			if err != nil {
				return fmt.Errorf("cannot copy what image %s has in its volume %s: %w", image.Name, from, err)
			}
		}
		return nil
	})
}

// view mounts an image's root file system, read-only, for as long as use needs it.
func (s *Images) view(ctx context.Context, limit time.Duration, what string, image Image, use func(root string) error) error {
	ctx, done, err := s.lease(ctx)
	if err != nil {
		return err
	}
	defer done()
	snapshotter := s.client.SnapshotService(s.config.Snapshotter)
	key := "view-" + rand.Text()
	var mounts []mount.Mount
	err = s.call(ctx, snapshotLimit, "look into image "+image.Name, func(ctx context.Context) (err error) {
		mounts, err = snapshotter.View(ctx, key, image.ChainID)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := detached(ctx, undoLimit)
		defer cancel()
		if err := snapshotter.Remove(ctx, key); err != nil {
			slog.Warn("cannot remove the view of an image; it goes with its lease", "image", image.Name, "err", err)
		}
	}()
	return s.within(ctx, limit, what, func(ctx context.Context) error {
		return mount.WithReadonlyTempMount(ctx, mounts, use)
	})
}

// waits says whether opening something of this kind may wait for ever.
func waits(k foreign.Kind) bool {
	return k == foreign.FIFO || k == foreign.Socket || k == foreign.CharDevice || k == foreign.BlockDevice
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
