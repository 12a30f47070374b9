package machine

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/solopod/solopod/runner/listener"
)

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		ip   string
		mask net.IPMask
		want string
	}{
		{"192.0.2.1", net.CIDRMask(24, 32), "192.0.2.1/24"},
		{"192.0.2.1", net.CIDRMask(120, 128), "192.0.2.1/24"}, // as a mapped address
		{"0.0.0.0", net.CIDRMask(0, 32), "0.0.0.0/0"},
		{"2001:db8::1", net.CIDRMask(64, 128), "2001:db8::1/64"},
		{"2001:db8::1", net.CIDRMask(127, 128), "2001:db8::1/127"},
	} {
		p, ok := prefix(net.ParseIP(c.ip), c.mask)
		if !ok || p.String() != c.want {
			t.Errorf("%s %s: %s, %t", c.ip, c.mask, p, ok)
		}
	}
	if _, ok := prefix([]byte{1, 2}, nil); ok {
		t.Error("two bytes are an address")
	}
}

// TestLook: what the machine says of itself; it has loopback at least.
func TestLook(t *testing.T) {
	m := &Machine{Bridge: "lo", Link: "none"}
	n, err := m.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loopback := netip.MustParsePrefix("127.0.0.1/8")
	if !slices.Contains(n.Addresses, loopback) || !slices.Contains(n.Pods, loopback.Masked()) {
		t.Errorf("%+v", n)
	}
	m.Link = "lo"
	if n, err = m.Look(t.Context()); err != nil || slices.Contains(n.Addresses, loopback) {
		t.Errorf("addresses of the link count: %+v, %v", n, err)
	}
	if p := m.Private(); p.Bits() != 112 || !p.Addr().IsPrivate() || p != p.Masked() {
		t.Errorf("the private subnet is %s", p)
	}
}

// TestListening: who listens is known by name, but for what listens at addresses of our own.
func TestListening(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := listener.Port{Number: netip.MustParseAddrPort(l.Addr().String()).Port(), Protocol: "TCP"}
	free := taken
	free.Protocol = "UDP"
	m := &Machine{}
	found, err := m.Listening(t.Context(), []listener.Port{free, taken}, nil)
	if err != nil || len(found) != 1 || found[taken] == nil || found[taken].By == "" {
		t.Errorf("%v, %v", found, err)
	}
	if found, err = m.Listening(t.Context(), []listener.Port{taken}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}); err != nil || len(found) != 0 {
		t.Errorf("our own counts: %v, %v", found, err)
	}
}
