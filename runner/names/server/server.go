// Package server answers DNS queries on sockets that it is given: for the names of the cluster itself, at once and whatever becomes of
// other servers, for all others by asking these. It knows nothing of where the sockets, the names and the servers' addresses come from,
// so that a small companion can answer with it while the daemon is away. What clients and servers send is hostile; what they can make
// wait or be kept is bounded for each and in all.
package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/solopod/solopod/runner/names/forward"
	"github.com/solopod/solopod/runner/names/message"
	"github.com/solopod/solopod/runner/names/zone"
)

// Config says what a server answers.
type Config struct {
	// Domain is the cluster's. Names in it are answered by the zone alone; no other server is ever asked for them.
	Domain string
	// Upstreams are the servers for all other names, in the order of preference. It is asked for each query, and answers at once; the
	// sockets' own addresses are left out.
	Upstreams func() []netip.AddrPort
	// Stubs are servers for domains of their own. A domain with none is not asked for anywhere.
	Stubs map[string][]netip.AddrPort
	// Observe is told of each answer, by several goroutines, and must not wait. It may be nil.
	Observe func(Answered)
}

// Source says where an answer is from.
type Source string

// Sources of answers.
const (
	Cluster  Source = "cluster"  // the zone
	Cache    Source = "cache"    // what another server has answered before
	Upstream Source = "upstream" // another server
	Own      Source = "own"      // the server itself: the query was refused, or was none
)

// Answered is an answer that was given. Its texts are from short lists, whatever clients ask for.
type Answered struct {
	Protocol string // udp or tcp
	Family   string // ipv4 or ipv6
	Type     string // A, AAAA ... or other
	Code     string // NOERROR, NXDOMAIN, SERVFAIL ...
	Source   Source
	Took     time.Duration
	// Failures counts other servers that were asked in vain for this answer: silent ones, and those that have failed.
	Failures int
}

// Server answers.
type Server struct {
	cfg  Config
	apex string
	zone atomic.Pointer[zone.Zone]
	turn atomic.Uint32
	long chan struct{}
}

// maxLong is how many answers by TCP are made at once: a long one takes a MiB while it is.
const maxLong = 4

// New makes a server. Its domain must be one of names: a zone made for the same domain says so if it is not.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, apex: ".", long: make(chan struct{}, maxLong)} // of an invalid domain nothing is told to others
	if n, err := message.ParseName(cfg.Domain); err == nil {
		s.apex = dns.CanonicalName(n)
	}
	return s
}

// SetZone has the server answer from another zone from now on. Until there is one, or after nil, it says for names of the cluster that it
// cannot tell.
func (s *Server) SetZone(z *zone.Zone) { s.zone.Store(z) }

// drainLimit is for how long queries that have been read are answered after the end of Serve's context.
const drainLimit = time.Second

// Serve answers on sockets until the context ends, then what it has read before, and returns. It closes no socket: what comes in
// afterwards waits for who reads from them next. It also returns when a socket has been closed, and says which. Sockets for UDP must be of
// type *net.UDPConn, and those for TCP *net.TCPListener.
func (s *Server) Serve(ctx context.Context, udp []net.PacketConn, tcp []net.Listener) error {
	packets, listeners, ours, err := sockets(udp, tcp)
	if err != nil {
		return err
	}
	f, err := forward.New(forward.Config{Upstreams: s.cfg.Upstreams, Stubs: s.cfg.Stubs, Ours: ours})
	if err != nil {
		return fmt.Errorf("cannot serve stub domains: %w", err)
	}
	readers, ctx := errgroup.WithContext(ctx) // without one of its sockets the others end too: whoever has them must know
	for _, c := range packets {
		readers.Go(func() error { return s.packets(ctx, c, f) })
	}
	streams := newStreams(s, f)
	for _, l := range listeners {
		readers.Go(func() error { return streams.accept(ctx, l) })
	}
	err = readers.Wait()
	f.Close(drainLimit)
	streams.wait()
	return err
}

// sockets are those that are served, and their addresses.
func sockets(udp []net.PacketConn, tcp []net.Listener) (packets []*net.UDPConn, listeners []*net.TCPListener, ours []netip.AddrPort, err error) {
	for _, c := range udp {
		u, ok := c.(*net.UDPConn)
		if !ok {
			return nil, nil, nil, fmt.Errorf("cannot serve DNS on a %T: it must be a socket for UDP", c)
		}
		packets = append(packets, u)
		ours = append(ours, u.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	for _, l := range tcp {
		t, ok := l.(*net.TCPListener)
		if !ok {
			return nil, nil, nil, fmt.Errorf("cannot serve DNS on a %T: it must be a socket for TCP", l)
		}
		listeners = append(listeners, t)
		ours = append(ours, t.Addr().(*net.TCPAddr).AddrPort())
	}
	return packets, listeners, ours, nil
}
