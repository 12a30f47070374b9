// Package upstream finds the servers that are asked for the world's names: those that the machine's resolver configuration names, also where
// they answer on the machine only, as systemd-resolved and dnsmasq do.
//
// It follows the configuration without a watch, for the daemon and for the program that answers in its place alike: who asks for the servers
// has the file looked at, once a second at most, and waits for that, but only for a moment. So the first query after a change of networks
// is not sent to servers that are gone. While nobody asks it costs nothing.
package upstream

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/foreign"
)

const (
	// Port is where servers of names answer.
	Port = 53
	// most bounds what is read of a configuration, in bytes, and mostServers how many are asked (resolv.conf(5), MAXNS).
	most, mostServers = 1 << 20, 3
	// fresh is for how long the configuration is not looked at again; firstLimit is how long the first look is waited for, and moment how
	// long others are. Looks take some microseconds; who waits may be reading other queries.
	fresh, firstLimit, moment = time.Second, time.Second, 20 * time.Millisecond
)

// Servers are the machine's. They are safe for concurrent use.
type Servers struct {
	path string
	own  []netip.Addr

	mu      sync.Mutex
	list    []netip.AddrPort
	empty   bool          // the last look has found none, where there had been some
	looked  time.Time     // when the last look ended
	began   time.Time     // when the one began that goes on
	looking chan struct{} // closed when that ends; nil when none goes on
}

// New reads nothing yet. path is a resolver configuration (resolv.conf(5)), empty when there is none; own are the addresses of the server
// that asks: they are left out, as it would ask itself.
func New(path string, own []netip.Addr) *Servers { return &Servers{path: path, own: own} }

// List returns the servers in the configuration's order. It does not wait long for the file: while it cannot be read the servers stay. The
// list is not to be changed.
func (s *Servers) List() []netip.AddrPort {
	if s.path == "" {
		return nil
	}
	s.mu.Lock()
	if s.looking == nil && time.Since(s.looked) >= fresh {
		s.looking, s.began = make(chan struct{}), time.Now()
		go s.look(s.looking) // left behind when the file's file system hangs; there is one at most
	}
	looking, limit := s.looking, time.Until(s.began.Add(moment))
	if s.looked.IsZero() {
		limit = firstLimit
	}
	s.mu.Unlock()
	if looking != nil && limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-looking:
		case <-timer.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

func (s *Servers) look(ended chan struct{}) {
	text, err := foreign.ReadFollowing(s.path, most)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(ended)
	s.looked, s.looking = time.Now(), nil
	if err != nil {
		return
	}
	list := Parse(string(text), s.own)
	if len(list) == 0 && len(s.list) > 0 && !s.empty { // many programs empty a file before they write it
		s.empty = true
		return
	}
	s.list, s.empty = list, false
}

// Parse returns the servers that a configuration names, but for own.
func Parse(text string, own []netip.Addr) (out []netip.AddrPort) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		ip, err := netip.ParseAddr(fields[1])
		server := netip.AddrPortFrom(ip.Unmap(), Port)
		if err != nil || slices.Contains(own, ip.Unmap()) || slices.Contains(out, server) {
			continue
		}
		if out = append(out, server); len(out) == mostServers {
			break
		}
	}
	return out
}
