package firewall

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/rescue"
)

// ForgetUDP has the kernel forget the flows of UDP that came to the host ports of a pod, or went to the pod: the sender of a flow that
// began before the port's rule was there, or while another pod had it, would not be heard as long as it goes on to send
// (nf_conntrack decides about address translation with the first packet only). Flows to the ports of other machines stay.
func ForgetUDP(f Forward) error {
	if !f.hasUDP() {
		return nil
	}
	local, err := LocalAddresses()
	if err != nil {
		return err
	}
	var errs []error
	for fam, of := range map[netlink.InetFamily]*family{unix.AF_INET: v4, unix.AF_INET6: v6} {
		err := rescue.Do("read the kernel's flows", func() error { // which are of any protocol, and read whole
			_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, fam, stale{f, of, local})
			return err
		})
		if !errors.Is(err, netlinks.ErrInterrupted) && !errors.Is(err, unix.EAFNOSUPPORT) { // most of the table was seen
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (f Forward) hasUDP() bool {
	for _, p := range f.Ports {
		if p.Protocol == "UDP" {
			return true
		}
	}
	return false
}

// stale matches the flows.
type stale struct {
	forward Forward
	family  *family
	local   map[netip.Addr]bool
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s stale) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	to, answers := address(flow.Forward.DstIP), address(flow.Reverse.SrcIP)
	if pod, ok := s.family.of(s.forward.IPs); ok && pod == answers && to != answers {
		return true
	}
	if !s.local[to] && !s.family.loopback.Contains(to) {
		return false
	}
	for _, p := range s.forward.Ports {
		if p.Protocol != "UDP" || uint16(p.HostPort) != flow.Forward.DstPort || !p.on(s.family) {
			continue
		}
		if ip, err := netip.ParseAddr(p.HostIP); err != nil || AnyIP(p.HostIP) || ip == to {
			return true
		}
	}
	return false
}

func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// LocalAddresses are the machine's.
func LocalAddresses() (map[netip.Addr]bool, error) {
	list, err := netlinks.Whole(tries, func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil && !errors.Is(err, netlinks.ErrInterrupted) {
		return nil, err
	}
	out := map[netip.Addr]bool{}
	for _, a := range list {
		out[address(a.IP)] = true
	}
	return out, nil
}
