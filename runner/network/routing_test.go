package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/routed"
	"github.com/solopod/solopod/runner/served"
)

// eachNetfilter runs a test with br_netfilter and without: with it, as kubeadm and Docker set it, rules see frames that a bridge passes on.
func eachNetfilter(t *testing.T, f func(t *testing.T)) {
	for _, value := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+value, func(t *testing.T) {
			for _, name := range []string{"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"} {
				before, err := os.ReadFile("/proc/sys/net/" + name)
				if errors.Is(err, os.ErrNotExist) && value == "0" {
					continue // a kernel without br_netfilter does as much
				}
				if err != nil {
					t.Fatal(err)
				}
				setSysctl(t, name, value)
				t.Cleanup(func() { setSysctl(t, name, strings.TrimSpace(string(before))) })
			}
			f(t)
		})
	}
}

func nft(t *testing.T, text string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, text)
	}
}

// forbidPort has the machine forward nothing to a port.
func forbidPort(t *testing.T, port int) {
	t.Helper()
	nft(t, fmt.Sprintf("table inet forbids { chain forward { type filter hook forward priority 0; tcp dport %d reject with tcp reset; udp dport %[1]d drop; }; }", port))
	t.Cleanup(func() { nft(t, "add table inet forbids; delete table inet forbids") })
}

// What pods of one bridge send each other is seen by rules for packets that are forwarded, whatever hardware address it is sent to; without
// anybody who wants it there is no table.
func TestRoutedOnOwnBridge(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		before := m.attach("before")
		if err := m.routing.want(forPolicies, true); err != nil {
			t.Fatal(err)
		}
		if err := m.routing.want(forServices, true); err != nil {
			t.Fatal(err)
		}
		forbidPort(t, 81)
		after := m.attach("after")
		for _, p := range []*pod{before, after} {
			serve(t, p.space, 80, p.Name)
			serve(t, p.space, 81, p.Name)
		}
		for _, c := range [][2]*pod{{before, after}, {after, before}} {
			for _, ip := range c[1].IPs {
				answers(t, c[0].space, ip, 80, c[1].Name)
				if answer, err := ask(c[0].space, ip, 81); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("%s of %s answers %q, %v", ip, c[1].Name, answer, err)
				}
			}
		}
		broadcastToPod(t, before, after)
		m.watching()
		for range 2 {
			flushRules(t)
			eventually(t, 5*time.Second, "the table is there again", func() bool {
				mark, err := routed.Look(m.config.Bridge)
				return err == nil && mark != ""
			})
		}
		if err := m.routing.want(forServices, false); err != nil {
			t.Fatal(err)
		}
		if mark, err := routed.Look(m.config.Bridge); err != nil || mark == "" {
			t.Errorf("another still wants it: %q, %v", mark, err)
		}
		if err := m.routing.want(forPolicies, false); err != nil {
			t.Fatal(err)
		}
		if mark, err := routed.Look(m.config.Bridge); err != nil || mark != "" {
			t.Errorf("it is left behind: %q, %v", mark, err)
		}
	})
}

// broadcastToPod sends a packet of UDP to a pod's address in a frame for everybody, as programs with raw sockets can; it must not arrive.
func broadcastToPod(t *testing.T, from, to *pod) {
	t.Helper()
	var l net.PacketConn
	in(t, to.space, func() (err error) {
		l, err = net.ListenPacket("udp4", ":81")
		return err
	})
	defer l.Close()
	in(t, from.space, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		everybody, _ := net.ParseMAC("ff:ff:ff:ff:ff:ff")
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: net.ParseIP(to.IPs[0]), HardwareAddr: everybody, State: netlink.NUD_PERMANENT})
	})
	sendUDP(t, from.space, from.IPs[0], to.IPs[0], 81, "around")
	in(t, from.space, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.NeighDel(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: net.ParseIP(to.IPs[0])})
	})
	if err := l.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 16)
	if n, _, err := l.ReadFrom(heard); err == nil {
		t.Errorf("%s hears %q by a broadcast", to.Name, heard[:n])
	}
}

// cniMachine makes a machine whose pods CNI's own plugins put on a bridge cni0.
func cniMachine(t *testing.T) *machine {
	t.Helper()
	const bin = "/usr/lib/cni"
	if _, err := os.Stat(bin + "/bridge"); err != nil {
		t.Fatalf("containernetworking-plugins are needed: %v", err)
	}
	m := newMachine(t, true, true, func(c *Config) {
		c.CNIBinDirs, c.CNIConfDir = []string{bin}, t.TempDir()
		conf := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "bridge": "cni%s", "isGateway": true, "ipMasq": true,
			"ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd00:99::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}]}`,
			strings.TrimPrefix(c.Bridge, "spt"), t.TempDir())
		if err := os.WriteFile(c.CNIConfDir+"/net.conflist", []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if link, err := netlink.LinkByName("cni" + strings.TrimPrefix(m.config.Bridge, "spt")); err == nil {
			netlink.LinkDel(link) //nolint:errcheck // the plugin leaves it
		}
	})
	return m
}

// Pods on a bridge of CNI's are routed as well, and its other ports are let alone.
func TestRoutedOnBridgeOfCNI(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := cniMachine(t)
		before := m.attach("before")
		if err := m.routing.want(forPolicies, true); err != nil {
			t.Fatal(err)
		}
		after := m.attach("after")
		forbidPort(t, 81)
		serve(t, after.space, 80, "after")
		serve(t, after.space, 81, "after")
		if len(after.IPs) != 2 || !after.ByCNI {
			t.Fatalf("the pod's attachment is %+v", after.Attachment)
		}
		for _, ip := range after.IPs {
			// The plugin does not wait until nobody else has the bridge's addresses (RFC 4862).
			eventually(t, 5*time.Second, ip+" answers", func() bool { _, err := ask(before.space, ip, 80); return err == nil })
			answers(t, before.space, ip, 80, "after")
			if answer, err := ask(before.space, ip, 81); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%s answers %q, %v", ip, answer, err)
			}
		}
		if len(m.routing.written.Pods) != 4 {
			t.Errorf("the pods are %v", m.routing.written.Pods)
		}
		m.detach(after)
		if len(m.routing.written.Pods) != 2 {
			t.Errorf("the pods are %v", m.routing.written.Pods)
		}
	})
}

// hostFirewall is a firewall of the machine's, by commands that load it, list what they have loaded, and take it away.
type hostFirewall struct{ set, list, undo string }

// load loads it until the test ends. unchanged has the test fail if it is not as it was at first.
func (f hostFirewall) load(t *testing.T) (unchanged func()) {
	t.Helper()
	if err := run("sh", "-ec", f.set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run("sh", "-c", f.undo); err != nil {
			t.Error(err)
		}
	})
	was, err := output("sh", "-c", f.list)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if is, err := output("sh", "-c", f.list); err != nil || is != was {
			t.Errorf("the rules were\n%s\nand are\n%s\n%v", was, is, err)
		}
	}
}

// A firewall that forbids to forward lets pods on a bridge of CNI's reach each other when they are routed, and is as it was afterwards.
func TestRoutedPassFirewalls(t *testing.T) {
	for name, c := range map[string]hostFirewall{
		"nftables":        {"nft 'add table inet own; add chain inet own f { type filter hook forward priority 0; policy drop; }'", "nft list table inet own", "nft delete table inet own"},
		"iptables-nft":    {"iptables-nft -P FORWARD DROP; ip6tables-nft -A FORWARD -j REJECT", "iptables-nft -S FORWARD; ip6tables-nft -S FORWARD", "iptables-nft -P FORWARD ACCEPT; ip6tables-nft -F FORWARD"},
		"iptables-legacy": {"iptables-legacy -P FORWARD DROP; ip6tables-legacy -A FORWARD -j REJECT", "iptables-legacy -S FORWARD; ip6tables-legacy -S FORWARD", "iptables-legacy -P FORWARD ACCEPT; ip6tables-legacy -F FORWARD"},
	} {
		t.Run(name, func(t *testing.T) {
			m := cniMachine(t)
			m.watching()
			a, client := m.attach("a"), m.attach("client")
			echo(t, a.space, 8080, "a")
			eventually(t, 5*time.Second, "the bridge has its addresses", func() bool { _, _, err := query(nil, "tcp", ofFamily(a, "::"), 8080); return err == nil })
			unchanged := c.load(t)
			m.serveServices(served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4, web6), Ports: bothPorts(80, 0, 8080, a)})
			for _, ip := range []string{web4, web6, a.IPs[0], a.IPs[1]} {
				port := 80
				if ip == a.IPs[0] || ip == a.IPs[1] {
					port = 8080
				}
				reaches(t, client.space, ip, port, "a", ofFamily(client, ip))
			}
			if !m.said(BesideBlocked) {
				t.Errorf("told is %q", m.told)
			}
			m.serveServices()
			unchanged()
		})
	}
}

func output(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w\n%s", program, args, err, out)
	}
	return string(out), nil
}

func run(program string, args ...string) error {
	_, err := output(program, args...)
	return err
}
