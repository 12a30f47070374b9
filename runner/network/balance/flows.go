package balance

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/flows"
)

// The kernel decides with the first packet of a flow where it goes. A sender of UDP that never stops would go on to send to an endpoint that
// has gone, or to nobody, when there was none as it began: flows that lead elsewhere than they would now are forgotten. Connections of TCP and
// SCTP end by themselves, and go on to an endpoint that terminates.

// Flows are ports of UDP that lead elsewhere than before.
type Flows struct {
	// now has what they lead to; nothing where the port is no service's any more.
	now map[udpPort]map[netip.AddrPort]bool
	// gone are those that are no service's any more: of these only flows that were led to an endpoint are forgotten.
	gone map[udpPort]bool
}

// udpPort is one of a service; without an address it is one of the machine's.
type udpPort struct {
	is4  bool
	addr netip.Addr
	port uint16
}

// flowsBetween finds what differs; without an earlier layout all.
func flowsBetween(old, now *Layout) Flows {
	before, after := map[udpPort]map[netip.AddrPort]bool{}, now.udp()
	if old != nil {
		before = old.udp()
	}
	f := Flows{now: map[udpPort]map[netip.AddrPort]bool{}, gone: map[udpPort]bool{}}
	for port, to := range after {
		if had, known := before[port]; !known || !maps.Equal(had, to) {
			f.now[port] = to
		}
	}
	for port := range before {
		if _, has := after[port]; !has {
			f.now[port], f.gone[port] = nil, true
		}
	}
	return f
}

// udp are the ports of UDP, with what they lead to.
func (l *Layout) udp() map[udpPort]map[netip.AddrPort]bool {
	out := map[udpPort]map[netip.AddrPort]bool{}
	for _, f := range families {
		h, size := l.of(f.is4), int(f.header.Size)
		for _, in := range []where{atAddress, atMachine} {
			head := size
			if in == atMachine {
				head = 0
			}
			parse := func(key string) (udpPort, bool) {
				p := udpPort{is4: f.is4, port: binary.BigEndian.Uint16([]byte(key[head+4:]))}
				p.addr, _ = netip.AddrFromSlice([]byte(key[:head]))
				return p, key[head] == unix.IPPROTO_UDP
			}
			for _, set := range []string{in.chains, in.refused} {
				for key := range h.sets[set] {
					if p, isUDP := parse(key); isUDP {
						out[p] = map[netip.AddrPort]bool{}
					}
				}
			}
			for key, to := range h.sets[in.targets] {
				if p, isUDP := parse(key); isUDP && out[p] != nil {
					addr, _ := netip.AddrFromSlice([]byte(to[:size]))
					out[p][netip.AddrPortFrom(addr, binary.BigEndian.Uint16([]byte(to[size:])))] = true
				}
			}
		}
	}
	return out
}

// stale says whether a flow leads elsewhere than it would now. local are the machine's addresses.
func (f Flows) stale(w flows.Flow, local func(netip.Addr) bool) bool {
	if w.Protocol != unix.IPPROTO_UDP {
		return false
	}
	is4 := w.To.Addr().Is4()
	port := udpPort{is4, w.To.Addr(), w.To.Port()}
	to, changed := f.now[port]
	if !changed {
		port.addr = netip.Addr{}
		if to, changed = f.now[port]; !changed || !local(w.To.Addr()) {
			return false
		}
	}
	if f.gone[port] {
		return w.Answers != w.To
	}
	return !to[w.Answers]
}

// Empty says whether there is nothing to forget.
func (f Flows) Empty() bool { return len(f.now) == 0 }

// Forget has the kernel forget flows that lead elsewhere now.
func (f Flows) Forget(ctx context.Context, local func(netip.Addr) bool) error {
	has := map[bool]bool{}
	for port := range f.now {
		has[port.is4] = true
	}
	var errs []error
	for is4 := range has {
		errs = append(errs, flows.Forget(ctx, is4, func(w flows.Flow) bool { return f.stale(w, local) }))
	}
	return errors.Join(errs...)
}
