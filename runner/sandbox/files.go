package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/tmpfs"
)

// What containers can write to of Solopod's own files lies on a file system of the pod's own: /run is small, and its being full concerns
// every pod, and the daemon.
const (
	// filesSize bounds what all files of a pod take up, in bytes. What a container writes there is memory of its own cgroup.
	filesSize = 8 << 20
	// filesMost bounds their number. Containers make none: three are the pod's, and one is each attempt's of a container.
	filesMost = 4096
)

// Files are what every container of a pod sees: path inside -> path on the host.
func (s *Sandboxes) Files(pod *v1.Pod) map[string]string {
	dir, out := s.files(pod).dir(), map[string]string{}
	for inside, name := range fileNames {
		out[inside] = filepath.Join(dir, name)
	}
	return out
}

var fileNames = map[string]string{"/etc/hosts": "hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": resolvConf}

// TerminationFile is where a container of a pod that is made now writes its termination message.
func TerminationFile(dirs layout.Dirs, uid, name string, attempt int) string {
	if (files{dirs, uid}).dir() == dirs.Files(uid) {
		return dirs.TerminationFile(uid, name, attempt)
	}
	return dirs.OldTerminationFile(uid, name, attempt)
}

// files are those of one pod that its containers can write to.
type files struct {
	dirs layout.Dirs
	uid  string
}

func (s *Sandboxes) files(pod *v1.Pod) files { return files{s.Dirs, string(pod.UID)} }

// dir is where they are. A pod of an earlier version that could get no file system of its own has them in its state directory.
func (f files) dir() string {
	dir := f.dirs.Files(f.uid)
	if !tmpfs.Mounted(dir) && exists(f.inState(fileNames["/etc/hosts"])) {
		return f.dirs.StateDir(f.uid)
	}
	return dir
}

// inState is a path in the pod's state directory, where earlier versions had these files, too.
func (f files) inState(name string) string { return filepath.Join(f.dirs.StateDir(f.uid), name) }

// makeFiles makes the files, empty.
func makeFiles(dir string) error {
	if err := mountFiles(dir); err != nil {
		return err
	}
	for _, name := range fileNames {
		f, err := foreign.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func mountFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if tmpfs.Mounted(dir) {
		return nil
	}
	options := fmt.Sprintf("mode=0700,size=%d,nr_inodes=%d", filesSize, filesMost)
	if err := tmpfs.Mount("files", dir, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("the pod's /etc/hosts and the like: %w", err)
	}
	return nil
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil
}

// HasFiles says whether the files are there. What lies in the state directory can be lost while the mounts below it, as those of
// the namespaces, stay.
func (s *Sandboxes) HasFiles(pod *v1.Pod) bool { return s.files(pod).complete() }

func (f files) complete() bool {
	dir := f.dir()
	if dir == f.dirs.Files(f.uid) && !tmpfs.Mounted(dir) {
		return false
	}
	for _, name := range fileNames {
		f, err := foreign.Open(filepath.Join(dir, name))
		if err != nil {
			return false
		}
		f.Close() //nolint:errcheck // only looked at
	}
	return true
}

// mendFiles makes files anew that were lost. What runs keeps what it has; its next attempt finds them.
func (s *Sandboxes) mendFiles(ctx context.Context, pod *v1.Pod, ips []string) error {
	f, dir := s.files(pod), s.Dirs.Files(string(pod.UID))
	switch {
	case !f.complete():
		slog.Warn("files of a pod were lost from the state directory; they are made anew", "pod", manifests.Key(pod))
		contents, _ := s.contents(ctx, pod, ips)
		if err := putFiles(dir, contents); err != nil {
			return err
		}
		_, err := s.writeFiles(ctx, pod, ips)
		return err
	case f.dir() != dir: // of an earlier version
		if err := f.move(dir); err != nil {
			slog.Warn("files of a pod that its containers can write to stay in the state directory, which they could fill, until the pod is made anew",
				"pod", manifests.Key(pod), "err", err)
		}
	}
	return nil
}

// mostOfFile bounds what is taken over of a file that containers can write to, in bytes.
const mostOfFile = 1 << 20

// move gives a pod of an earlier version its file system. What runs keeps the old files, and sees changes of its resolver
// configuration there; its next attempt has what was in them.
func (f files) move(dir string) (err error) {
	contents := map[string]string{}
	for _, name := range fileNames {
		content, err := foreign.ReadFile(f.inState(name), mostOfFile)
		if err != nil {
			return err
		}
		contents[name] = string(content)
	}
	defer func() {
		if err != nil { // half of them would count as lost
			err = errors.Join(err, tmpfs.Unmount(dir))
		}
	}()
	return putFiles(dir, contents)
}

// putFiles makes those that are missing, each at once with its content: after a crash an empty one would count as what it shall be.
func putFiles(dir string, contents map[string]string) error {
	if err := mountFiles(dir); err != nil {
		return err
	}
	for name, content := range contents {
		path := filepath.Join(dir, name)
		if exists(path) {
			continue
		}
		if err := durable.Replace(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// usage is what the files take up that all containers of a pod can write to.
func (f files) usage() int64 {
	var total int64
	for _, name := range fileNames {
		total += fileUsage(filepath.Join(f.dirs.Files(f.uid), name)) + fileUsage(f.inState(name))
	}
	return total
}

// messageUsage is what a container's termination message takes up.
func (f files) messageUsage(name string, attempt int) int64 {
	return fileUsage(f.dirs.TerminationFile(f.uid, name, attempt)) + fileUsage(f.dirs.OldTerminationFile(f.uid, name, attempt))
}

// fileUsage is what a file takes up, in bytes; nothing if it is not there.
func fileUsage(path string) int64 {
	const block = 512 // of st_blocks, whatever the file system's is (inode(7))
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Blocks * block
}
