// Package firewall has the rules of packets: what leaves the own bridge leaves with the machine's address, what comes to a host port
// goes to its pod, and what others forbid to be forwarded is allowed for the bridge.
//
// Two tables of nftables belong to each bridge name, in the families ip and ip6: one for the traffic of the bridge's subnets, one for
// host ports. Each is written whole, in one transaction, so that no state of it depends on earlier ones.
package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sort"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/network/nft"
)

// Port is a port of the host that leads to the pod.
type Port struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"` // TCP, UDP or SCTP
	HostIP        string `json:"hostIP,omitempty"`
}

// on says whether the port is one of the host's addresses of a family: of both without an address, and with ::.
func (p Port) on(f *family) bool {
	ip, err := netip.ParseAddr(p.HostIP)
	return err != nil || ip.Is4() == f.is4 || ip == netip.IPv6Unspecified()
}

// AnyIP says whether a port's address of the host means all that it has.
func AnyIP(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }

// Forward are a pod's addresses, one of a family at most, and the ports of the host that lead there.
type Forward struct {
	IPs   []netip.Addr
	Ports []Port
}

// family is what differs between IPv4 (RFC 791) and IPv6 (RFC 8200).
type family struct {
	is4      bool
	table    nftables.TableFamily
	nat      uint32
	size     uint32 // of an address
	src, dst uint32 // offsets in the header
	loopback netip.Prefix
}

var (
	families = []*family{v4, v6}
	v4       = &family{true, nftables.TableFamilyIPv4, unix.NFPROTO_IPV4, 4, 12, 16, netip.MustParsePrefix("127.0.0.0/8")}
	v6       = &family{false, nftables.TableFamilyIPv6, unix.NFPROTO_IPV6, 16, 8, 24, netip.MustParsePrefix("::1/128")}
)

func (f *family) of(ips []netip.Addr) (ip netip.Addr, ok bool) {
	for _, ip := range ips {
		if ip.Is4() == f.is4 {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

func bridgeTable(bridge string) string { return bridge }
func portTable(bridge string) string   { return bridge + "-ports" }

// fill adds the chains and rules of a table; nil means that there is no such table.
type fill func(c *nftables.Conn, t *nftables.Table)

// replaceTable writes the table of a name anew, of IPv4 and of IPv6, in one transaction.
func replaceTable(name string, of4, of6 fill) error {
	err := replace(name, of4, of6, families)
	if of6 == nil && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)) {
		return replace(name, of4, nil, []*family{v4}) // a kernel without IPv6 has no such table
	}
	return err
}

func replace(name string, of4, of6 fill, families []*family) error {
	c, err := nft.Dial()
	if err != nil {
		return err
	}
	for _, f := range families {
		t := &nftables.Table{Family: f.table, Name: name}
		c.AddTable(t) // so that the deletion cannot fail
		c.DelTable(t)
		add := of6
		if f.is4 {
			add = of4
		}
		if add != nil {
			c.AddTable(t)
			add(c, t)
		}
	}
	return c.Flush()
}

// DeleteBridge removes the rules of WriteBridge.
func DeleteBridge(bridge string) error { return WriteBridge(bridge, nil) }

// WriteBridge writes that what the subnets, one of a family at most, send to anywhere else leaves with the machine's own address.
func WriteBridge(bridge string, subnets []netip.Prefix) error {
	var of [2]fill
	for i, f := range families {
		for _, subnet := range subnets {
			if subnet.Addr().Is4() == f.is4 {
				of[i] = func(c *nftables.Conn, t *nftables.Table) { f.masquerade(c, t, subnet) }
			}
		}
	}
	return replaceTable(bridgeTable(bridge), of[0], of[1])
}

func (f *family) masquerade(c *nftables.Conn, t *nftables.Table, subnet netip.Prefix) {
	post := natChain(c, t, "postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	c.AddRule(&nftables.Rule{Table: t, Chain: post, Exprs: nft.Join(
		f.match(f.src, subnet, expr.CmpOpEq),
		f.match(f.dst, subnet, expr.CmpOpNeq),
		[]expr.Any{&expr.Masq{}})})
	// A pod that reaches a pod of the bridge, or itself, through a host port must see the answer come back here.
	c.AddRule(&nftables.Rule{Table: t, Chain: post, Exprs: nft.Join(
		f.match(f.src, subnet, expr.CmpOpEq),
		f.match(f.dst, subnet, expr.CmpOpEq),
		matchForwarded(), []expr.Any{&expr.Masq{}})})
}

// WritePorts writes that connections to a port of the host go to the pod that asked for it. Pods are by UID.
func WritePorts(bridge string, pods map[string]Forward) error {
	var of [2]fill
	for i, f := range families {
		if rules := f.ports(pods); len(rules) > 0 {
			of[i] = func(c *nftables.Conn, t *nftables.Table) { f.forward(c, t, bridge, rules) }
		}
	}
	return replaceTable(portTable(bridge), of[0], of[1])
}

// ports are the rules' conditions and targets, in an order that does not change.
func (f *family) ports(pods map[string]Forward) (rules [][]expr.Any) {
	uids := make([]string, 0, len(pods))
	for uid := range pods {
		uids = append(uids, uid)
	}
	sort.Strings(uids)
	for _, uid := range uids {
		ip, ok := f.of(pods[uid].IPs)
		for _, port := range pods[uid].Ports {
			if ok && port.on(f) {
				rules = append(rules, f.port(ip, port))
			}
		}
	}
	return rules
}

func (f *family) forward(c *nftables.Conn, t *nftables.Table, bridge string, rules [][]expr.Any) {
	output := natChain(c, t, "output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	chains := []*nftables.Chain{natChain(c, t, "prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest), output}
	if f.is4 {
		// A connection through loopback keeps that source address otherwise, and the pod could not answer.
		post := natChain(c, t, "postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
		c.AddRule(&nftables.Rule{Table: t, Chain: post, Exprs: nft.Join(
			f.match(f.src, f.loopback, expr.CmpOpEq), matchForwarded(), []expr.Any{&expr.Masq{}})})
		f.guardLoopback(c, t, bridge)
	} else {
		// What comes from ::1 is never routed. It is refused, so that who asks for localhost goes on to 127.0.0.1 at once.
		c.AddRule(&nftables.Rule{Table: t, Chain: output, Exprs: nft.Join(
			f.match(f.dst, f.loopback, expr.CmpOpEq), []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}})})
	}
	for _, rule := range rules {
		for _, chain := range chains {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: rule})
		}
	}
}

// guardLoopback keeps pods from what listens on the machine's loopback only, and from host ports there: RouteLoopback has the kernel take
// packets for it from the bridge, and most of those that say to come from it (fib_frontend.c, __fib_validate_source: without rp_filter all but
// 127.0.0.1), which programs of the machine may trust. Answers are for the bridge's own address when they come, and from a pod's; a packet for
// the loopback itself, or from it, is forged.
func (f *family) guardLoopback(c *nftables.Conn, t *nftables.Table, bridge string) {
	guard := c.AddChain(&nftables.Chain{Name: "guard", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
	for _, end := range []uint32{f.src, f.dst} {
		c.AddRule(&nftables.Rule{Table: t, Chain: guard, Exprs: nft.Join(
			matchInterface(expr.MetaKeyIIFNAME, bridge), f.match(end, f.loopback, expr.CmpOpEq),
			[]expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})})
	}
}

func natChain(c *nftables.Conn, t *nftables.Table, name string, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	return c.AddChain(&nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: prio})
}

func (f *family) match(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	return nft.Header{Size: f.size}.Match(offset, p, op)
}

// statusDNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
const statusDNAT = 1 << 5

func matchForwarded() []expr.Any { return matchCt(expr.CtKeySTATUS, statusDNAT) }

// matchCt: the connection has one of the bits.
func matchCt(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: key},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func (f *family) port(ip netip.Addr, port Port) []expr.Any {
	protocol := map[string]byte{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP, "SCTP": unix.IPPROTO_SCTP}[port.Protocol]
	match := []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(port.HostPort))},
	}
	if hostIP, err := netip.ParseAddr(port.HostIP); err == nil && !AnyIP(port.HostIP) {
		match = append(match, f.match(f.dst, netip.PrefixFrom(hostIP, hostIP.BitLen()), expr.CmpOpEq)...)
	}
	return append(match,
		&expr.Immediate{Register: 1, Data: ip.AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(uint16(port.ContainerPort))},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: f.nat, RegAddrMin: 1, RegProtoMin: 2})
}

// ThroughLoopback says whether a host port of the pods is reached through 127.0.0.1. IPv6 has nothing of the kind.
func ThroughLoopback(pods map[string]Forward) bool { return len(v4.ports(pods)) > 0 }

// RouteLoopback lets packets from 127.0.0.1 be routed to the bridge, or no longer (ip-sysctl, route_localnet). It may be let only while the
// rules of WritePorts guard the loopback against the bridge.
func RouteLoopback(bridge string, let bool) error {
	value := "0"
	if let {
		value = "1"
	}
	return foreign.WriteKernel("/proc/sys/net/ipv4/conf/"+bridge+"/route_localnet", value)
}

// LookBridge returns what tells the rules of a bridge's table from any others: what somebody took away, changed or put there instead.
// It is "" when these cannot be the rules that WriteBridge wrote for the subnets.
func LookBridge(bridge string, subnets []netip.Prefix) (mark string, err error) {
	return look(bridgeTable(bridge), 2*len(subnets), "postrouting")
}

// LookPorts is LookBridge for the rules that WritePorts wrote.
func LookPorts(bridge string, pods map[string]Forward) (mark string, err error) {
	want := 0
	for _, f := range families {
		if n := len(f.ports(pods)); n > 0 {
			want += 2*n + 1
			if f.is4 {
				want += 2
			}
		}
	}
	return look(portTable(bridge), want, "prerouting", "output", "postrouting", "guard")
}

func look(table string, want int, chains ...string) (string, error) {
	n, all := 0, sha256.New()
	for _, f := range families {
		for _, chain := range chains {
			rules, err := rulesOf(&nftables.Table{Family: f.table, Name: table}, chain)
			if err != nil {
				return "", err
			}
			for _, r := range rules {
				n++
				fmt.Fprintf(all, "%d %s %d %x\n", f.table, chain, r.handle, r.whole)
			}
		}
	}
	if n != want {
		return "", nil
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}
