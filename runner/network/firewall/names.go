package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/nft"
)

// Names is what pods need to ask the machine for names.
type Names struct {
	// Bridge is the name of the own bridge.
	Bridge string
	// Interfaces are those behind which pods are, Addresses those of the DNS server.
	Interfaces []string
	Addresses  []netip.Addr
}

// Empty says whether nobody is to be asked.
func (n Names) Empty() bool { return len(n.Addresses) == 0 }

// Equal says whether both are the same.
func (n Names) Equal(o Names) bool {
	return n.Bridge == o.Bridge && slices.Equal(n.Interfaces, o.Interfaces) && slices.Equal(n.Addresses, o.Addresses)
}

// Open is Open for chains that keep pods from the DNS server: firewalls of hosts let in little, and leave the machine's own names to lo.
func (n Names) Open() (told []string, err error) { return n.door().open() }

// Close removes what Open has added.
func (n Names) Close() error { return n.door().close() }

func (n Names) comment() string { return "Solopod: names for pods of " + n.Bridge }

func (n Names) door() door {
	return door{hook: nftables.ChainHookInput, comment: n.comment(), forbids: "ask the machine for names", rules: n.accepts, advice: n.advice}
}

// port is the port of DNS (RFC 1035).
const port = 53

func (n Names) accepts(chain *nftables.Chain) (rules [][]expr.Any) {
	for _, name := range n.Interfaces {
		for _, ip := range n.Addresses {
			f := v6
			if ip.Is4() {
				f = v4
			}
			if chain.Table.Family != nftables.TableFamilyINet && chain.Table.Family != f.table {
				continue
			}
			for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
				rules = append(rules, nft.Join(
					matchInterface(expr.MetaKeyIIFNAME, name), nft.Meta(expr.MetaKeyNFPROTO, []byte{byte(f.nat)}),
					f.match(f.dst, netip.PrefixFrom(ip, ip.BitLen()), expr.CmpOpEq), nft.Meta(expr.MetaKeyL4PROTO, []byte{protocol}), []expr.Any{
						&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
						&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
						&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept},
					}))
			}
		}
	}
	if chain.Table.Family == nftables.TableFamilyINet {
		return rules
	}
	for i, r := range rules { // only tables of both families need to be told which; iptables-nft does not know the question
		rules[i] = append(r[:2:2], r[4:]...)
	}
	return rules
}

func (n Names) advice(chains []*nftables.Chain) string {
	for _, c := range chains {
		if strings.HasPrefix(c.Name, "ufw-") {
			return fmt.Sprintf("Better, tell the firewall: ufw: 'ufw allow in on %s to any port %d'", n.Bridge, port)
		}
		if c.Table.Name == "firewalld" {
			return advice(chains, n.Bridge)
		}
	}
	return fmt.Sprintf("Better, allow in the firewall's own configuration what comes from %s to port %d of %s", strings.Join(n.Interfaces, " and "), port, join(n.Addresses))
}

func join(ips []netip.Addr) string {
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return strings.Join(out, " and ")
}
