package firewall

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flows to a pod's host port, and to the pod by way of one, are forgotten; others stay.
func TestStaleFlows(t *testing.T) {
	local := map[netip.Addr]bool{netip.MustParseAddr("192.0.2.1"): true, netip.MustParseAddr("192.0.2.5"): true, netip.MustParseAddr("2001:db8::1"): true}
	pod := Forward{
		IPs: []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")},
		Ports: []Port{
			{HostPort: 53, ContainerPort: 5353, Protocol: "UDP"},
			{HostPort: 54, ContainerPort: 54, Protocol: "UDP", HostIP: "192.0.2.1"},
			{HostPort: 55, ContainerPort: 55, Protocol: "TCP"},
		},
	}
	for name, c := range map[string]struct {
		protocol uint8
		to       string
		port     uint16
		answers  string
		want     bool
	}{
		"before the rule":            {unix.IPPROTO_UDP, "192.0.2.1", 53, "192.0.2.1", true},
		"to the pod before":          {unix.IPPROTO_UDP, "192.0.2.1", 53, "10.0.0.8", true},
		"through loopback":           {unix.IPPROTO_UDP, "127.0.0.1", 53, "127.0.0.1", true},
		"IPv6":                       {unix.IPPROTO_UDP, "2001:db8::1", 53, "2001:db8::1", true},
		"by a port it had":           {unix.IPPROTO_UDP, "192.0.2.1", 99, "10.0.0.9", true},
		"straight to the pod":        {unix.IPPROTO_UDP, "10.0.0.9", 5353, "10.0.0.9", false},
		"another machine's port":     {unix.IPPROTO_UDP, "198.51.100.1", 53, "198.51.100.1", false},
		"another port":               {unix.IPPROTO_UDP, "192.0.2.1", 56, "192.0.2.1", false},
		"its address":                {unix.IPPROTO_UDP, "192.0.2.1", 54, "192.0.2.1", true},
		"another address":            {unix.IPPROTO_UDP, "192.0.2.5", 54, "192.0.2.5", false},
		"its address's other family": {unix.IPPROTO_UDP, "2001:db8::1", 54, "2001:db8::1", false},
		"TCP":                        {unix.IPPROTO_TCP, "192.0.2.1", 53, "192.0.2.1", false},
		"a port of TCP":              {unix.IPPROTO_UDP, "192.0.2.1", 55, "192.0.2.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			flow := &netlink.ConntrackFlow{}
			flow.Forward.Protocol, flow.Forward.DstIP, flow.Forward.DstPort = c.protocol, net.ParseIP(c.to), c.port
			flow.Reverse.SrcIP = net.ParseIP(c.answers)
			family := v4
			if netip.MustParseAddr(c.to).Is6() {
				family = v6
			}
			if got := (stale{pod, family, local}).MatchConntrackFlow(flow); got != c.want {
				t.Errorf("forgotten: %v", got)
			}
		})
	}
}
