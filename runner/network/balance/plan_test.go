package balance

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/served"
)

// text reads a key's parts, as nft(8) shows them: addresses, protocols, ports and numbers, by the set's schema.
func text(t *testing.T, f *family, parts string, key string) string {
	t.Helper()
	var out []string
	take := func(n int) []byte {
		if len(key) < n {
			t.Fatalf("a key is too short: %x", key)
		}
		b := []byte(key[:n])
		key = key[n:]
		return b
	}
	for part := range strings.FieldsSeq(parts) {
		switch part {
		case "addr":
			ip, _ := netip.AddrFromSlice(take(int(f.header.Size)))
			out = append(out, ip.String())
		case "proto":
			out = append(out, map[byte]string{6: "tcp", 17: "udp", 132: "sctp"}[take(4)[0]])
		case "port":
			out = append(out, fmt.Sprint(binary.BigEndian.Uint16(take(4))))
		case "short":
			out = append(out, fmt.Sprint(binary.BigEndian.Uint16(take(2))))
		case "slot":
			out = append(out, fmt.Sprintf("#%d", binary.NativeEndian.Uint32(take(4))))
		case "id":
			take(4)
			out = append(out, "id")
		}
	}
	if key != "" {
		t.Fatalf("a key is too long: %x is left", key)
	}
	return strings.Join(out, " . ")
}

// schemas have the parts of each set's keys and values; a value that is no data is a chain's name.
var schemas = map[string][2]string{
	services: {"addr proto port"}, targets: {"addr proto port slot", "addr port"}, nodes: {"proto port"}, nodeTargets: {"proto port slot", "addr port"},
	ids: {"addr proto port slot", "id"}, nodeIDs: {"proto port slot", "id"}, endpoints: {"id", "addr port"},
	counts: {"addr"}, nodeCount(v1.ProtocolTCP): {"short"}, nodeCount(v1.ProtocolUDP): {"short"}, nodeCount(v1.ProtocolSCTP): {"short"},
	clusterIPs: {"addr"}, refused: {"addr proto port"}, refusedNode: {"proto port"}, selves: {"addr addr"}, kept: {"addr proto port"}, outside: {"addr proto port"},
	names: {"addr"}, loopback: {"addr"}, guarded: {"proto port"},
}

// dump shows a layout, one line for each element and chain, sorted.
func dump(t *testing.T, l *Layout) string {
	t.Helper()
	var lines []string
	for i, f := range families {
		name := map[bool]string{true: "ip", false: "ip6"}[f.is4]
		for set, elements := range l.families[i].sets {
			schema, known := schemas[set]
			if !known {
				t.Fatalf("set %s is new: say what is in it", set)
			}
			for key, value := range elements {
				line := fmt.Sprintf("%s %s %s", name, set, text(t, f, schema[0], key))
				if schema[1] != "" {
					value = text(t, f, schema[1], value)
				}
				if value != "" {
					line += ": " + value
				}
				lines = append(lines, line)
			}
		}
		for chain := range l.families[i].picks {
			lines = append(lines, name+" chain "+chain)
		}
		for chain, list := range l.families[i].ranges {
			lines = append(lines, fmt.Sprint(name, " chain ", chain, " ", list))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// port makes one; a target that begins with "!" is outside.
func port(protocol v1.Protocol, port, node uint16, targets ...string) served.Port {
	p := served.Port{Protocol: protocol, Port: port, NodePort: node}
	for _, s := range targets {
		at, isOutside := strings.CutPrefix(s, "!")
		ap := netip.MustParseAddrPort(at)
		p.Targets = append(p.Targets, served.Target{Addr: ap.Addr(), Port: ap.Port(), Outside: isOutside})
	}
	return p
}

// What is served becomes elements.
func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		services []served.Service
		machine  Machine
		want     string
	}{
		"nothing": {},
		"names alone": {services: []served.Service{
			{Namespace: "d", Name: "other", ExternalName: "example.org"},
			{Namespace: "d", Name: "db", Headless: true, Ports: []served.Port{port(v1.ProtocolTCP, 5432, 0, "10.1.0.2:5432")}},
		}, machine: Machine{Names: addrs("10.96.0.10")}, want: `
ip names 10.96.0.10`},
		"a cluster IP": {services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.80"), Ports: []served.Port{port(v1.ProtocolTCP, 80, 0, "10.1.0.2:8080", "10.1.0.3:8081", "[fd01::2]:8080")}}}, want: `
ip chain pick-2
ip cluster-ips 10.96.0.80
ip counts 10.96.0.80
ip kept 10.1.0.2 . tcp . 8080
ip kept 10.1.0.3 . tcp . 8081
ip selves 10.1.0.2 . 10.1.0.2
ip selves 10.1.0.3 . 10.1.0.3
ip services 10.96.0.80 . tcp . 80: pick-2
ip targets 10.96.0.80 . tcp . 80 . #0: 10.1.0.2 . 8080
ip targets 10.96.0.80 . tcp . 80 . #1: 10.1.0.3 . 8081`},
		"nobody is there": {services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.80", "fd96::80"), ExternalIPs: addrs("198.51.100.7"), OnNode: true, Ports: []served.Port{port(v1.ProtocolUDP, 53, 30053)}}},
			machine: Machine{Names: addrs("10.96.0.10", "fd96::a"), Loopback: true}, want: `
ip cluster-ips 10.96.0.80
ip counts 10.96.0.80
ip counts 198.51.100.7
ip loopback 127.0.0.1
ip names 10.96.0.10
ip node-counts-udp 30053
ip node-counts-udp 53
ip refused 10.96.0.80 . udp . 53
ip refused 198.51.100.7 . udp . 53
ip refused-nodes udp . 30053
ip refused-nodes udp . 53
ip6 cluster-ips fd96::80
ip6 counts fd96::80
ip6 names fd96::a
ip6 node-counts-udp 30053
ip6 node-counts-udp 53
ip6 refused fd96::80 . udp . 53
ip6 refused-nodes udp . 30053
ip6 refused-nodes udp . 53`},
		"by the machine, from some": {services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("fd96::80"), OnNode: true,
			SourceRanges: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/32"), netip.MustParsePrefix("192.0.2.0/24")},
			Ports:        []served.Port{port(v1.ProtocolSCTP, 9, 0, "[fd01::2]:9")}}}, want: `
ip6 chain from-dd00e0eecbf43d2a [2001:db8::/32]
ip6 chain node-1
ip6 chain pick-1
ip6 cluster-ips fd96::80
ip6 counts fd96::80
ip6 guarded sctp . 9: from-dd00e0eecbf43d2a
ip6 kept fd01::2 . sctp . 9
ip6 node-counts-sctp 9
ip6 node-targets sctp . 9 . #0: fd01::2 . 9
ip6 nodes sctp . 9: node-1
ip6 selves fd01::2 . fd01::2
ip6 services fd96::80 . sctp . 9: pick-1
ip6 targets fd96::80 . sctp . 9 . #0: fd01::2 . 9`},
		"a port that others have on the machine": {services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.80"), OnNode: true, Ports: []served.Port{
			{Protocol: v1.ProtocolTCP, Port: 443, NotOnNode: true}, {Protocol: v1.ProtocolTCP, Port: 80}}}}, want: `
ip cluster-ips 10.96.0.80
ip counts 10.96.0.80
ip node-counts-tcp 80
ip refused 10.96.0.80 . tcp . 443
ip refused 10.96.0.80 . tcp . 80
ip refused-nodes tcp . 80`},
		"elsewhere counts only for what is not local": {services: []served.Service{
			{Namespace: "d", Name: "a", ClusterIPs: addrs("10.96.0.1"), LocalOnly: true, Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080, "!192.0.2.9:80", "!192.0.2.9:80")}},
			{Namespace: "d", Name: "b", ClusterIPs: addrs("10.96.0.2"), InternalLocal: true, Ports: []served.Port{port(v1.ProtocolTCP, 80, 30081, "!192.0.2.9:80")}}}, want: `
ip chain node-1
ip chain pick-1
ip cluster-ips 10.96.0.1
ip cluster-ips 10.96.0.2
ip counts 10.96.0.1
ip counts 10.96.0.2
ip node-counts-tcp 30080
ip node-counts-tcp 30081
ip node-targets tcp . 30081 . #0: 192.0.2.9 . 80
ip nodes tcp . 30081: node-1
ip outside 192.0.2.9 . tcp . 80
ip refused 10.96.0.2 . tcp . 80
ip refused-nodes tcp . 30080
ip services 10.96.0.1 . tcp . 80: pick-1
ip targets 10.96.0.1 . tcp . 80 . #0: 192.0.2.9 . 80`},
		"clients stay": {services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.80"), Affinity: 3 * time.Hour, Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080, "10.1.0.2:8080")}}}, want: `
ip chain node-1-10800000
ip chain pick-1-10800000
ip cluster-ips 10.96.0.80
ip counts 10.96.0.80
ip endpoints id: 10.1.0.2 . 8080
ip ids 10.96.0.80 . tcp . 80 . #0: id
ip kept 10.1.0.2 . tcp . 8080
ip node-counts-tcp 30080
ip node-ids tcp . 30080 . #0: id
ip node-targets tcp . 30080 . #0: 10.1.0.2 . 8080
ip nodes tcp . 30080: node-1-10800000
ip selves 10.1.0.2 . 10.1.0.2
ip services 10.96.0.80 . tcp . 80: pick-1-10800000
ip targets 10.96.0.80 . tcp . 80 . #0: 10.1.0.2 . 8080`},
		"two with one port": {services: []served.Service{
			{Namespace: "d", Name: "a", ClusterIPs: addrs("10.96.0.1"), Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080, "10.1.0.2:80")}},
			{Namespace: "d", Name: "b", ClusterIPs: addrs("10.96.0.1"), Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080)}}}, want: `
ip chain node-1
ip chain pick-1
ip cluster-ips 10.96.0.1
ip counts 10.96.0.1
ip kept 10.1.0.2 . tcp . 80
ip node-counts-tcp 30080
ip node-targets tcp . 30080 . #0: 10.1.0.2 . 80
ip nodes tcp . 30080: node-1
ip selves 10.1.0.2 . 10.1.0.2
ip services 10.96.0.1 . tcp . 80: pick-1
ip targets 10.96.0.1 . tcp . 80 . #0: 10.1.0.2 . 80`},
	} {
		t.Run(name, func(t *testing.T) {
			l := Plan(&served.Table{Services: c.services}, c.machine)
			if got := dump(t, l); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("planned is\n%s\nnot%s", got, c.want)
			}
			if l.Empty() != (c.want == "") {
				t.Errorf("it is empty: %v", l.Empty())
			}
		})
	}
	if !Plan(nil, Machine{}).Empty() {
		t.Error("nothing is not empty")
	}
}

// An endpoint's number does not depend on what else is served; two never have the same.
func TestNumbers(t *testing.T) {
	all := func(targets ...string) map[string]string {
		l := Plan(&served.Table{Services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.1"), Affinity: time.Hour, Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080, targets...)}}}}, Machine{})
		out := map[string]string{}
		for id, at := range l.families[0].sets[endpoints] {
			out[at] = id
		}
		return out
	}
	before, after := all("10.1.0.2:80", "10.1.0.3:80"), all("10.1.0.9:80", "10.1.0.3:80", "10.1.0.2:80")
	for at, id := range before {
		if after[at] != id {
			t.Errorf("the number of %x changes from %x to %x", at, id, after[at])
		}
	}
	h := half{numbers: map[uint32]string{}}
	target := served.Target{Addr: netip.MustParseAddr("10.1.0.2"), Port: 80}
	first := h.number("d/web/TCP/80 ", target)
	for n := range h.numbers {
		h.numbers[n] = "another's" // of the same sum
	}
	if second := h.number("d/web/TCP/80 ", target); second == first {
		t.Error("two endpoints have one number")
	}
}

func TestParsePick(t *testing.T) {
	for name, want := range map[string]*pick{
		"pick-3": {among: 3}, "node-12": {node: true, among: 12}, "pick-2-10800000": {among: 2, affinity: 3 * time.Hour}, "node-1-1": {node: true, among: 1, affinity: time.Millisecond},
		"pick": nil, "pick-": nil, "pick-x": nil, "pick-01": nil, "pick-2-": nil, "pick-2-x": nil, "other-2": nil, "generation-1-ab": nil, "from-00000000": nil,
	} {
		got, ok := parsePick(name)
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
