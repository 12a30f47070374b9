package volume

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	v1 "k8s.io/api/core/v1"
)

func fsGroup(pod *v1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// giveToGroup makes a volume the group's, as the kubelet does (pkg/volume/volume_linux.go): the group may read and write all
// of it, and what is made in it is the group's as well. onlyIfRootDiffers leaves a volume alone whose root is right.
func giveToGroup(dir string, group int64, onlyIfRootDiffers bool) error {
	if onlyIfRootDiffers {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && int64(st.Gid) == group && info.Mode()&os.ModeSetgid != 0 && info.Mode().Perm()&0o060 == 0o060 {
			return nil
		}
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, int(group)); err != nil {
			return err
		}
		if info.Mode()&os.ModeSymlink != 0 {
			return nil
		}
		mode := info.Mode() | 0o660
		if info.IsDir() {
			mode |= 0o110 | os.ModeSetgid
		}
		return os.Chmod(path, mode)
	})
}

// giveEphemeral applies the pod's fsGroup to a volume that lives as long as the pod.
func giveEphemeral(pod *v1.Pod, dir string) error {
	group := fsGroup(pod)
	if group == nil {
		return nil
	}
	return giveToGroup(dir, *group, false)
}
