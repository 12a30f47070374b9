// Package machine finds out what of the machine is in the way of Services: its addresses and networks, and who listens on its ports.
package machine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/network/bridge"
)

// Machine is this one.
type Machine struct {
	// Bridge is the name of Solopod's own bridge, and Link that of the interface with the addresses of names, whose routes do not count.
	Bridge, Link string

	places    aside.Places
	listeners listener.Listeners
}

// Network is what the machine's network has.
type Network struct {
	// Addresses are those of interfaces, with their subnets.
	Addresses []netip.Prefix
	// Routes are the networks that the machine knows a way to, but for everything.
	Routes []netip.Prefix
	// Gateways are those by which it reaches others.
	Gateways []netip.Addr
	// Pods are the subnets of Solopod's own bridge.
	Pods []netip.Prefix
}

// Has says whether an interface has an address.
func (n *Network) Has(ip netip.Addr) bool {
	return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == ip })
}

// limit is how long the kernel may take to answer.
const limit = 3 * time.Second

// Look asks the kernel for the machine's network.
func (m *Machine) Look(ctx context.Context) (*Network, error) {
	n, err := aside.Do(ctx, &m.places, "the kernel's list of addresses and routes", limit, m.look)
	if err != nil {
		return nil, fmt.Errorf("cannot find out which addresses the machine has: %w", err)
	}
	return n, nil
}

// interrupted is how often a list is asked for anew that has changed while it was made.
const interrupted = 5

func (m *Machine) look() (*Network, error) {
	links, err := netlinks.Whole(interrupted, netlink.LinkList)
	if err != nil {
		return nil, err
	}
	name := map[int]string{}
	for _, l := range links {
		name[l.Attrs().Index] = l.Attrs().Name
	}
	addresses, err := netlinks.Whole(interrupted, func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	n := &Network{}
	for _, a := range addresses {
		p, ok := prefix(a.IP, a.Mask)
		if !ok || name[a.LinkIndex] == m.Link {
			continue
		}
		n.Addresses = append(n.Addresses, p)
		if name[a.LinkIndex] == m.Bridge && !p.Addr().IsLinkLocalUnicast() {
			n.Pods = append(n.Pods, p.Masked())
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlinks.Whole(interrupted, func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			n.Gateways = append(n.Gateways, gateways(&r)...)
			if r.Dst == nil || name[r.LinkIndex] == m.Link {
				continue
			}
			if p, ok := prefix(r.Dst.IP, r.Dst.Mask); ok && p.Bits() > 0 {
				n.Routes = append(n.Routes, p.Masked())
			}
		}
	}
	return n, nil
}

// gateways are those of a route.
func gateways(r *netlink.Route) (out []netip.Addr) {
	add := func(gw net.IP, via netlink.Destination) {
		if v, ok := via.(*netlink.Via); ok { // of the other family
			gw = v.Addr
		}
		if ip, ok := netip.AddrFromSlice(gw); ok {
			out = append(out, ip.Unmap())
		}
	}
	add(r.Gw, r.Via)
	for _, hop := range r.MultiPath {
		add(hop.Gw, hop.Via)
	}
	return out
}

func prefix(ip, mask []byte) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := 0
	for _, b := range mask {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	if addr.Is4In6() && len(mask) == 16 {
		bits -= 96
	}
	p := netip.PrefixFrom(addr.Unmap(), bits)
	return p, p.IsValid()
}

// Private is the subnet of IPv6 for Services that follows from the machine, as that of its pods does.
func (m *Machine) Private() netip.Prefix {
	p := bridge.Private(m.Bridge + "-services")
	return netip.PrefixFrom(p.Addr(), bitsOfPrivate)
}

const bitsOfPrivate = 112

// Listening says who listens on which of the ports; what listens on one of the addresses of own does not count.
func (m *Machine) Listening(ctx context.Context, ports []listener.Port, own []netip.Addr) (map[listener.Port]*listener.Taken, error) {
	return m.listeners.Each(ctx, ports, own)
}
