package balance

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/network/nft"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	is4      bool
	table    nftables.TableFamily
	nat      uint32
	header   nft.Header
	regs     uint32 // of an address
	addr     nftables.SetDatatype
	loopback netip.Prefix
	// refuse are type and code of what says that nobody is at a port.
	refuse expr.Reject
}

var families = []*family{
	{true, nftables.TableFamilyIPv4, unix.NFPROTO_IPV4, nft.Header{Size: 4, Source: 12, Destination: 16}, 1, nftables.TypeIPAddr,
		netip.MustParsePrefix("127.0.0.0/8"), expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3}}, // RFC 792: port unreachable
	{false, nftables.TableFamilyIPv6, unix.NFPROTO_IPV6, nft.Header{Size: 16, Source: 8, Destination: 24}, 4, nftables.TypeIP6Addr,
		netip.MustParsePrefix("::1/128"), expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 4}}, // RFC 4443: port unreachable
}

// reg is one of the 16 registers of four bytes.
func reg(i uint32) uint32 { return unix.NFT_REG32_00 + i }

// schema are the sets and maps of a table. With another schema, or other rules, generation must be another.
func (f *family) schema() []*nftables.Set {
	concat := nftables.MustConcatSetType
	proto, port, slot, id := nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeMark, nftables.TypeClassID
	entry, node, endpoint := concat(f.addr, proto, port), concat(proto, port), concat(f.addr, port)
	set := func(name string, key nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Name: name, KeyType: key}
	}
	counting := func(name string, key nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Name: name, KeyType: key, Counter: true}
	}
	mapping := func(name string, key, data nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Name: name, KeyType: key, DataType: data, IsMap: true}
	}
	clients := func(name string, key nftables.SetDatatype) *nftables.Set {
		s := mapping(name, key, id)
		s.Dynamic, s.HasTimeout, s.Size = true, true, mostClients
		return s
	}
	return []*nftables.Set{
		mapping(services, entry, nftables.TypeVerdict), mapping(targets, concat(f.addr, proto, port, slot), endpoint),
		mapping(nodes, node, nftables.TypeVerdict), mapping(nodeTargets, concat(proto, port, slot), endpoint),
		mapping(guarded, node, nftables.TypeVerdict), clients(affinity, concat(f.addr, f.addr, proto, port)), clients(nodeAffinity, concat(f.addr, proto, port)),
		mapping(ids, concat(f.addr, proto, port, slot), id), mapping(nodeIDs, concat(proto, port, slot), id), mapping(endpoints, id, endpoint),
		counting(counts, f.addr), counting(nodeCount(v1.ProtocolTCP), port), counting(nodeCount(v1.ProtocolUDP), port), counting(nodeCount(v1.ProtocolSCTP), port),
		set(clusterIPs, f.addr), set(refused, entry), set(refusedNode, node), set(selves, concat(f.addr, f.addr)),
		set(kept, entry), set(outside, entry), set(names, f.addr), set(loopback, f.addr),
		{Name: asking, KeyType: f.addr, Dynamic: true, HasTimeout: true, Size: mostClients},
	}
}

// mostClients bounds how many clients' endpoints are remembered in all: with more, those that come get any endpoint.
const mostClients = 65536

// Priorities: connections are led to endpoints where all do it; who they come from is decided before others do it; what is refused is before
// other firewalls see it, which may drop it.
var (
	afterNAT     = nftables.ChainPriorityRef(-90)
	beforeOthers = nftables.ChainPriorityRef(-10)
	beforeSource = nftables.ChainPriorityRef(90)
	beforeNAT    = nftables.ChainPriorityRef(-110)
	afterSource  = nftables.ChainPriorityRef(110)
)

// builder adds a table's sets, chains and rules to a transaction.
type builder struct {
	*family
	c    *nftables.Conn
	t    *nftables.Table
	sets map[string]*nftables.Set
	// digest is of the rules so far, added their number.
	digest hash.Hash
	added  int
}

func newBuilder(f *family, c *nftables.Conn, t *nftables.Table) *builder {
	b := &builder{family: f, c: c, t: t, sets: map[string]*nftables.Set{}, digest: sha256.New()}
	for i, set := range f.schema() {
		set.ID, set.Table = uint32(i+1), t // always the same: a set that is there already is found by its name
		b.sets[set.Name] = set
	}
	return b
}

func (b *builder) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
	chain := b.c.AddChain(&nftables.Chain{Name: name, Table: b.t, Type: kind, Hooknum: hook, Priority: priority})
	b.rules(chain, rules...)
}

func (b *builder) rules(chain *nftables.Chain, rules ...[]expr.Any) {
	for _, r := range rules {
		b.c.AddRule(&nftables.Rule{Table: b.t, Chain: chain, Exprs: r})
		b.added++
		for _, e := range r {
			data, err := expr.Marshal(byte(b.table), e)
			fmt.Fprintf(b.digest, "%s %x %v\n", chain.Name, data, err)
		}
	}
}

// version is another whenever chains that choose, or the meaning of sets, are others: of the other rules it need not tell.
const version = 2

// generation names a chain that tells whether an earlier daemon has written the same rules.
func (b *builder) generation() string {
	return fmt.Sprintf("generation-%d-%x", version, b.digest.Sum(nil)[:8])
}

// in looks for what lies from a register on in a set.
func (b *builder) in(set string, from uint32) expr.Any {
	return &expr.Lookup{SourceRegister: from, SetName: set, SetID: b.sets[set].ID}
}

func (b *builder) notIn(set string, from uint32) expr.Any {
	return &expr.Lookup{SourceRegister: from, SetName: set, SetID: b.sets[set].ID, Invert: true}
}

// found puts what a map has for what lies from a register on into another, or ends the rule.
func (b *builder) found(set string, from, to uint32) expr.Any {
	return &expr.Lookup{SourceRegister: from, DestRegister: to, IsDestRegSet: true, SetName: set, SetID: b.sets[set].ID}
}

// verdict goes where a map says.
func (b *builder) verdict(set string, from uint32) expr.Any {
	return b.found(set, from, unix.NFT_REG_VERDICT)
}

func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

// source and destination load an address from a register on.
func (f *family) source(to uint32) expr.Any {
	return &expr.Payload{DestRegister: to, Base: expr.PayloadBaseNetworkHeader, Offset: f.header.Source, Len: f.header.Size}
}

func (f *family) destination(to uint32) expr.Any {
	return &expr.Payload{DestRegister: to, Base: expr.PayloadBaseNetworkHeader, Offset: f.header.Destination, Len: f.header.Size}
}

// nodeKey loads protocol and port of the destination.
func nodeKey(to uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: to},
		&expr.Payload{DestRegister: to + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

// entryKey loads address, protocol and port of the destination.
func (f *family) entryKey(to uint32) []expr.Any {
	return append([]expr.Any{f.destination(to)}, nodeKey(to+f.regs)...)
}

// toMachine: the destination is an address of the machine's.
func toMachine() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

// translated: the connection was led elsewhere (IPS_DST_NAT of nf_conntrack_common.h).
func translated() []expr.Any { return has(expr.CtKeySTATUS, 1<<5) }

func has(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: key},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func isInterface(key expr.MetaKey, name string, op expr.CmpOp) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: nft.Interface(name)}}
}

// build adds the sets and the rules that are always there.
func (b *builder) build(s static) error {
	for _, set := range b.schema() {
		if err := b.c.AddSet(b.sets[set.Name], nil); err != nil {
			return err
		}
	}
	b.lead()
	b.sources(s)
	b.refuses()
	b.counting()
	if b.is4 {
		b.guard(s.bridge)
	}
	b.c.AddChain(&nftables.Chain{Name: b.generation(), Table: b.t})
	return nil
}

// lead has connections go to a chain that chooses. Each look is made twice: kernels before 6.17 find nothing for an instant while an element
// is replaced, and what is not led anywhere is refused.
func (b *builder) lead() {
	toService := append(b.entryKey(reg(0)), b.verdict(services, reg(0)))
	toNode := append(nodeKey(reg(0)), b.verdict(nodes, reg(0)))
	ofNames := []expr.Any{b.destination(reg(0)), b.in(names, reg(0)), verdict(expr.VerdictReturn)}
	b.chain("to-machine", "", nil, nil, ofNames, append(nodeKey(reg(0)), b.verdict(guarded, reg(0))), toNode, toNode)
	b.chain("to-itself", "", nil, nil, ofNames, toNode, toNode)
	b.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest,
		toService, toService, append(toMachine(), jump("to-machine")))
	// Of the loopback 127.0.0.1 leads to pods, and only to those of the own bridge: programs of the machine have other addresses of it for
	// themselves, and nothing of ::1 is routed. That is refused, so that who asks for localhost goes on to 127.0.0.1 at once.
	noWay := b.header.Match(b.header.Destination, b.loopback, expr.CmpOpEq)
	if b.is4 {
		noWay = append(noWay, b.destination(reg(0)), b.notIn(loopback, reg(0)))
	}
	b.chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest,
		toService, toService, append(noWay, verdict(expr.VerdictReturn)), append(toMachine(), jump("to-itself")))
}

// sources decides who an endpoint sees as its client: the client itself, as far as answers find back.
func (b *builder) sources(s static) {
	masquerade := &expr.Masq{}
	rules := [][]expr.Any{
		append(isInterface(expr.MetaKeyOIFNAME, "lo", expr.CmpOpEq), verdict(expr.VerdictReturn)),
		{b.source(reg(0)), b.destination(reg(b.regs)), b.in(selves, reg(0)), masquerade}, // an endpoint that reaches itself
		append(b.entryKey(reg(0)), b.in(outside, reg(0)), masquerade),
	}
	// The machine's own connections: not with an address of which nobody else knows.
	for _, own := range b.unknown() {
		rules = append(rules, append(b.header.Match(b.header.Source, own, expr.CmpOpEq), masquerade))
	}
	rules = append(rules, []expr.Any{b.source(reg(0)), b.in(names, reg(0)), masquerade})
	for _, subnet := range s.unrouted {
		if subnet.Addr().Is4() == b.is4 {
			rules = append(rules, nft.Join(b.header.Match(b.header.Source, subnet, expr.CmpOpEq), b.header.Match(b.header.Destination, subnet, expr.CmpOpEq),
				[]expr.Any{masquerade}))
		}
	}
	rules = append(rules, append(b.entryKey(reg(0)), b.in(kept, reg(0)), b.source(reg(0)),
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: b.nat, RegAddrMin: reg(0)})) // with its own: nobody translates it after that
	b.chain("sources", "", nil, nil, rules...)
	b.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, beforeSource, append(translated(), jump("sources")))
}

func (f *family) unknown() []netip.Prefix {
	if f.is4 {
		return []netip.Prefix{f.loopback}
	}
	return []netip.Prefix{f.loopback, netip.MustParsePrefix("fe80::/10")}
}

// refuses has the kernel say at once that nobody is there.
func (b *builder) refuses() {
	tcp := nft.Meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_TCP})
	refusal := b.refuse
	b.chain("refuse", "", nil, nil, append(tcp, &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}), []expr.Any{&refusal})
	addresses := [][]expr.Any{
		{b.destination(reg(0)), b.in(clusterIPs, reg(0)), jump("refuse")},
		append(b.entryKey(reg(0)), b.in(refused, reg(0)), jump("refuse")),
	}
	isNew := has(expr.CtKeySTATE, expr.CtStateBitNEW)
	port := append(nodeKey(reg(0)), b.in(refusedNode, reg(0)), jump("refuse"))
	b.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, beforeOthers, addresses...)
	b.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, beforeOthers, b.floods(),
		nft.Join(isNew, addresses[1]), nft.Join(isNew, []expr.Any{b.destination(reg(0)), b.notIn(names, reg(0))}, port))
	b.chain("refuse-own", nftables.ChainTypeFilter, nftables.ChainHookOutput, afterNAT, append(slices.Clone(addresses),
		nft.Join(isNew, toMachine(), []expr.Any{b.destination(reg(0)), b.notIn(names, reg(0))}, port))...)
}

// What one address may send to the DNS server in a second, and at once, and for how long it is remembered.
const (
	mostQueries, queriesAtOnce = 20_000, 2_000
	rememberAsking             = 10 * time.Second
)

// floods drops what one address asks the DNS server beyond a bound, before it takes the room in the server's socket that others' queries
// need: there are no other senders that wait for nothing.
func (b *builder) floods() []expr.Any {
	set := b.sets[asking]
	return append(
		[]expr.Any{b.destination(reg(0)), b.in(names, reg(0))},
		append(nft.Meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_UDP}), b.source(reg(0)),
			&expr.Dynset{
				SrcRegKey: reg(0), SetID: set.ID, SetName: set.Name, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: rememberAsking,
				Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: mostQueries, Unit: expr.LimitTimeSecond, Burst: queriesAtOnce, Over: true}},
			}, verdict(expr.VerdictDrop))...)
}

// counting counts packets of both directions by the service's address and port, where they have them: before they are led elsewhere, and
// when answers come back. The first packet of a connection is counted by the chain that chooses: nobody knows yet that it is led elsewhere.
func (b *builder) counting() {
	for _, direction := range []struct {
		chain   string
		is      byte // IP_CT_DIR_*
		address uint32
		port    uint32
	}{{"count-to", 0, b.header.Destination, 2}, {"count-from", 1, b.header.Source, 0}} {
		b.chain(direction.chain, "", nil, nil, b.counters(direction.address, direction.port)...)
		for _, at := range map[byte][]*nftables.ChainHook{0: {nftables.ChainHookPrerouting, nftables.ChainHookOutput}, 1: {nftables.ChainHookInput, nftables.ChainHookPostrouting}}[direction.is] {
			priority := beforeNAT
			if direction.is == 1 {
				priority = afterSource
			}
			b.chain(fmt.Sprintf("%s-%s", direction.chain, hooks[*at]), nftables.ChainTypeFilter, at, priority, nft.Join(translated(), []expr.Any{
				&expr.Ct{Register: 1, Key: expr.CtKeyDIRECTION}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{direction.is}}, jump(direction.chain)}))
		}
	}
}

var hooks = map[nftables.ChainHook]string{
	unix.NF_INET_PRE_ROUTING: "prerouting", unix.NF_INET_LOCAL_OUT: "output", unix.NF_INET_LOCAL_IN: "input", unix.NF_INET_POST_ROUTING: "postrouting",
}

// counters are rules that count by an address, or else by a port of the machine.
func (b *builder) counters(address, port uint32) (rules [][]expr.Any) {
	rules = append(rules, []expr.Any{
		&expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseNetworkHeader, Offset: address, Len: b.header.Size}, b.in(counts, reg(0)), verdict(expr.VerdictReturn),
	})
	for _, p := range counted {
		rules = append(rules, append(nft.Meta(expr.MetaKeyL4PROTO, []byte{protocols[p]}),
			&expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseTransportHeader, Offset: port, Len: 2}, b.in(nodeCount(p), reg(0)), verdict(expr.VerdictReturn)))
	}
	return rules
}

// first counts the first packet of a connection.
func (b *builder) first(p pick) [][]expr.Any {
	if !p.node {
		return [][]expr.Any{{b.destination(reg(0)), b.in(counts, reg(0))}}
	}
	rules := b.counters(b.header.Destination, 2)[1:]
	for i, r := range rules {
		rules[i] = r[:len(r)-1] // and goes on
	}
	return rules
}

// guard keeps pods from the machine's loopback, to which the kernel routes while ports of the machine are reached through it: see
// guardLoopback in package firewall.
func (b *builder) guard(bridge string) {
	var rules [][]expr.Any
	for _, end := range []uint32{b.header.Source, b.header.Destination} {
		rules = append(rules, nft.Join(
			isInterface(expr.MetaKeyIIFNAME, bridge, expr.CmpOpEq), b.header.Match(end, b.loopback, expr.CmpOpEq), []expr.Any{verdict(expr.VerdictDrop)}))
	}
	b.chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, rules...)
}

// choose adds a chain that chooses among some endpoints.
func (b *builder) choose(p pick) {
	in, key, size := atAddress, b.entryKey, b.regs+2
	if p.node {
		in, key, size = atMachine, nodeKey, 2
	}
	chain := b.c.AddChain(&nftables.Chain{Name: p.name(), Table: b.t})
	draw := func(from, to uint32) []expr.Any {
		return append(key(from), &expr.Numgen{Register: from + size, Modulus: uint32(p.among), Type: unix.NFT_NG_RANDOM}, b.found(in.targets, from, to))
	}
	send := &expr.NAT{Type: expr.NATTypeDestNAT, Family: b.nat, RegAddrMin: reg(0), RegProtoMin: reg(b.regs)}
	b.rules(chain, b.first(p)...)
	if p.affinity > 0 {
		b.rules(chain, b.stay(p, in, key, size)...) // and goes on where no more clients can be remembered
	}
	b.rules(chain, append(draw(reg(0), reg(0)), send))
	// A packet sees each set as it is when it looks, also when a transaction ends meanwhile: it may have been sent here to draw among more
	// endpoints than there are now. The first one is there as long as there is any; it is drawn among one, as nft(8) cannot show a number in a key.
	first := append(key(reg(0)), &expr.Numgen{Register: reg(size), Modulus: 1, Type: unix.NFT_NG_RANDOM})
	b.rules(chain, append(first, b.found(in.targets, reg(0), reg(0)), send))
}

// stay has a client go where it went before, or to any endpoint, and remembers that. The key of affinity is the client and what it asked for;
// it leads to the number of an endpoint. nft(8) aborts where what a map has found becomes data of another: the number takes a way through
// the priority of the connection's first packet, which the kernel sets anew when it forwards the packet.
func (b *builder) stay(p pick, in where, key func(uint32) []expr.Any, size uint32) [][]expr.Any {
	client := append([]expr.Any{b.source(reg(0))}, key(reg(b.regs))...)
	id := reg(b.regs + size)
	endpoint := id + 1
	through := []expr.Any{&expr.Meta{Key: expr.MetaKeyPRIORITY, SourceRegister: true, Register: id}}
	back := &expr.Meta{Key: expr.MetaKeyPRIORITY, Register: id}
	set := b.sets[in.affinity]
	change := func(operation uint32) expr.Any {
		return &expr.Dynset{SrcRegKey: reg(0), SrcRegData: id, SetID: set.ID, SetName: set.Name, Operation: operation, Timeout: p.affinity.Round(time.Millisecond)}
	}
	remember := change(unix.NFT_DYNSET_OP_UPDATE) // of what is there already it changes the time only
	send := &expr.NAT{Type: expr.NATTypeDestNAT, Family: b.nat, RegAddrMin: endpoint, RegProtoMin: endpoint + b.regs}
	none := &expr.Immediate{Register: id, Data: make([]byte, 4)}
	return [][]expr.Any{
		nft.Join(client, []expr.Any{b.found(in.affinity, reg(0), id)}, through, client, []expr.Any{back, b.found(endpoints, id, endpoint), remember, none}, through, []expr.Any{send}),
		nft.Join(key(reg(0)), []expr.Any{&expr.Numgen{Register: reg(size), Modulus: uint32(p.among), Type: unix.NFT_NG_RANDOM}, b.found(in.ids, reg(0), id)}, through,
			client, []expr.Any{back, b.found(endpoints, id, endpoint), change(opDelete), remember, none}, through, []expr.Any{send}),
	}
}

// opDelete is NFT_DYNSET_OP_DELETE, of kernels since 5.8.
const opDelete = 2

// from adds a chain that drops who does not come from the subnets.
func (b *builder) from(name string, list []netip.Prefix) {
	chain := b.c.AddChain(&nftables.Chain{Name: name, Table: b.t})
	for _, p := range list {
		b.rules(chain, append(b.header.Match(b.header.Source, p, expr.CmpOpEq), verdict(expr.VerdictReturn)))
	}
	b.rules(chain, []expr.Any{verdict(expr.VerdictDrop)})
}
