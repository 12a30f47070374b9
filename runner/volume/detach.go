package volume

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// detach unmounts everything that is mounted at or below directories of a pod, the innermost first: its volumes in memory and images, and
// what a privileged container has mounted into a volume with Bidirectional propagation. What is mounted stays as it is where it
// comes from.
func detach(dirs ...string) error {
	var resolved []string // as the kernel lists them
	for _, dir := range dirs {
		path, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		resolved = append(resolved, path)
	}
	if len(resolved) == 0 {
		return nil
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return within(resolved, m.Mountpoint) == "", false })
	if err != nil {
		return fmt.Errorf("cannot list the mounts: %w", err)
	}
	slices.Reverse(mounts) // of several at one place the last is seen
	slices.SortStableFunc(mounts, func(a, b *mountinfo.Info) int { return cmp.Compare(len(b.Mountpoint), len(a.Mountpoint)) })
	var errs []error
	for _, m := range mounts {
		if err := detachOne(within(resolved, m.Mountpoint), m.Mountpoint); err != nil {
			errs = append(errs, fmt.Errorf("cannot unmount %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}

// within is the directory that path is in, or is; empty for none.
func within(dirs []string, path string) string {
	for _, dir := range dirs {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return dir
		}
	}
	return ""
}

// detachOne unmounts what is mounted at target, a place in dir. No link that a container may have put on the way meanwhile is followed.
func detachOne(dir, target string) error {
	above, err := foreign.OpenDir(filepath.Dir(dir), foreign.NoLinks)
	if err != nil {
		return err
	}
	defer above.Close() //nolint:errcheck // only looked at
	name, err := filepath.Rel(above.Name(), target)
	if err != nil {
		return err
	}
	found, err := above.Find(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // only looked at
	err = unix.Unmount(foreign.ByDescriptor(int(found.Fd())), unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) { // it went with another one
		return nil
	}
	return err
}

// remove unmounts what is mounted in directories of a pod and removes them. What cannot be unmounted is not removed.
func remove(dirs ...string) error {
	errs := []error{detach(dirs...)}
	for _, dir := range dirs {
		errs = append(errs, foreign.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
