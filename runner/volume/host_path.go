package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/foreign"
)

// setUpHostPath checks, and for the ...OrCreate types makes, the path. Modes are the kubelet's. An unset type checks
// nothing; a missing directory is then made when the container is created, as container runtimes do. Links are followed, and nothing is
// opened: other pods may have put anything there.
func setUpHostPath(h *v1.HostPathVolumeSource) error {
	kind := v1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	switch kind {
	case v1.HostPathUnset:
		if _, err := typeOf(h.Path); errors.Is(err, os.ErrNotExist) {
			return os.MkdirAll(h.Path, 0o755)
		}
		return nil
	case v1.HostPathDirectoryOrCreate:
		if err := os.MkdirAll(h.Path, 0o755); err != nil {
			return err
		}
	case v1.HostPathFileOrCreate:
		if err := createFile(h.Path); err != nil {
			return err
		}
	}
	got, err := typeOf(h.Path)
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	if want := plainType(kind); typeName(got) != want {
		return fmt.Errorf("hostPath type check failed: %s is a %s, not a %s", h.Path, typeName(got), want)
	}
	return nil
}

// createFile makes an empty file; its directory must exist, as with the kubelet.
func createFile(path string) error {
	if _, err := typeOf(filepath.Dir(path)); err != nil {
		return fmt.Errorf("FileOrCreate makes the file, not its directory: %w", err)
	}
	f, err := foreign.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil // the type check says what is there
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// typeOf is the kind of what path leads to.
func typeOf(path string) (foreign.Kind, error) {
	found, err := foreign.FindFollowing(path)
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
