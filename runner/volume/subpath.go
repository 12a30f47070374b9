package volume

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

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
