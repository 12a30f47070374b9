package volume

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/solopod/solopod/runner/foreign"
)

// MakeImageDirs makes a directory for each of n volumes that a container's image declares, empty ones. They belong to one attempt of the
// container, as with containerd's CRI, and what an earlier try has left there goes.
func (m Manager) MakeImageDirs(uid, container string, attempt, n int) ([]string, error) {
	if err := m.RemoveImageDirs(uid, container, attempt); err != nil || n == 0 {
		return nil, err
	}
	parent := m.ImageDirs(uid, container, attempt)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	dirs := make([]string, n)
	for i := range dirs {
		dirs[i] = filepath.Join(parent, strconv.Itoa(i))
		if err := os.Mkdir(dirs[i], 0o755); err != nil {
			return nil, err
		}
		if err := os.Chmod(dirs[i], 0o755); err != nil { // whatever the umask
			return nil, err
		}
	}
	return dirs, nil
}

// ImageDirs is the directory that holds those of an attempt; there is none when the image declares no volumes.
func (m Manager) ImageDirs(uid, container string, attempt int) string {
	return filepath.Join(m.imageDirs(uid), container, strconv.Itoa(attempt))
}

// RemoveImageDirs removes those of an attempt that is over. It can be repeated.
func (m Manager) RemoveImageDirs(uid, container string, attempt int) error {
	return foreign.RemoveAll(m.ImageDirs(uid, container, attempt))
}

func (m Manager) imageDirs(uid string) string { return filepath.Join(m.Root, uid, "image-volumes") }
