package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
)

// While the root is read-only CNI's cache is a copy in the state directory, and what has become of it goes back when the root is not.
func TestCacheDir(t *testing.T) {
	root, state := stuck.Small(t, 256), t.TempDir()
	set := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", root, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string, names ...string) {
		t.Helper()
		dir, err := CacheDir(root, state)
		if err != nil || dir != want {
			t.Fatalf("it is %s, %v", dir, err)
		}
		entries, err := os.ReadDir(filepath.Join(dir, "results"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, "results", e.Name()))
			if err != nil || string(data) != "of "+e.Name() {
				t.Errorf("%s holds %q, %v", e.Name(), data, err)
			}
			got = append(got, e.Name())
		}
		if !slices.Equal(got, names) {
			t.Errorf("it has %v and not %v", got, names)
		}
	}
	add := func(dir, name string) {
		t.Helper()
		path := filepath.Join(dir, "results", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("of "+name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	kept, moved := filepath.Join(root, "cni"), filepath.Join(state, "cni")
	is(kept)
	add(kept, "a")
	add(kept, "b")
	is(kept, "a", "b")
	set(unix.MS_RDONLY)
	is(moved, "a", "b")
	add(moved, "c") // an ADD and a DEL meanwhile
	if err := os.Remove(filepath.Join(moved, "results", "a")); err != nil {
		t.Fatal(err)
	}
	is(moved, "b", "c")
	set(0)
	is(kept, "b", "c")
	set(unix.MS_RDONLY)
	is(moved, "b", "c")
	if err := os.RemoveAll(moved); err != nil { // a reboot
		t.Fatal(err)
	}
	is(moved, "b", "c")
}
