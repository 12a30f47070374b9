package network

import (
	"net/netip"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests/validate/findings"
)

// checkAddress reads an address of the network, in the one spelling that all programs read alike.
func checkAddress(out *findings.Collector, at, text string) (a netip.Addr, ok bool) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "":
		out.Errorf(at, "%q is not an IP address", text)
	case a.Is4In6():
		out.Errorf(at, "%q is an IPv4 address in the form of IPv6; write %s", text, a.Unmap())
	default:
		return a, true
	}
	return a, false
}

// checkServedAddress checks an address at which something is served to all: one that means another thing to each machine, or no single
// one, is none (Kubernetes, pkg/apis/core/validation, ValidateNonSpecialIP).
func checkServedAddress(out *findings.Collector, at, text string) (netip.Addr, bool) {
	a, ok := checkAddress(out, at, text)
	if !ok {
		return a, false
	}
	switch {
	case a.IsUnspecified():
		out.Errorf(at, "%s stands for all addresses; name one", a)
	case a.IsLoopback():
		out.Errorf(at, "%s is a loopback address (127.0.0.0/8, ::1), which is another machine's or pod's own for each of them", a)
	case a.IsLinkLocalUnicast():
		out.Errorf(at, "%s is a link-local address (169.254.0.0/16, fe80::/10)", a)
	case a.IsMulticast():
		out.Errorf(at, "%s is a multicast address", a)
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		out.Errorf(at, "%s is the address of all at once (broadcast)", a)
	default:
		return a, true
	}
	return a, false
}

// checkPrefix reads a range of addresses. Where more bits are set than belong to it, text becomes what it means, and that is said.
func checkPrefix(out *findings.Collector, at string, text *string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(*text)
	if err != nil || p.Addr().Is4In6() {
		if _, single := netip.ParseAddr(*text); single == nil {
			out.Errorf(at, "%q is an address, not a range of them: write %[1]s/32, or /128 for IPv6", *text)
		} else {
			out.Errorf(at, "%q is not a range of addresses; write it like 10.0.0.0/8 or 2001:db8::/64", *text)
		}
		return p, false
	}
	if masked := p.Masked(); masked != p {
		out.Warnf(at, "%s has bits behind the first %d; it is read as %s", *text, p.Bits(), masked)
		p, *text = masked, masked.String()
	}
	return p, true
}

func familyOf(a netip.Addr) v1.IPFamily {
	if a.Is4() {
		return v1.IPv4Protocol
	}
	return v1.IPv6Protocol
}
