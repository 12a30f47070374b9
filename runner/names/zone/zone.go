// Package zone answers for the names of a cluster: those of services, their endpoints and pods, as the specification of Kubernetes'
// DNS has them (github.com/kubernetes/dns, docs/specification.md, 1.1.0), and backwards for their addresses. It is pure.
package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
	"github.com/solopod/solopod/runner/served"
)

// TTL is for how many seconds answers hold, also those that there is no such name. A client that keeps names for as long finds a pod
// that was replaced.
const TTL = 5

// Zone is what is known at one moment. It is not changed, and so can be asked by many at once.
type Zone struct {
	apex  string
	names map[string]*node
}

// node is a name. One without records is there because of the names below it.
type node struct {
	sets []set
	// backward is one of the names of addresses, which lie outside of the domain.
	backward bool
}

// set are a name's records of one type.
type set struct {
	kind    uint16
	records []dns.RR
}

// Answer is what the zone knows about a question.
type Answer struct {
	Code                     int
	Records, Authority, More []dns.RR
	// Chase is a name outside of the zone to which the records lead; the answer goes on with what is known there.
	Chase string
}

var errRoot = errors.New("all names would be the cluster's; choose a domain such as cluster.local")

// New makes a zone of what is served. servers are the addresses of the DNS server itself.
func New(domain string, servers []netip.Addr, t *served.Table) (*Zone, error) {
	apex, err := message.ParseName(domain)
	if err == nil && apex == "." {
		err = errRoot
	}
	if err != nil {
		return nil, fmt.Errorf("cannot serve the names of a cluster below %q: %w", domain, err)
	}
	b := builder{seen: map[entry]struct{}{}, Zone: &Zone{apex: dns.CanonicalName(apex), names: make(map[string]*node, 16+4*len(t.Services)+2*len(t.Pods))}}
	b.own(servers)
	for i := range t.Services {
		b.service(&t.Services[i])
	}
	for i := range t.Pods {
		b.pod(&t.Pods[i])
	}
	b.cluster(servers)
	return b.Zone, nil
}

// Has says whether a name, in lower case, is for the zone to answer, be it there or not.
func (z *Zone) Has(n string) bool {
	_, known := z.names[n]
	return known || dns.IsSubDomain(z.apex, n)
}

// maxChain bounds how many aliases are followed.
const maxChain = 8

// Lookup answers a question whose name the zone has. Records of which there are several begin with another one each turn, so that
// clients that take the first are spread. There are most of them at most: a service may have thousands, and a message room for some.
func (z *Zone) Lookup(q dns.Question, turn uint, most int) (a Answer) {
	name := q.Name
	for range maxChain {
		n, known := z.names[name]
		if !known {
			a.Code, a.Authority = dns.RcodeNameError, z.soa(z.apex)
			return a
		}
		if alias, ok := n.alias(); ok && q.Qtype != dns.TypeCNAME && q.Qtype != dns.TypeANY {
			a.Records = append(a.Records, alias)
			if name = dns.CanonicalName(alias.Target); !z.Has(name) {
				a.Chase = name
				return a
			}
			continue
		}
		found := n.of(q.Qtype, turn, most)
		if a.Records = append(a.Records, found...); len(found) == 0 {
			apex := z.apex
			if n.backward {
				apex = name
			}
			a.Authority = z.soa(apex)
		}
		if q.Qtype != dns.TypeANY {
			a.More = z.more(found)
		}
		return a
	}
	return Answer{Code: dns.RcodeServerFailure} // aliases lead round
}

// all are the records of a type.
func (n *node) all(kind uint16) []dns.RR {
	for _, s := range n.sets {
		if s.kind == kind {
			return s.records
		}
	}
	return nil
}

func (n *node) alias() (*dns.CNAME, bool) {
	if all := n.all(dns.TypeCNAME); len(all) > 0 {
		r, ok := all[0].(*dns.CNAME)
		return r, ok
	}
	return nil, false
}

// of are records of a type, most of them at most, beginning with another one each turn.
func (n *node) of(kind uint16, turn uint, most int) (out []dns.RR) {
	if kind == dns.TypeANY {
		for _, s := range n.sets {
			out = append(out, n.of(s.kind, turn, most)...)
		}
		return out
	}
	all := n.all(kind)
	if len(all) == 0 {
		return nil
	}
	by := int(turn % uint(len(all)))
	out = slices.Clone(all[by:min(by+most, len(all))])
	return append(out, all[:min(by, most-len(out))]...)
}

// maxMore bounds the addresses that go with an answer unasked.
const maxMore = 32

// more are the addresses of what records lead to.
func (z *Zone) more(records []dns.RR) (out []dns.RR) {
	for _, r := range records {
		target := ""
		switch r := r.(type) {
		case *dns.SRV:
			target = r.Target
		case *dns.NS:
			target = r.Ns
		}
		n, known := z.names[target]
		if !known || slices.ContainsFunc(out, func(o dns.RR) bool { return o.Header().Name == target }) {
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			all := n.all(kind)
			out = append(out, all[:min(len(all), maxMore)]...)
		}
		if len(out) >= maxMore {
			return out
		}
	}
	return out
}
