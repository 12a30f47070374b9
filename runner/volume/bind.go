package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/runner/foreign"
)

// Bind is a mount that is made for one container from a path of the host, because it is not to show just that.
type Bind struct {
	// Name tells it from the container's others.
	Name string
	// Source is a volume, or a file.
	Source string
	// SubPath is the part of Source that is shown; empty means all of it. The kernel resolves it, and lets no link lead out of
	// Source (openat2(2), RESOLVE_BENEATH); the mount then is of what was found, whatever a container does to the names
	// meanwhile. What does not exist is made, as a directory, unless Bounds let only read.
	SubPath string
	// Shared has what the container mounts in it appear in Source, and the other way round; else only that. It is for
	// Bidirectional propagation.
	Shared bool
	// Users is the path of the user namespace whose ids the files have in the mount (mount_setattr(2), MOUNT_ATTR_IDMAP);
	// empty leaves them the host's.
	Users string
	// Bounds say how Source is found.
	Bounds policy.Bounds
}

// LockedOptions are the options of a mount at path that cannot be dropped where it is seen from a user namespace
// (mount_namespaces(7)): a mount of it that changes others must repeat them, which runc before 1.2 does not do by itself.
func LockedOptions(path string) ([]string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return nil, err
	}
	var out []string
	if st.Flags&unix.ST_NOSUID != 0 {
		out = append(out, "nosuid")
	}
	if st.Flags&unix.ST_NODEV != 0 {
		out = append(out, "nodev")
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		out = append(out, "noexec")
	}
	return out, nil
}

// Bind makes the mount and returns where. ReleaseBinds takes it away.
func (m Manager) Bind(uid, container string, b Bind) (string, error) {
	found, err := onHost{b.Source, b.Bounds}.find()
	if err != nil {
		return "", err
	}
	if b.SubPath != "" {
		if found, err = findPart(found, b.SubPath, !b.Bounds.ReadOnly); err != nil {
			return "", fmt.Errorf("subPath %q: %w", b.SubPath, err)
		}
	}
	defer found.Close() //nolint:errcheck // only looked at
	kind, err := foreign.KindOf(found)
	if err != nil {
		return "", err
	}
	target := filepath.Join(m.bindDir(uid), container, b.Name)
	if err := m.releaseOne(target); err != nil { // of an earlier attempt
		return "", err
	}
	if err := makeMountPoint(target, kind == foreign.Directory); err != nil {
		return "", err
	}
	if b.Users != "" {
		err = mapUsers(int(found.Fd()), b.Users, target)
	} else {
		err = unix.Mount(foreign.ByDescriptor(int(found.Fd())), target, "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil && !b.Shared { // see detachTree
		err = unix.Mount("", target, "", unix.MS_SLAVE|unix.MS_REC, "")
	}
	if err != nil {
		return "", fmt.Errorf("cannot bind %s: %w", filepath.Join(b.Source, b.SubPath), err)
	}
	return target, nil
}

// mapUsers mounts what source is at target, with the ids of a user namespace. What is mounted below it keeps the host's, as
// with runc.
func mapUsers(source int, users, target string) error {
	namespace, err := foreign.OpenKernel(users, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer namespace.Close() //nolint:errcheck // only referred to
	tree, err := unix.OpenTree(source, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer unix.Close(tree) //nolint:errcheck // mounted, or of no use
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(namespace.Fd())}
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attributes)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("this kernel cannot show files of %s to a pod with other users (hostUsers: false; a tmpfs needs Linux 6.3): %w", fileSystemOf(source), err)
	}
	if err != nil {
		return err
	}
	return unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// fileSystemOf names the file system of an open file as well as it can.
func fileSystemOf(fd int) string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return "this file system"
	}
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return fmt.Sprintf("%d:%d", m.Major, m.Minor) != device, false
	})
	if err != nil || len(mounts) == 0 {
		return "this file system"
	}
	return "a " + mounts[0].FSType
}

func makeMountPoint(target string, dir bool) error {
	if dir {
		return os.MkdirAll(target, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	f, err := foreign.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// ReleaseBinds unmounts what Bind made for a container.
func (m Manager) ReleaseBinds(uid, container string) error {
	dir := filepath.Join(m.bindDir(uid), container)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, m.releaseOne(filepath.Join(dir, e.Name())))
	}
	return errors.Join(append(errs, os.Remove(dir))...)
}

func (m Manager) releaseOne(target string) error {
	if err := unmount(target); err != nil {
		return err
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// unmount detaches what is mounted at a path of the state directory; nothing may be.
func unmount(target string) error {
	dir, err := filepath.EvalSymlinks(filepath.Dir(target))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mounts, err := mountsIn([]string{filepath.Join(dir, filepath.Base(target))})
	if err != nil || len(mounts) == 0 {
		return err
	}
	parent, err := foreign.OpenDir(dir, foreign.NoLinks)
	if err != nil {
		return err
	}
	defer parent.Close() //nolint:errcheck // only looked at
	shared := slices.ContainsFunc(mounts, isShared)
	for range mounts { // as many at one place, at most
		if err := detachTree(parent, filepath.Base(target), shared); err != nil {
			return fmt.Errorf("cannot unmount %s: %w", target, err)
		}
	}
	return nil
}

func (m Manager) releaseAllBinds(uid string) error {
	entries, err := os.ReadDir(m.bindDir(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, m.ReleaseBinds(uid, e.Name()))
	}
	return errors.Join(append(errs, os.Remove(m.bindDir(uid)))...)
}
