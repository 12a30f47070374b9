package embedded

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Sockets at which nobody listens go; those of shims that live, or only begin, and whatever else lies there stay.
func TestSweepSockets(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "sp") // paths of unix sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"lives", "ended", "begins"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if name == "lives" {
			defer l.Close()
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lives", "ended", "file"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	sweepSockets(dir, time.Now().Add(-time.Minute))
	for name, stays := range map[string]bool{"lives": true, "ended": false, "begins": true, "file": true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	sweepSockets("", time.Now())
	sweepSockets(filepath.Join(dir, "none"), time.Now())
}
