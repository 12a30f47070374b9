package embedded

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/solopod/solopod/runner/foreign"
)

// Names below containerd's root and state directories (its plugins' URIs).
const (
	metadataDir = "io.containerd.metadata.v1.bolt"
	overlayDir  = "io.containerd.snapshotter.v1.overlayfs"
	contentDir  = "io.containerd.content.v1.content"
	taskDir     = "io.containerd.runtime.v2.task"
	sandboxDir  = "io.containerd.sandbox.controller.v1.shim"
)

// misshapen says what of containerd's root cannot be as containerd leaves it: another kind of file, or a database that is gone while
// what it describes is there. containerd would begin a new one, and trip over the old parts from then on.
func misshapen(root string) string {
	switch info, err := os.Stat(root); { // it may be a link to another disk
	case os.IsNotExist(err):
		return ""
	case err != nil:
		return err.Error()
	case !info.IsDir():
		return fmt.Sprintf("%s is no directory", root)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		if ok, _ := filepath.Match("io.containerd.*", e.Name()); ok && !isDirectory(filepath.Join(root, e.Name())) {
			return fmt.Sprintf("%s is no directory", e.Name())
		}
	}
	databases, err := databasesOf(root)
	if err != nil {
		return err.Error()
	}
	for _, path := range databases {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			return fmt.Sprintf("%s is no file", filepath.Base(path))
		}
	}
	snapshots := filled(filepath.Join(root, overlayDir, "snapshots"))
	for path, described := range map[string]bool{
		filepath.Join(root, metadataDir, "meta.db"):    snapshots || filled(filepath.Join(root, contentDir, "blobs", "sha256")),
		filepath.Join(root, overlayDir, "metadata.db"): snapshots,
	} {
		if _, err := os.Lstat(path); described && os.IsNotExist(err) {
			return fmt.Sprintf("%s is missing", filepath.Base(path))
		}
	}
	return ""
}

// isDirectory: a link to one is good too; one of the parts may lie on another disk.
func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func filled(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}

// clearState removes what stands where containerd wants a directory or a socket of its own in its state directory.
func clearState(state string, sockets ...string) error {
	for _, path := range sockets { // one that a killed server left behind would be refused by bind
		if err := foreign.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot remove the stale socket %s: %w", path, err)
		}
	}
	sandboxes := filepath.Join(state, sandboxDir)
	for _, dir := range []string{state, filepath.Join(state, taskDir), namespaceDir(state), sandboxes, filepath.Join(state, "s")} {
		if _, err := os.Lstat(dir); err == nil && !isDirectory(dir) {
			if err := os.Remove(dir); err != nil {
				return fmt.Errorf("cannot remove what stands in the place of a directory: %w", err)
			}
		}
	}
	return nil
}
