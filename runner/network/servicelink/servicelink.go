// Package servicelink is a link of its own, with the addresses of the DNS server and routes to the addresses of services. Nothing is ever
// sent on it: with the routes the machine itself reaches services where it has no other way, and packets for addresses that nobody has
// stay here, where they are refused.
package servicelink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/network/bridge"
)

// Wanted is what the link has.
type Wanted struct {
	// Addresses are the link's own.
	Addresses []netip.Addr
	// Routes lead there.
	Routes []netip.Prefix
}

// Empty says whether there is no link.
func (w Wanted) Empty() bool { return len(w.Addresses)+len(w.Routes) == 0 }

// Name is the name of the link that belongs to a bridge; names of interfaces have at most 15 bytes.
func Name(of string) string {
	if name := of + "-svc"; len(name) < unix.IFNAMSIZ {
		return name
	}
	return fmt.Sprintf("svc%08x", bridge.Hash(of))
}

// tries is how often a list is asked for that changes while it is made.
const tries = 20

// Ensure makes what is missing, takes away what is not wanted, and says what it had to make. Without anything wanted there is no link. What can
// be made is made in spite of an error: without IPv6 there is IPv4.
func Ensure(of string, w Wanted) (made []string, err error) {
	name := Name(of)
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		if w.Empty() {
			return nil, nil
		}
		if link, err = add(name); err == nil {
			made = append(made, "the link "+name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the link %s for addresses of services: %w", name, err)
	}
	if link.Type() != "dummy" && link.Type() != "bridge" {
		if w.Empty() {
			return nil, nil
		}
		return nil, fmt.Errorf("there is an interface %s that is not for services; remove or rename it (ip link delete %[1]s)", name)
	}
	if w.Empty() {
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("cannot remove the link %s: %w", name, err)
		}
		return nil, nil
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("cannot set the link %s up: %w", name, err)
		}
	}
	addresses, err := setAddresses(link, w.Addresses)
	routes, err2 := setRoutes(link, w.Routes)
	return append(append(made, addresses...), routes...), errors.Join(err, err2)
}

// add makes the link: a dummy, or where the kernel has none a bridge without ports, which does as well.
func add(name string) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	err := netlink.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	}
	if err != nil {
		return nil, err
	}
	// No address is made that nobody asked for, and no router heard; a kernel without IPv6 has no such settings.
	for _, setting := range []struct{ name, value string }{{"addr_gen_mode", "1"}, {"accept_ra", "0"}} {
		foreign.WriteKernel("/proc/sys/net/ipv6/conf/"+name+"/"+setting.name, setting.value) //nolint:errcheck // see above
	}
	return netlink.LinkByName(name)
}

func setAddresses(link netlink.Link, wanted []netip.Addr) (made []string, err error) {
	list, err := netlinks.Whole(tries, func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("cannot list the addresses of %s: %w", link.Attrs().Name, err)
	}
	var errs []error
	has := map[netip.Addr]bool{}
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		if ip = ip.Unmap(); ip.IsLinkLocalUnicast() {
			continue
		}
		has[ip] = true
		if !slices.Contains(wanted, ip) {
			if err := netlink.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				errs = append(errs, fmt.Errorf("cannot remove the address %s of %s: %w", ip, link.Attrs().Name, err))
			}
		}
	}
	for _, ip := range wanted {
		if has[ip] {
			continue
		}
		if err := netlink.AddrAdd(link, netlinks.Address(netip.PrefixFrom(ip, ip.BitLen()))); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("cannot give %s the address %s%s: %w", link.Attrs().Name, ip, hint(ip), err))
			continue
		}
		made = append(made, "the address "+ip.String())
	}
	return made, errors.Join(errs...)
}

func hint(ip netip.Addr) string {
	if ip.Is6() {
		return " (is IPv6 switched off? see sysctl net.ipv6.conf.all.disable_ipv6)"
	}
	return ""
}

// setRoutes makes routes of a protocol of their own, so that those that are not wanted any more can be told from others'.
func setRoutes(link netlink.Link, wanted []netip.Prefix) (made []string, err error) {
	list, err := netlinks.Whole(tries, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the routes of %s: %w", link.Attrs().Name, err)
	}
	var errs []error
	has := map[netip.Prefix]bool{}
	for _, r := range list {
		p, ok := netlinks.Prefix(r.Dst)
		if !ok || r.Protocol != protocol {
			continue
		}
		has[p] = true
		if !slices.Contains(wanted, p) {
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("cannot remove the route to %s: %w", p, err))
			}
		}
	}
	for _, p := range wanted {
		if has[p] {
			continue
		}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: netlinks.IPNet(p.Masked()), Protocol: protocol, Table: unix.RT_TABLE_MAIN}
		if p.Addr().Is4() {
			r.Scope = netlink.SCOPE_LINK
		}
		if err := netlink.RouteAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("cannot make a route to the services' addresses %s%s: %w", p, hint(p.Addr()), err))
			continue
		}
		made = append(made, "the route to "+p.String())
	}
	return made, errors.Join(errs...)
}

// protocol marks our routes (rtnetlink(7): numbers above RTPROT_STATIC are free to use); ip route shows it as "proto 83".
const protocol = 83
