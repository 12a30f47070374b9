package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
)

// setUpHostPath checks, and for the ...OrCreate types makes, the path. Modes are the kubelet's. An unset type checks
// nothing; a missing directory is then made when the container is created, as container runtimes do.
func setUpHostPath(h *v1.HostPathVolumeSource) error {
	kind := v1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	switch kind {
	case v1.HostPathUnset:
		if _, err := os.Stat(h.Path); errors.Is(err, os.ErrNotExist) {
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
	info, err := os.Stat(h.Path)
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	if got := hostPathType(info.Mode()); got != plainType(kind) {
		return fmt.Errorf("hostPath type check failed: %s is a %s, not a %s", h.Path, got, plainType(kind))
	}
	return nil
}

// createFile makes an empty file; its directory must exist, as with the kubelet.
func createFile(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("FileOrCreate makes the file, not its directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if errors.Is(err, os.ErrExist) || err != nil && isDir(path) {
		return nil // something else is there; the type check says what
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
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

func hostPathType(m os.FileMode) v1.HostPathType {
	switch {
	case m.IsDir():
		return v1.HostPathDirectory
	case m.IsRegular():
		return v1.HostPathFile
	case m&os.ModeSocket != 0:
		return v1.HostPathSocket
	case m&os.ModeCharDevice != 0:
		return v1.HostPathCharDev
	case m&os.ModeDevice != 0:
		return v1.HostPathBlockDev
	}
	return "something else"
}
