package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/network/balance"
	"github.com/solopod/solopod/runner/network/firewall"
	"github.com/solopod/solopod/runner/served"
)

// Addresses of services in tests.
const (
	web4, web6 = "10.96.0.80", "fd96::80"
	dns4, dns6 = "10.96.0.10", "fd96::a"
)

var testCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd96::/112")}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// echo answers connections of TCP and datagrams of UDP with its name and the address that it sees, until the test ends.
func echo(t *testing.T, space *os.File, port int, name string) {
	t.Helper()
	echoAt(t, space, "", port, name)
}

// echoAt does it at one address: with all a datagram's answer has the address that the kernel takes for the way back.
func echoAt(t *testing.T, space *os.File, ip string, port int, name string) {
	t.Helper()
	var l net.Listener
	var p net.PacketConn
	in(t, space, func() (err error) {
		if l, err = net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(port))); err != nil {
			return err
		}
		p, err = net.ListenPacket("udp", net.JoinHostPort(ip, fmt.Sprint(port)))
		return err
	})
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, name+" "+host(c.RemoteAddr())) //nolint:errcheck // who asks sees
			c.Close()
		}
	}()
	go func() {
		b := make([]byte, 64)
		for {
			_, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			p.WriteTo([]byte(name+" "+host(from)), from) //nolint:errcheck // who asks sees
		}
	}()
}

func host(a net.Addr) string {
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().WithZone("").String()
}

// query asks a port by a protocol, and returns the name of who answers and the address that it sees.
func query(space *os.File, network, ip string, port int) (name, sees string, err error) {
	var c net.Conn
	const limit = 900 * time.Millisecond
	err = within(space, func() (err error) {
		c, err = net.DialTimeout(network, net.JoinHostPort(ip, fmt.Sprint(port)), limit)
		return err
	})
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit)) //nolint:errcheck // the read fails
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", "", err
		}
	}
	b := make([]byte, 128)
	n, err := c.Read(b)
	if err != nil {
		return "", "", err
	}
	name, sees, _ = strings.Cut(string(b[:n]), " ")
	return name, sees, nil
}

// reaches fails the test if a port does not lead to one of the names, or if that sees another client.
func reaches(t *testing.T, space *os.File, ip string, port int, names string, sees ...string) {
	t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		name, as, err := query(space, network, ip, port)
		if err != nil || !strings.Contains(" "+names+" ", " "+name+" ") {
			t.Errorf("%s port %d of %s answers %q, %v; wanted one of %s", network, port, ip, name, err, names)
			continue
		}
		if len(sees) > 0 && as != sees[0] {
			t.Errorf("%s port %d of %s: %s sees %s as its client, not %s", network, port, ip, name, as, sees[0])
		}
	}
}

// refuses fails the test if a port is not refused at once. The kernel bounds how many messages of ICMP it sends to one address (ip-sysctl,
// icmp_ratelimit): with UDP it may be the next datagram that is refused.
func refuses(t *testing.T, space *os.File, ip string, port int) {
	t.Helper()
	begun := time.Now()
	if name, _, err := query(space, "tcp", ip, port); !errors.Is(err, unix.ECONNREFUSED) || time.Since(begun) > 500*time.Millisecond {
		t.Errorf("tcp port %d of %s: %q, %v after %s; it is not refused at once", port, ip, name, err, time.Since(begun))
	}
	eventually(t, 8*time.Second, fmt.Sprintf("udp port %d of %s is refused", port, ip), func() bool {
		_, _, err := query(space, "udp", ip, port)
		return errors.Is(err, unix.ECONNREFUSED) || space == nil && errors.Is(err, unix.EPERM) // what is refused on its way out is an error of the send
	})
}

func (m *machine) serveServices(list ...served.Service) {
	m.t.Helper()
	err := m.Serve(m.t.Context(), Serving{Table: &served.Table{Services: list}, CIDRs: testCIDRs, Names: addrs(dns4, dns6)})
	if err != nil {
		m.t.Fatal(err)
	}
	if len(list) > 0 {
		m.t.Cleanup(func() {
			if err := m.Serve(context.Background(), Serving{}); err != nil {
				m.t.Error(err)
			}
		})
	}
}

// bothPorts are a port of TCP and of UDP that lead to a port of pods.
func bothPorts(port, node, target uint16, pods ...*pod) (out []served.Port) {
	for _, protocol := range []v1.Protocol{v1.ProtocolTCP, v1.ProtocolUDP} {
		p := served.Port{Name: strings.ToLower(string(protocol)), Protocol: protocol, Port: port, NodePort: node}
		for _, pod := range pods {
			for _, ip := range pod.IPs {
				p.Targets = append(p.Targets, served.Target{Addr: netip.MustParseAddr(ip), Port: target})
			}
		}
		out = append(out, p)
	}
	return out
}

func ofFamily(p *pod, like string) string {
	for _, ip := range p.IPs {
		if strings.Contains(ip, ":") == strings.Contains(like, ":") {
			return ip
		}
	}
	return ""
}

func gatewayOf(p *pod, like string) string {
	bits := "/24"
	if strings.Contains(like, ":") {
		bits = "/64"
	}
	return netip.MustParsePrefix(ofFamily(p, like) + bits).Masked().Addr().Next().String()
}

// Pods of the own bridge, the machine and others reach a service by each of its ways; its pods see who their client is.
func TestServe(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		a, b, client := m.attach("a"), m.attach("b"), m.attach("client")
		echo(t, a.space, 8080, "a")
		echo(t, b.space, 8080, "b")
		web := served.Service{
			Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), ExternalIPs: addrs("198.51.100.7", "2001:db8:7::7"),
			OnNode: true, Ports: bothPorts(80, 30080, 8080, a, b),
		}
		m.serveServices(web)
		for _, ip := range []string{web4, web6} {
			reaches(t, client.space, ip, 80, "a b", ofFamily(client, ip))
			reaches(t, nil, ip, 80, "a b", gatewayOf(a, ip))
			refuses(t, client.space, ip, 81)
			refuses(t, nil, ip, 81)
			for range 8 { // itself, too, sooner or later
				name, sees, err := query(a.space, "tcp", ip, 80)
				want := map[string]string{"a": gatewayOf(a, ip), "b": ofFamily(a, ip)}
				if err != nil || sees != want[name] {
					t.Errorf("a reaches %q by %s, %v, and is seen as %s", name, ip, err, sees)
				}
			}
		}
		m.routeElsewhere()
		for here, external := range map[string]string{here4: "198.51.100.7", here6: "2001:db8:7::7"} {
			there := map[string]string{here4: there4, here6: there6}[here]
			for _, port := range []int{80, 30080} {
				reaches(t, m.neighbor, here, port, "a b", there)
				reaches(t, client.space, here, port, "a b", ofFamily(client, here))
				reaches(t, nil, here, port, "a b")
			}
			m.routeThrough(external, here)
			reaches(t, m.neighbor, external, 80, "a b", there)
			reaches(t, client.space, external, 80, "a b", ofFamily(client, here))
			refusesNobody(t, m.neighbor, external, 81)
		}
		reaches(t, nil, "127.0.0.1", 30080, "a b", gatewayOf(a, here4))
		reaches(t, nil, "127.0.0.1", 80, "a b")
		refuses(t, nil, "::1", 80)
		refuses(t, nil, "::1", 30080)

		// Without endpoints all is refused.
		web.Ports = bothPorts(80, 30080, 8080)
		m.serveServices(web)
		for _, ip := range []string{web4, web6, here4, here6, "198.51.100.7", "2001:db8:7::7"} {
			refuses(t, client.space, ip, 80)
			refuses(t, nil, ip, 80)
		}
		for _, ip := range []string{here4, here6, "198.51.100.7", "2001:db8:7::7"} {
			refuses(t, m.neighbor, ip, 80)
		}
		refuses(t, m.neighbor, here4, 30080)
		m.serveServices()
		m.leavesNothing()
	})
}

// routeElsewhere has the machine send what is for nobody it knows to the neighbour.
func (m *machine) routeElsewhere() {
	m.t.Helper()
	for _, there := range []string{there4, there6} {
		in(m.t, nil, func() error { return run("ip", "route", "replace", "default", "via", there) })
	}
	m.t.Cleanup(func() {
		run("ip", "route", "del", "default")       //nolint:errcheck // it goes with the link
		run("ip", "-6", "route", "del", "default") //nolint:errcheck // see above
	})
}

// routeThrough has the neighbour route an address through the machine.
func (m *machine) routeThrough(ip, by string) {
	m.t.Helper()
	bits := "/32"
	if strings.Contains(ip, ":") {
		bits = "/128"
	}
	in(m.t, m.neighbor, func() error { return run("ip", "route", "replace", ip+bits, "via", by) })
}

// refusesNobody: the address is not the machine's own, and what it has is not decided here.
func refusesNobody(t *testing.T, space *os.File, ip string, port int) {
	t.Helper()
	if name, _, err := query(space, "tcp", ip, port); err == nil {
		t.Errorf("port %d of %s answers %q", port, ip, name)
	}
}

func (m *machine) leavesNothing() {
	m.t.Helper()
	out, err := output("sh", "-c", "nft list tables; ip link show type dummy; ip link show type bridge; ip route; ip -6 route")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, what := range []string{balance.TableName(m.config.Bridge), m.config.Bridge + "-routed", m.config.Bridge + "-svc", "proto 83"} {
		if strings.Contains(out, what) {
			m.t.Errorf("%s is left behind:\n%s", what, out)
		}
	}
	if firewall.ThroughLoopback(m.ports) {
		return
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + m.config.Bridge + "/route_localnet"); err == nil && strings.TrimSpace(string(b)) != "0" {
		m.t.Error("the way to the loopback is left open")
	}
}
