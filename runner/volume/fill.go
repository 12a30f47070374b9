package volume

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/reference"
)

// dataLink is the link that is swapped when the content changes; who follows it sees all of the old or all of the new.
// Its name and those beside it are the kubelet's (pkg/volume/util/atomic_writer.go), which programs watch.
const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
)

// setUpFilled mounts the tmpfs of the pod's filled volumes, unless it is there: Secrets never reach a disk.
func (m Manager) setUpFilled(uid string) error {
	dir := m.filledDir(uid)
	if mounted(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,noswap"); err == nil {
		return nil
	}
	// Kernels before 6.4 know no noswap.
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711"); err != nil {
		return fmt.Errorf("cannot mount a tmpfs: %w", err)
	}
	return nil
}

// Refresh gives the pod's filled volumes their present content, in place.
func (m Manager) Refresh(pod *v1.Pod, files Files) error {
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !reference.Fills(v) {
			continue
		}
		if err := m.fillOne(pod, v, files); err != nil {
			errs = append(errs, fmt.Errorf("volume %q: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (m Manager) fillOne(pod *v1.Pod, v *v1.Volume, files Files) error {
	content, err := files(v)
	if err != nil {
		return err
	}
	dir := filepath.Join(m.filledDir(string(pod.UID)), v.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil { // the kubelet's mode of such volumes
		return err
	}
	return fill(dir, content, fsGroup(pod))
}

// fill makes dir show just these files. group owns them and may read what their owner may; nil means root's.
func fill(dir string, files map[string]reference.File, group *int64) error {
	if unchanged(dir, files) {
		return nil
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	version, err := os.MkdirTemp(dir, "..v")
	if err != nil {
		return err
	}
	if err := os.Chmod(version, 0o755); err != nil {
		return err
	}
	for name, file := range files {
		if err := writeFile(filepath.Join(version, name), file, group); err != nil {
			return errors.Join(err, os.RemoveAll(version))
		}
	}
	link := filepath.Join(dir, newDataLink)
	if err := os.RemoveAll(link); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Base(version), link); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	return errors.Join(linkNames(dir, files), removeOld(dir, old))
}

func writeFile(name string, file reference.File, group *int64) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, file.Data, 0o600); err != nil { //nolint:forbidigo // on a tmpfs, and not linked yet
		return err
	}
	mode, uid, gid := os.FileMode(file.Mode&0o777), 0, 0
	if file.User != nil {
		uid = int(*file.User)
	}
	if group != nil {
		gid = int(*group)
		mode |= 0o440
	}
	if err := os.Chown(name, uid, gid); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// unchanged: dir shows these files already, with these modes and owners.
func unchanged(dir string, files map[string]reference.File) bool {
	root := filepath.Join(dir, dataLink)
	count := 0
	for name, file := range files {
		data, err := os.ReadFile(filepath.Join(root, name))
		var st unix.Stat_t
		if err != nil || !bytes.Equal(data, file.Data) || unix.Stat(filepath.Join(root, name), &st) != nil ||
			int32(st.Mode&0o777)&^0o440 != file.Mode&0o777&^0o440 || file.User != nil && int64(st.Uid) != *file.User {
			return false
		}
		count++
	}
	shown := 0
	target, err := filepath.EvalSymlinks(root)
	if err != nil {
		return false
	}
	err = filepath.WalkDir(target, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			shown++
		}
		return err
	})
	return err == nil && shown == count
}

// linkNames makes the names that users see, which lead through dataLink, and takes those away that no longer are.
func linkNames(dir string, files map[string]reference.File) error {
	var names []string
	for name := range files {
		first, _, _ := strings.Cut(path.Clean(name), "/")
		names = append(names, first)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !slices.Contains(names, e.Name()) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	for _, name := range names {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func removeOld(dir, old string) error {
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}
