// Package settings reads what the configuration says of Services and names. It is pure.
package settings

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Text is what the configuration has, as it stands there; the fields have the settings' names.
type Text struct {
	ServiceCIDR          string
	ServiceNodePortRange string
	ClusterDNS           []string
	StubDomains          map[string][]string
	ClusterDomain        string
}

// Settings are the settings, read.
type Settings struct {
	// CIDRs have the addresses of Services, one of a family at most; none means that they are chosen.
	CIDRs []netip.Prefix
	// NodePorts are those that are given to Services.
	NodePorts Range
	// Servers are the servers of names that pods get instead of Solopod's own; none means its own.
	Servers []netip.Addr
	// Stubs are the servers of zones of others, by zone, without a dot at its end and in small letters.
	Stubs map[string][]netip.AddrPort
	// Domain ends the full names of Services.
	Domain string
}

// Range are ports from First to Last, both of them included.
type Range struct{ First, Last uint16 }

// Contains says whether a port is one of them.
func (r Range) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// Size is how many ports they are.
func (r Range) Size() int { return int(r.Last) - int(r.First) + 1 }

// String is the range as the setting has it.
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// DefaultNodePorts are those of the API server.
const DefaultNodePorts = "30000-32767"

// Parse reads the settings; what is not set has its default.
func Parse(t Text) (s Settings, err error) {
	if s.CIDRs, err = cidrs(t.ServiceCIDR); err != nil {
		return s, err
	}
	if s.NodePorts, err = ports(t.ServiceNodePortRange); err != nil {
		return s, err
	}
	if s.Servers, err = servers(t.ClusterDNS); err != nil {
		return s, err
	}
	if s.Domain, err = domain(t.ClusterDomain); err != nil {
		return s, err
	}
	s.Stubs, err = stubs(t.StubDomains, s.Domain)
	return s, err
}

// Bounds of a subnet: its tenth address must exist, and as with the API server it is no larger than anybody can need.
const (
	leastBits = 4
	mostBits4 = 24
	mostBits6 = 64
)

// Usable says whether a subnet can be one of Services.
func Usable(p netip.Prefix) bool {
	return p.IsValid() && !p.Addr().Is4In6() && p == p.Masked() && !special(p.Addr()) && fits(p)
}

func special(a netip.Addr) bool {
	return a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified()
}

func fits(p netip.Prefix) bool {
	free := p.Addr().BitLen() - p.Bits()
	return leastBits <= free && free <= most(p.Addr())
}

func most(a netip.Addr) int {
	if a.Is6() {
		return mostBits6
	}
	return mostBits4
}

func cidrs(text string) (out []netip.Prefix, err error) {
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("serviceCIDR %q is not a subnet like 10.96.0.0/16; of both families there are two with a comma between them", text)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("serviceCIDR: %s has bits behind its length; did you mean %s?", p, p.Masked())
		}
		if special(p.Addr()) {
			return nil, fmt.Errorf("serviceCIDR: %s is of addresses with a meaning of their own; take a private one like 10.96.0.0/16", p)
		}
		if bits := p.Addr().BitLen(); !fits(p) {
			return nil, fmt.Errorf("serviceCIDR: %s is too small or too large; its length is from %d to %d", p, bits-most(p.Addr()), bits-leastBits)
		}
		out = append(out, p)
	}
	if len(out) > 2 || len(out) == 2 && out[0].Addr().Is4() == out[1].Addr().Is4() {
		return nil, fmt.Errorf("serviceCIDR %q names more than one subnet of a family; give one of IPv4, one of IPv6, or both with a comma between them", text)
	}
	return out, nil
}

func ports(text string) (Range, error) {
	if text == "" {
		text = DefaultNodePorts
	}
	bad := fmt.Errorf("serviceNodePortRange %q is not a range of ports like %s", text, DefaultNodePorts)
	first, last, ok := strings.Cut(text, "-")
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if !ok || err1 != nil || err2 != nil || a == 0 || a > b {
		return Range{}, bad
	}
	return Range{uint16(a), uint16(b)}, nil
}

// mostServers: resolvers ask no more than three (resolv.conf(5), MAXNS).
const mostServers = 3

func servers(list []string) (out []netip.Addr, err error) {
	for _, text := range list {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
			return nil, fmt.Errorf("clusterDNS: %q is not an address like 192.0.2.53 that pods can reach a server at", text)
		}
		out = append(out, ip.Unmap())
	}
	if len(out) > mostServers {
		return nil, fmt.Errorf("clusterDNS has %d servers, and resolvers ask %d at most; leave some out", len(out), mostServers)
	}
	return out, nil
}

// DefaultDomain is the cluster domain where none is set, as kubeadm's.
const DefaultDomain = "cluster.local"

func domain(text string) (string, error) {
	if text == "" {
		return DefaultDomain, nil
	}
	name, ok := zone(text)
	if !ok {
		return "", fmt.Errorf("clusterDomain %q is not a domain like %s", text, DefaultDomain)
	}
	return name, nil
}

// zone is a name as zones are compared: in small letters, without the dot at its end.
func zone(text string) (name string, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(text, "."))
	if len(name) > 253 || name == "" {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		// An underscore is no letter of a host name, and is one of a zone's: _msdcs.example.com.
		if len(validation.IsDNS1123Label(strings.ReplaceAll(label, "_", "x"))) > 0 {
			return "", false
		}
	}
	return name, true
}

// portOfNames is where servers of names listen.
const portOfNames = 53

func stubs(given map[string][]string, domain string) (map[string][]netip.AddrPort, error) {
	out := map[string][]netip.AddrPort{}
	for _, text := range slices.Sorted(maps.Keys(given)) {
		name, ok := zone(text)
		switch _, twice := out[name]; {
		case !ok:
			return nil, fmt.Errorf("stubDomains: %q is not a zone like corp.example", text)
		case twice:
			return nil, fmt.Errorf("stubDomains: %s is there twice; put its servers into one list", name)
		case name == domain || strings.HasSuffix(name, "."+domain):
			return nil, fmt.Errorf("stubDomains: %s lies in %s, whose names are those of Services (clusterDomain is another domain)", name, domain)
		case len(given[text]) == 0:
			return nil, fmt.Errorf("stubDomains: %s has no server; give it a list of addresses", name)
		}
		for _, server := range given[text] {
			s, ok := server53(server)
			if !ok {
				return nil, fmt.Errorf("stubDomains: %s: %q is not a server's address like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53", name, server)
			}
			out[name] = append(out[name], s)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func server53(text string) (netip.AddrPort, bool) {
	server, err := netip.ParseAddrPort(text)
	if err != nil {
		var ip netip.Addr
		if ip, err = netip.ParseAddr(text); err != nil {
			return netip.AddrPort{}, false
		}
		server = netip.AddrPortFrom(ip, portOfNames)
	}
	ip := server.Addr().Unmap()
	if server.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, server.Port()), true
}
