package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// Links is the directory, /var/log/containers, whose links log shippers follow. A link is called
// <pod>_<namespace>_<container>-<id>.log, as a kubelet's (pkg/kubelet/kuberuntime, logSymlink).
type Links struct{ Root string }

// idLength is the number of hex digits of a container's id.
const idLength = 64

// Link makes the link of a container to its log, and removes those of the container's earlier attempts.
func (l Links) Link(pod, namespace, container, id, target string) error {
	if err := os.MkdirAll(l.Root, 0o755); err != nil {
		return err
	}
	name := pod + "_" + namespace + "_" + container + "-" + id + ".log"
	err := l.remove(func(p, ns, c, i, _ string) bool { return p == pod && ns == namespace && c == container && i != id })
	if there, rerr := os.Readlink(filepath.Join(l.Root, name)); rerr == nil && there == target {
		return err
	}
	if rerr := os.Remove(filepath.Join(l.Root, name)); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return errors.Join(err, os.Symlink(target, filepath.Join(l.Root, name)))
}

// UnlinkPod removes the links of a pod whose logs are, or were, in dir. A pod that has followed under the same name keeps its own.
func (l Links) UnlinkPod(pod, namespace, dir string) error {
	return l.remove(func(p, ns, _, _, link string) bool {
		if p != pod || ns != namespace {
			return false
		}
		target, err := os.Readlink(link)
		return err != nil || strings.HasPrefix(target, dir+"/")
	})
}

// parseLink divides a link's name. A pod's and a namespace's name hold no underscore.
func parseLink(name string) (pod, namespace, container, id string, ok bool) {
	name, ok = strings.CutSuffix(name, ".log")
	parts := strings.Split(name, "_")
	if !ok || len(parts) != 3 || len(parts[2]) < idLength+2 {
		return "", "", "", "", false
	}
	at := len(parts[2]) - idLength
	container, id = parts[2][:at], parts[2][at:]
	container, ok = strings.CutSuffix(container, "-")
	if !ok || strings.Trim(id, "0123456789abcdef") != "" {
		return "", "", "", "", false
	}
	return parts[0], parts[1], container, id, true
}

// remove removes the links that which selects; what is no link is not touched.
func (l Links) remove(which func(pod, namespace, container, id, link string) bool) error {
	dir, err := foreign.OpenDirectoryFollowing(l.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for links to logs: %w", err)
	}
	defer dir.Close() //nolint:errcheck // only read from
	var errs []error
	for {
		entries, err := dir.ReadDir(256)
		for _, e := range entries {
			pod, namespace, container, id, ok := parseLink(e.Name())
			if !ok || e.Type() != fs.ModeSymlink || !which(pod, namespace, container, id, filepath.Join(l.Root, e.Name())) {
				continue
			}
			if err := unix.Unlinkat(int(dir.Fd()), e.Name(), 0); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, &os.PathError{Op: "remove", Path: filepath.Join(l.Root, e.Name()), Err: err})
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}
	}
}
