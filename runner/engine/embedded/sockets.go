package embedded

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// freshSocket is younger than a shim that has bound its socket and does not listen yet can be.
	freshSocket = 5 * time.Second
	// dialLimit: who listens is connected at once, unless very many wait.
	dialLimit = 100 * time.Millisecond
)

// SweepSockets removes the sockets of shims that have ended. A shim removes its own by the name of its container, but one that several share is
// named after their group (containerd, pkg/shim/util_unix.go, cleanupSockets), so that each pod would leave one in the memory of a tmpfs.
func (s *Server) SweepSockets() { sweepSockets(socketDir(s.state), time.Now().Add(-freshSocket)) }

// sweepSockets removes the sockets of a directory that are older than a time and at which nobody listens. An empty name is that of
// containerd's own directory, which others use as well.
func sweepSockets(dir string, before time.Time) {
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // there was no shim yet
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Type() != fs.ModeSocket || info.ModTime().After(before) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		c, err := net.DialTimeout("unix", path, dialLimit)
		if err == nil {
			c.Close() //nolint:errcheck // nothing was sent
			continue
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			continue // it may listen
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.Debug("cannot remove the socket of a shim that has ended", "path", path, "err", err)
		}
	}
}
