package network

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/served"
)

// listenAt answers connections at an address of the machine with a word, as a DNS server would be there.
func listenAt(t *testing.T, ip string, port int) {
	t.Helper()
	var l net.Listener
	eventually(t, 2*time.Second, "somebody can listen at "+ip, func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(port)))
		return err == nil
	})
	t.Cleanup(func() { l.Close() })
	go sayTo(l, "names")
}

// A firewall of the host that lets in nothing lets pods ask for names, and nothing else; afterwards it is as it was.
func TestNamesPassFirewalls(t *testing.T) {
	for name, c := range map[string]hostFirewall{
		"a policy": {
			"nft -f - <<X\ntable inet own { chain in { type filter hook input priority 0; policy drop; icmpv6 type 133-137 accept; }; }\nX", "nft list table inet own", "nft delete table inet own"},
		"a rule at the end": {
			"nft -f - <<X\ntable inet own { chain in { type filter hook input priority 0; icmpv6 type 133-137 accept; reject with icmpx admin-prohibited; }; }\nX", "nft list table inet own", "nft delete table inet own"},
		"iptables-nft": {
			"iptables-nft -P INPUT DROP; ip6tables-nft -A INPUT -p icmpv6 -j ACCEPT; ip6tables-nft -P INPUT DROP",
			"iptables-nft -S INPUT; ip6tables-nft -S INPUT", "iptables-nft -P INPUT ACCEPT; ip6tables-nft -P INPUT ACCEPT; iptables-nft -F; ip6tables-nft -F"},
		"ufw's chains": {
			`for p in iptables-nft ip6tables-nft; do $p -N ufw-before-input; $p -N ufw-reject-input; $p -A ufw-reject-input -j REJECT; $p -A INPUT -j ufw-before-input
				$p -A INPUT -j ufw-reject-input; done; ip6tables-nft -A ufw-before-input -p icmpv6 -j ACCEPT`,
			"iptables-nft -S INPUT; ip6tables-nft -S INPUT", "iptables-nft -F; ip6tables-nft -F; iptables-nft -X; ip6tables-nft -X"},
		"iptables-legacy": {
			"iptables-legacy -P INPUT DROP; ip6tables-legacy -A INPUT -p icmpv6 -j ACCEPT; ip6tables-legacy -A INPUT -j REJECT",
			"iptables-legacy -S INPUT; ip6tables-legacy -S INPUT", "iptables-legacy -P INPUT ACCEPT; ip6tables-legacy -F INPUT"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, true, true, nil)
			m.watching()
			before := m.attach("before")
			unchanged := c.load(t)
			m.serveServices(served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), Ports: bothPorts(80, 0, 8080)})
			for _, ip := range []string{dns4, dns6} {
				listenAt(t, ip, 53)
				listenAt(t, ip, 54)
			}
			after := m.attach("after")
			for _, p := range []*pod{before, after} {
				for _, ip := range []string{dns4, dns6} {
					answers(t, p.space, ip, 53, "names")
					if answer, err := ask(p.space, ip, 54); err == nil {
						t.Errorf("another port of %s answers %q", ip, answer)
					}
				}
			}
			in(t, m.neighbor, func() error { return run("ip", "route", "replace", dns4, "via", here4) })
			if answer, err := ask(m.neighbor, dns4, 53); err == nil {
				t.Errorf("others are let in as well: %q", answer)
			}
			if !m.said(NamesBlocked) {
				t.Errorf("told is %q", m.told)
			}
			open, err := output("sh", "-c", c.list)
			if err != nil || !strings.Contains(open, dns4) || !strings.Contains(open, dns6) {
				t.Errorf("the rules are\n%s\n%v", open, err)
			}
			m.serveServices()
			unchanged()
		})
	}
}

// A pod that sends more queries than the DNS server takes of one does not take the room of others', also where nothing but names is served.
func TestFloodOfQueries(t *testing.T) {
	m := newMachine(t, true, true, nil)
	flooding, quiet := m.attach("flooding"), m.attach("quiet")
	m.serveServices(served.Service{Namespace: "default", Name: "db", Headless: true})
	for _, ip := range []string{dns4, dns6} {
		var server net.PacketConn
		eventually(t, 2*time.Second, "somebody can listen at "+ip, func() (ok bool) {
			var err error
			server, err = net.ListenPacket("udp", net.JoinHostPort(ip, "53"))
			return err == nil
		})
		if err := server.(*net.UDPConn).SetReadBuffer(64 << 20); err != nil {
			t.Fatal(err)
		}
		came, heard, ended := 0, make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			b := make([]byte, 100)
			for {
				n, _, err := server.ReadFrom(b)
				if err != nil {
					return
				}
				if came++; string(b[:n]) == "quiet" {
					close(heard)
				}
			}
		}()
		const most = 300_000
		began, sent := time.Now(), 0
		in(t, flooding.space, func() error {
			c, err := net.Dial("udp", net.JoinHostPort(ip, "53"))
			if err != nil {
				return err
			}
			defer c.Close()
			for ; sent < most && time.Since(began) < 3*time.Second; sent++ {
				c.Write([]byte("flood")) //nolint:errcheck // counted by who hears it
			}
			return nil
		})
		in(t, quiet.space, func() error {
			c, err := net.Dial("udp", net.JoinHostPort(ip, "53"))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("quiet"))
			return err
		})
		bound := 2_000 + int(20_000*time.Since(began).Seconds()) + 2
		select {
		case <-heard:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the other pod is not heard", ip)
		}
		server.Close()
		<-ended
		t.Logf("%s: of %d packets sent %d came, of %d that may", ip, sent, came, bound)
		if came > bound {
			t.Errorf("%s: %d packets came, more than %d", ip, came, bound)
		}
	}
	// Who has asked is no change of others.
	if err := run("sh", "-c", "nft add table ip other; nft delete table ip other"); err != nil {
		t.Fatal(err)
	}
	if changed, err := m.serving.writer.Changed(); changed || err != nil {
		t.Errorf("somebody has changed the table: %v, %v", changed, err)
	}
}
