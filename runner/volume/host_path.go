package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/runner/foreign"
)

// BoundsOf says how a volume of the pod is found, if it is a path of the host.
func (m Manager) BoundsOf(pod *v1.Pod, name string) policy.Bounds {
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Name == name && v.HostPath != nil && m.Bounds != nil {
			return m.Bounds(pod.Namespace, v.HostPath)
		}
	}
	return policy.Bounds{}
}

// setUpHostPath checks, and for the ...OrCreate types makes, the path. Modes are the kubelet's. An unset type checks
// nothing; a missing directory is then made when the container is created, as container runtimes do. Links are followed as far as bounds
// allow, and nothing is opened: other pods may have put anything there.
func setUpHostPath(h *v1.HostPathVolumeSource, bounds policy.Bounds) error {
	kind := v1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	path := onHost{h.Path, bounds}
	switch {
	case bounds.ReadOnly: // nothing is made where pods may only read
		if _, err := path.kind(); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s does not exist, and policy.hostPaths of the configuration lets pods only read there; make it", h.Path)
		}
	case kind == v1.HostPathUnset || kind == v1.HostPathDirectoryOrCreate:
		if _, err := path.kind(); errors.Is(err, os.ErrNotExist) {
			if err := path.makeDirectory(); err != nil {
				return err
			}
		}
	case kind == v1.HostPathFileOrCreate:
		if err := path.createFile(); err != nil {
			return err
		}
	}
	got, err := path.kind()
	if kind == v1.HostPathUnset {
		if bounds.Any() { // otherwise the container's creation says it
			return err
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	if want := plainType(kind); typeName(got) != want {
		return fmt.Errorf("hostPath type check failed: %s is a %s, not a %s", h.Path, typeName(got), want)
	}
	return nil
}

// onHost is a path of the host, and how it is found.
type onHost struct {
	path   string
	bounds policy.Bounds
}

// find finds what the path leads to. The caller closes it.
func (h onHost) find() (*os.File, error) {
	found, err := h.walk(false)
	if err != nil || !h.bounds.NoDevice {
		return found, h.explain(err)
	}
	kind, err := foreign.KindOf(found)
	if err == nil && (kind == foreign.CharDevice || kind == foreign.BlockDevice) {
		err = fmt.Errorf("%s is a device, and policy.devices of the configuration does not name it", h.path)
	}
	if err != nil {
		return nil, errors.Join(err, found.Close())
	}
	return found, nil
}

// walk goes from each root to the next, and on to the path, and lets no link lead out of where it is. It makes the directories that are
// missing if it shall.
func (h onHost) walk(create bool) (*os.File, error) {
	if len(h.bounds.Roots) == 0 {
		if create {
			if err := os.MkdirAll(h.path, 0o755); err != nil {
				return nil, err
			}
		}
		return foreign.FindFollowing(h.path)
	}
	at := h.bounds.Roots[0]
	found, err := foreign.FindFollowing(at)
	if errors.Is(err, os.ErrNotExist) && create {
		if err = os.MkdirAll(at, 0o755); err == nil {
			found, err = foreign.FindFollowing(at)
		}
	}
	for _, next := range append(h.bounds.Roots[1:len(h.bounds.Roots):len(h.bounds.Roots)], filepath.Clean(h.path)) {
		var rest string
		if err == nil {
			rest, err = filepath.Rel(at, next)
		}
		if err != nil {
			break
		}
		if rest != "." {
			found, err = below(found, rest, create)
		}
		at = next
	}
	if err != nil && found != nil {
		found.Close() //nolint:errcheck // only looked at
		found = nil
	}
	return found, err
}

// below finds name in a directory that was found, which it closes.
func below(found *os.File, name string, create bool) (*os.File, error) {
	dir, err := foreign.In(found, foreign.Beneath)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	if create {
		if err := dir.MkdirAll(name, 0o755); err != nil {
			return nil, err
		}
	}
	return dir.Find(name)
}

// explain says of what leads out of the roots why that matters.
func (h onHost) explain(err error) error {
	if errors.Is(err, foreign.ErrLeadsOut) {
		return fmt.Errorf("%s has a link that leads out of %s, which is what policy.hostPaths of the configuration allows; name the path that it leads to, if it is allowed, too",
			h.path, h.bounds.Roots[len(h.bounds.Roots)-1])
	}
	return err
}

func (h onHost) makeDirectory() error {
	found, err := h.walk(true)
	if err != nil {
		return h.explain(err)
	}
	return found.Close()
}

// createFile makes an empty file; its directory must exist, as with the kubelet.
func (h onHost) createFile() error {
	if _, err := h.kind(); err == nil {
		return nil // the type check says what is there
	}
	parent := onHost{filepath.Dir(filepath.Clean(h.path)), h.bounds}
	if len(h.bounds.Roots) > 0 && h.bounds.Roots[len(h.bounds.Roots)-1] == filepath.Clean(h.path) { // the file itself is what is allowed
		parent.bounds.Roots = h.bounds.Roots[:len(h.bounds.Roots)-1]
	}
	found, err := parent.find()
	if err != nil {
		return fmt.Errorf("FileOrCreate makes the file, not its directory: %w", err)
	}
	dir, err := foreign.In(found, foreign.NoLinks)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	f, err := dir.OpenFile(filepath.Base(h.path), os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil // the type check says what is there
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// kind is the kind of what the path leads to.
func (h onHost) kind() (foreign.Kind, error) {
	found, err := h.find()
	if err != nil {
		return 0, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	return foreign.KindOf(found)
}

func plainType(t v1.HostPathType) v1.HostPathType {
	switch t {
	case v1.HostPathDirectoryOrCreate:
		return v1.HostPathDirectory
	case v1.HostPathFileOrCreate:
		return v1.HostPathFile
	}
	return t
}

var types = map[foreign.Kind]v1.HostPathType{
	foreign.Directory: v1.HostPathDirectory, foreign.Regular: v1.HostPathFile, foreign.Socket: v1.HostPathSocket,
	foreign.CharDevice: v1.HostPathCharDev, foreign.BlockDevice: v1.HostPathBlockDev,
}

// typeName is the API's name of a kind, or for one that it does not know, as a FIFO, this program's.
func typeName(k foreign.Kind) v1.HostPathType {
	if name, ok := types[k]; ok {
		return name
	}
	return v1.HostPathType(k.String())
}
