package servicelink

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/solopod/solopod/runner/internal/testbox"
)

func TestMain(m *testing.M) { testbox.Main(m) }

func show(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// The link has what is wanted, and what others or an earlier daemon have left of it goes; routes of others stay.
func TestEnsure(t *testing.T) {
	const of = "spt-link"
	all := Wanted{Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd96::a")},
		Routes: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.97.0.1/32"), netip.MustParsePrefix("fd96::/112")}}
	ensure := func(w Wanted, made ...string) {
		t.Helper()
		got, err := Ensure(of, w)
		if err != nil || !slices.Equal(got, made) {
			t.Errorf("made is %q, %v; not %q", got, err, made)
		}
	}
	ensure(Wanted{})
	ensure(all, "the link spt-link-svc", "the address 10.96.0.10", "the address fd96::a", "the route to 10.96.0.0/16", "the route to 10.97.0.1/32", "the route to fd96::/112")
	ensure(all)
	show(t, "ip route add 198.51.100.0/24 dev spt-link-svc; ip addr add 10.96.0.11/32 dev spt-link-svc; ip link set spt-link-svc down; ip link set spt-link-svc up")
	ensure(all, "the address fd96::a", "the route to 10.96.0.0/16", "the route to 10.97.0.1/32", "the route to fd96::/112")
	if addresses := show(t, "ip addr show spt-link-svc"); !strings.Contains(addresses, "10.96.0.10/32") || !strings.Contains(addresses, "fd96::a/128") || strings.Contains(addresses, "10.96.0.11") || strings.Contains(addresses, "fe80") {
		t.Errorf("the addresses are\n%s", addresses)
	}
	show(t, "ip route add 198.51.100.0/24 dev spt-link-svc")
	ensure(Wanted{Addresses: all.Addresses[:1], Routes: all.Routes[:1]})
	if has := show(t, "ip route; ip -6 route; ip addr show spt-link-svc"); !strings.Contains(has, "10.96.0.0/16 dev") || !strings.Contains(has, "198.51.100.0/24") || strings.Contains(has, "10.97") || strings.Contains(has, "fd96") || !strings.Contains(has, "10.96.0.10") {
		t.Errorf("what is there is\n%s", has)
	}
	ensure(Wanted{Routes: all.Routes[:1]}, "the route to 10.96.0.0/16") // which goes with the last address
	ensure(Wanted{})
	if links := show(t, "ip link"); strings.Contains(links, "spt-link") {
		t.Errorf("left behind is\n%s", links)
	}
}

// An interface of that name that is another's is left alone.
func TestLinkOfOthers(t *testing.T) {
	show(t, "ip link add spt-mine-svc type veth peer name spt-peer")
	defer show(t, "ip link del spt-mine-svc")
	if _, err := Ensure("spt-mine", Wanted{Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.10")}}); err == nil || !strings.Contains(err.Error(), "ip link delete spt-mine-svc") {
		t.Errorf("the error is %v", err)
	}
	if _, err := Ensure("spt-mine", Wanted{}); err != nil {
		t.Error(err)
	}
	if _, err := netlink.LinkByName("spt-mine-svc"); err != nil {
		t.Error(err)
	}
}

func TestName(t *testing.T) {
	for of, want := range map[string]string{"solopod0": "solopod0-svc", "elevenbytes": "elevenbytes-svc"} {
		if got := Name(of); got != want {
			t.Errorf("%s: %s", of, got)
		}
	}
	if name := Name("solopod-abcdef"); len(name) != 11 || !strings.HasPrefix(name, "svc") || name == Name("solopod-abcdee") {
		t.Errorf("a long name makes %s", name)
	}
}
