package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Of a directory the files count that the daemon would read.
func TestFilesAt(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yml", "c.json", ".d.yaml", "#e.yaml", "~f.yaml", "g.yaml~", "h.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "i.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := filesAt(dir)
	if want := []string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yml"), filepath.Join(dir, "c.json")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := filesAt("-"); err != nil || !slices.Equal(got, []string{"-"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := filesAt(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there is taken")
	}
}
