package isolate

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/nft"
)

// Sets of the table of frames.
const (
	own4, own6, ownHardware, hardware = "own4", "own6", "hardware-of", "hardware"
	pods4, pods6                      = "pods4", "pods6"
)

// frames has pods on bridges keep to their own addresses, and what a bridge passes on by itself away from isolated pods: a packet of IP
// comes there only by br_netfilter, which has asked the rules of IP about it. All else that is no question for an address is a way around
// them: broadcasts, addresses of the link, other protocols, and frames in frames, which a pod's own stack unwraps (802.1Q with number 0).
func frames(fences []Fence) table {
	t := table{family: nftables.TableFamilyBridge}
	if !slices.ContainsFunc(fences, func(f Fence) bool { return f.Bridged }) {
		return t
	}
	t.sets, t.chains = frameSets(fences), map[string]chain{}
	t.chains["prerouting"] = chain{nftables.ChainHookPrerouting, fencing, [][]expr.Any{
		nft.Join(notAt(places), []expr.Any{back()}),
		{ether(6, 6, 1), in(hardware), jump("posing")},
		nft.Join(etherType(unix.ETH_P_IP), []expr.Any{gotoChain("from4")}),
		nft.Join(etherType(unix.ETH_P_IPV6), []expr.Any{gotoChain("from6")}),
		nft.Join(etherType(unix.ETH_P_ARP), []expr.Any{gotoChain("asking4")}),
		drop(),
	}}
	t.chains["posing"] = chain{rules: [][]expr.Any{{incoming(1), ether(6, 6, 2), in(ownHardware), back()}, drop()}}
	t.chains["from4"] = chain{rules: [][]expr.Any{{incoming(1), v4.load(v4.header.Source, 2), in(own4), back()}, drop()}}
	// RFC 826: who asks, or answers, tells his own address; who looks whether an address is free has none (RFC 5227).
	asker := func(register uint32) expr.Any {
		return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 14, Len: 4}
	}
	t.chains["asking4"] = chain{rules: [][]expr.Any{
		{incoming(1), asker(2), in(own4), back()},
		{asker(1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)}, back()},
		drop(),
	}}
	frames6(&t)
	fence := nft.Join([]expr.Any{jump("fence")})
	t.chains["forward"] = chain{nftables.ChainHookForward, leaving, [][]expr.Any{
		append([]expr.Any{incoming(1), in(egress)}, fence...),
		append([]expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, in(ingress)}, fence...),
	}}
	t.chains["fence"] = chain{rules: [][]expr.Any{
		nft.Join(etherType(unix.ETH_P_ARP), []expr.Any{back()}),
		nft.Join(etherType(unix.ETH_P_IPV6), icmp6(135, 136), []expr.Any{back()}),
		nft.Join(etherType(unix.ETH_P_IP), []expr.Any{v4.header.Load(v4.header.Destination), in(pods4), back()}),
		nft.Join(etherType(unix.ETH_P_IPV6), []expr.Any{v6.header.Load(v6.header.Destination), in(pods6), back()}),
		drop(),
	}}
	return t
}

// frames6 adds what pods may send by IPv6. A pod is no router (types 134 and 137 of RFC 4861), and answers for its own addresses only.
func frames6(t *table) {
	// target is the address that an answer is about.
	target := func(register uint32) expr.Any {
		return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 8, Len: 16}
	}
	t.chains["from6"] = chain{rules: [][]expr.Any{
		nft.Join(icmp6(134, 134), drop()),
		nft.Join(icmp6(137, 137), drop()),
		nft.Join(icmp6(136, 136), []expr.Any{jump("answering6")}),
		{incoming(1), v6.load(v6.header.Source, 2), in(own6), back()},
		nft.Join(v6.header.Match(v6.header.Source, linkLocal, expr.CmpOpEq), []expr.Any{gotoChain("link6")}),
		unspecified(icmp6(135, 135)), unspecified(icmp6(143, 143)), unspecified(icmp6(131, 131)),
		drop(),
	}}
	t.chains["answering6"] = chain{rules: [][]expr.Any{
		{incoming(1), target(2), in(own6), back()},
		nft.Join([]expr.Any{target(1)}, bits(linkLocal), []expr.Any{back()}),
		drop(),
	}}
	// The rules of IP know isolated pods by their own addresses only.
	t.chains["link6"] = chain{rules: [][]expr.Any{
		nft.Join(notAt(egress), []expr.Any{back()}),
		nft.Join(icmp6(130, 136), []expr.Any{back()}),
		nft.Join(icmp6(143, 143), []expr.Any{back()}),
		drop(),
	}}
}

func frameSets(fences []Fence) map[string]set {
	name := nftables.TypeIFName
	out := map[string]set{
		places: newSet(name), egress: newSet(name), ingress: newSet(name),
		own4: newSet(nftables.MustConcatSetType(name, v4.key)), own6: newSet(nftables.MustConcatSetType(name, v6.key)),
		ownHardware: newSet(nftables.MustConcatSetType(name, nftables.TypeEtherAddr)), hardware: newSet(nftables.TypeEtherAddr),
		pods4: newSet(v4.key), pods6: newSet(v6.key),
	}
	add := func(set string, key ...[]byte) { out[set] = out[set].with(element{key: slices.Concat(key...)}) }
	for _, f := range fences {
		if !f.Bridged {
			continue
		}
		at := nft.Interface(f.Interface)
		add(places, at)
		if f.Egress {
			add(egress, at)
		}
		if f.Ingress {
			add(ingress, at)
		}
		if len(f.Hardware) == 6 {
			add(hardware, f.Hardware)
			add(ownHardware, at, f.Hardware, []byte{0, 0})
		}
		for _, ip := range f.Addrs {
			mine, all := own6, pods6
			if ip.Is4() {
				mine, all = own4, pods4
			}
			add(mine, at, ip.AsSlice())
			add(all, ip.AsSlice())
		}
	}
	return out
}

func drop() []expr.Any               { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func jump(name string) expr.Any      { return &expr.Verdict{Kind: expr.VerdictJump, Chain: name} }
func gotoChain(name string) expr.Any { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: name} }

// ether loads from a frame's header, with the tags of VLANs that the kernel keeps apart.
func ether(offset, length, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseLLHeader, Offset: offset, Len: length}
}

// etherType matches frames of a type, without a VLAN's tag.
func etherType(t uint16) []expr.Any {
	return []expr.Any{ether(12, 2, 1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(t)}}
}

// bits compares what is in register 1 with a prefix of IPv6.
func bits(p netip.Prefix) []expr.Any { return v6.header.Match(0, p, expr.CmpOpEq)[1:] }
