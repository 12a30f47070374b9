package names

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/solopod/solopod/runner/names/handover"
	"github.com/solopod/solopod/runner/names/server"
	"github.com/solopod/solopod/runner/names/upstream"
	"github.com/solopod/solopod/runner/names/zone"
)

// serving is a server at work. A nil one is nowhere, and ends at once.
type serving struct {
	addrs  []netip.Addr
	server *server.Server
	cancel context.CancelFunc
	done   chan struct{}
}

// serve begins to answer on sockets.
func (n *Names) serve(addrs []netip.Addr, sockets []socket, z *zone.Zone) (*serving, error) {
	var files []*os.File
	for _, s := range sockets {
		files = append(files, s.file)
	}
	udp, tcp, err := handover.Sockets(files)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &serving{addrs: slices.Clone(addrs), cancel: cancel, done: make(chan struct{})}
	s.server = server.New(server.Config{
		Domain: n.config.Domain, Upstreams: upstream.New(n.config.ResolvConf, addrs).List, Stubs: n.config.Stubs, Observe: n.config.Observe,
	})
	s.server.SetZone(z)
	go s.run(ctx, udp, tcp)
	return s, nil
}

func (s *serving) run(ctx context.Context, udp []net.PacketConn, tcp []net.Listener) {
	defer close(s.done)
	defer handover.Close(udp, tcp)
	if err := s.server.Serve(ctx, udp, tcp); err != nil && ctx.Err() == nil {
		slog.Error("names are not answered until the next change of what is served", "err", err)
	}
}

// at: it answers at just these addresses.
func (s *serving) at(addrs []netip.Addr) bool {
	if s == nil {
		return false
	}
	select {
	case <-s.done: // it has failed
		return false
	default:
		return slices.Equal(s.addrs, addrs)
	}
}

// endLimit is how long the server may take to answer what has come in.
const endLimit = 3 * time.Second

// end has it read nothing more, and waits until it has answered what it has read.
func (s *serving) end() {
	if s == nil {
		return
	}
	s.cancel()
	select {
	case <-s.done:
	case <-time.After(endLimit):
		slog.Warn("the server of names does not end; it is left behind")
	}
}
