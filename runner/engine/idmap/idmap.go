// Package idmap has containerd make file systems whose files belong to the users of a user namespace.
package idmap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Labels adds to the labels of a snapshot what asks the snapshotter for a file system whose files belong to the users of a user namespace.
func Labels(labels map[string]string, ids *specs.LinuxIDMapping) map[string]string {
	if ids != nil {
		mapping := option(ids)
		labels[snapshots.LabelSnapshotUIDMapping], labels[snapshots.LabelSnapshotGIDMapping] = mapping, mapping
	}
	return labels
}

func option(ids *specs.LinuxIDMapping) string {
	return fmt.Sprintf("%d:%d:%d", ids.ContainerID, ids.HostID, ids.Size)
}

// Check says whether the snapshotter has mapped them: one that cannot map ids ignores the labels. Root in such a container would own none of its files.
func Check(mounts []mount.Mount, ids *specs.LinuxIDMapping) error {
	for _, m := range mounts {
		if ids != nil && !slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "uidmap=") }) {
			return errors.New("containerd's snapshotter cannot map its files to other users (hostUsers: false): " +
				"that needs the overlayfs snapshotter of containerd 2, or Solopod's own, and Linux 5.19")
		}
	}
	return nil
}

// Mount mounts what a snapshotter returned for ids. containerd's own function does not map a read-only bind mount, which
// is what an image of one layer comes as.
func Mount(mounts []mount.Mount, target string, ids *specs.LinuxIDMapping) error {
	if ids == nil || len(mounts) != 1 || mounts[0].Type != "bind" {
		return mount.All(mounts, target)
	}
	users, err := mount.GetUsernsFD(option(ids), option(ids))
	if err != nil {
		return err
	}
	defer users.Close() //nolint:errcheck // only referred to
	return mount.IDMapMountWithAttrs(mounts[0].Source, target, int(users.Fd()), unix.MOUNT_ATTR_RDONLY, 0)
}
