package volume

import (
	"os"
	"path/filepath"
	"testing"
)

// The directories of an image's volumes are an attempt's own, begin empty, and go with it, or with the pod.
func TestImageDirs(t *testing.T) {
	m := Manager{Root: t.TempDir(), State: t.TempDir()}
	exists := func(path string) bool { _, err := os.Lstat(path); return err == nil }
	if dirs, err := m.MakeImageDirs("uid", "c", 0, 0); err != nil || len(dirs) != 0 || exists(m.ImageDirs("uid", "c", 0)) {
		t.Errorf("no volumes: %v, %v", dirs, err)
	}
	elsewhere := t.TempDir()
	for range 2 { // of a try that failed, too
		dirs, err := m.MakeImageDirs("uid", "c", 0, 2)
		if err != nil || len(dirs) != 2 {
			t.Fatal(dirs, err)
		}
		for _, dir := range dirs {
			entries, err := os.ReadDir(dir)
			info, serr := os.Stat(dir)
			if err != nil || serr != nil || len(entries) != 0 || info.Mode().Perm() != 0o755 {
				t.Errorf("%s: %v, %v, %v, %v", dir, entries, info.Mode(), err, serr)
			}
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(elsewhere, filepath.Join(dir, "link")); err != nil { // as a container may
				t.Fatal(err)
			}
		}
	}
	if _, err := m.MakeImageDirs("uid", "c", 1, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.RemoveImageDirs("uid", "c", 0); err != nil || exists(m.ImageDirs("uid", "c", 0)) || !exists(m.ImageDirs("uid", "c", 1)) || !exists(elsewhere) {
			t.Errorf("the removal of one attempt: %v", err)
		}
	}
	if err := m.TearDown("uid"); err != nil || exists(m.imageDirs("uid")) {
		t.Errorf("the end of the pod: %v", err)
	}
}
