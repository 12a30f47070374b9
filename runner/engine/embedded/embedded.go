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
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

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

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/seal"
)

// Config says where the server keeps its data.
type Config struct {
	// Root holds images and snapshots; it must survive a reboot.
	Root string
	// State holds sockets and the bundles of running containers; it should lie on a tmpfs.
	State string
	// Self is the program itself, which is run once more to look at databases (CheckCommand).
	Self string
	// Seal has the key with which what earlier versions left in the database is hidden; nil leaves it as it is.
	Seal *seal.Store
	// Log receives containerd's own messages of level error and above, as text lines.
	Log io.Writer
}

// Server is a running containerd.
type Server struct {
	// Address is the path of its gRPC socket.
	Address string
	// Bundles is where it keeps a directory for each container.
	Bundles string
	// SetAside says what was found damaged and what became of it; empty when nothing was.
	SetAside string
	// ReadOnly says that the root cannot be written, and what follows; empty when it can.
	ReadOnly string
	srv      *server.Server
	state    string
	sleepers *sleepers
	end      context.CancelFunc
	awaiting sync.WaitGroup
}

// startLimit bounds a start: mostly the check of the databases, and containerd's load of shims that answer.
const startLimit = 2 * time.Minute

// stopLimit bounds a stop: the server ends its calls at once, and waits for transactions of its databases.
const stopLimit = 3 * time.Second

// Start boots containerd; it serves on Address when Start returns. The caller owns the Server and must Stop it.
// Containers that an earlier server started are adopted. One whose shim does not answer is not held against the others, nor
// against the start: it is Silent, and adopted when its shim goes on.
//
// When ctx ends, or a disk or a shim holds the start up for minutes, it returns without a server.
func Start(ctx context.Context, c Config) (*Server, error) {
	type result struct {
		s   *Server
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := start(context.WithoutCancel(ctx), c) // the server's plugins keep the context for as long as it runs
		done <- result{s, err}
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	err := error(nil)
	select {
	case r := <-done:
		return r.s, r.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-limit.C:
		err = fmt.Errorf("it has not come up within %s", startLimit)
	}
	go func() {
		if r := <-done; r.err == nil {
			r.s.Stop()
		}
	}()
	return nil, fmt.Errorf("cannot start containerd in-process: %w", err)
}

func start(ctx context.Context, c Config) (*Server, error) {
	address := filepath.Join(c.State, "containerd.sock")
	if err := clearState(c.State, address, address+".ttrpc"); err != nil {
		return nil, err
	}
	s := &Server{Address: address, Bundles: namespaceDir(c.State), state: c.State, sleepers: newSleepers(c.State, address)}
	var err error
	if c.Root, s.ReadOnly, err = usableRoot(c); err != nil {
		return nil, err
	}
	if s.SetAside, err = setAside(c); err != nil {
		return nil, err
	}
	if err := makeMountDatabase(c.State); err != nil {
		return nil, err
	}
	unmarked := c.cleanFormer(ctx)
	log.L.Logger.SetOutput(c.Log)
	log.L.Logger.SetLevel(logrus.ErrorLevel)
	config := serverConfig(c, address)
	if err := server.CreateTopLevelDirectories(config); err != nil {
		return nil, fmt.Errorf("cannot create containerd's directories: %w", err)
	}
	if err := showAll(c.State); err != nil {
		return nil, err
	}
	bundles := readBundles(c.State)
	endStrays(address, bundles)
	s.SweepSockets()
	silent := s.sleepers.find(ctx, bundles)
	show, err := hide(silent)
	if err != nil {
		return nil, err
	}
	ctx, s.end = context.WithCancel(ctx) // until Stop; the server's collector goes on as long
	s.srv, err = server.New(ctx, config)
	show()
	if err != nil {
		s.end()
		return nil, fmt.Errorf("cannot start containerd in-process: %w", err)
	}
	if unmarked {
		c.markClean()
	}
	if err := s.srv.Start(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("cannot serve containerd's socket: %w", err)
	}
	for _, list := range silent {
		s.awaiting.Go(func() { s.sleepers.await(ctx, list) })
	}
	return s, nil
}

// serverConfig is containerd's configuration, for what is linked in.
func serverConfig(c Config, address string) *srvconfig.Config {
	return &srvconfig.Config{
		Version:  version.ConfigVersion,
		Root:     c.Root,
		State:    c.State,
		Timeouts: map[string]string{"io.containerd.timeout.shim.load": loadLimit.String()},
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
		// Nobody reads its counters, and it can be made only once in a process.
		DisabledPlugins: []string{"io.containerd.metrics.v1.grpc-prometheus"},
		RequiredPlugins: []string{"io.containerd.metadata.v1.bolt", "io.containerd.grpc.v1.tasks"},
	}
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

// Silent says of a container whether its shim runs and has not answered since the start: its process may live, and the server does not
// know of it.
func (s *Server) Silent(id string) bool { return s.sleepers.silent(id) }

// Woken receives when a Silent container is not any more: it was adopted, or its shim has died.
func (s *Server) Woken() <-chan struct{} { return s.sleepers.woken }

// Stop closes the server; containers go on under their shims. It returns within seconds: when a disk hangs, a part of the server is left
// behind, and the next start looks at the databases.
func (s *Server) Stop() {
	s.end()
	stopped := make(chan struct{})
	go func() {
		s.awaiting.Wait()
		s.srv.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(stopLimit):
		slog.Warn("containerd does not stop; it is left behind")
		return
	}
	if f, err := durable.OpenFile(mark(s.state), os.O_CREATE|os.O_WRONLY, 0o600); err == nil { // without the mark the next start takes a little longer
		f.Close() //nolint:errcheck // it is empty
	}
}
