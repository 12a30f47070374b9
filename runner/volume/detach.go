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

// detach unmounts everything that is mounted at or below directories of a pod: its volumes in memory and images, and what a privileged
// container has mounted into a volume with Bidirectional propagation. What is mounted stays as it is where it comes from. The outermost go
// first, and all that is mounted in them with them: nobody has to find a way through a file system that does not answer any more.
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
	mounts, err := mountsIn(resolved)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
		if err := detachOne(within(resolved, m.Mountpoint), m.Mountpoint, hasShared(mounts, m.Mountpoint)); err != nil {
			errs = append(errs, fmt.Errorf("cannot unmount %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}

// mountsIn are the mounts at or below directories without links in their paths: the outermost first, and of several at one place first the
// last, which is the one that is seen.
func mountsIn(dirs []string) ([]*mountinfo.Info, error) {
	if len(dirs) == 0 {
		return nil, nil
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return within(dirs, m.Mountpoint) == "", false })
	if err != nil {
		return nil, fmt.Errorf("cannot list the mounts: %w", err)
	}
	slices.Reverse(mounts)
	slices.SortStableFunc(mounts, func(a, b *mountinfo.Info) int { return cmp.Compare(len(a.Mountpoint), len(b.Mountpoint)) })
	return mounts, nil
}

// isShared: what happens in the mount happens in its copies too (proc_pid_mountinfo(5)).
func isShared(m *mountinfo.Info) bool { return strings.Contains(m.Optional, "shared:") }

// hasShared says whether one of the mounts at or below a place is.
func hasShared(mounts []*mountinfo.Info, place string) bool {
	return slices.ContainsFunc(mounts, func(m *mountinfo.Info) bool { return isShared(m) && within([]string{place}, m.Mountpoint) != "" })
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
func detachOne(dir, target string, shared bool) error {
	above, err := foreign.OpenDir(filepath.Dir(dir), foreign.NoLinks)
	if err != nil {
		return err
	}
	defer above.Close() //nolint:errcheck // only looked at
	name, err := filepath.Rel(above.Name(), filepath.Dir(target))
	if err != nil {
		return err
	}
	parent, err := above.Sub(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close() //nolint:errcheck // only looked at
	return detachTree(parent, filepath.Base(target), shared)
}

// detachTree unmounts what is mounted at a name in a directory, with all that is mounted in it; nothing may be. It asks nothing of what is
// mounted there, which may not answer, unless something of it is shared. Then that may be a copy of a directory of the machine, and the kernel would
// unmount what is mounted in the original as well (mount_namespaces(7), shared subtrees): it becomes a slave before, of which that is not so.
func detachTree(parent *foreign.Dir, name string, shared bool) (err error) {
	if shared {
		err = enslave(parent, name)
	}
	if err == nil {
		err = parent.Unmount(name)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, os.ErrNotExist) { // nothing is mounted, or it went with another one
		return nil
	}
	return err
}

func enslave(parent *foreign.Dir, name string) error {
	found, err := parent.FindLink(name)
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return unix.Mount("", foreign.ByDescriptor(int(found.Fd())), "", unix.MS_SLAVE|unix.MS_REC, "")
}

// remove unmounts what is mounted in directories of a pod and removes them. What cannot be unmounted is not removed.
func remove(dirs ...string) error {
	errs := []error{detach(dirs...)}
	for _, dir := range dirs {
		errs = append(errs, foreign.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
