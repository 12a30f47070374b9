package bridge

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/solopod/solopod/runner/netlinks"
)

// Where the kernel can forward without it, the machine does not become a router; where not, interfaces that learn their routes go on to.
func TestForwardingOfIPv6(t *testing.T) {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "learns0"}, PeerName: "learns1"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(netlink.LinkDel(link), setSysctl(isRouter, "0"), setSysctl("ipv6/conf/default/accept_ra", "1")); err != nil {
			t.Error(err)
		}
	})
	const learns = "ipv6/conf/learns0/accept_ra"
	if sysctl(isRouter) != "0" || sysctl(learns) != "1" {
		t.Fatalf("the machine begins with %s and %s", sysctl(isRouter), sysctl(learns))
	}
	if sysctl(forwardsHere) != "" {
		if err := setForwarding(false); err != nil || !forwarding(false) || sysctl(isRouter) != "0" || sysctl(learns) != "1" || sysctl("ipv6/conf/learns0/force_forwarding") != "1" {
			t.Errorf("without a need it becomes a router, or does not forward: %v, %s, %s", err, sysctl(isRouter), sysctl(learns))
		}
	}
	if err := becomeRouter(); err != nil || !forwarding(false) || sysctl(learns) != "2" || sysctl("ipv6/conf/default/accept_ra") != "2" {
		t.Errorf("a router learns no route any more: %v, %s", err, sysctl(learns))
	}
}

// Settings of subnets: what they mean, and what is wrong with them.
func TestCheckSubnets(t *testing.T) {
	for _, c := range []struct {
		four, six string
		ok        bool
	}{
		{"", "", true}, {"10.1.0.0/16", "fd00:1::/64", true}, {"none", "", true}, {"", "none", true}, {"none", "none", false}, {"10.1.0.0/31", "", false},
		{"fd00::/64", "", false}, {"", "10.0.0.0/24", false}, {"", "fd00::/127", false}, {"", "::ffff:10.0.0.0/120", false}, {"x", "", false},
		{"0.0.0.0/0", "", false}, {"127.0.0.0/24", "", false}, {"169.254.7.0/24", "", false}, {"224.0.0.0/24", "", false}, {"240.0.0.0/24", "", false}, {"100.64.0.0/16", "", true},
		{"", "::/0", false}, {"", "fe80::/64", false}, {"", "ff02::/64", false}, {"", "2001:db8::/64", true},
	} {
		if err := CheckSubnets(c.four, c.six); (err == nil) != c.ok {
			t.Errorf("%q and %q: %v", c.four, c.six, err)
		}
	}
}

// The machine's own subnet is private, and always the same.
func TestOwnSubnet(t *testing.T) {
	one, two := ownSubnet("m", "solopod0"), ownSubnet("m", "solopod0")
	if one != two || one.Bits() != 64 || one != one.Masked() || !netip.MustParsePrefix("fd00::/8").Contains(one.Addr()) || one == ownSubnet("m", "solopod1") || one == ownSubnet("n", "solopod0") {
		t.Errorf("%s and %s", one, two)
	}
	if random := ownSubnet("", "solopod0"); random == ownSubnet("uninitialized", "solopod0") {
		t.Error("machines without a name have the same")
	}
}

// An address of the link is what the kernel makes of the hardware address (RFC 4291, appendix A).
func TestOfLink(t *testing.T) {
	if got := ofLink(net.HardwareAddr{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}).String(); got != "fe80::3656:78ff:fe9a:bcde" {
		t.Error(got)
	}
}

// Whether an interface has joined a group is read from the kernel's table, in whatever form it is.
func TestJoined(t *testing.T) {
	group := solicited(netip.MustParseAddr("fd00::1:2:3:aabb:ccdd"))
	if group.String() != "ff02::1:ffbb:ccdd" {
		t.Fatal(group)
	}
	const wanted = "ff0200000000000000000001ffbbccdd"
	for table, want := range map[string]bool{
		"": false, "7 eth0": false, "\n\n": false,
		"7    eth0            ff0200000000000000000001ffbbccdd     1 00000004 0\n":                                                         true,
		"7    eth1            ff0200000000000000000001ffbbccdd     1 00000004 0\n":                                                         false,
		"7    eth0            ff0200000000000000000001ffbbccde     1 00000004 0\n":                                                         false,
		"1    lo              ff02000000000000000000000000000001     1 0000000C 0\n7 eth0 ff0200000000000000000001ffbbccdd 1 00000004 0\n": true,
	} {
		if joined(table, "eth0", []string{wanted}) != want {
			t.Errorf("%q: %v", table, !want)
		}
	}
}

// A configured subnet that is the machine's own network would cut the machine off.
func TestInTheWay(t *testing.T) {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lan0"}, PeerName: "lan1"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(link); err != nil {
			t.Error(err)
		}
	})
	prefix := netip.MustParsePrefix
	err := errors.Join(netlink.AddrAdd(link, netlinks.Address(prefix("192.0.2.7/24"))), netlink.AddrAdd(link, netlinks.Address(prefix("2001:db8::7/64"))), netlink.LinkSetUp(link),
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Index, Gw: net.ParseIP("192.0.2.1")}),
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Index, Gw: net.ParseIP("192.0.2.1"), Dst: netlinks.IPNet(prefix("10.0.0.0/8"))}))
	if err != nil {
		t.Fatal(err)
	}
	for setting, free := range map[string]bool{
		"192.0.2.0/24": false, "192.0.2.128/25": false, "192.0.0.0/16": false, "10.0.0.0/8": false, "8.0.0.0/6": false, "10.1.0.0/16": true, "198.51.100.0/24": true,
		"2001:db8::/64": false, "2001:db8::/32": false, "2001:db8:0:1::/64": true,
	} {
		is4 := netip.MustParsePrefix(setting).Addr().Is4()
		b := &Bridge{Config: Config{Name: "own0", PodCIDR: setting, PodCIDR6: setting}}
		if _, err := b.chooseSubnet(is4); (err == nil) != free {
			t.Errorf("%s: %v", setting, err)
		} else if err != nil && !strings.Contains(err.Error(), "lan0") {
			t.Errorf("%s: nobody is told of the interface: %v", setting, err)
		}
	}
}
