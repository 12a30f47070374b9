package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
)

// takeAs locks a file as another process would: the lock is the open file's, not this process's.
func takeAs(t *testing.T, path string) (f *os.File, err error) {
	t.Helper()
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET})
}

// A second daemon is kept away from the first one's pods, also when the root has become read-only meanwhile.
func TestLock(t *testing.T) {
	c := config{Root: stuck.Small(t, 256), State: t.TempDir()}
	unlock, err := lock(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{c.Root, c.State} {
		other, err := takeAs(t, filepath.Join(dir, "lock"))
		if !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s is not locked: %v", dir, err)
		}
		other.Close() // which lets go of the daemon's lock too, as it is this process's
	}
	unlock()
	refused := func(dir, flag string) {
		t.Helper()
		other, err := takeAs(t, filepath.Join(dir, "lock"))
		if err != nil {
			t.Fatalf("%s is locked still: %v", dir, err)
		}
		defer other.Close()
		if unlock, err := lock(c); err == nil {
			unlock()
			t.Errorf("two daemons have %s", dir)
		} else if text := err.Error(); !strings.Contains(text, "another solopod runs on "+dir) || !strings.Contains(text, flag) {
			t.Error(err)
		}
	}
	refused(c.Root, "--root")
	refused(c.State, "--state")
	if err := unix.Mount("", c.Root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused(c.State, "--state")
	if unlock, err = lock(c); err != nil {
		t.Fatalf("a read-only root bars the start: %v", err)
	}
	unlock()
}
