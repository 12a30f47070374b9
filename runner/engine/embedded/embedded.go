// Package embedded runs a containerd server inside the process.
//
// Only what Solopod uses is linked in: metadata, content, the overlay and native snapshotters, tasks, leases, events
// and garbage collection. There is no CRI plugin. containerd gives no promise of a stable API for its server package,
// so nothing outside this package imports it.
package embedded

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	_ "github.com/containerd/containerd/api/types/runc/options" // the runtime options must be known to typeurl
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/content/local/plugin"
	_ "github.com/containerd/containerd/v2/plugins/diff/walking/plugin"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/server/grpc"
	_ "github.com/containerd/containerd/v2/plugins/server/ttrpc"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/healthcheck"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/version"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/overlay/plugin"
)

// Config says where the server keeps its data.
type Config struct {
	// Root holds images and snapshots; it must survive a reboot.
	Root string
	// State holds sockets and the bundles of running containers; it should lie on a tmpfs.
	State string
	// Self is the program itself, which is run once more to look at databases (CheckCommand).
	Self string
	// Log receives containerd's own messages of level error and above, as text lines.
	Log io.Writer
}

// Server is a running containerd.
type Server struct {
	// Address is the path of its gRPC socket.
	Address string
	// SetAside says what was found damaged and where it was put; empty when nothing was.
	SetAside string
	srv      *server.Server
	state    string
}

// Start boots containerd; it serves on Address when Start returns. The caller owns the Server and must Stop it.
// Containers that an earlier server started are adopted.
func Start(ctx context.Context, c Config) (*Server, error) {
	address := filepath.Join(c.State, "containerd.sock")
	config := &srvconfig.Config{
		Version: version.ConfigVersion,
		Root:    c.Root,
		State:   c.State,
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":  map[string]any{"address": address},
			"io.containerd.server.v1.ttrpc": map[string]any{"address": address + ".ttrpc"},
			"io.containerd.shim.v1.manager": map[string]any{"socket_dir": socketDir(c.State)},
			// By default the collector looks four times a second whether there is something to collect. This one is told:
			// a second after a deletion, or after many changes, it runs, and it looks by itself once a minute or so.
			"io.containerd.gc.v1.scheduler": map[string]any{
				"deletion_threshold": 1, "mutation_threshold": 1000, "schedule_delay": "1s", "pause_threshold": 0.0001,
			},
		},
		RequiredPlugins: []string{"io.containerd.metadata.v1.bolt", "io.containerd.grpc.v1.tasks"},
	}
	aside, err := setAside(c)
	if err != nil {
		return nil, err
	}
	log.L.Logger.SetOutput(c.Log)
	log.L.Logger.SetLevel(logrus.ErrorLevel)
	if err := server.CreateTopLevelDirectories(config); err != nil {
		return nil, fmt.Errorf("cannot create containerd's directories: %w", err)
	}
	// A socket that a killed server left behind would be refused by bind.
	for _, stale := range []string{address, address + ".ttrpc"} {
		if err := os.Remove(stale); err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("cannot remove the stale socket %s: %w", stale, err)
		}
	}
	srv, err := server.New(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("cannot start containerd in-process: %w", err)
	}
	if err := srv.Start(ctx); err != nil {
		srv.Stop()
		return nil, fmt.Errorf("cannot serve containerd's socket: %w", err)
	}
	return &Server{Address: address, SetAside: aside, srv: srv, state: c.State}, nil
}

// maxSocketDir leaves room for the socket's name, which is a hash, in the 108 bytes of a unix socket's path (containerd,
// core/runtime/v2/socket_unix.go).
const maxSocketDir = 38

// socketDir is where the shims listen: below the state directory where its path is short enough, else containerd's own
// default (the empty string).
func socketDir(state string) string {
	if dir := filepath.Join(state, "s"); len(dir) <= maxSocketDir {
		return dir
	}
	return ""
}

// Stop closes the server; containers go on under their shims.
func (s *Server) Stop() {
	s.srv.Stop()
	if f, err := os.Create(mark(s.state)); err == nil { // without the mark the next start takes a little longer
		f.Close() //nolint:errcheck // it is empty
	}
}
