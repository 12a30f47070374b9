package network

import (
	"net/netip"
	"sort"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// Two tables of nftables belong to each bridge name: one for the traffic of the bridge's subnet, one for host ports.
// Each is written whole, in one transaction, so that no state of it depends on earlier ones.

func bridgeTable(bridge string) string { return bridge }
func portTable(bridge string) string   { return bridge + "-ports" }

// replaceTable writes a table anew; fill adds its chains and rules. With a nil fill the table is removed.
func replaceTable(name string, fill func(c *nftables.Conn, t *nftables.Table)) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: name}
	c.AddTable(t) // so that the deletion cannot fail
	c.DelTable(t)
	if fill != nil {
		c.AddTable(t)
		fill(c, t)
	}
	return c.Flush()
}

func deleteRules(bridge string) error { return replaceTable(bridgeTable(bridge), nil) }

// writeBridgeRules: what the subnet sends to anywhere else leaves with the machine's own address.
func writeBridgeRules(bridge string, subnet netip.Prefix) error {
	return replaceTable(bridgeTable(bridge), func(c *nftables.Conn, t *nftables.Table) {
		post := natChain(c, t, "postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
		c.AddRule(&nftables.Rule{Table: t, Chain: post, Exprs: join(
			matchSubnet(sourceOffset, subnet, expr.CmpOpEq),
			matchSubnet(destinationOffset, subnet, expr.CmpOpNeq),
			[]expr.Any{&expr.Masq{}})})
		// A pod that reaches a pod of the bridge, or itself, through a host port must see the answer come back here.
		c.AddRule(&nftables.Rule{Table: t, Chain: post, Exprs: join(
			matchSubnet(sourceOffset, subnet, expr.CmpOpEq),
			matchSubnet(destinationOffset, subnet, expr.CmpOpEq),
			matchForwarded(), []expr.Any{&expr.Masq{}})})
	})
}

// writePortRules: connections to a port of the host go to the pod that asked for it.
func writePortRules(bridge string, pods map[string]forward) error {
	if len(pods) == 0 {
		return replaceTable(portTable(bridge), nil)
	}
	uids := make([]string, 0, len(pods))
	for uid := range pods {
		uids = append(uids, uid)
	}
	sort.Strings(uids)
	return replaceTable(portTable(bridge), func(c *nftables.Conn, t *nftables.Table) {
		chains := []*nftables.Chain{
			natChain(c, t, "prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest),
			natChain(c, t, "output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest),
		}
		post := natChain(c, t, "postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
		for _, uid := range uids {
			f := pods[uid]
			for _, port := range f.ports {
				for _, chain := range chains {
					c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: forwardRule(f.ip, port)})
				}
			}
		}
		// A connection through 127.0.0.1 keeps that source address otherwise, and the pod could not answer.
		c.AddRule(&nftables.Rule{Table: t, Chain: post, Exprs: join(
			matchSubnet(sourceOffset, netip.MustParsePrefix("127.0.0.0/8"), expr.CmpOpEq),
			matchForwarded(), []expr.Any{&expr.Masq{}})})
	})
}

func natChain(c *nftables.Conn, t *nftables.Table, name string, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	return c.AddChain(&nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: prio})
}

// Offsets in the IPv4 header (RFC 791).
const (
	sourceOffset      = 12
	destinationOffset = 16
)

func matchSubnet(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	mask := make([]byte, 4)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// statusDNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
const statusDNAT = 1 << 5

func matchForwarded() []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATUS},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(statusDNAT), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func forwardRule(ip netip.Addr, port Port) []expr.Any {
	protocol := map[string]byte{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP, "SCTP": unix.IPPROTO_SCTP}[port.Protocol]
	match := []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(port.HostPort))},
	}
	if hostIP, err := netip.ParseAddr(port.HostIP); err == nil && hostIP.Is4() && !AnyIP(port.HostIP) {
		match = append(match, matchSubnet(destinationOffset, netip.PrefixFrom(hostIP, 32), expr.CmpOpEq)...)
	}
	return append(match,
		&expr.Immediate{Register: 1, Data: ip.AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(uint16(port.ContainerPort))},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2})
}

func join(lists ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// allowLoopbackForwarding lets packets from 127.0.0.1 be routed to the bridge (ip-sysctl, route_localnet).
func allowLoopbackForwarding(bridge string) error {
	path := "/proc/sys/net/ipv4/conf/" + bridge + "/route_localnet"
	return foreign.WriteKernel(path, "1")
}

// AnyIP says whether a port's address of the host means all that it has.
func AnyIP(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
