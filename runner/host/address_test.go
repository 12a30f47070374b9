package host

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/network/servicelink"
)

func TestMain(m *testing.M) { testbox.Main(m) }

func TestParseNodeIP(t *testing.T) {
	for text, want := range map[string]string{
		"": "[]", "192.0.2.1": "[192.0.2.1]", "192.0.2.1, 2001:db8::1": "[192.0.2.1 2001:db8::1]", "2001:db8::1,192.0.2.1": "[2001:db8::1 192.0.2.1]",
		"::ffff:192.0.2.1": "[192.0.2.1]", "10.0.0.7": "[10.0.0.7]",
	} {
		if got, err := ParseNodeIP(text); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"eth0", "127.0.0.1", "::1", "0.0.0.0", "::", "fe80::1%eth0", "fe80::1", "224.0.0.1", "192.0.2.1,192.0.2.2", "192.0.2.1,", "192.0.2.1/24", "192.0.2.1,2001:db8::1,2001:db8::2"} {
		if got, err := ParseNodeIP(text); err == nil || !strings.Contains(err.Error(), "nodeIP") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// TestChoose: which of several addresses counts.
func TestChoose(t *testing.T) {
	links := map[int]link{
		1: {name: "lo", up: true, rank: 2}, 2: {name: "solopod0", up: true, inner: true}, 3: {name: "eth0", up: true}, 4: {name: "eth1", up: true},
		5: {name: "eth2"}, 6: {name: "wg0", up: true, rank: 1},
	}
	at := func(ip string, link int) address {
		return address{ip: netip.MustParseAddr(ip), link: link, usable: true}
	}
	bridge, first, other := at("10.166.0.1", 2), at("192.0.2.1", 3), at("198.51.100.1", 4)
	second := first
	second.second = true
	tentative := at("2001:db8::1", 3)
	tentative.usable = false
	for name, c := range map[string]struct {
		addresses []address
		defaults  []route
		want      string
	}{
		"nothing":                                 {nil, nil, "invalid IP"},
		"the bridge alone":                        {[]address{bridge}, []route{{link: 2}}, "invalid IP"},
		"no default route":                        {[]address{bridge, first, other}, nil, "192.0.2.1"},
		"a default route":                         {[]address{bridge, first, other}, []route{{link: 4}}, "198.51.100.1"},
		"the better of two":                       {[]address{first, other}, []route{{link: 4, priority: 600}, {link: 3, priority: 100}}, "192.0.2.1"},
		"with its source":                         {[]address{first, at("192.0.2.9", 3)}, []route{{link: 3, source: netip.MustParseAddr("192.0.2.9")}}, "192.0.2.9"},
		"a source that is gone":                   {[]address{first}, []route{{link: 3, source: netip.MustParseAddr("192.0.2.9")}}, "192.0.2.1"},
		"a secondary address":                     {[]address{second, at("192.0.2.2", 3)}, []route{{link: 3}}, "192.0.2.2"},
		"an interface that is down":               {[]address{at("203.0.113.1", 5), first}, []route{{link: 5}, {link: 3, priority: 9}}, "192.0.2.1"},
		"a tunnel without a default route":        {[]address{at("10.9.9.1", 6), other}, nil, "198.51.100.1"},
		"a tunnel with one":                       {[]address{at("10.9.9.1", 6), other}, []route{{link: 6}}, "10.9.9.1"},
		"an address of loopback":                  {[]address{at("192.0.2.77", 1)}, nil, "192.0.2.77"},
		"a way without an address":                {[]address{at("192.0.2.77", 1)}, []route{{link: 3}}, "192.0.2.77"},
		"an address that is not known to be free": {[]address{tentative}, nil, "invalid IP"},
		"another family's route":                  {[]address{first, other}, []route{{link: 4, v6: true}, {link: 3}}, "192.0.2.1"},
	} {
		n := &neighbourhood{links: links, addresses: c.addresses, defaults: c.defaults}
		if got := n.choose(false).String(); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
	six := &neighbourhood{links: links, addresses: []address{first, at("2001:db8::3", 3), at("2001:db8::4", 4)}, defaults: []route{{link: 4, v6: true}, {link: 3}}}
	if got := six.choose(true).String(); got != "2001:db8::4" {
		t.Errorf("of IPv6: %s", got)
	}
}

func TestInner(t *testing.T) {
	for _, name := range []string{"docker0", "br-0123456789ab", "cni0", "cni-podman0", "podman1", "virbr0", "solopod0", "solopod-0a1b2c", "solopod0-svc", "svc15a94336", servicelink.Name("solopod-0a1b2c3"), "cali12ab", "flannel.1", "lxcbr0"} {
		if !inner.MatchString(name) {
			t.Errorf("%s is not known as one of containers", name)
		}
	}
	for _, name := range []string{"eth0", "br0", "br-lan", "bond0", "enp3s0", "wlan0", "wg0", "vmbr0", "fv0", "svc0", "svc-lan"} {
		if inner.MatchString(name) {
			t.Errorf("%s is taken for one of containers", name)
		}
	}
}

// network makes interfaces of the test's own machine.
type network struct{ t *testing.T }

func (n network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// link makes an interface that is up.
func (n network) link(name string) netlink.Link {
	n.t.Helper()
	l := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}} // which needs no peer
	n.must(netlink.LinkAdd(l))
	n.t.Cleanup(func() { netlink.LinkDel(l) }) //nolint:errcheck // a test may have done it
	n.must(netlink.LinkSetUp(l))
	return l
}

func (n network) address(l netlink.Link, text string) *netlink.Addr {
	n.t.Helper()
	a, err := netlink.ParseAddr(text)
	n.must(err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	n.must(netlink.AddrAdd(l, a))
	return a
}

func (n network) route(l netlink.Link, gateway string, priority int) *netlink.Route {
	n.t.Helper()
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(gateway), Priority: priority}
	n.must(netlink.RouteAdd(r))
	return r
}

// TestWatch: the addresses follow what the kernel tells.
func TestWatch(t *testing.T) {
	n := network{t}
	told := make(chan string, 100)
	ended := make(chan struct{})
	ctx := t.Context()
	watch := Addresses{Bridge: "own0"}
	if ips, _, err := watch.Look(); err != nil || len(ips) != 0 {
		t.Fatalf("the test's machine has the addresses %v (%v)", ips, err)
	}
	go func() {
		defer close(ended)
		watch.Watch(ctx, nil, func(ips []netip.Addr) { told <- fmt.Sprint(ips) }, func(netip.Addr) { told <- "missing" })
	}()
	t.Cleanup(func() { <-ended })
	is := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("it is told %s, not %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("it is not told %s", want)
		}
	}
	n.address(n.link("own0"), "10.166.0.1/24")
	n.address(n.link("docker0"), "172.17.0.1/16")
	one := n.link("one")
	n.address(one, "192.0.2.1/24")
	is("[192.0.2.1]")
	guests := n.link("guests")
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "guest", MasterIndex: guests.Attrs().Index}, PeerName: "inside"}
	n.must(netlink.LinkAdd(veth))
	defer netlink.LinkDel(veth) //nolint:errcheck // its bridge may have taken it along
	n.address(guests, "172.18.0.1/16")
	two := n.link("two")
	n.address(two, "198.51.100.1/24")
	n.route(one, "192.0.2.254", 100)
	better := n.route(two, "198.51.100.254", 50)
	is("[198.51.100.1]")
	n.must(netlink.RouteDel(better))
	is("[192.0.2.1]")
	n.address(one, "2001:db8::1/64")
	is("[192.0.2.1 2001:db8::1]")
	n.must(netlink.LinkDel(one))
	is("[198.51.100.1]")
	n.route(guests, "172.18.0.2", 10) // in a laboratory even that is a way
	is("[172.18.0.1]")
	n.must(netlink.LinkDel(guests))
	is("[198.51.100.1]")
	n.must(netlink.LinkSetDown(two)) // nothing is told: what there was counts until there is another
	three := n.link("three")
	n.address(three, "203.0.113.3/24")
	is("[203.0.113.3]")
	six := n.link("six")
	n.address(six, "2001:db8::6/64")
	is("[203.0.113.3 2001:db8::6]")
	n.must(netlink.LinkDel(three)) // nothing but IPv6 is left
	is("[2001:db8::6]")
}

// TestFixed: what is set counts, when the machine has it.
func TestFixed(t *testing.T) {
	n := network{t}
	fixed, err := ParseNodeIP("192.0.2.5,2001:db8::5")
	n.must(err)
	a := Addresses{Fixed: fixed}
	is := func(want, lacks string) {
		t.Helper()
		ips, missing, err := a.Look()
		if got := fmt.Sprint(ips); err != nil || got != want || missing.String() != lacks {
			t.Errorf("they are %s and %s is missing (%v), not %s and %s", got, missing, err, want, lacks)
		}
	}
	is("[]", "192.0.2.5")
	one := n.link("one")
	n.address(one, "192.0.2.1/24")
	n.address(one, "2001:db8::5/64")
	is("[]", "192.0.2.5")
	had := n.address(one, "192.0.2.5/24")
	is("[192.0.2.5 2001:db8::5]", "invalid IP")
	n.must(netlink.AddrDel(one, had))

	told := make(chan string, 10)
	ended := make(chan struct{})
	ctx := t.Context()
	go func() {
		defer close(ended)
		a.Watch(ctx, nil, func(ips []netip.Addr) { told <- fmt.Sprint(ips) }, func(ip netip.Addr) { told <- "missing " + ip.String() })
	}()
	t.Cleanup(func() { <-ended })
	var got []string
	for _, then := range []func(){func() { n.address(one, "192.0.2.5/24") }, func() {}} {
		select {
		case what := <-told:
			got = append(got, what)
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing is told after %v", got)
		}
		then()
	}
	if want := []string{"missing 192.0.2.5", "[192.0.2.5 2001:db8::5]"}; !slices.Equal(got, want) {
		t.Errorf("it is told %v", got)
	}
}
