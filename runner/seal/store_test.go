package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
)

func newStore(t *testing.T, parent string) *Store {
	t.Helper()
	s := NewStore(filepath.Join(parent, "seal"), "/usr/libexec/solopod/solopod-unseal")
	t.Cleanup(func() {
		if err := s.Drop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The key is in memory, for root alone, wherever the state directory lies, and is made anew when it has gone.
func TestStore(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "seal")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(shm)
	for where, parent := range map[string]string{"a disk": onDisk(t), "memory": shm} {
		t.Run(where, func(t *testing.T) {
			s := newStore(t, parent)
			if _, err := s.Existing(); !errors.Is(err, ErrNoKey) {
				t.Errorf("before there is one: %v", err)
			}
			first := sealWith(t, s)
			var on unix.Statfs_t
			if err := unix.Statfs(keyFile(s.dir), &on); err != nil || on.Type != unix.TMPFS_MAGIC {
				t.Errorf("the key lies on %x, %v", on.Type, err)
			}
			for path, want := range map[string]os.FileMode{s.dir: os.ModeDir | 0o700, keyFile(s.dir): 0o600} {
				if info, err := os.Stat(path); err != nil || info.Mode() != want {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
			key, err := s.Existing()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := key.Open(first); err != nil {
				t.Errorf("the same key: %v", err)
			}
			if err := os.Truncate(keyFile(s.dir), 3); err != nil {
				t.Fatal(err)
			}
			if key, err = s.Key(); err != nil {
				t.Fatal(err)
			}
			if _, err := key.Open(first); !errors.Is(err, ErrNoKey) {
				t.Errorf("a new key: %v", err)
			}
			for range 2 {
				if err := s.Drop(); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Lstat(s.dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("after the drop: %v", err)
				}
			}
			if sealWith(t, s)[0] == first[0] {
				t.Error("the old key is back")
			}
		})
	}
}

// A key that cannot be read for a moment is not replaced.
func TestKeyIsKept(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, unix.EMFILE: false, unix.ENFILE: false, unix.ENOMEM: false, unix.EIO: false, unix.ENOENT: true, durable.ErrDamaged: true, errKeySize: true,
	} {
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrNoKey, err)
		}
		if useless(err) != want {
			t.Errorf("%v: %t", err, !want)
		}
	}
	s := newStore(t, onDisk(t))
	sealWith(t, s)
	before, err := os.ReadFile(keyFile(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.make(); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(keyFile(s.dir)); err != nil || !bytes.Equal(after, before) {
		t.Errorf("it is another one: %v", err)
	}
}

// onDisk is a directory that is not in memory: of a machine whose /tmp is, one below /var/tmp.
func onDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var on unix.Statfs_t
	err := unix.Statfs(dir, &on)
	if err == nil && on.Type == unix.TMPFS_MAGIC {
		if dir, err = os.MkdirTemp("/var/tmp", "seal"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			err = unix.Statfs(dir, &on)
		}
	}
	if err != nil || on.Type == unix.TMPFS_MAGIC {
		t.Fatalf("%s lies in memory, or is not to be had (%v); set TMPDIR to a directory of a disk", dir, err)
	}
	return dir
}

func sealWith(t *testing.T, s *Store) []string {
	t.Helper()
	key, err := s.Key()
	if err != nil {
		t.Fatal(err)
	}
	env, err := key.Seal(Process{Env: []string{"A=1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// Many at once get one key and one mount.
func TestStoreAtOnce(t *testing.T) {
	s := newStore(t, onDisk(t))
	var group sync.WaitGroup
	sealed := make([][]string, 50)
	for i := range sealed {
		group.Go(func() {
			sealed[i] = sealWith(t, s)
			if _, err := s.Runtime("runc"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	key, err := s.Existing()
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range sealed {
		if _, err := key.Open(env); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drop(); err != nil { // with one unmount
		t.Error(err)
	}
}

func TestRuntimeLinks(t *testing.T) {
	s := newStore(t, onDisk(t))
	for _, name := range []string{"runc", "/usr/local/bin/crun", "a%2Fb/c%"} {
		path, err := s.Runtime(name)
		if err != nil {
			t.Fatal(err)
		}
		dir, runtime := Called(path)
		target, err := os.Readlink(path)
		if dir != s.dir || runtime != name || target != s.program || err != nil {
			t.Errorf("%s: %s leads to %s (%v) and stands for %s in %s", name, path, target, err, runtime, dir)
		}
	}
	// A later start may name the directory in another way.
	by := filepath.Join(t.TempDir(), "by")
	if err := os.Symlink(filepath.Dir(s.dir), by); err != nil {
		t.Fatal(err)
	}
	if runtime, ok := NewStore(filepath.Join(by, filepath.Base(s.dir)), s.program).Calls(filepath.Join(s.dir, "runtimes/runc")); !ok || runtime != "runc" {
		t.Errorf("by a link it is %q, %t", runtime, ok)
	}
	if _, ok := NewStore(onDisk(t), s.program).Calls(filepath.Join(s.dir, "runtimes/runc")); ok {
		t.Error("another's directory counts as the store's")
	}
	// A newer version lies elsewhere, and what was made before is called by the same name.
	moved := NewStore(s.dir, "/elsewhere/solopod-unseal")
	path, err := moved.Runtime("runc")
	if err != nil {
		t.Fatal(err)
	}
	if target, _ := os.Readlink(path); target != moved.program {
		t.Errorf("it still leads to %s", target)
	}
}
