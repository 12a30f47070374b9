package zone

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
	"github.com/solopod/solopod/runner/served"
)

// specification is the version of the specification that the names follow.
const specification = "1.1.0"

// builder puts names into a zone that is not used yet. What makes no valid name is left out: a name that nobody can ask for.
type builder struct {
	*Zone
	seen map[entry]struct{}
}

// entry is a record; data are such as no other of its name and type has.
type entry struct {
	name string
	kind uint16
	data string
}

// header is a record's.
func header(n string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: n, Rrtype: t, Class: dns.ClassINET, Ttl: TTL}
}

// add puts a record in, once, and makes the names between its own and the domain.
func (b builder) add(r dns.RR, data string) {
	n, t := r.Header().Name, r.Header().Rrtype
	have, e := b.make(n), entry{n, t, data}
	if _, seen := b.seen[e]; seen {
		return
	}
	b.seen[e] = struct{}{}
	at := slices.IndexFunc(have.sets, func(s set) bool { return s.kind == t })
	if at < 0 {
		at = len(have.sets)
		have.sets = append(have.sets, set{kind: t})
	}
	have.sets[at].records = append(have.sets[at].records, r)
}

func (b builder) make(n string) *node {
	have, known := b.names[n]
	if known {
		return have
	}
	have = &node{backward: !dns.IsSubDomain(b.apex, n)}
	b.names[n] = have
	if parent, ok := message.Parent(n); ok && !have.backward && n != b.apex {
		b.make(parent)
	}
	return have
}

// below is a name of the domain.
func (b builder) below(labels ...string) (string, bool) {
	n, ok := message.Below(b.apex, labels...)
	return dns.CanonicalName(n), ok
}

func (b builder) addresses(n string, addrs []netip.Addr) {
	for _, a := range addrs {
		switch a = a.Unmap(); {
		case a.Is4():
			b.add(&dns.A{Hdr: header(n, dns.TypeA), A: a.AsSlice()}, a.String())
		case a.Is6():
			b.add(&dns.AAAA{Hdr: header(n, dns.TypeAAAA), AAAA: a.AsSlice()}, a.String())
		}
	}
}

// own are the domain's own records.
func (b builder) own(servers []netip.Addr) {
	for _, r := range b.soa(b.apex) {
		b.add(r, "")
	}
	if n, ok := b.below("ns", "dns"); ok {
		b.add(&dns.NS{Hdr: header(b.apex, dns.TypeNS), Ns: n}, n)
		b.make(n)
		b.addresses(n, servers)
	}
	if n, ok := b.below("dns-version"); ok {
		b.add(&dns.TXT{Hdr: header(n, dns.TypeTXT), Txt: []string{specification}}, specification)
	}
	for _, label := range []string{"svc", "pod"} {
		if n, ok := b.below(label); ok {
			b.make(n)
		}
	}
}

// cluster gives the server the name by which proxies' configurations know a cluster's, unless a service has it.
func (b builder) cluster(servers []netip.Addr) {
	n, ok := b.below("kube-dns", "kube-system", "svc")
	if _, taken := b.names[n]; taken || !ok {
		return
	}
	b.addresses(n, servers)
	b.back(n, servers)
}

// soa is the record of who is responsible, for answers that something is not there: they hold for TTL seconds.
func (z *Zone) soa(owner string) []dns.RR {
	server, ok := message.Below(z.apex, "ns", "dns")
	mail, ok2 := message.Below(z.apex, "hostmaster")
	if !ok || !ok2 {
		server, mail = ".", "."
	}
	return []dns.RR{&dns.SOA{ // nobody copies the zone, and so the serial number says nothing
		Hdr: header(owner, dns.TypeSOA), Ns: server, Mbox: mail, Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: TTL,
	}}
}

func (b builder) service(s *served.Service) {
	n, ok := b.below(s.Name, s.Namespace, "svc")
	if !ok {
		return
	}
	if s.ExternalName != "" {
		if to, err := message.ParseName(s.ExternalName); err == nil {
			b.add(&dns.CNAME{Hdr: header(n, dns.TypeCNAME), Target: to}, to)
		}
		return
	}
	b.endpoints(s, n)
	if s.Headless {
		return
	}
	b.make(n)
	b.addresses(n, s.ClusterIPs)
	b.back(n, s.ClusterIPs)
	for _, p := range s.Ports {
		b.port(n, n, p)
	}
}

// endpoints have names below a service's. A headless service's own name leads to them, and is not there without any.
func (b builder) endpoints(s *served.Service, service string) {
	for _, e := range s.Endpoints {
		if s.Headless {
			b.make(service)
			b.addresses(service, e.Addrs)
		}
		hosts := []string{}
		for _, a := range e.Addrs {
			host := e.Hostname
			if host == "" {
				host = Dashed(a)
			}
			n, ok := message.Below(service, host)
			if !ok || !a.IsValid() {
				continue
			}
			n = dns.CanonicalName(n)
			b.addresses(n, []netip.Addr{a})
			b.back(n, []netip.Addr{a})
			if !slices.Contains(hosts, n) {
				hosts = append(hosts, n)
			}
		}
		if !s.Headless {
			continue
		}
		for _, host := range hosts {
			for _, p := range e.Ports {
				b.port(service, host, p)
			}
		}
	}
}

// port is a service's, on a host: by its name, and by the service's own name among all others.
func (b builder) port(service, host string, p served.Port) {
	b.leads(service, host, p.Port)
	if p.Name == "" {
		return
	}
	if n, ok := message.Below(service, "_"+strings.ToLower(p.Name), "_"+strings.ToLower(string(p.Protocol))); ok {
		b.leads(n, host, p.Port)
	}
}

// leads gives a name the record that it is served by a port of a host.
func (b builder) leads(n, host string, port uint16) {
	b.add(&dns.SRV{Hdr: header(n, dns.TypeSRV), Weight: 100, Port: port, Target: host}, strconv.Itoa(int(port))+" "+host)
}

func (b builder) pod(p *served.Pod) {
	for _, a := range p.Addrs {
		if n, ok := b.below(Dashed(a), p.Namespace, "pod"); ok && a.IsValid() {
			b.addresses(n, []netip.Addr{a})
			if !p.HostNetwork { // else it is the machine's own address, whose name is for others to say
				b.last(n, a)
			}
		}
	}
}

// back leads from addresses to a name.
func (b builder) back(n string, addrs []netip.Addr) {
	for _, a := range addrs {
		if a.IsValid() {
			b.add(&dns.PTR{Hdr: header(Reverse(a), dns.TypePTR), Ptr: n}, n)
		}
	}
}

// last leads from an address to a name if no other is known for it.
func (b builder) last(n string, a netip.Addr) {
	if _, known := b.names[Reverse(a)]; !known {
		b.back(n, []netip.Addr{a})
	}
}

// Dashed is an address as a label of a name: with dashes for its dots and colons.
func Dashed(a netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.Unmap().WithZone("").String())
}

// Reverse is the name of an address, below in-addr.arpa or ip6.arpa.
func Reverse(a netip.Addr) string {
	n, _ := dns.ReverseAddr(a.Unmap().WithZone("").String()) // it is one
	return n
}

// Negative is what goes with an answer that holds no records, so that it is kept for TTL seconds.
func (z *Zone) Negative() []dns.RR { return z.soa(z.apex) }
