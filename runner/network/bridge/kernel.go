package bridge

import (
	"bytes"
	"errors"
	"hash/fnv"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/netlinks"
)

// whole asks the kernel for a list: one with a gap may hide just what is looked for.
func whole[T any](ask func() ([]T, error)) ([]T, error) {
	return netlinks.Whole(20, ask) // on a machine whose network changes all the time
}

func familyOf(ip netip.Addr) int {
	if ip.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// ofLink is an interface's own address of its link (RFC 4291, appendix A). The kernel asks with it for who is to get a packet that it
// forwards, and would make it itself, if nobody tells it to make others.
func ofLink(mac net.HardwareAddr) netip.Addr {
	ip := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return netip.AddrFrom16(ip)
}

// addressesOf are those of an interface, with their subnets.
func addressesOf(link netlink.Link) (map[netip.Addr]netip.Prefix, error) {
	addrs, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
	out := map[netip.Addr]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := netlinks.Prefix(a.IPNet); ok {
			out[p.Addr()] = p.Masked()
		}
	}
	return out, err
}

func sysctl(path string) string {
	value, err := foreign.ReadKernel("/proc/sys/net/" + path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(value))
}

func setSysctl(path, value string) error {
	if sysctl(path) == value {
		return nil
	}
	return foreign.WriteKernel("/proc/sys/net/"+path, value)
}

// hasIPv6 says whether new interfaces of this machine speak IPv6.
func hasIPv6() bool {
	return sysctl("ipv6/conf/all/disable_ipv6") == "0" && sysctl("ipv6/conf/default/disable_ipv6") == "0"
}

// setIPv6Of has an interface take its routes from nobody on the link: pods are there, and the gateway is known. A kernel without IPv6
// has no such setting.
func setIPv6Of(name string) {
	setSysctl("ipv6/conf/"+name+"/accept_ra", "0") //nolint:errcheck // see above
}

// Settings that have the machine forward packets of IPv6: that of kernels since 6.17, which changes nothing else, of interfaces that are
// there and of those that will be; and the old one, which makes a router of the machine.
const (
	forwardsHere  = "ipv6/conf/all/force_forwarding"
	forwardsLater = "ipv6/conf/default/force_forwarding"
	isRouter      = "ipv6/conf/all/forwarding"
)

// forwardsOn is the setting of packets of IPv4 that come from an interface.
func forwardsOn(link string) string { return "ipv4/conf/" + link + "/forwarding" }

// forwarding says whether the machine forwards packets of a family.
func forwarding(is4 bool) bool {
	if is4 {
		return sysctl("ipv4/ip_forward") == "1"
	}
	return sysctl(isRouter) != "0" || sysctl(forwardsHere) == "1" && sysctl(forwardsLater) == "1"
}

// setForwarding has the machine forward. A router takes its own routes from no other (ip-sysctl, accept_ra): where the old setting has to
// be made, interfaces that do take them are told to go on, or the machine would lose its way out when what it has learned expires.
func setForwarding(is4 bool) error {
	if is4 {
		return setSysctl("ipv4/ip_forward", "1")
	}
	if forwarding(false) {
		return nil
	}
	if sysctl(forwardsHere) != "" {
		return errors.Join(setSysctl(forwardsLater, "1"), foreign.WriteKernel("/proc/sys/net/"+forwardsHere, "1"))
	}
	return becomeRouter()
}

func becomeRouter() error {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlinks.ErrInterrupted) {
		return err
	}
	names := []string{"default"}
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	for _, name := range names {
		if path := "ipv6/conf/" + name + "/accept_ra"; sysctl(path) == "1" {
			if err := setSysctl(path, "2"); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	}
	return setSysctl(isRouter, "1")
}

// Hash is a short name of what has a long one.
func Hash(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// handleAt opens a netlink handle inside the namespace.
func handleAt(ns *os.File) (*netlink.Handle, error) {
	return netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
}
