package host

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
)

// ParseNodeIP reads the setting nodeIP, as the kubelet's: an address of the machine, or one of each family with a comma between them. It is
// empty where none is set.
func ParseNodeIP(text string) ([]netip.Addr, error) {
	if text == "" {
		return nil, nil
	}
	var out []netip.Addr
	for _, part := range strings.Split(text, ",") {
		ip, err := netip.ParseAddr(strings.TrimSpace(part))
		if err != nil || ip.Zone() != "" || !ip.Unmap().IsGlobalUnicast() {
			return nil, fmt.Errorf("nodeIP %q is not an address like 192.0.2.1 that others can reach the machine by", text)
		}
		out = append(out, ip.Unmap())
	}
	if len(out) > 2 || len(out) == 2 && out[0].Is4() == out[1].Is4() {
		return nil, fmt.Errorf("nodeIP %q names more than one address of a family; give one of IPv4, one of IPv6, or both with a comma between them", text)
	}
	return out, nil
}

// Addresses finds the addresses by which others know the machine.
type Addresses struct {
	// Fixed are those of the setting nodeIP; where there are none they follow the default route.
	Fixed []netip.Addr
	// Bridge is the name of Solopod's own bridge, whose addresses never count.
	Bridge string
}

// Look returns the machine's addresses, one of a family, IPv4 first; none while it has none. Of those that are set and that the machine does
// not have it returns the first as missing: without the first one there are none.
func (a Addresses) Look() (ips []netip.Addr, missing netip.Addr, err error) {
	n, err := a.ask()
	if err != nil {
		return nil, netip.Addr{}, fmt.Errorf("cannot ask for the addresses of the machine: %w", err)
	}
	if len(a.Fixed) == 0 {
		for _, v6 := range []bool{false, true} {
			if ip := n.choose(v6); ip.IsValid() {
				ips = append(ips, ip)
			}
		}
		return ips, netip.Addr{}, nil
	}
	for i, ip := range a.Fixed {
		switch {
		case n.has(ip):
			ips = append(ips, ip)
		case i == 0:
			return nil, ip, nil
		default:
			missing = ip
		}
	}
	return ips, missing, nil
}

// neighbourhood is what the kernel tells of the machine's network.
type neighbourhood struct {
	links     map[int]link // by index
	addresses []address    // in the kernel's order
	defaults  []route      // default routes of both families
}

type link struct {
	name string
	up   bool
	// inner: by its name it leads to containers or virtual machines; guests: by what is connected to it, unless a default route says otherwise.
	inner, guests bool
	// rank is lower for what is more likely the way to others.
	rank int
}

type address struct {
	ip     netip.Addr
	link   int
	usable bool // others can reach the machine by it
	second bool // a secondary or temporary one
}

type route struct {
	v6       bool
	link     int
	source   netip.Addr // that it prefers; the zero value where it prefers none
	priority int
}

func (n *neighbourhood) has(ip netip.Addr) bool {
	return slices.ContainsFunc(n.addresses, func(a address) bool { return a.ip == ip })
}

// choose finds the address of a family: that of the default route; without one, as on a network that leads nowhere, the first of an interface
// that leads out of the machine. It is the zero value when there is none.
func (n *neighbourhood) choose(v6 bool) netip.Addr {
	var ways []route
	for _, r := range n.defaults {
		if l := n.links[r.link]; r.v6 == v6 && l.up && !l.inner {
			ways = append(ways, r)
		}
	}
	slices.SortStableFunc(ways, func(a, b route) int { return a.priority - b.priority })
	for _, r := range ways {
		if r.source.IsValid() && n.has(r.source) {
			return r.source
		}
		if ip := n.first(v6, func(a address) bool { return a.link == r.link }); ip.IsValid() {
			return ip
		}
	}
	return n.first(v6, func(a address) bool {
		l := n.links[a.link]
		return l.up && !l.inner && !l.guests
	})
}

// first is the best usable address of a family that is accepted.
func (n *neighbourhood) first(v6 bool, accept func(address) bool) netip.Addr {
	var found []address
	for _, a := range n.addresses {
		if a.usable && a.ip.Is6() == v6 && accept(a) {
			found = append(found, a)
		}
	}
	slices.SortStableFunc(found, func(a, b address) int {
		rank := func(a address) int {
			if a.second {
				return 1
			}
			return 0
		}
		return cmp.Or(n.links[a.link].rank-n.links[b.link].rank, rank(a)-rank(b), a.link-b.link)
	})
	if len(found) == 0 {
		return netip.Addr{}
	}
	return found[0].ip
}

// inner are the names of interfaces that lead to containers and virtual machines: of Docker, podman, CNI plugins, libvirt, LXC, and of
// daemons of Solopod, also their links for services (runner/network/servicelink).
var inner = regexp.MustCompile(`^(docker\d+|br-[0-9a-f]{12}|podman\d+|cni.*|cbr\d+|flannel.*|cali.*|vxlan\.calico|cilium_.*|lxc.*|lxd.*|incusbr\d+|` +
	`virbr\d+|vnet\d+|kube-.*|nodelocaldns|weave|solopod.*|svc[0-9a-f]{8})$`)

// ask collects what the kernel tells.
func (a Addresses) ask() (*neighbourhood, error) {
	n := &neighbourhood{links: map[int]link{}}
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	guests := bridgesOfGuests(links)
	for _, l := range links {
		at := l.Attrs()
		n.links[at.Index] = link{
			name: at.Name, up: at.Flags&net.FlagUp != 0, inner: at.Name == a.Bridge || inner.MatchString(at.Name), guests: guests[at.Index], rank: rank(l),
		}
	}
	addresses, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	for _, found := range addresses {
		ip, ok := netip.AddrFromSlice(found.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		unusable := 0
		if ip.Is6() {
			unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
		}
		n.addresses = append(n.addresses, address{
			ip: ip, link: found.LinkIndex, usable: ip.IsGlobalUnicast() && found.Flags&unusable == 0 && found.Scope == unix.RT_SCOPE_UNIVERSE,
			second: found.Flags&unix.IFA_F_SECONDARY != 0, // of IPv6 the same bit says temporary
		})
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := whole(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			n.defaults = append(n.defaults, defaults(r, family == netlink.FAMILY_V6)...)
		}
	}
	return n, nil
}

// bridgesOfGuests finds the bridges, by index, to which nothing but containers and virtual machines are connected.
func bridgesOfGuests(links []netlink.Link) map[int]bool {
	only := map[int]bool{}
	for _, l := range links {
		if bridge := l.Attrs().MasterIndex; bridge != 0 {
			others, known := only[bridge]
			only[bridge] = (others || !known) && (l.Type() == "veth" || l.Type() == "tuntap")
		}
	}
	return only
}

// rank: tunnels, and interfaces that lead nowhere, come last where no default route says otherwise.
func rank(l netlink.Link) int {
	switch l.Type() {
	case "wireguard", "tuntap", "tun", "ipip", "sit", "gre", "dummy":
		return 1
	}
	if l.Attrs().Flags&net.FlagLoopback != 0 {
		return 2
	}
	return 0
}

// defaults are the ways of a default route, one for each of its next hops.
func defaults(r netlink.Route, v6 bool) (out []route) {
	if r.Dst != nil {
		if ones, _ := r.Dst.Mask.Size(); ones != 0 {
			return nil
		}
	}
	if r.Type != 0 && r.Type != unix.RTN_UNICAST { // an unreachable one
		return nil
	}
	way := route{v6: v6, link: r.LinkIndex, priority: r.Priority}
	if ip, ok := netip.AddrFromSlice(r.Src); ok {
		way.source = ip.Unmap()
	}
	if len(r.MultiPath) == 0 {
		return []route{way}
	}
	for _, hop := range r.MultiPath {
		way.link = hop.LinkIndex
		out = append(out, way)
	}
	return out
}

// whole asks the kernel for a list. Of one that goes on changing what there is counts: the next change has it asked for again.
func whole[T any](ask func() ([]T, error)) ([]T, error) {
	list, err := netlinks.Whole(5, ask)
	if errors.Is(err, netlinks.ErrInterrupted) {
		err = nil
	}
	return list, err
}

// HasAddress says whether an address is one of this machine's interfaces'. It says no where the kernel does not tell.
func HasAddress(addr netip.Addr) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		slog.Debug("cannot list the machine's addresses", "err", err)
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(addr.AsSlice())
	})
}
