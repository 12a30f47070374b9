package isolate

import (
	"net/netip"
	"slices"
)

// Rules are compiled policies.
type Rules struct {
	V4, V6 Family
	// Ports are the places of pods, by interface: of all that are known while any pod is isolated.
	Ports []Fence
}

// Family is what is judged of one family of addresses.
type Family struct {
	// Egress and Ingress name the chain of each isolated pod, by its address.
	Egress, Ingress map[netip.Addr]string
	// Chains are lists of what is allowed. A name tells the contents.
	Chains map[string][]Rule
	// Sets are what rules refer to. The names of those of pods stay as pods come and go; others tell the contents.
	Sets map[string]Set
}

// Rule allows what it matches.
type Rule struct {
	// Peers is a set of addresses: of senders at ingress, of receivers at egress. "" means all.
	Peers string
	// Protocol is that of IP; zero means all.
	Protocol byte
	// Ports are those of the receiver; none means all.
	Ports []Span
	// Targets is a set of receivers with protocol and port; the other fields are not set then.
	Targets string
}

// Set is of one kind; Targets are not nil where it is theirs, Ranges not empty where it is theirs.
type Set struct {
	Addrs   []netip.Addr
	Ranges  []Range
	Targets []Target
}

// Range is from one address to another, both included.
type Range struct{ First, Last netip.Addr }

// Span is from one port to another, both included.
type Span struct{ First, Last uint16 }

// Target is a port of a pod.
type Target struct {
	Addr     netip.Addr
	Protocol byte
	Port     uint16
}

// Fence is a pod's place, and what it may be taken for.
type Fence struct {
	Place
	Addrs           []netip.Addr
	Egress, Ingress bool
}

// Empty says whether no pod is isolated; then there are no tables.
func (r *Rules) Empty() bool {
	return len(r.V4.Egress)+len(r.V4.Ingress)+len(r.V6.Egress)+len(r.V6.Ingress) == 0
}

func (r *Rules) family(ip netip.Addr) *Family {
	if ip.Is4() {
		return &r.V4
	}
	return &r.V6
}

// Isolated says whether packets from or to an address are judged.
func (r *Rules) Isolated(ip netip.Addr) bool {
	f := r.family(ip)
	return f.Egress[ip] != "" || f.Ingress[ip] != ""
}

// Flow is a connection as pods see it, behind all translation of addresses.
type Flow struct {
	From, To netip.Addr
	Protocol byte
	// Port is that of the receiver; zero where the protocol has none.
	Port uint16
}

// Allows says whether the packets of who began a flow pass. fromMachine: it was the machine itself.
func (r *Rules) Allows(f Flow, fromMachine bool) bool {
	if fromMachine || f.From == f.To {
		return true
	}
	fam := r.family(f.From)
	return fam.passes(fam.Egress[f.From], f, f.To) && fam.passes(fam.Ingress[f.To], f, f.From)
}

func (fam *Family) passes(chain string, f Flow, peer netip.Addr) bool {
	return chain == "" || slices.ContainsFunc(fam.Chains[chain], func(r Rule) bool { return fam.matches(r, f, peer) })
}

func (fam *Family) matches(r Rule, f Flow, peer netip.Addr) bool {
	if r.Targets != "" {
		return slices.Contains(fam.Sets[r.Targets].Targets, Target{f.To, f.Protocol, f.Port})
	}
	if r.Protocol != 0 && r.Protocol != f.Protocol {
		return false
	}
	if len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(s Span) bool { return s.First <= f.Port && f.Port <= s.Last }) {
		return false
	}
	return r.Peers == "" || fam.Sets[r.Peers].has(peer)
}

func (s Set) has(ip netip.Addr) bool {
	return slices.Contains(s.Addrs, ip) || slices.ContainsFunc(s.Ranges, func(r Range) bool {
		return r.First.Compare(ip) <= 0 && ip.Compare(r.Last) <= 0
	})
}

// OnBridges says whether isolated pods are on bridges, which pass on frames by themselves.
func (r *Rules) OnBridges() bool {
	return slices.ContainsFunc(r.Ports, func(f Fence) bool { return f.Bridged && (f.Egress || f.Ingress) })
}

// Narrower says whether something may be allowed no longer that former rules did.
func (r *Rules) Narrower(former *Rules) bool {
	return r.V4.narrower(&former.V4) || r.V6.narrower(&former.V6)
}

func (fam *Family) narrower(former *Family) bool {
	for _, chains := range [][2]map[netip.Addr]string{{fam.Egress, former.Egress}, {fam.Ingress, former.Ingress}} {
		for ip, chain := range chains[0] {
			if chains[1][ip] != chain {
				return true
			}
		}
	}
	for name, set := range former.Sets {
		for _, ip := range set.Addrs {
			if !slices.Contains(fam.Sets[name].Addrs, ip) {
				return true
			}
		}
		for _, t := range set.Targets {
			if !slices.Contains(fam.Sets[name].Targets, t) {
				return true
			}
		}
	}
	return false
}
