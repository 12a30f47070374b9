package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// BindSubPath makes the part sub of a volume a mount of its own and returns where. The kernel resolves sub, and lets no
// link lead out of the volume (openat2(2), RESOLVE_BENEATH); the mount then is of what was found, whatever a
// container does to the names meanwhile. What does not exist is made, as a directory.
func (m Manager) BindSubPath(uid, container string, index int, volume, sub string) (string, error) {
	root, err := unix.Open(volume, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("cannot open the volume: %w", err)
	}
	defer unix.Close(root) //nolint:errcheck // only looked at
	found, err := openBeneath(root, sub)
	if err != nil {
		return "", fmt.Errorf("subPath %q: %w", sub, err)
	}
	defer unix.Close(found) //nolint:errcheck // only looked at
	var st unix.Stat_t
	if err := unix.Fstat(found, &st); err != nil {
		return "", err
	}
	target := filepath.Join(m.subPathDir(uid), container, strconv.Itoa(index))
	if err := m.releaseOne(target); err != nil { // of an earlier attempt
		return "", err
	}
	if err := makeMountPoint(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return "", err
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(found), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("cannot bind subPath %q: %w", sub, err)
	}
	return target, nil
}

func makeMountPoint(target string, dir bool) error {
	if dir {
		return os.MkdirAll(target, 0o711)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o711); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// openBeneath opens a path below root and makes the directories of it that are missing.
func openBeneath(root int, sub string) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return -1, err
	}
	parts := strings.Split(filepath.Clean(sub), "/")
	for n := 1; n <= len(parts); n++ {
		fd, err := openat2(root, filepath.Join(parts[:n]...))
		if errors.Is(err, unix.ENOENT) {
			if err := makeBeneath(root, parts[:n], st.Mode&0o7777); err != nil {
				return -1, err
			}
			fd, err = openat2(root, filepath.Join(parts[:n]...))
		}
		switch {
		case errors.Is(err, unix.EXDEV):
			return -1, errors.New("it leads out of the volume")
		case errors.Is(err, unix.ENOTDIR):
			return -1, fmt.Errorf("%q is not a directory", filepath.Join(parts[:n-1]...))
		case err != nil:
			return -1, err
		case n == len(parts):
			return fd, nil
		}
		unix.Close(fd) //nolint:errcheck // only looked at
	}
	return -1, unix.ENOENT
}

func openat2(root int, path string) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS})
}

// makeBeneath makes the last of parts, with the volume's own mode.
func makeBeneath(root int, parts []string, mode uint32) error {
	parent := root
	if len(parts) > 1 {
		fd, err := openat2(root, filepath.Join(parts[:len(parts)-1]...))
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // only looked at
		parent = fd
	}
	name := parts[len(parts)-1]
	if err := unix.Mkdirat(parent, name, mode); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)         //nolint:errcheck // only changed
	return unix.Fchmod(fd, mode) // whatever the umask
}

// ReleaseSubPaths unmounts what BindSubPath made for a container.
func (m Manager) ReleaseSubPaths(uid, container string) error {
	dir := filepath.Join(m.subPathDir(uid), container)
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

// unmount detaches what is mounted at a path; nothing may be.
func unmount(target string) error {
	err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot unmount %s: %w", target, err)
	}
	return nil
}

func (m Manager) releaseAllSubPaths(uid string) error {
	entries, err := os.ReadDir(m.subPathDir(uid))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, m.ReleaseSubPaths(uid, e.Name()))
	}
	return errors.Join(append(errs, os.Remove(m.subPathDir(uid)))...)
}
