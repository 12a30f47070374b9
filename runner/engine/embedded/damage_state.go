package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// mountDir is the mount manager's, below the state directory. Its database names mounts that containerd has made beside those of
// containers, which Solopod has no use for: it is of no worth, and bars the start when it is damaged.
const mountDir = "io.containerd.mount-manager.v1.bolt"

func mountDatabase(state string) string { return filepath.Join(state, mountDir, "mounts.db") }

// misshapenMounts says what of the mount manager's directory cannot be as containerd leaves it.
func misshapenMounts(state string) string {
	dir := filepath.Join(state, mountDir)
	for _, path := range []string{dir, filepath.Join(dir, "t")} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) && !isDirectory(path) {
			return fmt.Sprintf("%s is no directory", filepath.Base(path))
		}
	}
	if info, err := os.Lstat(mountDatabase(state)); !os.IsNotExist(err) && (err != nil || !info.Mode().IsRegular()) {
		return "mounts.db is no file"
	}
	return ""
}

// mountsAnew removes the mount manager's directory, and returns a message that says so. It is renamed first: whatever is mounted in it
// cannot be removed, and must not be in the way.
func mountsAnew(state, damage string) (message string, err error) {
	dir := filepath.Join(state, mountDir)
	aside := dir + durable.AsideSuffix
	_ = foreign.RemoveAll(aside) // an earlier one, which may be kept by a mount; the rename tells
	if err := os.Rename(dir, aside); err != nil {
		return "", fmt.Errorf("containerd's database of mounts is damaged (%s) and cannot be moved away: %w", damage, err)
	}
	_ = foreign.RemoveAll(aside) // the state directory may be full
	return fmt.Sprintf("containerd's database of mounts in %s is damaged (%s); it is made anew, and nothing is lost", dir, damage), nil
}

// makeMountDatabase makes the mount manager's database under another name until it is whole. containerd would leave a part of it where
// the state directory is full, which bars every later start.
func makeMountDatabase(state string) error {
	path := mountDatabase(state)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	building := path + ".new"
	err := os.MkdirAll(state, 0o711) // as containerd makes it: users of a pod's own reach their root file systems through it
	if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), foreign.RemoveAll(building)); err != nil {
		return fmt.Errorf("cannot make a database in the state directory: %w", err)
	}
	db, err := bolt.Open(building, 0o600, nil)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = os.Rename(building, path)
	}
	if err != nil {
		return fmt.Errorf("cannot make a database in the state directory, %s; make room there if it is full: %w", state, errors.Join(err, foreign.RemoveAll(building)))
	}
	return nil
}

// bundleFiles are those of a bundle that containerd reads when it starts. It waits for ever where one is a FIFO.
var bundleFiles = []string{"bootstrap.json", "shim-binary-path", "address"}

// clearBundles makes bundles of which such a file is none bundles of no shim: the shim is ended with what it runs (endStrays),
// containerd clears up, and the container is made anew. It returns a message that says so, or nothing.
func clearBundles(state string) (message string, err error) {
	entries, err := os.ReadDir(namespaceDir(state))
	if err != nil {
		return "", nil //nolint:nilerr // as a rule there is none; containerd makes it
	}
	var damaged []string
	for _, e := range entries {
		dir := filepath.Join(namespaceDir(state), e.Name())
		if !e.IsDir() || !anyIrregular(dir, bundleFiles) {
			continue
		}
		for _, name := range bundleFiles {
			if err := foreign.RemoveAll(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
				return "", fmt.Errorf("cannot remove what stands in the place of a file: %w", err)
			}
		}
		damaged = append(damaged, dir)
	}
	if len(damaged) == 0 {
		return "", nil
	}
	return fmt.Sprintf("what containerd keeps of running containers is damaged (no files are in %s); they are ended and made anew",
		strings.Join(damaged, ", ")), nil
}

func anyIrregular(dir string, names []string) bool {
	for _, name := range names {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && !info.Mode().IsRegular() {
			return true
		}
	}
	return false
}
