// Package tmpfs mounts file systems in memory on directories of Solopod's own, and takes them away.
package tmpfs

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mount mounts one on a directory that exists. source is what lists of mounts call it; flags are those of mount(2), options the file
// system's (tmpfs(5)).
func Mount(source, dir string, flags uintptr, options string) error {
	if err := unix.Mount(source, dir, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("cannot mount a tmpfs on %s: %w", dir, err)
	}
	return nil
}

// MountUnswapped is Mount for what must not come to a disk. Kernels before 6.4 swap it all the same.
func MountUnswapped(source, dir string, flags uintptr, options string) error {
	if Mount(source, dir, flags, options+",noswap") == nil {
		return nil
	}
	return Mount(source, dir, flags, options)
}

// Mounted says whether a file system of its own is mounted at path. What lies around may be a tmpfs as well.
func Mounted(path string) bool {
	var here, above unix.Stat_t
	return unix.Lstat(path, &here) == nil && unix.Lstat(filepath.Dir(path), &above) == nil && here.Dev != above.Dev
}

// Unmount detaches the one at path, which is mounted nowhere else. Where there is none it does nothing.
func Unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)               //nolint:forbidigo // a tmpfs, of which this is the only place
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // EINVAL: not mounted
		return nil
	}
	return fmt.Errorf("cannot unmount %s: %w", path, err)
}
