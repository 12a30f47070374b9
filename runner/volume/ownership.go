package volume

import (
	"os"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/foreign"
)

func fsGroup(pod *v1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// giveToGroup makes a volume the group's, as the kubelet does (pkg/volume/volume_linux.go): the group may read and write all
// of it, and what is made in it is the group's as well. onlyIfRootDiffers leaves a volume alone whose root is right. What containers have
// put there is not opened, links are not followed, and what is mounted there is left alone.
func giveToGroup(path string, group int64, onlyIfRootDiffers bool) error {
	dir, err := foreign.OpenDir(path, foreign.NoLinks)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	if onlyIfRootDiffers {
		if right, err := isGroups(dir, group); err != nil || right {
			return err
		}
	}
	return dir.Walk(true, func(_ string, found *os.File) error { return giveOne(found, group) })
}

// isGroups: may the group use the directory itself?
func isGroups(dir *foreign.Dir, group int64) (bool, error) {
	found, err := dir.Find(".")
	if err != nil {
		return false, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	st, err := foreign.Stat(found)
	if err != nil {
		return false, err
	}
	const wanted = unix.S_ISGID | 0o060
	return int64(st.Gid) == group && st.Mode&wanted == wanted, nil
}

// giveOne changes what was found, by its descriptor.
func giveOne(found *os.File, group int64) error {
	fd := int(found.Fd())
	st, err := foreign.Stat(found)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(fd, "", -1, int(group), unix.AT_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "chown", Path: found.Name(), Err: err}
	}
	mode := st.Mode&0o7777 | 0o660
	switch foreign.Kind(st.Mode & unix.S_IFMT) {
	case foreign.Link:
		return nil
	case foreign.Directory:
		mode |= 0o110 | unix.S_ISGID
	}
	if err := unix.Chmod(foreign.ByDescriptor(fd), mode); err != nil {
		return &os.PathError{Op: "chmod", Path: found.Name(), Err: err}
	}
	return nil
}

// giveEphemeral applies the pod's fsGroup to a volume that lives as long as the pod.
func giveEphemeral(pod *v1.Pod, dir string) error {
	group := fsGroup(pod)
	if group == nil {
		return nil
	}
	return giveToGroup(dir, *group, false)
}
