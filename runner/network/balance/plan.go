// Package balance has the kernel's tables for services: connections to an address of a service go to one of its endpoints.
//
// A table of nftables in each of the families ip and ip6 belongs to the name of the own bridge. Its rules do not depend on what is served;
// what is served are elements of sets and maps, so that what a packet costs does not grow with the number of services, and a change of an
// endpoint writes some elements. A connection costs two look-ups: the address and port lead to a chain by the number of endpoints, which
// draws one of them and looks for it by address, port and the number drawn.
//
// Plan is pure: what is served becomes elements. Writer writes the difference to what is there.
package balance

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/served"
)

// Machine is what the tables must know of the machine.
type Machine struct {
	// Names are addresses of the DNS server, which no port of the machine leads away from.
	Names []netip.Addr
	// Loopback: ports of the machine are reached through 127.0.0.1, too, because pods are on the bridge from which the kernel lets answers
	// for it come.
	Loopback bool
	// Bridge is the name of that bridge; nobody behind it reaches the machine's loopback otherwise.
	Bridge string
	// Unrouted are subnets whose pods reach each other without the machine's IP stack: answers find back only to the machine's own address.
	Unrouted []netip.Prefix
}

// Layout is what the tables have. Layouts are not changed once they are made.
type Layout struct {
	families [2]half
	static   static
	// owners are the services by family and element of counts and nodeCounts.
	owners map[owned]string
}

// owned is an element that counts for a service.
type owned struct {
	is4 bool
	set string
	key string
}

// half is what the table of a family has: elements by set and key, chains by name.
type half struct {
	sets map[string]map[string]string
	// picks are chains that choose among so many endpoints.
	picks map[string]pick
	// ranges are chains that let pass only who comes from some subnets.
	ranges map[string][]netip.Prefix
	// numbers are those of endpoints to which clients return.
	numbers map[uint32]string
}

// pick is a chain that chooses.
type pick struct {
	// node: it is for ports of the machine, which are looked for without an address.
	node bool
	// among how many.
	among int
	// affinity is for how long a client stays; zero means that it does not.
	affinity time.Duration
}

func (p pick) name() string {
	name := "pick"
	if p.node {
		name = "node"
	}
	if name = fmt.Sprintf("%s-%d", name, p.among); p.affinity > 0 {
		name += fmt.Sprintf("-%d", p.affinity.Milliseconds())
	}
	return name
}

// parsePick reads the name of such a chain.
func parsePick(name string) (pick, bool) {
	kind, rest, _ := strings.Cut(name, "-")
	among, stays, hasStay := strings.Cut(rest, "-")
	n, err := strconv.Atoi(among)
	if err != nil || kind != "pick" && kind != "node" {
		return pick{}, false
	}
	p := pick{node: kind == "node", among: n}
	if hasStay {
		ms, err := strconv.ParseInt(stays, 10, 64)
		if err != nil {
			return pick{}, false
		}
		p.affinity = time.Duration(ms) * time.Millisecond
	}
	return p, p.name() == name
}

// static is what rules, and not elements, have of the machine.
type static struct {
	bridge   string
	unrouted []netip.Prefix
}

// Names of the sets and maps.
const (
	services     = "services"      // address, protocol, port: chain that chooses
	targets      = "targets"       // address, protocol, port, number: address and port of an endpoint
	nodes        = "nodes"         // the same for ports of the machine
	nodeTargets  = "node-targets"  //
	affinity     = "affinity"      // client, address, protocol, port: number of the client's endpoint, for some time
	nodeAffinity = "node-affinity" //
	ids          = "ids"           // address, protocol, port, number: number of an endpoint of those to which clients return
	nodeIDs      = "node-ids"      //
	endpoints    = "endpoints"     // number of an endpoint: its address and port
	counts       = "counts"        // address, with a counter
	nodeCounts   = "node-counts"   // port of the machine, with a counter; a set for each protocol
	clusterIPs   = "cluster-ips"   // addresses that are services' only: what has no other way is refused
	refused      = "refused"       // address, protocol, port without an endpoint
	refusedNode  = "refused-nodes" //
	selves       = "selves"        // an endpoint's address, twice: it reaches itself
	kept         = "kept"          // address, protocol, port of endpoints that see who their client is
	outside      = "outside"       // address, protocol, port of endpoints that answer elsewhere, if they are not asked from here
	names        = "names"         // addresses of the DNS server
	asking       = "asking"        // who has asked it of late, with how much that was
	guarded      = "guarded"       // protocol, port of the machine: chain that lets pass only who may
	loopback     = "loopback"      // addresses of the loopback that lead to pods
)

// Plan says what is to be written. Of two services with the same address and port the first has it.
func Plan(t *served.Table, m Machine) *Layout {
	l := &Layout{owners: map[owned]string{}}
	for i := range l.families {
		l.families[i] = half{sets: map[string]map[string]string{}, picks: map[string]pick{}, ranges: map[string][]netip.Prefix{}, numbers: map[uint32]string{}}
	}
	if t == nil || t.Empty() {
		return l
	}
	l.static = static{bridge: m.Bridge, unrouted: m.Unrouted}
	for _, ip := range m.Names {
		l.of(ip.Is4()).set(names, addrKey(ip), "")
	}
	if !Needed(t) {
		return l
	}
	for i := range t.Services {
		l.service(&t.Services[i])
	}
	if h := l.of(true); m.Loopback { // nothing of IPv6 is routed from the loopback
		h.set(loopback, addrKey(netip.AddrFrom4([4]byte{127, 0, 0, 1})), "")
	}
	return l
}

// Needed says whether any service has an address or a port: names alone lead nowhere.
func Needed(t *served.Table) bool {
	return t != nil && slices.ContainsFunc(t.Services, func(s served.Service) bool {
		return len(s.ClusterIPs)+len(s.ExternalIPs) > 0 || s.OnNode || slices.ContainsFunc(s.Ports, func(p served.Port) bool { return p.NodePort != 0 })
	})
}

// Empty says whether there is nothing to write.
func (l *Layout) Empty() bool { return l.families[0].empty() && l.families[1].empty() }

// ThroughLoopback says whether a port of the machine is reached through 127.0.0.1.
func (l *Layout) ThroughLoopback() bool {
	return len(l.of(true).sets[nodes]) > 0 && len(l.of(true).sets[loopback]) > 0
}

func (l *Layout) of(is4 bool) *half {
	if is4 {
		return &l.families[0]
	}
	return &l.families[1]
}

// empty: what the machine adds counts for nothing.
func (h *half) empty() bool {
	for _, name := range []string{services, nodes, refused, refusedNode, clusterIPs, names} {
		if len(h.sets[name]) > 0 {
			return false
		}
	}
	return true
}

// has says whether an entry is another service's already.
func (h *half) has(key string, e entry) bool {
	in := e.where()
	_, leads := h.sets[in.chains][key]
	_, refuses := h.sets[in.refused][key]
	return leads || refuses
}

func (h *half) set(set, key, value string) bool {
	if h.sets[set] == nil {
		h.sets[set] = map[string]string{}
	}
	if _, taken := h.sets[set][key]; taken {
		return false
	}
	h.sets[set][key] = value
	return true
}

func (l *Layout) service(s *served.Service) {
	if s.ExternalName != "" {
		return
	}
	for _, ip := range s.ClusterIPs {
		l.of(ip.Is4()).set(clusterIPs, addrKey(ip), "")
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, ip := range s.ClusterIPs {
			l.port(s, p, entry{addr: ip, is4: ip.Is4(), port: p.Port}, s.InternalLocal)
		}
		for _, ip := range s.ExternalIPs {
			l.port(s, p, entry{addr: ip, is4: ip.Is4(), port: p.Port}, s.LocalOnly)
		}
		for _, is4 := range familiesOf(s) {
			if p.NodePort != 0 {
				l.port(s, p, entry{is4: is4, port: p.NodePort}, s.LocalOnly)
			}
			if s.OnNode && !p.NotOnNode && p.Port != p.NodePort {
				l.port(s, p, entry{is4: is4, port: p.Port}, s.LocalOnly)
			}
		}
	}
}

// familiesOf are those in which a service's ports of the machine are: its own, or without addresses those of its endpoints.
func familiesOf(s *served.Service) (out []bool) {
	has := map[bool]bool{}
	for _, ip := range s.ClusterIPs {
		has[ip.Is4()] = true
	}
	if len(has) == 0 {
		for _, p := range s.Ports {
			for _, t := range p.Targets {
				has[t.Addr.Is4()] = true
			}
		}
	}
	for _, is4 := range []bool{true, false} {
		if has[is4] {
			out = append(out, is4)
		}
	}
	return out
}

// entry is an address and port by which a service is reached; without an address it is a port of the machine.
type entry struct {
	addr netip.Addr
	is4  bool
	port uint16
}

func (e entry) node() bool { return !e.addr.IsValid() }

// where are the sets for an entry.
type where struct{ chains, targets, affinity, ids, refused string }

var (
	atAddress = where{services, targets, affinity, ids, refused}
	atMachine = where{nodes, nodeTargets, nodeAffinity, nodeIDs, refusedNode}
)

func (e entry) where() where {
	if e.node() {
		return atMachine
	}
	return atAddress
}

// port adds a service's port by one of the ways that lead to it.
func (l *Layout) port(s *served.Service, p *served.Port, e entry, local bool) {
	h, in := l.of(e.is4), e.where()
	protocol, ok := protocols[p.Protocol]
	if !ok {
		return
	}
	key := entryKey(e, protocol)
	if h.has(key, e) {
		return // another has it
	}
	l.own(s, p, e)
	to := targetsOf(p, e.is4, local)
	if len(to) == 0 {
		h.set(in.refused, key, "")
		return
	}
	if e.node() && len(s.SourceRanges) > 0 {
		h.set(guarded, key, h.rangesOf(s.SourceRanges, e.is4))
	}
	choose := pick{node: e.node(), among: len(to), affinity: s.Affinity}
	h.picks[choose.name()] = choose
	h.set(in.chains, key, choose.name())
	for i, t := range to {
		h.set(in.targets, key+slotKey(i), addrKey(t.Addr)+portKey(t.Port))
		h.target(t, protocol)
		if s.Affinity > 0 {
			id := h.number(fmt.Sprintf("%s/%s/%d ", s.Key(), p.Protocol, p.Port), t)
			h.set(in.ids, key+slotKey(i), id)
			h.set(endpoints, id, addrKey(t.Addr)+portKey(t.Port))
		}
	}
}

// own has packets count for the service. Where several services have ports of one external address, the first has them all.
func (l *Layout) own(s *served.Service, p *served.Port, e entry) {
	set, key := counts, ""
	if e.node() {
		set, key = nodeCount(p.Protocol), string(binary.BigEndian.AppendUint16(nil, e.port))
	} else {
		key = addrKey(e.addr)
	}
	if l.of(e.is4).set(set, key, "") {
		l.owners[owned{e.is4, set, key}] = s.Key()
	}
}

// counted are the protocols whose packets are counted.
var counted = []v1.Protocol{v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP}

func nodeCount(p v1.Protocol) string { return nodeCounts + "-" + strings.ToLower(string(p)) }

// target adds what becomes of the source address on the way to an endpoint.
func (h *half) target(t served.Target, protocol byte) {
	key := addrKey(t.Addr) + protocolKey(protocol) + portKey(t.Port)
	if t.Outside {
		h.set(outside, key, "")
		return
	}
	h.set(kept, key, "")
	h.set(selves, addrKey(t.Addr)+addrKey(t.Addr), "")
}

// targetsOf are a port's endpoints of a family, each once.
func targetsOf(p *served.Port, is4, local bool) (out []served.Target) {
	seen := map[netip.AddrPort]bool{}
	for _, t := range p.Targets {
		at := netip.AddrPortFrom(t.Addr, t.Port)
		if t.Addr.Is4() != is4 || local && t.Outside || seen[at] {
			continue
		}
		seen[at] = true
		out = append(out, t)
	}
	return out
}

// number stands for an endpoint of a service's port: the same whatever else is served, so that clients find it again, as long as no two have
// the same sum. None is zero.
func (h *half) number(of string, t served.Target) string {
	who, sum := of+netip.AddrPortFrom(t.Addr, t.Port).String(), fnv.New32a()
	sum.Write([]byte(who))
	for n := max(sum.Sum32(), 1); ; n++ {
		if has, taken := h.numbers[n]; !taken || has == who {
			h.numbers[n] = who
			return string(binary.NativeEndian.AppendUint32(nil, n))
		}
	}
}

// rangesOf names a chain for a list of subnets.
func (h *half) rangesOf(list []netip.Prefix, is4 bool) string {
	var own []netip.Prefix
	sum := fnv.New64a()
	for _, p := range list {
		if p.Addr().Is4() == is4 {
			own = append(own, p.Masked())
			fmt.Fprintln(sum, p.Masked())
		}
	}
	name := fmt.Sprintf("from-%016x", sum.Sum64())
	h.ranges[name] = own
	return name
}

func (s static) equal(t static) bool {
	return s.bridge == t.bridge && slices.Equal(s.unrouted, t.unrouted)
}
