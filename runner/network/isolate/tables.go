package isolate

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/nft"
)

// table is one as it is written.
type table struct {
	family nftables.TableFamily
	sets   map[string]set
	// chains' names tell their contents.
	chains map[string]chain
}

// set is a set, or a map of verdicts.
type set struct {
	key      nftables.SetDatatype
	verdicts bool
	interval bool
	elements map[string]element
}

type element struct {
	key []byte
	end bool   // of an interval
	to  string // the chain of a map's verdict
}

func (s set) with(elements ...element) set {
	for _, e := range elements {
		key := string(e.key)
		if e.end {
			key += "-"
		}
		s.elements[key] = e
	}
	return s
}

func newSet(key nftables.SetDatatype) set { return set{key: key, elements: map[string]element{}} }

type chain struct {
	hook     *nftables.ChainHook
	priority int
	rules    [][]expr.Any
}

// Priorities. Judging is before the filters of others, so that what they count and log is what pods are left with, and behind all translation
// of addresses; frames are looked at before anybody changes them (package routed: -300).
const (
	judging = -10
	fencing = -310
	leaving = 10
)

// tables are all that the rules become. A table without sets is none.
func (r *Rules) tables() []table {
	if r.Empty() {
		return []table{{family: nftables.TableFamilyIPv4}, {family: nftables.TableFamilyIPv6}, {family: nftables.TableFamilyBridge}}
	}
	return []table{v4.table(&r.V4, r.Ports), v6.table(&r.V6, r.Ports), frames(r.Ports)}
}

// family is what differs between IPv4 and IPv6.
type family struct {
	is4    bool
	kind   nftables.TableFamily
	key    nftables.SetDatatype
	header nft.Header
	icmp   byte
}

var (
	v4 = &family{true, nftables.TableFamilyIPv4, nftables.TypeIPAddr, nft.Header{Size: 4, Source: 12, Destination: 16}, unix.IPPROTO_ICMP}
	v6 = &family{false, nftables.TableFamilyIPv6, nftables.TypeIP6Addr, nft.Header{Size: 16, Source: 8, Destination: 24}, unix.IPPROTO_ICMPV6}
)

// Names of sets and chains.
const (
	egress, ingress, itself = "egress", "ingress", "itself"
	places, own             = "places", "own"
)

func (f *family) table(r *Family, fences []Fence) table {
	t := table{family: f.kind, sets: map[string]set{}, chains: map[string]chain{}}
	isolated := map[netip.Addr]bool{}
	for name, chains := range map[string]map[netip.Addr]string{egress: r.Egress, ingress: r.Ingress} {
		s := newSet(f.key)
		s.verdicts = true
		for ip, to := range chains {
			s = s.with(element{key: ip.AsSlice(), to: to})
			isolated[ip] = true
		}
		t.sets[name] = s
	}
	s := newSet(nftables.MustConcatSetType(f.key, f.key))
	for ip := range isolated {
		s = s.with(element{key: slices.Concat(ip.AsSlice(), ip.AsSlice())})
	}
	t.sets[itself] = s
	for name, s := range r.Sets {
		t.sets[name] = f.set(s)
	}
	for name, rules := range r.Chains {
		t.chains[name] = chain{rules: f.judge(rules, name)}
	}
	from, to := f.lookup(f.header.Source, egress), f.lookup(f.header.Destination, ingress)
	t.chains["forward"] = chain{nftables.ChainHookForward, judging, slices.Concat(f.known(), f.bridged(), [][]expr.Any{from, to})}
	t.chains["input"] = chain{nftables.ChainHookInput, judging, slices.Concat(f.known(), f.neighbours(), [][]expr.Any{from})}
	f.fence(&t, fences)
	return t
}

// known has pass what answers, and what tells of errors of a connection.
func (f *family) known() [][]expr.Any {
	const reply = 1 // IP_CT_DIR_REPLY
	return [][]expr.Any{
		nft.Join(ctDirection(reply), ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept()),
		nft.Join(nft.Meta(expr.MetaKeyL4PROTO, []byte{f.icmp}), ctState(expr.CtStateBitRELATED), accept()),
	}
}

// neighbours has pass what a pod asks the machine to find its address (RFC 4861, types 133 to 137), and tells of groups (RFC 3810, 2710).
func (f *family) neighbours() [][]expr.Any {
	if f.is4 {
		return nil
	}
	return [][]expr.Any{nft.Join(icmp6(133, 137), accept()), nft.Join(icmp6(130, 132), accept()), nft.Join(icmp6(143, 143), accept())}
}

// bridged has pass what pods of one bridge ask each other, where br_netfilter shows it to the rules of IP. It was forwarded by no router, for
// that takes one from the hops that are left (RFC 4861, section 7.1).
func (f *family) bridged() [][]expr.Any {
	if f.is4 {
		return nil
	}
	hops := []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{255}},
	}
	return [][]expr.Any{nft.Join(hops, icmp6(135, 136), accept())}
}

// lookup jumps to the chain of an address of the packet, if it has one.
func (f *family) lookup(offset uint32, verdicts string) []expr.Any {
	return []expr.Any{f.header.Load(offset), &expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: verdicts}}
}

// judge is a chain: it returns for what is allowed, and drops the rest. A pod cannot be kept from itself.
func (f *family) judge(rules []Rule, name string) (out [][]expr.Any) {
	peer := f.header.Source
	if name[0] == 'o' { // out-
		peer = f.header.Destination
	}
	for _, r := range rules {
		match := f.match(r, peer)
		if len(r.Ports) == 0 {
			out = append(out, append(match, back()))
		}
		for _, span := range r.Ports {
			out = append(out, nft.Join(match, port(span), []expr.Any{back()}))
		}
	}
	return append(out,
		[]expr.Any{
			f.header.Load(f.header.Source), f.load(f.header.Destination, f.second()), in(itself), back(),
		},
		[]expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
}

func (f *family) match(r Rule, peer uint32) (out []expr.Any) {
	if r.Targets != "" {
		n := f.second()
		return []expr.Any{
			f.header.Load(f.header.Destination),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: n},
			&expr.Payload{DestRegister: n + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			in(r.Targets),
		}
	}
	if r.Peers != "" {
		out = append(out, f.header.Load(peer), in(r.Peers))
	}
	if r.Protocol != 0 {
		out = append(out, nft.Meta(expr.MetaKeyL4PROTO, []byte{r.Protocol})...)
	}
	return out
}

// second is the register, of four bytes, behind an address in the first one (NFT_REG32_00).
func (f *family) second() uint32 { return unix.NFT_REG32_00 + f.header.Size/4 }

func (f *family) load(offset, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.header.Size}
}

func port(s Span) []expr.Any {
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
	first, last := binaryutil.BigEndian.PutUint16(s.First), binaryutil.BigEndian.PutUint16(s.Last)
	if s.First == s.Last {
		return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: first}}
	}
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: first}, &expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: last}}
}

func (f *family) set(s Set) set {
	switch {
	case len(s.Ranges) > 0:
		out := newSet(f.key)
		out.interval = true
		for _, r := range s.Ranges {
			out = out.with(element{key: r.First.AsSlice()})
			if next := r.Last.Next(); next.IsValid() {
				out = out.with(element{key: next.AsSlice(), end: true})
			}
		}
		return out
	case s.Targets != nil:
		out := f.targets()
		for _, t := range s.Targets {
			out = out.with(element{key: slices.Concat(t.Addr.AsSlice(), []byte{t.Protocol, 0, 0, 0}, binaryutil.BigEndian.PutUint16(t.Port), []byte{0, 0})})
		}
		return out
	}
	out := newSet(f.key)
	for _, ip := range s.Addrs {
		out = out.with(element{key: ip.AsSlice()})
	}
	return out
}

func (f *family) targets() set {
	return newSet(nftables.MustConcatSetType(f.key, nftables.TypeInetProto, nftables.TypeInetService))
}

// fence has pods whose connections are no ports of a bridge keep to their own addresses.
func (f *family) fence(t *table, fences []Fence) {
	at, of := newSet(nftables.TypeIFName), newSet(nftables.MustConcatSetType(nftables.TypeIFName, f.key))
	for _, p := range fences {
		if p.Bridged {
			continue
		}
		at = at.with(element{key: nft.Interface(p.Interface)})
		for _, ip := range p.Addrs {
			if ip.Is4() == f.is4 {
				of = of.with(element{key: slices.Concat(nft.Interface(p.Interface), ip.AsSlice())})
			}
		}
	}
	if len(at.elements) == 0 {
		return
	}
	t.sets[places], t.sets[own] = at, of
	rules := [][]expr.Any{nft.Join(notAt(places), []expr.Any{back()}), {incoming(1), f.load(f.header.Source, 2), in(own), back()}}
	if !f.is4 {
		rules = append(rules, fromLink(icmp6(130, 137)), fromLink(icmp6(143, 143)), unspecified(icmp6(135, 135)), unspecified(icmp6(143, 143)))
	}
	t.chains["prerouting"] = chain{nftables.ChainHookPrerouting, fencing, append(rules, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})}
}

// fromLink has pass what comes from an address of the link (fe80::/10), and unspecified what comes from none.
func fromLink(what []expr.Any) []expr.Any {
	return nft.Join(v6.header.Match(v6.header.Source, linkLocal, expr.CmpOpEq), what, []expr.Any{back()})
}

func unspecified(what []expr.Any) []expr.Any {
	return nft.Join(v6.header.Match(v6.header.Source, netip.PrefixFrom(netip.IPv6Unspecified(), 128), expr.CmpOpEq), what, []expr.Any{back()})
}

var linkLocal = netip.MustParsePrefix("fe80::/10")

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func back() expr.Any     { return &expr.Verdict{Kind: expr.VerdictReturn} }
func in(set string) expr.Any {
	return &expr.Lookup{SourceRegister: 1, SetName: set}
}

func incoming(register uint32) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: register}
}

func notAt(set string) []expr.Any {
	return []expr.Any{incoming(1), &expr.Lookup{SourceRegister: 1, SetName: set, Invert: true}}
}

func ctDirection(d byte) []expr.Any {
	return []expr.Any{&expr.Ct{Register: 1, Key: expr.CtKeyDIRECTION}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{d}}}
}

func ctState(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// icmp6 matches messages of ICMPv6 of types from one to another.
func icmp6(first, last byte) []expr.Any {
	return nft.Join(nft.Meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_ICMPV6}), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{first}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{last}},
	})
}

// names are those of a table's sets, sorted.
func (t *table) names() []string { return slices.Sorted(maps.Keys(t.sets)) }
