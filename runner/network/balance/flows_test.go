package balance

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/network/flows"
	"github.com/solopod/solopod/runner/served"
)

// Flows that lead elsewhere than they would now are forgotten; others stay.
func TestStaleFlows(t *testing.T) {
	udp := func(name, ip string, node uint16, targets ...string) served.Service {
		return served.Service{Namespace: "d", Name: name, ClusterIPs: addrs(ip), Ports: []served.Port{port(v1.ProtocolUDP, 53, node, targets...), port(v1.ProtocolTCP, 53, 0, targets...)}}
	}
	layout := func(list ...served.Service) *Layout { return Plan(&served.Table{Services: list}, Machine{}) }
	old := layout(udp("a", "10.96.0.1", 30053, "10.1.0.2:53", "10.1.0.3:53"), udp("b", "10.96.0.2", 0, "10.1.0.2:53"), udp("c", "10.96.0.3", 30055, "10.1.0.2:53"), udp("e", "fd96::1", 0))
	now := layout(udp("a", "10.96.0.1", 30053, "10.1.0.3:53", "10.1.0.4:53"), udp("b", "10.96.0.2", 0, "10.1.0.2:53"), udp("d", "10.96.0.4", 30054, "10.1.0.2:53"), udp("e", "fd96::1", 0, "[fd01::2]:53"))
	between, all := flowsBetween(old, now), flowsBetween(nil, now)
	local := func(ip netip.Addr) bool { return ip == netip.MustParseAddr("192.0.2.1") }
	for name, c := range map[string]struct {
		protocol    byte
		to, answers string
		stale, anew bool
	}{
		"its endpoint has gone":           {unix.IPPROTO_UDP, "10.96.0.1:53", "10.1.0.2:53", true, true},
		"its endpoint is there":           {unix.IPPROTO_UDP, "10.96.0.1:53", "10.1.0.3:53", false, false},
		"another port of its endpoint":    {unix.IPPROTO_UDP, "10.96.0.1:53", "10.1.0.3:54", true, true},
		"nobody has led it":               {unix.IPPROTO_UDP, "10.96.0.1:53", "10.96.0.1:53", true, true},
		"by the machine":                  {unix.IPPROTO_UDP, "192.0.2.1:30053", "10.1.0.2:53", true, true},
		"by another machine":              {unix.IPPROTO_UDP, "192.0.2.2:30053", "192.0.2.2:30053", false, false},
		"by the machine, there":           {unix.IPPROTO_UDP, "192.0.2.1:30053", "10.1.0.4:53", false, false},
		"an unchanged service":            {unix.IPPROTO_UDP, "10.96.0.2:53", "10.1.0.9:53", false, true},
		"an unchanged service, there":     {unix.IPPROTO_UDP, "10.96.0.2:53", "10.1.0.2:53", false, false},
		"a service that has gone":         {unix.IPPROTO_UDP, "10.96.0.3:53", "10.1.0.2:53", true, false},
		"an address that was a service's": {unix.IPPROTO_UDP, "10.96.0.3:53", "10.96.0.3:53", false, false},
		"a port that was a service's":     {unix.IPPROTO_UDP, "192.0.2.1:30055", "192.0.2.1:30055", false, false},
		"a new service":                   {unix.IPPROTO_UDP, "10.96.0.4:53", "10.96.0.4:53", true, true},
		"a new port of the machine":       {unix.IPPROTO_UDP, "192.0.2.1:30054", "192.0.2.1:30054", true, true},
		"IPv6":                            {unix.IPPROTO_UDP, "[fd96::1]:53", "[fd96::1]:53", true, true},
		"straight to the pod":             {unix.IPPROTO_UDP, "10.1.0.2:53", "10.1.0.2:53", false, false},
		"another port":                    {unix.IPPROTO_UDP, "10.96.0.1:54", "10.96.0.1:54", false, false},
		"TCP":                             {unix.IPPROTO_TCP, "10.96.0.1:53", "10.1.0.2:53", false, false},
	} {
		w := flows.Flow{Protocol: c.protocol, To: netip.MustParseAddrPort(c.to), Answers: netip.MustParseAddrPort(c.answers)}
		if got := between.stale(w, local); got != c.stale {
			t.Errorf("%s: forgotten after a change: %v", name, got)
		}
		if got := all.stale(w, local); got != c.anew {
			t.Errorf("%s: forgotten when nothing is known: %v", name, got)
		}
	}
	if f := flowsBetween(now, now); !f.Empty() {
		t.Errorf("without a change %+v is looked for", f)
	}
	if f := flowsBetween(layout(), layout(served.Service{Namespace: "d", Name: "t", ClusterIPs: addrs("10.96.0.9"), Ports: []served.Port{port(v1.ProtocolTCP, 80, 0)}})); !f.Empty() {
		t.Errorf("without UDP %+v is looked for", f)
	}
}
