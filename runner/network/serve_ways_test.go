package network

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/internal/sctp"
	"github.com/solopod/solopod/runner/network/balance"
	"github.com/solopod/solopod/runner/network/servicelink"
	"github.com/solopod/solopod/runner/served"
)

// portsTo are a port of TCP and of UDP that lead to addresses that are no pods'.
func portsTo(port, node, target uint16, outside bool, ips ...string) (out []served.Port) {
	out = bothPorts(port, node, target)
	for i := range out {
		for _, ip := range addrs(ips...) {
			out[i].Targets = append(out[i].Targets, served.Target{Addr: ip, Port: target, Outside: outside})
		}
	}
	return out
}

// Pods on a bridge of CNI's reach services, and are reached, as those of the own bridge.
func TestServePodsOfCNI(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := cniMachine(t)
		a, b, client := m.attach("a"), m.attach("b"), m.attach("client")
		echo(t, a.space, 8080, "a")
		echo(t, b.space, 8080, "b")
		for _, p := range []*pod{a, b} { // the plugin does not wait for addresses of IPv6
			eventually(t, 5*time.Second, "the bridge has its addresses", func() bool { _, _, err := query(nil, "tcp", ofFamily(p, "::"), 8080); return err == nil })
		}
		m.serveServices(served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), OnNode: true, Ports: bothPorts(80, 30080, 8080, a, b)},
			served.Service{Namespace: "default", Name: "self", ClusterIPs: addrs("10.96.0.81", "fd96::81"), Ports: bothPorts(80, 0, 8080, a)},
			served.Service{Namespace: "default", Name: "none", ClusterIPs: addrs("10.96.0.82", "fd96::82"), Ports: bothPorts(80, 0, 8080)})
		for _, ip := range []string{web4, web6} {
			reaches(t, client.space, ip, 80, "a b", ofFamily(client, ip))
			reaches(t, nil, ip, 80, "a b", gatewayOf(a, ip))
		}
		for here, there := range map[string]string{here4: there4, here6: there6} {
			reaches(t, m.neighbor, here, 80, "a b", there)
			reaches(t, client.space, here, 30080, "a b", ofFamily(client, here))
			reaches(t, nil, here, 30080, "a b")
		}
		reaches(t, a.space, "10.96.0.81", 80, "a", gatewayOf(a, web4))
		reaches(t, a.space, "fd96::81", 80, "a", gatewayOf(a, web6))
		for _, ip := range []string{"10.96.0.82", "fd96::82"} {
			refuses(t, client.space, ip, 80)
			refuses(t, nil, ip, 80)
		}
		refuses(t, nil, "127.0.0.1", 30080) // nothing leads from there to a bridge of others
	})
}

// Services lead to pods with the machine's network, and to what runs elsewhere.
func TestServeHostAndOutside(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		client := m.attach("client")
		echoAt(t, nil, here4, 9080, "host")
		echoAt(t, nil, here6, 9080, "host")
		echo(t, m.neighbor, 9090, "neighbor")
		m.serveServices(
			served.Service{Namespace: "default", Name: "host", ClusterIPs: addrs("10.96.0.1", "fd96::1"), Ports: portsTo(80, 30081, 9080, false, here4, here6)},
			served.Service{Namespace: "default", Name: "outside", ClusterIPs: addrs("10.96.0.2", "fd96::2"), Ports: portsTo(80, 30082, 9090, true, there4, there6)},
			served.Service{Namespace: "default", Name: "local", ClusterIPs: addrs("10.97.0.3", "fd97::3"), LocalOnly: true, Ports: portsTo(80, 30083, 9090, true, there4, there6)})
		for i, here := range []string{here4, here6} {
			there, own := []string{there4, there6}[i], ofFamily(client, here)
			for name, ip := range map[string][]string{"host": {"10.96.0.1", "fd96::1"}, "neighbor": {"10.96.0.2", "fd96::2"}} {
				sees := map[string]string{"host": own, "neighbor": here}[name]
				reaches(t, client.space, ip[i], 80, name, sees)
				reaches(t, nil, ip[i], 80, name)
			}
			reaches(t, client.space, here, 30081, "host", own)
			reaches(t, m.neighbor, here, 30081, "host", there)
			reaches(t, m.neighbor, here, 30082, "neighbor", here)
			// An address outside of the services' subnet is reached from the machine too.
			reaches(t, client.space, []string{"10.97.0.3", "fd97::3"}[i], 80, "neighbor", here)
			reaches(t, nil, []string{"10.97.0.3", "fd97::3"}[i], 80, "neighbor", here)
			refuses(t, m.neighbor, here, 30083)
			refuses(t, client.space, here, 30083)
		}
	})
}

// Who may not come by the machine's addresses does not get there; from pods to the service's own address nothing is said.
func TestServeSourceRanges(t *testing.T) {
	m := newMachine(t, true, true, nil)
	a, client := m.attach("a"), m.attach("client")
	echo(t, a.space, 8080, "a")
	web := served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), OnNode: true, Ports: bothPorts(80, 30080, 8080, a)}
	for _, allowed := range []bool{true, false} {
		web.SourceRanges = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:9::/48")}
		if allowed {
			web.SourceRanges = append(web.SourceRanges, netip.MustParsePrefix(there4+"/24"), netip.MustParsePrefix(there6+"/64"))
		}
		m.serveServices(web)
		for i, here := range []string{here4, here6} {
			for _, port := range []int{80, 30080} {
				if allowed {
					reaches(t, m.neighbor, here, port, "a")
				} else if name, _, err := query(m.neighbor, "tcp", here, port); err == nil {
					t.Errorf("port %d of %s answers %q to who may not come", port, here, name)
				}
			}
			reaches(t, client.space, []string{web4, web6}[i], 80, "a")
			reaches(t, nil, here, 80, "a")
		}
	}
}

// A client stays with its endpoint as long as that is one, and for so long after its last connection; then it gets any.
func TestServeAffinity(t *testing.T) {
	m := newMachine(t, true, true, nil)
	var pods []*pod
	for _, name := range []string{"a", "b", "c"} {
		p := m.attach(name)
		echo(t, p.space, 8080, name)
		pods = append(pods, p)
	}
	client := m.attach("client")
	web := served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), Affinity: time.Hour, Ports: bothPorts(80, 30080, 8080, pods...)}
	m.serveServices(web)
	stays := func(space *os.File, network, ip string, port int) string {
		t.Helper()
		had := ""
		for range 12 {
			name, _, err := query(space, network, ip, port)
			if err != nil || had != "" && name != had {
				t.Fatalf("%s port %d of %s answers %q after %q, %v", network, port, ip, name, had, err)
			}
			had = name
		}
		return had
	}
	had := map[string]string{}
	for _, ip := range []string{web4, web6} {
		had[ip] = stays(client.space, "tcp", ip, 80)
		stays(client.space, "udp", ip, 80)
		stays(nil, "tcp", ip, 80)
	}
	stays(m.neighbor, "tcp", here4, 30080)
	stays(m.neighbor, "tcp", here6, 30080)

	// Another endpoint comes: nobody is led elsewhere. The writer is another daemon's.
	d := m.attach("d")
	echo(t, d.space, 8080, "d")
	m.serving.writer = balance.NewWriter(m.config.Bridge)
	web.Ports = bothPorts(80, 30080, 8080, append(slices.Clone(pods), d)...)
	m.serveServices(web)
	for ip, name := range had {
		if got := stays(client.space, "tcp", ip, 80); got != name {
			t.Errorf("the client of %s is led from %s to %s", ip, name, got)
		}
	}
	// Its endpoint goes: it stays with another.
	left := slices.DeleteFunc(slices.Clone(pods), func(p *pod) bool { return p.Name == had[web4] })
	web.Ports = bothPorts(80, 30080, 8080, left...)
	m.serveServices(web)
	if got := stays(client.space, "tcp", web4, 80); got == had[web4] {
		t.Errorf("the client is led to %s, which is no endpoint any more", got)
	}

	web.Affinity = 300 * time.Millisecond
	web.Ports = bothPorts(80, 30080, 8080, pods...)
	m.serveServices(web)
	seen := map[string]bool{}
	eventually(t, 20*time.Second, "the client gets others after some time", func() bool {
		<-time.After(400 * time.Millisecond)
		name, _, err := query(client.space, "tcp", web4, 80)
		seen[name] = err == nil
		return len(seen) > 1
	})
}

// A sender of UDP that never stops is heard by the endpoints that there are; connections of TCP go on to one that is none any more.
func TestServeFlows(t *testing.T) {
	m := newMachine(t, true, true, nil)
	a, b, client := m.attach("a"), m.attach("b"), m.attach("client")
	echo(t, b.space, 8080, "b")
	m.serveServices(served.Service{Namespace: "default", Name: "other", ClusterIPs: addrs("10.96.0.9"), Ports: bothPorts(80, 0, 8080, b)})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, from := range []struct {
		space *os.File
		to    string
	}{{client.space, net.JoinHostPort(web4, "514")}, {client.space, net.JoinHostPort(web6, "514")}, {m.neighbor, here4 + ":30514"}, {m.neighbor, net.JoinHostPort(here6, "30514")}} {
		var c net.Conn
		in(t, from.space, func() (err error) {
			c, err = net.Dial("udp", from.to)
			return err
		})
		wg.Go(func() {
			defer c.Close()
			for ctx.Err() == nil {
				c.Write([]byte(from.to)) //nolint:errcheck // nobody listens at first
				<-time.After(20 * time.Millisecond)
			}
		})
	}
	heard := func(p *pod) {
		t.Helper()
		var l net.PacketConn
		in(t, p.space, func() (err error) {
			l, err = net.ListenPacket("udp", ":5514")
			return err
		})
		defer l.Close()
		l.SetReadDeadline(time.Now().Add(3 * time.Second)) //nolint:errcheck // the read fails
		from, buffer := map[string]bool{}, make([]byte, 64)
		for len(from) < 4 {
			n, _, err := l.ReadFrom(buffer)
			if err != nil {
				t.Fatalf("%s hears %v: %v", p.Name, from, err)
			}
			from[string(buffer[:n])] = true
		}
	}
	<-time.After(100 * time.Millisecond) // the flows have begun, to nobody
	log := func(pods ...*pod) served.Service {
		s := served.Service{Namespace: "default", Name: "log", ClusterIPs: addrs(web4, web6), Ports: bothPorts(514, 30514, 5514, pods...)}
		return s
	}
	m.serveServices(log(a))
	heard(a)
	m.serveServices(log())
	m.serveServices(log(b))
	heard(b)
	m.serving.writer = balance.NewWriter(m.config.Bridge) // another daemon's
	m.serveServices(log(a))
	heard(a)
	stop()
	wg.Wait()

	// Connections go on.
	var l net.Listener
	in(t, a.space, func() (err error) {
		l, err = net.Listen("tcp", ":5514")
		return err
	})
	defer l.Close()
	var c net.Conn
	in(t, client.space, func() (err error) {
		c, err = net.DialTimeout("tcp", web4+":514", time.Second)
		return err
	})
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	m.serveServices(log())
	refuses(t, client.space, web4, 514)
	for range 3 {
		c.SetDeadline(time.Now().Add(time.Second))      //nolint:errcheck // the read fails
		server.SetDeadline(time.Now().Add(time.Second)) //nolint:errcheck // the read fails
		word := make([]byte, 4)
		if _, err := io.WriteString(c, "ping"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, word); err != nil {
			t.Fatalf("the connection does not go on: %v", err)
		}
		if _, err := server.Write(word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, word); err != nil {
			t.Fatalf("the connection does not go on: %v", err)
		}
	}
}

// What is sent to a service and from it is counted, by whichever way, and what goes elsewhere is not.
func TestServeTraffic(t *testing.T) {
	m := newMachine(t, true, true, nil)
	a, client := m.attach("a"), m.attach("client")
	echo(t, a.space, 8080, "a")
	list := []served.Service{
		{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), Ports: bothPorts(80, 30080, 8080, a)},
		{Namespace: "default", Name: "idle", ClusterIPs: addrs("10.96.0.81"), Ports: bothPorts(80, 30081, 8080, a)},
	}
	m.serveServices(list...)
	traffic := func() served.Traffic {
		t.Helper()
		all, err := m.Traffic(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if idle, known := all["default/idle"]; !known || idle.Packets != 0 {
			t.Errorf("the other service has %+v, %v", idle, known)
		}
		return all["default/web"]
	}
	before := traffic()
	for name, ask := range map[string]func() error{
		"pod":       func() error { _, _, err := query(client.space, "udp", web4, 80); return err },
		"IPv6":      func() error { _, _, err := query(client.space, "udp", web6, 80); return err },
		"itself":    func() error { _, _, err := query(a.space, "udp", web4, 80); return err },
		"machine":   func() error { _, _, err := query(nil, "udp", web4, 80); return err },
		"loopback":  func() error { _, _, err := query(nil, "udp", "127.0.0.1", 30080); return err },
		"neighbor":  func() error { _, _, err := query(m.neighbor, "udp", here4, 30080); return err },
		"pod, node": func() error { _, _, err := query(client.space, "udp", here6, 30080); return err },
	} {
		if err := ask(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		now := traffic()
		if now.Packets != before.Packets+2 || now.Bytes <= before.Bytes {
			t.Errorf("%s: one question and its answer count as %d packets, %d bytes", name, now.Packets-before.Packets, now.Bytes-before.Bytes)
		}
		before = now
	}
	if _, _, err := query(client.space, "tcp", a.IPs[0], 8080); err != nil {
		t.Fatal(err)
	}
	if now := traffic(); now != before {
		t.Errorf("what goes to the pod itself counts for the service: %+v after %+v", now, before)
	}
	flushRules(t)
	m.watching()
	eventually(t, 5*time.Second, "the service is back", func() bool { _, _, err := query(client.space, "udp", web4, 80); return err == nil })
	if now := traffic(); now.Packets < before.Packets+2 {
		t.Errorf("what was counted before the rules were written anew is lost: %+v after %+v", now, before)
	}
}

// What others take away is there again, and told; a daemon that comes anew changes nothing.
func TestServeMended(t *testing.T) {
	m := newMachine(t, true, true, nil)
	a, client := m.attach("a"), m.attach("client")
	echo(t, a.space, 8080, "a")
	web := served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), OnNode: true, Ports: bothPorts(80, 30080, 8080, a)}
	m.serveServices(web)
	m.watching()
	works := func() bool {
		for _, c := range []struct {
			space *os.File
			ip    string
			port  int
		}{{client.space, web4, 80}, {client.space, web6, 80}, {m.neighbor, here4, 30080}, {nil, web4, 80}, {nil, "127.0.0.1", 80}} {
			if _, _, err := query(c.space, "tcp", c.ip, c.port); err != nil {
				return false
			}
		}
		link, err := netlink.LinkByName(servicelink.Name(m.config.Bridge))
		if err != nil || link.Attrs().Flags&net.FlagUp == 0 {
			return false
		}
		out, err := output("sh", "-c", "ip addr show "+link.Attrs().Name+"; ip route; ip -6 route")
		return err == nil && strings.Contains(out, dns4) && strings.Contains(out, dns6) && strings.Contains(out, "10.96.0.0/16 dev ") && strings.Contains(out, "fd96::/112 dev ")
	}
	table, link := balance.TableName(m.config.Bridge), servicelink.Name(m.config.Bridge)
	for _, c := range []struct{ told, do string }{
		{"the rules of services", "nft flush ruleset"},
		{"the rules of services", "nft delete table ip6 " + table},
		{"the rules of services", "nft flush chain ip " + table + " prerouting"},
		{"the rules of services", "nft flush map ip " + table + " targets"},
		{"the rules of services", "nft delete element ip " + table + " services { " + web4 + " . tcp . 80 }"},
		{"the link " + link, "ip link delete " + link},
		{"the address " + dns4, "ip addr flush dev " + link},
		{"the route to 10.96.0.0/16", "ip route del 10.96.0.0/16"},
		{"the route to fd96::/112", "ip link set " + link + " down"},
	} {
		eventually(t, 5*time.Second, "all works before: "+c.do, works)
		m.mu.Lock()
		m.told = nil
		m.mu.Unlock()
		if err := run("sh", "-c", c.do); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, c.do+"; told "+c.told, func() bool { return m.said(c.told) })
		eventually(t, 5*time.Second, c.do, works)
	}

	generation := func() string {
		out, err := output("nft", "-a", "list", "table", "ip", table)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	rules := func(list string) (out []string) { // without counters and handles of what comes and goes
		for line := range strings.Lines(list) {
			if strings.Contains(line, "handle") {
				out = append(out, line)
			}
		}
		return out
	}
	before := rules(generation())
	again := New(m.config)
	again.Adopt("a", a.Attachment)
	again.Adopt("client", client.Attachment)
	if err := again.Serve(t.Context(), Serving{Table: &served.Table{Services: []served.Service{web}}, CIDRs: testCIDRs, Names: addrs(dns4, dns6)}); err != nil {
		t.Fatal(err)
	}
	if after := rules(generation()); !slices.Equal(before, after) {
		t.Errorf("another daemon writes\n%s\nwhere was\n%s", strings.Join(after, ""), strings.Join(before, ""))
	}
	// One that serves nothing any more takes all away, though it has written nothing.
	m.serving.now = Serving{}
	again = New(m.config)
	again.Adopt("a", a.Attachment)
	if err := again.Serve(t.Context(), Serving{}); err != nil {
		t.Fatal(err)
	}
	m.leavesNothing()
}

// kube-proxy on the same machine is told of once, and its tables are left alone.
func TestServeBesideKubeProxy(t *testing.T) {
	m := newMachine(t, true, true, nil)
	nft(t, `table ip kube-proxy { chain services { ip daddr 10.43.0.1 tcp dport 443 dnat to 192.0.2.2:6443; }; }
table ip nat { chain KUBE-SERVICES { ip daddr 10.43.0.1 counter; }; }`)
	before, err := output("sh", "-c", "nft -a list table ip kube-proxy; nft -a list table ip nat")
	if err != nil {
		t.Fatal(err)
	}
	a := m.attach("a")
	echo(t, a.space, 8080, "a")
	m.serveServices(served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4), Ports: bothPorts(80, 0, 8080, a)})
	m.watching()
	eventually(t, 5*time.Second, "it is told of", func() bool { return m.said(KubeProxyFound) })
	flushed := "nft delete table ip " + balance.TableName(m.config.Bridge)
	if err := run("sh", "-c", flushed); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the service is there again", func() bool { _, _, err := query(nil, "tcp", web4, 80); return err == nil })
	m.serveServices()
	if after, err := output("sh", "-c", "nft -a list table ip kube-proxy; nft -a list table ip nat"); err != nil || after != before {
		t.Errorf("its tables are\n%s\nand were\n%s (%v)", after, before, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := strings.Count(strings.Join(m.told, "\n"), KubeProxyFound); n != 1 {
		t.Errorf("it is told of %d times", n)
	}
}

// Associations of SCTP are led to endpoints. Where the kernel has no sockets of SCTP the first packet is made and read by hand.
func TestServeSCTP(t *testing.T) {
	m := newMachine(t, true, true, nil)
	a, client := m.attach("a"), m.attach("client")
	var targets []served.Target
	for _, ip := range a.IPs {
		targets = append(targets, served.Target{Addr: netip.MustParseAddr(ip), Port: 9000})
	}
	m.serveServices(served.Service{Namespace: "default", Name: "signal", ClusterIPs: addrs(web4, web6), Ports: []served.Port{{Protocol: v1.ProtocolSCTP, Port: 36412, Targets: targets}}})
	of := func(p *pod) sctp.Space {
		return func(open func() (int, error)) (fd int, err error) {
			err = within(p.space, func() (err error) {
				fd, err = open()
				return err
			})
			return fd, err
		}
	}
	for _, ip := range []string{web4, web6} {
		if port, err := sctp.Begin(of(client), of(a), netip.AddrPortFrom(netip.MustParseAddr(ip), 36412)); err != nil || port != 9000 {
			t.Errorf("by %s the pod gets it for port %d, %v", ip, port, err)
		}
	}
	if _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP); err != nil {
		t.Logf("this kernel has no sockets of SCTP: %v", err)
	}
}

// Where the kernel has no tables for bridges, pods beside each other reach services too; they see the machine as their client. It is told.
func TestServeUnrouted(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *machine{
		"own bridge": func(t *testing.T) *machine { return newMachine(t, true, true, nil) }, "bridge of CNI": cniMachine,
	} {
		t.Run(name, func(t *testing.T) {
			eachNetfilter(t, func(t *testing.T) {
				m := make(t)
				m.routing.lacks = true
				m.watching()
				a, client := m.attach("a"), m.attach("client")
				echo(t, a.space, 8080, "a")
				eventually(t, 5*time.Second, "the bridge has its addresses", func() bool { _, _, err := query(nil, "tcp", ofFamily(a, "::"), 8080); return err == nil })
				m.serveServices(served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), OnNode: true, Ports: bothPorts(80, 30080, 8080, a)})
				for _, ip := range []string{web4, web6} {
					reaches(t, client.space, ip, 80, "a", gatewayOf(a, ip))
					reaches(t, a.space, ip, 80, "a", gatewayOf(a, ip))
					reaches(t, nil, ip, 80, "a")
				}
				reaches(t, m.neighbor, here4, 30080, "a", there4)
				reaches(t, m.neighbor, here6, 80, "a", there6)
				eventually(t, 5*time.Second, "it is told", func() bool { return m.said(Unrouted) })
			})
		})
	}
}

// A machine without IPv6 serves by IPv4, and writes nothing of IPv6.
func TestServeWithoutIPv6(t *testing.T) {
	m := newMachine(t, true, false, nil)
	for _, path := range []string{"all", "default"} {
		setSysctl(t, "ipv6/conf/"+path+"/disable_ipv6", "1")
		t.Cleanup(func() { setSysctl(t, "ipv6/conf/"+path+"/disable_ipv6", "0") })
	}
	a, client := m.attach("a"), m.attach("client")
	echo(t, a.space, 8080, "a")
	s := Serving{Names: addrs(dns4), CIDRs: testCIDRs[:1], Table: &served.Table{Services: []served.Service{{Namespace: "default", Name: "web", ClusterIPs: addrs(web4), Ports: bothPorts(80, 30080, 8080, a)}}}}
	if err := m.Serve(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	reaches(t, client.space, web4, 80, "a", client.IPs[0])
	reaches(t, nil, web4, 80, "a")
	reaches(t, m.neighbor, here4, 30080, "a", there4)
	if out, err := output("nft", "list", "tables", "ip6"); err != nil || strings.Contains(out, balance.TableName(m.config.Bridge)) {
		t.Errorf("tables of IPv6 are %s, %v", out, err)
	}
	if err := m.Serve(t.Context(), Serving{}); err != nil {
		t.Fatal(err)
	}
	m.leavesNothing()
}

// Pods come to a service that was there first, and the last goes: what is needed on the own bridge follows.
func TestServeBeforePods(t *testing.T) {
	m := newMachine(t, true, true, nil)
	web := served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), OnNode: true, Ports: bothPorts(80, 30080, 8080)}
	m.serveServices(web)
	refuses(t, nil, web4, 80)
	refuses(t, m.neighbor, here6, 30080)
	for range 2 {
		a, client := m.attach("a"), m.attach("client")
		echo(t, a.space, 8080, "a")
		web.Ports = bothPorts(80, 30080, 8080, a)
		m.serveServices(web)
		for _, ip := range []string{web4, web6} {
			reaches(t, client.space, ip, 80, "a", ofFamily(client, ip))
			reaches(t, a.space, ip, 80, "a")
		}
		reaches(t, nil, "127.0.0.1", 80, "a")
		reaches(t, m.neighbor, here4, 80, "a", there4)
		web.Ports = bothPorts(80, 30080, 8080)
		m.serveServices(web)
		m.detach(a)
		m.detach(client)
		refuses(t, nil, web6, 80)
	}
}

// A machine whose IPv6 is switched off for a while goes on to serve by IPv4, also what is new, and by IPv6 again afterwards.
func TestServeIPv6SwitchedOff(t *testing.T) {
	m := newMachine(t, true, true, nil)
	m.watching()
	a, client := m.attach("a"), m.attach("client")
	echo(t, a.space, 8080, "a")
	echo(t, a.space, 8081, "new")
	web := served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), Ports: bothPorts(80, 30080, 8080, a)}
	m.serveServices(web)
	reaches(t, client.space, web6, 80, "a")
	setSysctl(t, "ipv6/conf/all/disable_ipv6", "1")
	t.Cleanup(func() { setSysctl(t, "ipv6/conf/all/disable_ipv6", "0") })
	web.Ports = bothPorts(80, 30080, 8081, a)
	s := Serving{Table: &served.Table{Services: []served.Service{web}}, CIDRs: testCIDRs, Names: addrs(dns4, dns6)}
	if err := m.Serve(t.Context(), s); err == nil || !strings.Contains(err.Error(), "is IPv6 switched off?") {
		t.Errorf("the error is %v", err)
	}
	reaches(t, client.space, web4, 80, "new", client.IPs[0])
	reaches(t, nil, web4, 80, "new")
	setSysctl(t, "ipv6/conf/all/disable_ipv6", "0")
	for _, space := range []*os.File{client.space, nil} {
		eventually(t, 10*time.Second, "it serves by IPv6 again", func() bool {
			name, _, err := query(space, "tcp", web6, 80)
			return err == nil && name == "new"
		})
	}
}
