package seal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/tmpfs"
	"github.com/solopod/solopod/runner/turn"
)

// Store is the directory with the key, which is in memory, and with the names by which shims call OCI runtimes:
//
//	key              the key of this boot; who has it can read what containerd's database hides
//	runtimes/<name>  links to solopod-unseal, which runs the OCI runtime of that name
//
// It is made when it is needed first, and made anew when it has gone: then what was sealed before stays sealed for ever.
type Store struct {
	dir, program string
	turn         turn.Turn // one at a time makes the directory
}

// patience is how long one waits for what another does in the store, which lies in memory.
const patience = 10 * time.Second

func newTurn() turn.Turn {
	return turn.New(patience, errors.New("what is done with the key to the values of Secrets does not end: does the file system of the state directory answer?"))
}

// NewStore makes nothing yet. dir is made when it is needed; program is the path of solopod-unseal.
func NewStore(dir, program string) *Store {
	return &Store{dir: dir, program: program, turn: newTurn()}
}

// Key returns the store's key, and makes one if there is none.
func (s *Store) Key() (*Key, error) {
	if key, err := ReadKey(s.dir); err == nil {
		return key, nil
	}
	give, err := s.turn.Take(context.Background())
	if err != nil {
		return nil, err
	}
	defer give()
	if err := s.make(); err != nil {
		return nil, fmt.Errorf("cannot make the key that keeps the values of Secrets from the disk: %w", err)
	}
	return ReadKey(s.dir)
}

// Existing is the store's key, or ErrNoKey.
func (s *Store) Existing() (*Key, error) { return ReadKey(s.dir) }

// make makes the directory and a key, unless there is one that is whole.
func (s *Store) make() error {
	if err := inMemory(s.dir); err != nil {
		return err
	}
	if _, err := ReadKey(s.dir); !useless(err) {
		return err // nil: another has made it
	}
	raw := make([]byte, keySize)
	rand.Read(raw) // it does not fail
	return durable.Replace(keyFile(s.dir), raw, 0o600)
}

// useless says of an error of ReadKey that there is no key, or no whole one. For another, as with too many open files, the key may be read
// the next time, and must not be replaced: what was sealed with it would be lost.
func useless(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrDamaged) || errors.Is(err, errKeySize)
}

// inMemory makes the directory, for root alone, and mounts a file system for it where its own is on a disk.
func inMemory(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var on unix.Statfs_t
	if err := unix.Statfs(dir, &on); err != nil {
		return fmt.Errorf("cannot ask for the file system of %s: %w", dir, err)
	}
	if on.Type == unix.TMPFS_MAGIC || on.Type == unix.RAMFS_MAGIC {
		return os.Chmod(dir, 0o700)
	}
	return tmpfs.MountUnswapped("tmpfs", dir, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700,size=256k")
}

// Runtime returns the path by which a shim calls an OCI runtime, a name in its PATH or a path, so that what is sealed is opened.
func (s *Store) Runtime(name string) (path string, err error) {
	path = filepath.Join(s.dir, "runtimes", escape(name))
	if target, err := os.Readlink(path); err == nil && target == s.program {
		return path, nil
	}
	give, err := s.turn.Take(context.Background())
	if err != nil {
		return "", err
	}
	defer give()
	err = inMemory(s.dir)
	if err == nil {
		if err = os.Mkdir(filepath.Dir(path), 0o700); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err == nil {
		err = Link(s.program, path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot make the link by which the OCI runtime %s is called: %w", name, err)
	}
	return path, nil
}

// Link makes a link at path, or lets the one that is there lead to another target, at once.
func Link(target, path string) error {
	building := path + ".new"
	if err := os.Remove(building); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, building); err != nil {
		return err
	}
	return os.Rename(building, path)
}

// Drop removes the key and all that is in the store: nothing that is sealed is needed any more. Nobody may use the store meanwhile.
func (s *Store) Drop() error {
	if _, err := os.Lstat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := tmpfs.Unmount(s.dir); err != nil {
		return fmt.Errorf("the directory of the key to Secrets: %w", err)
	}
	return foreign.RemoveAll(s.dir)
}

// Names of runtimes are paths too, and one of a link has no slash.
var escaping, unescaping = strings.NewReplacer("%", "%25", "/", "%2F"), strings.NewReplacer("%25", "%", "%2F", "/")

func escape(name string) string { return escaping.Replace(name) }

// Calls says whether a path is one that Runtime has returned, and of which OCI runtime.
func (s *Store) Calls(path string) (runtime string, ok bool) {
	dir, runtime := Called(path)
	if dir != s.dir && !sameDirectory(dir, s.dir) {
		return "", false
	}
	return runtime, true
}

// sameDirectory: the state directory may be named by another way than before, as /var/run by /run.
func sameDirectory(a, b string) bool {
	ofA, err := os.Stat(a)
	if err != nil {
		return false
	}
	ofB, err := os.Stat(b)
	return err == nil && os.SameFile(ofA, ofB)
}

// Called says, by the path under which solopod-unseal was called, where the store is and which OCI runtime is meant.
func Called(path string) (dir, runtime string) {
	return filepath.Dir(filepath.Dir(path)), unescaping.Replace(filepath.Base(path))
}
