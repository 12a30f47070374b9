package environment

import (
	"net/netip"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestVariables: as the kubelet's own documentation and its code have them.
func TestVariables(t *testing.T) {
	ip4, ip6 := netip.MustParseAddr("10.96.1.2"), netip.MustParseAddr("fd00::5")
	for name, c := range map[string]struct {
		services []Service
		want     string
	}{
		"none":              {nil, ""},
		"one without ports": {[]Service{{Name: "web", IP: ip4}}, ""},
		"one without an IP": {[]Service{{Name: "web", Ports: []v1.ServicePort{{Port: 80}}}}, ""},
		"one": {
			[]Service{{Name: "redis-primary", IP: ip4, Ports: []v1.ServicePort{{Port: 6379, Protocol: v1.ProtocolTCP}}}},
			`REDIS_PRIMARY_SERVICE_HOST=10.96.1.2
REDIS_PRIMARY_SERVICE_PORT=6379
REDIS_PRIMARY_PORT=tcp://10.96.1.2:6379
REDIS_PRIMARY_PORT_6379_TCP=tcp://10.96.1.2:6379
REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp
REDIS_PRIMARY_PORT_6379_TCP_PORT=6379
REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.96.1.2`,
		},
		"named ports, UDP, IPv6, in order": {
			[]Service{
				{Name: "q", IP: ip6, Ports: []v1.ServicePort{{Name: "u-dp", Port: 8083, Protocol: v1.ProtocolUDP}, {Name: "t", Port: 8084}}},
				{Name: "a", IP: ip4, Ports: []v1.ServicePort{{Port: 1, Protocol: v1.ProtocolSCTP}}},
			},
			`A_SERVICE_HOST=10.96.1.2
A_SERVICE_PORT=1
A_PORT=sctp://10.96.1.2:1
A_PORT_1_SCTP=sctp://10.96.1.2:1
A_PORT_1_SCTP_PROTO=sctp
A_PORT_1_SCTP_PORT=1
A_PORT_1_SCTP_ADDR=10.96.1.2
Q_SERVICE_HOST=fd00::5
Q_SERVICE_PORT=8083
Q_SERVICE_PORT_U_DP=8083
Q_SERVICE_PORT_T=8084
Q_PORT=udp://[fd00::5]:8083
Q_PORT_8083_UDP=udp://[fd00::5]:8083
Q_PORT_8083_UDP_PROTO=udp
Q_PORT_8083_UDP_PORT=8083
Q_PORT_8083_UDP_ADDR=fd00::5
Q_PORT_8084_TCP=tcp://[fd00::5]:8084
Q_PORT_8084_TCP_PROTO=tcp
Q_PORT_8084_TCP_PORT=8084
Q_PORT_8084_TCP_ADDR=fd00::5`,
		},
	} {
		if got := strings.Join(Variables(c.services), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nnot\n%s", name, got, c.want)
		}
	}
}
