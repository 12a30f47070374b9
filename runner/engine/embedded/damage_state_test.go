package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
)

// Whatever has become of the mount manager's directory, it is made anew, and nothing else is.
func TestMountsDamaged(t *testing.T) {
	cut := func(size int64) func(string) error {
		return func(path string) error { return os.Truncate(path, size) }
	}
	replaced := func(with func(path string) error) func(string) error {
		return func(path string) error { return errors.Join(os.RemoveAll(path), with(path)) }
	}
	file := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }
	for name, c := range map[string]struct {
		damage   func(path string) error
		inOrder  bool // it is seen after an orderly end, too
		harmless bool
	}{
		"good":         {damage: func(string) error { return nil }, harmless: true},
		"missing":      {damage: os.Remove, harmless: true},
		"one page":     {damage: cut(4096)},
		"two pages":    {damage: cut(8192)},
		"three pages":  {damage: cut(12288)},
		"zeros":        {damage: func(path string) error { return errors.Join(os.Truncate(path, 0), os.Truncate(path, 32768)) }},
		"garbage":      {damage: func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage", 5000)), 0o600) }},
		"a FIFO":       {damage: replaced(func(path string) error { return unix.Mkfifo(path, 0o600) }), inOrder: true},
		"a link":       {damage: replaced(func(path string) error { return os.Symlink(path, path) }), inOrder: true},
		"a directory":  {damage: replaced(func(path string) error { return os.MkdirAll(path+"/in", 0o700) }), inOrder: true},
		"no directory": {damage: func(path string) error { return replaced(file)(filepath.Dir(path)) }, inOrder: true},
		"a FIFO above it": {damage: func(path string) error {
			return replaced(func(p string) error { return unix.Mkfifo(p, 0o600) })(filepath.Dir(path))
		}, inOrder: true},
		"a file beside": {damage: func(path string) error { return file(filepath.Join(filepath.Dir(path), "t")) }, inOrder: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			config := Config{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Self: self(t)}
			meta := filepath.Join(config.Root, metadataDir, "meta.db")
			put(t, meta, "")
			database(t, meta)
			if err := makeMountDatabase(config.State); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(mountDatabase(config.State)); err != nil {
				t.Fatal(err)
			}
			if c.inOrder {
				put(t, mark(config.State), "")
			}
			message, err := setAside(config)
			if err != nil || strings.Contains(message, mountDir) == c.harmless || strings.Contains(message, "All of it") {
				t.Errorf("%q, %v", message, err)
			}
			if _, err := os.Stat(meta); err != nil {
				t.Error(err)
			}
			if err := makeMountDatabase(config.State); err != nil {
				t.Error(err)
			}
			db, err := bolt.Open(mountDatabase(config.State), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			if message, err := setAside(config); err != nil || message != "" {
				t.Errorf("the next start: %q, %v", message, err)
			}
		})
	}
}

// A database of root's and the mount manager's are told apart.
func TestBothDamaged(t *testing.T) {
	dir := t.TempDir()
	c := Config{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Self: self(t)}
	put(t, filepath.Join(c.Root, metadataDir, "meta.db"), "garbage")
	put(t, mountDatabase(c.State), "garbage")
	message, err := setAside(c)
	if err != nil || !strings.Contains(message, "meta.db") || !strings.Contains(message, "mounts.db") {
		t.Errorf("%q, %v", message, err)
	}
}

// On a full state directory the database is made whole or not at all.
func TestMountsOnAFullDisk(t *testing.T) {
	for left := range 5 {
		state := stuck.Small(t, 64)
		fill := filepath.Join(state, "fill")
		if err := os.WriteFile(fill, make([]byte, 64<<10-left*4096), 0o600); err != nil {
			t.Fatal(err)
		}
		err := makeMountDatabase(state)
		if _, there := os.Lstat(mountDatabase(state)); (err == nil) != (there == nil) || err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Errorf("with %d pages left: %v, and then %v", left, err, there)
		}
		if entries, err := os.ReadDir(filepath.Join(state, mountDir)); err != nil || len(entries) > 1 {
			t.Errorf("with %d pages left there is %v, %v", left, entries, err)
		}
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
		if err := makeMountDatabase(state); err != nil {
			t.Error(err)
		}
	}
}

// A bundle in which something else is in the place of a file that containerd reads has no shim any more.
func TestBundleDamaged(t *testing.T) {
	for _, name := range bundleFiles {
		c := Config{Root: filepath.Join(t.TempDir(), "root"), State: t.TempDir()}
		for _, id := range []string{"good", "bad"} {
			put(t, filepath.Join(namespaceDir(c.State), id, "bootstrap.json"), `{"version":3,"address":"unix:///s","protocol":"ttrpc"}`)
			put(t, filepath.Join(namespaceDir(c.State), id, "shim-binary-path"), "/shim")
		}
		path := filepath.Join(namespaceDir(c.State), "bad", name)
		if err := errors.Join(os.RemoveAll(path), unix.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		message, err := setAside(c)
		if err != nil || !strings.Contains(message, "/bad)") || strings.Contains(message, "/good") {
			t.Errorf("%s: %q, %v", name, message, err)
		}
		if list := readBundles(c.State); len(list) != 1 || list[0].id != "good" {
			t.Errorf("%s: the bundles are %v", name, list)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The state directory that is made with the database lets users of a pod's own through to their root file systems.
func TestMountDatabaseIsReached(t *testing.T) {
	state := filepath.Join(t.TempDir(), "containerd")
	if err := makeMountDatabase(state); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
