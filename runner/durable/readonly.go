package durable

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// IsReadOnly tries to write into dir, and says whether its file system refuses. Nothing else tells: what access(2) and statfs(2) say of a
// file system that has shut itself off differs from one kernel to the next. It waits for the disk.
func IsReadOnly(dir string) bool {
	probe := filepath.Join(dir, ".writable")
	err := Replace(probe, nil, 0o600)
	if err == nil {
		err = os.Remove(probe)
	}
	return errors.Is(err, unix.EROFS)
}
