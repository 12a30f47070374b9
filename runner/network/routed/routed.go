// Package routed has pods' packets for each other pass the machine's IP stack, though the pods are on one bridge. A bridge passes frames
// on by itself: what a service's endpoint answers to a pod beside it would bypass the translation of addresses, and rules for packets that
// are forwarded would see nothing.
//
// A table of nftables in the family bridge changes the frames: they go to the bridge's own address, as those for the gateway do. What pods
// ask each other to find their addresses stays between them.
package routed

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/nft"
)

// Plan is what is routed.
type Plan struct {
	// Ports are interfaces behind which pods are, with the hardware address of the bridge that they are on.
	Ports map[string]net.HardwareAddr
	// Subnets have nobody but pods, and the bridge's own address.
	Subnets []netip.Prefix
	// Pods are further addresses, of pods on bridges of others.
	Pods []netip.Addr
}

// Empty says whether nothing is routed; then there is no table.
func (p *Plan) Empty() bool { return len(p.Ports) == 0 || len(p.Subnets)+len(p.Pods) == 0 }

// Equal says whether both are the same; lists are compared in their order.
func (p *Plan) Equal(q *Plan) bool {
	return slices.Equal(p.Subnets, q.Subnets) && slices.Equal(p.Pods, q.Pods) && maps.EqualFunc(p.Ports, q.Ports, func(a, b net.HardwareAddr) bool {
		return slices.Equal(a, b)
	})
}

// ErrUnsupported says that the kernel has no tables for bridges (CONFIG_NF_TABLES_BRIDGE).
var ErrUnsupported = errors.New("the kernel has no nftables for bridges (CONFIG_NF_TABLES_BRIDGE)")

// TableName is the name of an instance's table; bridge is the name of its own bridge.
func TableName(bridge string) string { return bridge + "-routed" }

// maxElements is how many elements one message takes: the length of their attribute has 16 bits.
const maxElements = 500

// Write replaces the table in one transaction, or removes it where the plan is empty.
func Write(bridge string, p Plan) error {
	c, err := nft.Dial()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyBridge, Name: TableName(bridge)}
	c.AddTable(t) // so that the deletion cannot fail
	c.DelTable(t)
	if !p.Empty() {
		c.AddTable(t)
		if err := fill(c, t, p); err != nil {
			return err
		}
	}
	err = c.Flush()
	if nft.Unsupported(err) {
		if p.Empty() {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// priority is before all that looks at frames of a bridge (NF_BR_PRI_NAT_DST_BRIDGED), and before br_netfilter has packets of IP looked at.
var priority = nftables.ChainPriorityRef(-300)

func fill(c *nftables.Conn, t *nftables.Table, p Plan) error {
	ports := &nftables.Set{ID: nft.NewSetID(), Table: t, Name: "ports", IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeEtherAddr, KeyByteOrder: binaryutil.NativeEndian}
	if err := c.AddSet(ports, nil); err != nil {
		return err
	}
	var elements []nftables.SetElement
	for _, name := range slices.Sorted(maps.Keys(p.Ports)) {
		elements = append(elements, nftables.SetElement{Key: nft.Interface(name), Val: p.Ports[name]})
	}
	if err := add(c, ports, elements); err != nil {
		return err
	}
	home := c.AddChain(&nftables.Chain{Name: "home", Table: t})
	c.AddRule(&nftables.Rule{Table: t, Chain: home, Exprs: toBridge(ports)})
	prerouting := c.AddChain(&nftables.Chain{Name: "prerouting", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: priority})
	c.AddRule(&nftables.Rule{Table: t, Chain: prerouting, Exprs: neighbours()})
	for _, s := range p.Subnets {
		c.AddRule(&nftables.Rule{Table: t, Chain: prerouting, Exprs: append(to(s), &expr.Verdict{Kind: expr.VerdictJump, Chain: home.Name})})
	}
	for _, f := range families {
		if err := f.pods(c, t, prerouting, home, p.Pods); err != nil {
			return err
		}
	}
	output := c.AddChain(&nftables.Chain{Name: "output", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: priority})
	for _, r := range redirects {
		c.AddRule(&nftables.Rule{Table: t, Chain: output, Exprs: r.drop(ports)})
	}
	return nil
}

func add(c *nftables.Conn, set *nftables.Set, elements []nftables.SetElement) error {
	for part := range slices.Chunk(elements, maxElements) {
		if err := c.SetAddElements(set, part); err != nil {
			return err
		}
	}
	return nil
}

// family is what differs between IPv4 and IPv6.
type family struct {
	is4      bool
	protocol uint16
	set      string
	key      nftables.SetDatatype
}

var families = []*family{v4, v6}

var (
	v4 = &family{true, unix.ETH_P_IP, "pods4", nftables.TypeIPAddr}
	v6 = &family{false, unix.ETH_P_IPV6, "pods6", nftables.TypeIP6Addr}
)

func familyOf(ip netip.Addr) *family {
	if ip.Is4() {
		return v4
	}
	return v6
}

func (f *family) match() []expr.Any {
	return nft.Meta(expr.MetaKeyPROTOCOL, binaryutil.BigEndian.PutUint16(f.protocol))
}

// pods adds the rule for single addresses.
func (f *family) pods(c *nftables.Conn, t *nftables.Table, chain, home *nftables.Chain, pods []netip.Addr) error {
	var elements []nftables.SetElement
	for _, ip := range pods {
		if ip.Is4() == f.is4 {
			elements = append(elements, nftables.SetElement{Key: ip.AsSlice()})
		}
	}
	if len(elements) == 0 {
		return nil
	}
	set := &nftables.Set{ID: nft.NewSetID(), Table: t, Name: f.set, KeyType: f.key}
	if err := c.AddSet(set, nil); err != nil {
		return err
	}
	if err := add(c, set, elements); err != nil {
		return err
	}
	ip, _ := netip.AddrFromSlice(elements[0].Key)
	h := nft.HeaderOf(ip)
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: nft.Join(f.match(), []expr.Any{
		h.Load(h.Destination), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
		&expr.Verdict{Kind: expr.VerdictJump, Chain: home.Name},
	})})
	return nil
}

// to matches packets for a subnet, but not its broadcasts, which are for all pods.
func to(s netip.Prefix) []expr.Any {
	f, h := familyOf(s.Addr()), nft.HeaderOf(s.Addr())
	out := nft.Join(f.match(), h.Match(h.Destination, s, expr.CmpOpEq))
	if f.is4 && s.Bits() < 31 {
		last := s.Masked().Addr().As4()
		for i := s.Bits(); i < 32; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, h.Match(h.Destination, netip.PrefixFrom(netip.AddrFrom4(last), 32), expr.CmpOpNeq)...)
	}
	return out
}

// toBridge has the frame go to the bridge itself. A frame from elsewhere is left alone: the port is not found, which ends the rule. Whatever
// hardware address the sender has given makes no difference: who may send frames of his own making must not get around the stack.
func toBridge(ports *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: ports.Name, SetID: ports.ID},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 0, Len: 6},
		&expr.Immediate{Register: 1, Data: []byte{unix.PACKET_HOST}},
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, SourceRegister: true, Register: 1},
	}
}

// neighbours lets pass what the pods of a bridge ask each other (RFC 4861: types 133 to 137).
func neighbours() []expr.Any {
	return nft.Join(v6.match(), nft.Meta(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_ICMPV6}), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{133}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{137}},
		&expr.Verdict{Kind: expr.VerdictReturn},
	})
}

// redirect is a message of ICMP by which a router says that there is a shorter way: whoever sends to a pod beside him is told to leave the
// machine out. IPv6 has no setting against it, and that of IPv4 counts only where no other interface of the machine has it.
type redirect struct {
	protocol byte
	kind     byte
}

var redirects = []redirect{{unix.IPPROTO_ICMP, 5}, {unix.IPPROTO_ICMPV6, 137}} // RFC 792, RFC 4861

func (r redirect) drop(ports *nftables.Set) []expr.Any {
	return nft.Join(nft.Meta(expr.MetaKeyL4PROTO, []byte{r.protocol}), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{r.kind}},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: ports.Name, SetID: ports.ID},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
}

// Look returns what tells the instance's table from any other; "" when there is none.
func Look(bridge string) (mark string, err error) {
	return nft.Fingerprint(&nftables.Table{Family: nftables.TableFamilyBridge, Name: TableName(bridge)}, "ports", v4.set, v6.set)
}
