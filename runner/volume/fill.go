package volume

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/tmpfs"
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
	if tmpfs.Mounted(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return tmpfs.MountUnswapped("tmpfs", dir, unix.MS_NOSUID|unix.MS_NODEV, "mode=0700")
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
	if err := os.Chmod(dir, 0o755); err != nil { // earlier versions let others write, as the kubelet does; containers cannot, it is mounted read-only
		return err
	}
	return fill(dir, content, fsGroup(pod))
}

// fill makes a directory show just these files. group owns them and may read what their owner may; nil means root's.
func fill(path string, files map[string]reference.File, group *int64) error {
	dir, err := foreign.OpenDir(path, foreign.Beneath) // of an earlier version others could write to it
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	if unchanged(dir, files) {
		return nil
	}
	old, err := dir.Readlink(dataLink)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	version := "..v" + rand.Text()
	if err := dir.Mkdir(version, 0o755); err != nil {
		return err
	}
	for name, file := range files {
		if err := writeFile(dir, filepath.Join(version, name), file, group); err != nil {
			return errors.Join(err, dir.RemoveAll(version))
		}
	}
	if err := dir.RemoveAll(newDataLink); err != nil {
		return err
	}
	if err := dir.Symlink(version, newDataLink); err != nil {
		return err
	}
	if err := dir.Rename(newDataLink, dataLink); err != nil {
		return err
	}
	return errors.Join(linkNames(dir, files), removeOld(dir, old))
}

func writeFile(dir *foreign.Dir, name string, file reference.File, group *int64) error {
	if err := dir.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // on a tmpfs, and not linked yet: a crash leaves no half of it
	if err != nil {
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
	_, err = f.Write(file.Data)
	return errors.Join(err, f.Chown(uid, gid), f.Chmod(mode), f.Close())
}

// unchanged: the directory shows these files already, with these modes and owners.
func unchanged(dir *foreign.Dir, files map[string]reference.File) bool {
	shown, err := dir.Sub(dataLink)
	if err != nil {
		return false
	}
	defer shown.Close() //nolint:errcheck // only looked at
	for name, file := range files {
		if !shows(shown, name, file) {
			return false
		}
	}
	count := 0
	err = shown.Walk(true, func(_ string, found *os.File) error {
		kind, err := foreign.KindOf(found)
		if kind != foreign.Directory {
			count++
		}
		return err
	})
	return err == nil && count == len(files)
}

func shows(dir *foreign.Dir, name string, want reference.File) bool {
	f, err := dir.Open(name)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read from
	data, err := foreign.ReadAll(f, int64(len(want.Data)))
	var st unix.Stat_t
	return err == nil && bytes.Equal(data, want.Data) && unix.Fstat(int(f.Fd()), &st) == nil &&
		int32(st.Mode&0o777)&^0o440 == want.Mode&0o777&^0o440 && (want.User == nil || int64(st.Uid) == *want.User)
}

// linkNames makes the names that users see, which lead through dataLink, and takes everything else away.
func linkNames(dir *foreign.Dir, files map[string]reference.File) error {
	var names []string
	for name := range files {
		first, _, _ := strings.Cut(path.Clean(name), "/")
		names = append(names, first)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	entries, err := os.ReadDir(dir.Name())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !slices.Contains(names, e.Name()) {
			errs = append(errs, dir.RemoveAll(e.Name()))
		}
	}
	for _, name := range names {
		errs = append(errs, linkName(dir, name))
	}
	return errors.Join(errs...)
}

// linkName makes one name. What else is there, others have put there.
func linkName(dir *foreign.Dir, name string) error {
	target := filepath.Join(dataLink, name)
	found, err := dir.FindLink(name)
	if errors.Is(err, os.ErrNotExist) {
		return dir.Symlink(target, name)
	}
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // only looked at
	if is, err := foreign.Readlink(found); err == nil && is == target {
		return nil
	}
	return errors.Join(dir.RemoveAll(name), dir.Symlink(target, name))
}

func removeOld(dir *foreign.Dir, old string) error {
	if old == "" {
		return nil
	}
	return dir.RemoveAll(filepath.Base(old))
}
