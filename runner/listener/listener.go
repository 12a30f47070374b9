// Package listener finds out who listens on ports of the machine: programs that Solopod knows nothing of.
//
// It asks the kernel (sock_diag(7)), and looks through /proc for the name of the program. It changes nothing.
package listener

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/solopod/solopod/runner/aside"
)

// Port is a port of the machine that somebody wants to have.
type Port struct {
	Number   uint16
	Protocol string // TCP, UDP or SCTP
	// Addr is the address of the machine on which it is wanted; the zero value and :: mean all, 0.0.0.0 all of IPv4.
	Addr netip.Addr
	// Bound: a process of the machine's network will listen there, on which address of several is not known. Otherwise the packets for
	// Addr are led elsewhere before they reach any process.
	Bound bool
}

// Taken says that a program of the machine listens on a port.
type Taken struct {
	Port Port
	// Addr is where it listens, on all addresses where that is unspecified.
	Addr netip.Addr
	// By names the program.
	By string
}

func (t *Taken) Error() string {
	where := "all addresses"
	if !t.Addr.IsUnspecified() {
		where = t.Addr.String()
	}
	return fmt.Sprintf("a program of the machine listens on host port %d/%s (on %s): %s", t.Port.Number, t.Port.Protocol, where, t.By)
}

// socket is one that receives what is sent to its port by anybody.
type socket struct {
	addr  netip.Addr
	port  uint16
	only6 bool // it is of IPv6 and takes no IPv4
	inode uint32
}

// takes says whether the socket gets, or keeps somebody else from, what comes for p.
func (s socket) takes(p Port) bool {
	all := !p.Addr.IsValid() || p.Addr.IsUnspecified()
	of4 := (p.Addr.Is4() || all) && (s.addr.Is4() || s.addr.IsUnspecified() && !s.only6)
	of6 := !p.Addr.Is4() && s.addr.Is6()
	switch {
	case s.port != p.Number || s.addr.IsMulticast() || !of4 && !of6:
		return false
	case s.addr.IsUnspecified():
		return true
	case all:
		return !p.Bound
	}
	return s.addr == p.Addr
}

// limit is how long the kernel may take to answer: it may load a module first.
const limit = 3 * time.Second

// Listeners are those of the network namespace of this process. The zero value is ready, and safe for concurrent use.
type Listeners struct{ places aside.Places }

// Find returns a *Taken when a program listens on one of the ports, nil when none does, and another error when that cannot be found out.
// It returns soon after ctx has ended, whatever hangs.
func (l *Listeners) Find(ctx context.Context, ports []Port) error {
	known := map[string][]socket{}
	for _, p := range ports {
		sockets, ok := known[p.Protocol]
		if !ok {
			var err error
			if sockets, err = l.list(ctx, p.Protocol); err != nil {
				return err
			}
			known[p.Protocol] = sockets
		}
		for _, s := range sockets {
			if s.takes(p) {
				return &Taken{Port: p, Addr: s.addr, By: l.name(ctx, s.inode)}
			}
		}
	}
	return nil
}

// Each returns those of the ports on which programs listen; what listens on one of the addresses of own does not count.
func (l *Listeners) Each(ctx context.Context, ports []Port, own []netip.Addr) (map[Port]*Taken, error) {
	out, known := map[Port]*Taken{}, map[string][]socket{}
	for _, p := range ports {
		sockets, ok := known[p.Protocol]
		if !ok {
			var err error
			if sockets, err = l.list(ctx, p.Protocol); err != nil {
				return nil, err
			}
			known[p.Protocol] = sockets
		}
		for _, s := range sockets {
			if s.takes(p) && !slices.Contains(own, s.addr) {
				out[p] = &Taken{Port: p, Addr: s.addr, By: l.name(ctx, s.inode)}
				break
			}
		}
	}
	return out, nil
}

func (l *Listeners) list(ctx context.Context, protocol string) ([]socket, error) {
	sockets, err := aside.Do(ctx, &l.places, "the kernel's list of sockets", limit, func() ([]socket, error) { return list(protocol) })
	if err != nil {
		return nil, fmt.Errorf("cannot find out who listens on ports of the machine: %w", err)
	}
	return sockets, nil
}

// name finds the program that has a socket.
func (l *Listeners) name(ctx context.Context, inode uint32) string {
	if inode == 0 {
		return "the kernel itself"
	}
	found, err := aside.Do(ctx, &l.places, "/proc", limit, func() (string, error) { return holder(ctx, inode) })
	switch {
	case err != nil:
		return "its name could not be found out: " + err.Error()
	case found == "":
		return "it was not found in /proc; it may be one of a container"
	}
	return found
}

// list returns the sockets of a protocol that listen.
func list(protocol string) ([]socket, error) {
	switch protocol {
	case "TCP":
		return ask(tcp)
	case "UDP":
		return ask(udp)
	case "SCTP":
		return sctpEndpoints()
	}
	return nil, errors.New("nothing is known of the protocol " + protocol)
}
