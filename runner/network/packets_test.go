package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/bridge"
	"github.com/solopod/solopod/runner/thread"
)

// Addresses of the tests' machine and of its neighbour (RFC 5737, RFC 3849).
const (
	here4, there4 = "192.0.2.1", "192.0.2.2"
	here6, there6 = "2001:db8::1", "2001:db8::2"
)

// newSpace makes a network namespace, which lives as long as the test.
func newSpace(t *testing.T) *os.File {
	t.Helper()
	var space *os.File
	if err := ownSpace(&space); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { space.Close() })
	return space
}

func ownSpace(space **os.File) error {
	return thread.Own(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err == nil {
			*space, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
}

// in does f on a thread in a namespace; nil is the tests' machine.
func in(t *testing.T, space *os.File, f func() error) {
	t.Helper()
	if err := within(space, f); err != nil {
		t.Fatal(err)
	}
}

func within(space *os.File, f func() error) error {
	if space == nil {
		return f()
	}
	return thread.Own(func() error {
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

func addAddress(name, cidr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	return errors.Join(netlink.AddrAdd(link, a), netlink.LinkSetUp(link))
}

// machine is a Network on a machine with a neighbour.
type machine struct {
	*Network
	t        *testing.T
	neighbor *os.File
	state    string
	mu       sync.Mutex
	told     []string
}

// newMachine makes one, without addresses of the families that it lacks.
func newMachine(t *testing.T, has4, has6 bool, change func(*Config)) *machine {
	t.Helper()
	m := &machine{t: t, neighbor: newSpace(t), state: t.TempDir()}
	up := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "up0"}, PeerName: "up0", PeerNamespace: netlink.NsFd(int(m.neighbor.Fd()))}
	in(t, nil, func() error { return netlink.LinkAdd(up) })
	t.Cleanup(func() {
		if err := netlink.LinkDel(up); err != nil {
			t.Error(err)
		}
		flushRules(t)
	})
	for address, is4 := range map[string]bool{"%s/24": true, "%s/64": false} {
		here, there, has := here4, there4, has4
		if !is4 {
			here, there, has = here6, there6, has6
		}
		if has {
			in(t, nil, func() error { return addAddress("up0", fmt.Sprintf(address, here)) })
			in(t, m.neighbor, func() error { return addAddress("up0", fmt.Sprintf(address, there)) })
		}
	}
	if !has4 {
		forgetIPv4Route(t)
	}
	c := Config{CNIConfDir: filepath.Join(m.state, "none"), CNICacheDir: filepath.Join(m.state, "cni"), StateDir: m.state, Bridge: fmt.Sprintf("spt%08x", bridge.Hash(t.Name()))}
	if change != nil {
		change(&c)
	}
	m.Network = New(c)
	return m
}

func forgetIPv4Route(t *testing.T) {
	t.Helper()
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil || len(routes) > 0 {
		t.Fatalf("the machine has routes of IPv4: %v, %v", routes, err)
	}
}

// watching has the Network watch until the test ends.
func (m *machine) watching() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Watch(ctx, func(reason, message string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.told = append(m.told, reason+": "+message)
		})
	}()
	m.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// said says whether Watch has told of it.
func (m *machine) said(what string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Contains(strings.Join(m.told, "\n"), what)
}

func flushRules(t *testing.T) {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// pod is one on the bridge.
type pod struct {
	Pod
	Attachment
	space *os.File
}

func (m *machine) attach(uid string, ports ...Port) *pod {
	m.t.Helper()
	return m.attachPod(uid, func(p *Pod) { p.Ports = ports })
}

// attachPod is attach for a pod that is more.
func (m *machine) attachPod(uid string, change func(*Pod)) *pod {
	m.t.Helper()
	space := newSpace(m.t)
	p := &pod{Pod: Pod{UID: uid, Namespace: "ns", Name: uid, Netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())}, space: space}
	change(&p.Pod)
	var err error
	if p.Attachment, err = m.Attach(m.t.Context(), p.Pod); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { m.detach(p) })
	return p
}

func (m *machine) detach(p *pod) {
	m.t.Helper()
	if err := m.Detach(context.Background(), p.Pod); err != nil {
		m.t.Error(err)
	}
}

// serve answers connections in a namespace with a word, until the test ends.
func serve(t *testing.T, space *os.File, port int, word string) {
	t.Helper()
	var l net.Listener
	in(t, space, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { l.Close() })
	go sayTo(l, word)
}

// sayTo says a word to who connects, until the listener is closed.
func sayTo(l net.Listener, word string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, word) //nolint:errcheck // who asks sees
		c.Close()
	}
}

// ask asks an address from a namespace within half a second.
func ask(space *os.File, ip string, port int) (answer string, err error) {
	return askWithin(500*time.Millisecond, space, ip, port)
}

func askWithin(limit time.Duration, space *os.File, ip string, port int) (answer string, err error) {
	var c net.Conn
	err = within(space, func() (err error) {
		c, err = net.DialTimeout("tcp", net.JoinHostPort(ip, fmt.Sprint(port)), limit)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// answers fails the test if an address does not answer with a word at once: a packet that is lost is sent again after a second.
func answers(t *testing.T, space *os.File, ip string, port int, word string) {
	t.Helper()
	if answer, err := askWithin(900*time.Millisecond, space, ip, port); err != nil || answer != word {
		t.Errorf("port %d of %s answers %q, %v", port, ip, answer, err)
	}
}

// eventually fails the test if something does not become true within a time.
func eventually(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A pod of two families is reached by host ports, from outside, from the machine and through itself, and reaches others.
func TestTwoFamilies(t *testing.T) {
	m := newMachine(t, true, true, nil)
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}, Port{HostPort: 8081, ContainerPort: 80, Protocol: "TCP", HostIP: "0.0.0.0"},
		Port{HostPort: 8082, ContainerPort: 80, Protocol: "TCP", HostIP: here6})
	other := m.attach("other")
	serve(t, p.space, 80, "web")
	serve(t, m.neighbor, 90, "neighbor")
	if len(p.IPs) != 2 || !netip.MustParseAddr(p.IPs[0]).Is4() || !netip.MustParsePrefix("fd00::/8").Contains(netip.MustParseAddr(p.IPs[1])) {
		t.Fatalf("the addresses are %v", p.IPs)
	}
	for _, ip := range []string{here4, here6} {
		answers(t, m.neighbor, ip, 8080, "web")
		answers(t, other.space, ip, 8080, "web")
		answers(t, p.space, ip, 8080, "web")
		answers(t, nil, ip, 8080, "web")
	}
	answers(t, nil, "127.0.0.1", 8080, "web")
	if answer, err := ask(nil, "::1", 8080); !errors.Is(err, unix.ECONNREFUSED) { // and localhost goes on to 127.0.0.1 at once
		t.Errorf("::1 answers %q, %v", answer, err)
	}
	answers(t, m.neighbor, here4, 8081, "web")
	answers(t, m.neighbor, here6, 8082, "web")
	for ip, port := range map[string]int{here6: 8081, here4: 8082} {
		if answer, err := ask(m.neighbor, ip, port); err == nil {
			t.Errorf("a port of the other family's address answers %q", answer)
		}
	}
	for i, ip := range []string{there4, there6} {
		answers(t, p.space, ip, 90, "neighbor")
		answers(t, other.space, p.IPs[i], 80, "web")
		answers(t, nil, p.IPs[i], 80, "web")
	}
	m.detach(p)
	if answer, err := ask(m.neighbor, here6, 8080); err == nil {
		t.Errorf("the port of a pod that has gone answers %q", answer)
	}
	m.detach(other)
	if link, err := netlink.LinkByName(m.config.Bridge); err == nil {
		t.Errorf("the bridge is left behind: %v", link)
	}
}

// A pod does not reach what listens on the machine's loopback only, whatever routes it makes.
func TestLoopbackIsTheMachines(t *testing.T) {
	m := newMachine(t, true, true, nil)
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}, Port{HostPort: 9091, ContainerPort: 91, Protocol: "UDP", HostIP: "127.0.0.1"})
	serve(t, p.space, 80, "web")
	l, err := net.ListenPacket("udp", "127.0.0.1:9090")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	in(t, p.space, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		gateway := netip.MustParsePrefix(p.IPs[0] + "/24").Masked().Addr().Next()
		return errors.Join(netlink.AddrDel(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(127, 0, 0, 1).To4(), Mask: net.CIDRMask(8, 32)}}), netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway.AsSlice(),
			Dst: &net.IPNet{IP: net.IPv4(127, 0, 0, 1).To4(), Mask: net.CIDRMask(32, 32)}}))
	})
	var pods net.PacketConn // who listens at a host port of the loopback
	in(t, p.space, func() (err error) {
		pods, err = net.ListenPacket("udp", ":91")
		return err
	})
	defer pods.Close()
	tell := func(space *os.File, to, word string) {
		in(t, space, func() error {
			c, err := net.Dial("udp", to)
			if err == nil {
				_, err = c.Write([]byte(word))
				c.Close()
			}
			return err
		})
	}
	tell(p.space, "127.0.0.1:9090", "pod")
	tell(p.space, "127.0.0.1:9091", "pod")
	tell(nil, "127.0.0.1:9090", "machine") // behind what is not heard
	tell(nil, "127.0.0.1:9091", "machine")
	for _, l := range []net.PacketConn{l, pods} {
		heard := make([]byte, 8)
		l.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
		n, from, err := l.ReadFrom(heard)
		if err != nil || string(heard[:n]) != "machine" {
			t.Errorf("%s at the machine's loopback hears %q from %s, %v", l.LocalAddr(), heard[:n], from, err)
		}
	}
	answers(t, nil, "127.0.0.1", 8080, "web")

	// Without a port of IPv4 there is no rule to guard it, and no way there.
	way := func() string {
		b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + m.config.Bridge + "/route_localnet")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	m.attach("stays", Port{HostPort: 8081, ContainerPort: 80, Protocol: "TCP", HostIP: here6})
	if way() != "1" {
		t.Error("there is no way for who asks a host port")
	}
	m.detach(p)
	if way() != "0" {
		t.Error("the way to the machine's loopback is left behind")
	}
	m.attach("six", Port{HostPort: 8082, ContainerPort: 80, Protocol: "TCP", HostIP: here6})
	if way() != "0" {
		t.Error("a port of IPv6 makes one")
	}
}

// sendUDP sends a packet that says to come from another address, as who may use raw sockets can.
func sendUDP(t *testing.T, space *os.File, from, to string, port uint16, word string) {
	t.Helper()
	in(t, space, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		source, target := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
		packet := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0} // the kernel fills in length and checksum (raw(7))
		packet = append(append(packet, source[:]...), target[:]...)
		packet = binary.BigEndian.AppendUint16(packet, 4444)
		packet = binary.BigEndian.AppendUint16(packet, port)
		packet = binary.BigEndian.AppendUint16(packet, uint16(8+len(word)))
		packet = append(append(packet, 0, 0), word...) // without a checksum (RFC 768)
		return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: target})
	})
}

// Nobody sends as the machine's loopback, and no other host reaches it, by way of what host ports need.
func TestForgedLoopback(t *testing.T) {
	m := newMachine(t, true, true, nil)
	for _, which := range []string{"all", "default"} {
		before, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + which + "/rp_filter")
		if err != nil {
			t.Fatal(err)
		}
		setSysctl(t, "ipv4/conf/"+which+"/rp_filter", "0")
		t.Cleanup(func() { setSysctl(t, "ipv4/conf/"+which+"/rp_filter", strings.TrimSpace(string(before))) })
	}
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	l, err := net.ListenPacket("udp4", ":9090")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gateway := netip.MustParsePrefix(p.IPs[0] + "/24").Masked().Addr().Next().String()
	for _, from := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"} {
		sendUDP(t, p.space, from, gateway, 9090, "pod")
		sendUDP(t, m.neighbor, from, here4, 9090, "neighbor")
	}
	in(t, m.neighbor, func() error { // 127.0.0.1 is at the machine
		up, err := netlink.LinkByName("up0")
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(lo); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: up.Attrs().Index, Gw: net.ParseIP(here4), Dst: &net.IPNet{IP: net.IPv4(127, 0, 0, 9).To4(), Mask: net.CIDRMask(32, 32)}})
	})
	sendUDP(t, m.neighbor, there4, "127.0.0.9", 9090, "neighbor")
	sendUDP(t, p.space, p.IPs[0], gateway, 9090, "last") // behind what is not heard, on its way
	sendUDP(t, m.neighbor, there4, here4, 9090, "last")
	for range 2 {
		heard := make([]byte, 16)
		l.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
		n, from, err := l.ReadFrom(heard)
		if err != nil || string(heard[:n]) != "last" {
			t.Errorf("the machine hears %q from %s, %v", heard[:n], from, err)
		}
	}
	answers(t, nil, "127.0.0.1", 8080, "web")
	if b, err := os.ReadFile("/proc/sys/net/ipv4/conf/up0/route_localnet"); err != nil || strings.TrimSpace(string(b)) != "0" {
		t.Errorf("another interface routes the loopback: %s, %v", b, err)
	}
}

// A machine with one family has pods that reach others by it.
func TestOneFamily(t *testing.T) {
	t.Run("IPv6", func(t *testing.T) {
		m := newMachine(t, false, true, func(c *Config) { c.IPv6First = func() bool { return true } })
		p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		serve(t, p.space, 80, "web")
		serve(t, m.neighbor, 90, "neighbor")
		answers(t, m.neighbor, here6, 8080, "web")
		answers(t, p.space, there6, 90, "neighbor")
		answers(t, nil, "127.0.0.1", 8080, "web")
		if !strings.Contains(p.IPs[0], ":") {
			t.Errorf("the addresses are %v", p.IPs)
		}
		begun := time.Now()
		if _, err := ask(p.space, there4, 90); !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) || time.Since(begun) > 400*time.Millisecond {
			t.Errorf("without a way by IPv4: %v after %s", err, time.Since(begun))
		}
	})
	t.Run("IPv6 only", func(t *testing.T) {
		m := newMachine(t, false, true, func(c *Config) { c.PodCIDR, c.PodCIDR6 = bridge.None, "fd00:77::/120" })
		p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		serve(t, p.space, 80, "web")
		answers(t, m.neighbor, here6, 8080, "web")
		if got := strings.Join(p.IPs, " "); got != "fd00:77::2" {
			t.Errorf("the addresses are %s", got)
		}
	})
	t.Run("IPv4", func(t *testing.T) {
		m := newMachine(t, true, false, nil)
		for _, path := range []string{"all", "default"} {
			setSysctl(t, "ipv6/conf/"+path+"/disable_ipv6", "1")
			t.Cleanup(func() { setSysctl(t, "ipv6/conf/"+path+"/disable_ipv6", "0") })
		}
		p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		serve(t, p.space, 80, "web")
		serve(t, m.neighbor, 90, "neighbor")
		answers(t, m.neighbor, here4, 8080, "web")
		answers(t, p.space, there4, 90, "neighbor")
		if len(p.IPs) != 1 {
			t.Errorf("the addresses are %v", p.IPs)
		}
	})
	t.Run("IPv6 is switched off later", func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		first := m.attach("first")
		setSysctl(t, "ipv6/conf/all/disable_ipv6", "1")
		t.Cleanup(func() { setSysctl(t, "ipv6/conf/all/disable_ipv6", "0") })
		m.Network = New(m.config) // another daemon
		m.Adopt("first", first.Attachment)
		m.watching()
		p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		serve(t, p.space, 80, "web")
		answers(t, m.neighbor, here4, 8080, "web")
		answers(t, first.space, p.IPs[0], 80, "web")
		if len(p.IPs) != 1 {
			t.Errorf("the addresses are %v", p.IPs)
		}
	})
}

// A pod that comes is announced: who has taken its address for another's knows better at once. The bridge's own never changes.
func TestAnnounced(t *testing.T) {
	m := newMachine(t, true, true, func(c *Config) { c.PodCIDR, c.PodCIDR6 = "10.8.8.0/24", "fd00:88::/64" })
	m.attach("first")
	link, err := netlink.LinkByName(m.config.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	next := []string{"10.8.8.3", "fd00:88::3"}
	wrong := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, ip := range next {
		in(t, nil, func() error {
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.ParseIP(ip), HardwareAddr: wrong, State: netlink.NUD_REACHABLE})
		})
	}
	p := m.attach("second")
	if got := strings.Join(p.IPs, " "); got != strings.Join(next, " ") {
		t.Fatalf("the addresses are %s", got)
	}
	eventually(t, time.Second, "the neighbours know", func() bool {
		list, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		known := 0
		for _, n := range list {
			if (n.IP.String() == next[0] || n.IP.String() == next[1]) && n.HardwareAddr.String() == "0a:73:0a:08:08:03" {
				known++
			}
		}
		return known == 2
	})
	m.detach(p)
	again, err := netlink.LinkByName(m.config.Bridge)
	if err != nil || again.Attrs().HardwareAddr.String() != link.Attrs().HardwareAddr.String() || again.Attrs().HardwareAddr[0]&3 != 2 {
		t.Errorf("the bridge's hardware address becomes %s, %v", again.Attrs().HardwareAddr, err)
	}
}

// Others come and go, and a pod that stays loses nothing; who comes is reached at once, also where another was a moment ago.
func TestChurn(t *testing.T) {
	const rounds, most = 20, 200 * time.Millisecond
	m := newMachine(t, true, true, func(c *Config) { c.PodCIDR = "10.7.7.0/29" }) // five pods: addresses come back soon
	m.watching()
	stays := m.attach("stays", Port{HostPort: 7070, ContainerPort: 70, Protocol: "UDP"})
	var echo net.PacketConn
	in(t, stays.space, func() (err error) {
		echo, err = net.ListenPacket("udp", ":70")
		return err
	})
	defer echo.Close()
	go func() {
		b := make([]byte, 64)
		for {
			n, from, err := echo.ReadFrom(b)
			if err != nil {
				return
			}
			echo.WriteTo(b[:n], from) //nolint:errcheck // what is lost shows
		}
	}()
	ctx, stop := context.WithCancel(t.Context())
	gaps := make(chan error, 2)
	for _, ip := range []string{here4, here6} {
		go func() { gaps <- longestGap(ctx, m.neighbor, ip, 7070, most) }()
	}
	for i := range rounds {
		p := m.attach(fmt.Sprint("web", i), Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		serve(t, p.space, 80, fmt.Sprint(i))
		for _, ip := range []string{here4, here6} {
			answers(t, m.neighbor, ip, 8080, fmt.Sprint(i))
		}
		m.detach(p)
	}
	stop()
	for range 2 {
		if err := <-gaps; err != nil {
			t.Error(err)
		}
	}
}

// With the last pod the bridge goes, and its rules of both families, also while all is being mended.
func TestLastPodWhileItIsMended(t *testing.T) {
	m := newMachine(t, true, true, nil)
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		var failed error
		for ctx.Err() == nil && failed == nil {
			if _, err := m.mend(ctx, true); ctx.Err() == nil {
				failed = err
			}
		}
		ended <- failed
	}()
	for i := range 10 {
		p := m.attach(fmt.Sprint("web", i), Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		m.detach(p)
		if i%2 == 0 {
			continue // the next one comes at once
		}
		left, err := output("sh", "-c", "nft list tables; ip link show type bridge")
		if err != nil || strings.Contains(left, m.config.Bridge) {
			t.Fatalf("after pod %d there are still %s, %v", i, left, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// longestGap sends numbered datagrams from a namespace until ctx ends, and fails when all that it sent within most are lost.
func longestGap(ctx context.Context, space *os.File, ip string, port int, most time.Duration) error {
	var c net.Conn
	if err := within(space, func() (err error) {
		c, err = net.Dial("udp", net.JoinHostPort(ip, fmt.Sprint(port)))
		return err
	}); err != nil {
		return err
	}
	answered := make(chan map[uint32]bool)
	go func() {
		got, b := map[uint32]bool{}, make([]byte, 4)
		for {
			n, err := c.Read(b)
			if errors.Is(err, net.ErrClosed) {
				answered <- got
				return
			}
			if err == nil && n == 4 {
				got[binary.BigEndian.Uint32(b)] = true
			}
		}
	}()
	var sent []time.Time
	for tick := time.NewTicker(5 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		sent = append(sent, time.Now())
		c.Write(binary.BigEndian.AppendUint32(nil, uint32(len(sent)-1))) //nolint:errcheck // what is lost shows
	}
	<-time.After(most) // the last answers
	c.Close()
	got, since := <-answered, time.Time{}
	for i, at := range sent {
		if got[uint32(i)] {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = at
		}
		if gap := at.Sub(since); gap > most {
			return fmt.Errorf("port %d of %s does not answer for %s (datagram %d of %d)", port, ip, gap, i, len(sent))
		}
	}
	return nil
}

// What others take away of the rules, the bridge, its addresses and routes is made again within a second, and told.
func TestTakenAway(t *testing.T) {
	m := newMachine(t, true, true, nil)
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	serve(t, m.neighbor, 90, "neighbor")
	m.watching()
	all := func() bool {
		for here, there := range map[string]string{here4: there4, here6: there6} {
			for _, c := range []struct {
				from *os.File
				to   string
				port int
			}{{m.neighbor, here, 8080}, {p.space, there, 90}} {
				if _, err := ask(c.from, c.to, c.port); err != nil {
					return false
				}
			}
		}
		_, err := ask(nil, "127.0.0.1", 8080)
		return err == nil
	}
	if !all() {
		t.Fatal("nothing works")
	}
	onBridge := func(do func(netlink.Link) error) func() error {
		return func() error {
			link, err := netlink.LinkByName(m.config.Bridge)
			if err != nil {
				return err
			}
			return do(link)
		}
	}
	for _, c := range []struct {
		what string
		told string
		do   func() error
	}{
		{"the rules are flushed", "rules", func() error { flushRules(t); return nil }},
		{"the bridge is removed", "the bridge " + m.config.Bridge, onBridge(netlink.LinkDel)},
		{"the bridge is taken down", "the state", onBridge(netlink.LinkSetDown)},
		{"a pod's interface is taken down", "a pod's place", func() error {
			link, err := netlink.LinkByName(fmt.Sprintf("sp%08x", bridge.Hash(m.config.Bridge+"/web")))
			return errors.Join(err, netlink.LinkSetDown(link))
		}},
		{"addresses are removed", "the address", onBridge(func(link netlink.Link) error {
			list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
			for _, a := range list {
				err = errors.Join(err, netlink.AddrDel(link, &a))
			}
			return err
		})},
		{"routes are removed", "the route", onBridge(func(link netlink.Link) error {
			list, err := netlink.RouteList(link, netlink.FAMILY_ALL)
			for _, r := range list {
				err = errors.Join(err, netlink.RouteDel(&r))
			}
			return err
		})},
		{"a route is replaced", "the route", func() error {
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			return netlink.RouteReplace(&netlink.Route{LinkIndex: lo.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: &net.IPNet{IP: net.ParseIP(p.IPs[0]).To4().Mask(net.CIDRMask(24, 32)), Mask: net.CIDRMask(24, 32)}})
		}},
		{"forwarding is switched off", "forwarding", func() error {
			setSysctl(t, "ipv4/ip_forward", "0")
			return nil
		}},
		{"forwarding is switched off for the bridge", "forwarding", func() error {
			setSysctl(t, "ipv4/conf/"+m.config.Bridge+"/forwarding", "0")
			return nil
		}},
	} {
		m.mu.Lock()
		m.told = nil
		m.mu.Unlock()
		in(t, nil, c.do)
		eventually(t, 3*time.Second, c.what+"; told "+c.told, func() bool { return m.said(Restored) && m.said(c.told) })
		eventually(t, 5*time.Second, c.what, all)
	}
}

// Pods may have very many host ports, as a server of telephony has them; they are forwarded, and mended.
func TestManyHostPorts(t *testing.T) {
	m := newMachine(t, true, true, nil)
	const most = 1500
	ports := []Port{{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}}
	for i := range int32(most) {
		ports = append(ports, Port{HostPort: 20000 + i, ContainerPort: 20000 + i, Protocol: []string{"TCP", "UDP"}[i%2]})
	}
	p := m.attach("phones", ports[1:]...)
	web := m.attach("web", ports[0])
	serve(t, p.space, 20000+most-2, "phones")
	serve(t, web.space, 80, "web")
	m.watching()
	for _, ip := range []string{here4, here6} {
		answers(t, m.neighbor, ip, 20000+most-2, "phones")
		answers(t, m.neighbor, ip, 8080, "web")
	}
	flushRules(t)
	eventually(t, 5*time.Second, "the rules are there again", func() bool { _, err := ask(m.neighbor, here6, 20000+most-2); return err == nil })
	answers(t, m.neighbor, here4, 8080, "web")
}

// A machine whose IPv6 is switched off for a while, as some programs of virtual private networks do it, has its pods reachable by IPv4
// meanwhile, and by IPv6 again afterwards. Those that come meanwhile have IPv4.
func TestIPv6SwitchedOff(t *testing.T) {
	m := newMachine(t, true, true, nil)
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	m.watching()
	answers(t, m.neighbor, here6, 8080, "web")
	setSysctl(t, "ipv6/conf/"+m.config.Bridge+"/disable_ipv6", "1")
	eventually(t, 3*time.Second, "it is told", func() bool { return m.said(Broken) })
	if m.said(Restored) {
		t.Error("it tells that all is well again")
	}
	flushRules(t)
	eventually(t, 3*time.Second, "IPv4 is mended", func() bool { _, err := ask(m.neighbor, here4, 8080); return err == nil })
	next := m.attach("next", Port{HostPort: 8081, ContainerPort: 80, Protocol: "TCP"})
	serve(t, next.space, 80, "next")
	answers(t, m.neighbor, here4, 8081, "next")
	if len(next.IPs) != 1 {
		t.Errorf("a pod that comes meanwhile has %v", next.IPs)
	}
	before := handle(t, m.config.Bridge, "postrouting")
	for range 3 { // looks again meanwhile, of which none writes anything
		in(t, nil, func() error {
			err := m.stir()
			<-time.After(settle + breather)
			return err
		})
	}
	if after := handle(t, m.config.Bridge, "postrouting"); after != before {
		t.Errorf("the rules are written again and again: handle %d became %d", before, after)
	}
	setSysctl(t, "ipv6/conf/"+m.config.Bridge+"/disable_ipv6", "0")
	eventually(t, 5*time.Second, "there is IPv6 again", func() bool { _, err := ask(m.neighbor, here6, 8080); return err == nil })
	eventually(t, 3*time.Second, "it is told that it works again", func() bool { return m.said(Restored) })
	if later := m.attach("later"); len(later.IPs) != 2 {
		t.Errorf("a pod that comes later has %v", later.IPs)
	}
	// So it is when a daemon starts while IPv6 is off.
	setSysctl(t, "ipv6/conf/"+m.config.Bridge+"/disable_ipv6", "1")
	again := &machine{t: t, Network: New(m.config), neighbor: m.neighbor}
	again.Adopt("web", p.Attachment)
	again.Adopt("next", next.Attachment)
	again.watching()
	eventually(t, 3*time.Second, "the next daemon tells", func() bool { return again.said(Broken) })
	setSysctl(t, "ipv6/conf/"+m.config.Bridge+"/disable_ipv6", "0")
	eventually(t, 5*time.Second, "the next daemon mends it", func() bool { _, err := ask(m.neighbor, here6, 8080); return err == nil })
}

// handle is that of a chain's first rule, which rules that are written anew do not have.
func handle(t *testing.T, table, chain string) uint64 {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	of := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: table}
	rules, err := c.GetRules(of, &nftables.Chain{Name: chain, Table: of})
	if err != nil || len(rules) == 0 {
		t.Fatalf("chain %s of table %s: %v, %v", chain, table, rules, err)
	}
	return rules[0].Handle
}

// stir has the kernel tell of a change in the network; it does not tell of each.
func (m *machine) stir() error {
	other := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "another0"}}
	return errors.Join(netlink.LinkAdd(other), netlink.LinkDel(other))
}

// An interface that has the bridge's name and is none is left alone, and told.
func TestNameTaken(t *testing.T) {
	m := newMachine(t, true, true, nil)
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: m.config.Bridge}, PeerName: "taken1"}
	in(t, nil, func() error { return netlink.LinkAdd(link) })
	t.Cleanup(func() {
		if err := netlink.LinkDel(link); err != nil {
			t.Error(err)
		}
	})
	before, err := netlink.LinkByName(m.config.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	space := newSpace(t)
	_, err = m.Attach(t.Context(), Pod{UID: "web", Namespace: "ns", Name: "web", Netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())})
	if err == nil || !strings.Contains(err.Error(), "is no bridge") {
		t.Errorf("it is taken for the bridge: %v", err)
	}
	if err := m.Sweep(); err != nil {
		t.Error(err)
	}
	after, err := netlink.LinkByName(m.config.Bridge)
	if err != nil || after.Attrs().Index != before.Attrs().Index || after.Attrs().HardwareAddr.String() != before.Attrs().HardwareAddr.String() {
		t.Errorf("it was changed: %v", err)
	}
}

// A daemon that is started writes what was changed while none ran.
func TestChangedMeanwhile(t *testing.T) {
	m := newMachine(t, true, true, nil)
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	flushRules(t)
	link, err := netlink.LinkByName(m.config.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	in(t, nil, func() error { return netlink.LinkDel(link) })
	next := &machine{t: t, Network: New(m.config), neighbor: m.neighbor}
	next.Adopt("web", p.Attachment)
	next.watching()
	for _, ip := range []string{here4, here6} {
		eventually(t, 5*time.Second, "the port answers", func() bool { _, err := ask(m.neighbor, ip, 8080); return err == nil })
	}
	eventually(t, 5*time.Second, "it is told", func() bool { return next.said(Restored) })
}

// A daemon takes away what one that was killed had written for a pod that it had not noted yet: the rules of its ports, and the bridge.
func TestKilledBeforeItWasNoted(t *testing.T) {
	m := newMachine(t, true, true, nil)
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	answers(t, m.neighbor, here4, 8080, "web")
	m.Network = New(m.config)
	m.watching()
	eventually(t, 10*time.Second, "the port is free", func() bool {
		_, err := ask(m.neighbor, here4, 8080)
		return errors.Is(err, unix.ECONNREFUSED)
	})
	if err := m.Sweep(); err != nil {
		t.Error(err)
	}
	if link, err := netlink.LinkByName(m.config.Bridge); err == nil {
		t.Errorf("the bridge is left behind: %v", link)
	}
	if m.said(Restored) || m.said(Broken) {
		t.Errorf("told is %v", m.told)
	}
}

// A bridge that was made for a pod that could not be connected goes with it.
func TestNotConnected(t *testing.T) {
	m := newMachine(t, true, true, nil)
	gone := Pod{UID: "web", Namespace: "ns", Name: "web", Netns: filepath.Join(m.state, "gone")}
	if a, err := m.Attach(t.Context(), gone); err == nil {
		t.Fatalf("a pod without a network namespace is connected: %v", a)
	}
	if err := m.Detach(t.Context(), gone); err != nil {
		t.Error(err)
	}
	if link, err := netlink.LinkByName(m.config.Bridge); err == nil {
		t.Errorf("the bridge is left behind: %v", link)
	}
}

// The bridge of a daemon that knew neither fixed hardware addresses nor IPv6 is taken over with its pods, which go on.
func TestOlderDaemonsBridge(t *testing.T) {
	m := newMachine(t, true, true, func(c *Config) { c.PodCIDR6 = bridge.None })
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	link, err := netlink.LinkByName(m.config.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	fixed := link.Attrs().HardwareAddr.String()
	in(t, nil, func() error { return netlink.LinkSetHardwareAddr(link, net.HardwareAddr{2, 0, 0, 0, 0, 7}) })
	in(t, p.space, func() error { // it knows the gateway by that
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		gateway := netip.MustParsePrefix(p.IPs[0] + "/24").Masked().Addr().Next()
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: gateway.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 7}, State: netlink.NUD_REACHABLE})
	})
	in(t, nil, func() error { return os.Remove(filepath.Join(m.state, "addresses.json")) })
	c := m.config
	c.PodCIDR6 = ""
	m.Network = New(c)
	m.Adopt("web", p.Attachment)
	m.watching()
	eventually(t, 3*time.Second, "the bridge has its own hardware address", func() bool {
		now, err := netlink.LinkByName(m.config.Bridge)
		return err == nil && now.Attrs().HardwareAddr.String() == fixed
	})
	answers(t, m.neighbor, here4, 8080, "web")
	next := m.attach("next")
	if len(next.IPs) != 2 || next.IPs[0] == p.IPs[0] {
		t.Errorf("the next pod has %v", next.IPs)
	}
	answers(t, next.space, p.IPs[0], 80, "web")
}

// Firewalls that forbid to forward let the pods' packets pass, and their own order is kept.
func TestForwardingForbidden(t *testing.T) {
	drop, accept := nftables.ChainPolicyDrop, nftables.ChainPolicyAccept
	for name, c := range map[string]struct {
		family nftables.TableFamily
		table  string
		chain  string
		policy *nftables.ChainPolicy
		last   expr.Any
	}{
		"iptables":             {nftables.TableFamilyIPv4, "filter", "FORWARD", &drop, nil},
		"ip6tables":            {nftables.TableFamilyIPv6, "filter", "FORWARD", &drop, nil},
		"nft by its policy":    {nftables.TableFamilyINet, "own", "forward", &drop, nil},
		"nft by its last rule": {nftables.TableFamilyINet, "own", "forward", &accept, &expr.Verdict{Kind: expr.VerdictDrop}},
		"ufw that rejects":     {nftables.TableFamilyIPv4, "filter", "FORWARD", &drop, &expr.Verdict{Kind: expr.VerdictJump, Chain: "ufw-reject-forward"}},
		"firewalld's kind":     {nftables.TableFamilyINet, "firewalld", "filter_FORWARD", &accept, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, true, true, nil)
			m.watching()
			forbid := func() {
				rules, err := nftables.New()
				if err != nil {
					t.Fatal(err)
				}
				table := rules.AddTable(&nftables.Table{Family: c.family, Name: c.table})
				rules.FlushTable(table)
				chain := rules.AddChain(&nftables.Chain{Name: c.chain, Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: c.policy})
				if v, ok := c.last.(*expr.Verdict); ok && v.Chain != "" {
					rejects := rules.AddChain(&nftables.Chain{Name: v.Chain, Table: table})
					rules.AddRule(&nftables.Rule{Table: table, Chain: rejects, Exprs: []expr.Any{&expr.Counter{}, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3}}})
				}
				if c.last != nil {
					rules.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Counter{}, c.last}})
				}
				if err := rules.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			forbid()
			p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
			serve(t, p.space, 80, "web")
			serve(t, m.neighbor, 90, "neighbor")
			works := func() error {
				for here, there := range map[string]string{here4: there4, here6: there6} {
					_, err := ask(m.neighbor, here, 8080)
					_, err2 := ask(p.space, there, 90)
					if err := errors.Join(err, err2); err != nil {
						return err
					}
				}
				return nil
			}
			if err := works(); err != nil {
				t.Fatalf("at once: %v", err)
			}
			if program, ok := map[string]string{"iptables": "iptables-nft", "ip6tables": "ip6tables-nft"}[name]; ok {
				out, err := exec.Command(program, "-S", "FORWARD").CombinedOutput()
				if want := fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT ", m.config.Bridge); err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%s shows %v\n%s", program, err, out)
				}
			}
			eventually(t, 2*time.Second, "it is told", func() bool {
				return m.said(Blocked) && (m.said("interface "+m.config.Bridge) || m.said("--zone=trusted") || m.said("ufw route allow in on "+m.config.Bridge))
			})
			forbid() // as a reload does
			eventually(t, 3*time.Second, "after a reload", func() bool { return works() == nil })
			in(t, m.neighbor, func() error { // who is nobody's answer does not come in
				link, err := netlink.LinkByName("up0")
				if err != nil {
					return err
				}
				return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(here4), Dst: &net.IPNet{IP: net.ParseIP(p.IPs[0]).To4(), Mask: net.CIDRMask(32, 32)}})
			})
			if c.family != nftables.TableFamilyIPv6 {
				if answer, err := ask(m.neighbor, p.IPs[0], 80); err == nil {
					t.Errorf("a pod's own address answers %q through a firewall that forbids it", answer)
				}
			}
			m.detach(p)
			if left := rulesOf(t, c.family, c.table, c.chain); left != 0 && c.last == nil || left > 1 {
				t.Errorf("%d rules are left behind", left)
			}
		})
	}
}

// Pods that come and go at the same time allow what a firewall forbids once, and leave nothing behind there.
func TestForwardingForbiddenToMany(t *testing.T) {
	m := newMachine(t, true, true, nil)
	m.watching()
	rules, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	drop := nftables.ChainPolicyDrop
	table := rules.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "own"})
	rules.AddChain(&nftables.Chain{Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	if err := rules.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		var wg sync.WaitGroup
		for i := range 8 {
			space := newSpace(t)
			p := Pod{UID: fmt.Sprint(i), Namespace: "ns", Name: fmt.Sprint(i), Netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())}
			wg.Go(func() {
				if _, err := m.Attach(t.Context(), p); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if has := rulesOf(t, nftables.TableFamilyINet, "own", "forward"); has != 3 {
			t.Errorf("the chain has %d rules", has)
		}
		for i := range 8 {
			wg.Go(func() { m.detach(&pod{Pod: Pod{UID: fmt.Sprint(i)}}) })
		}
		wg.Wait()
		eventually(t, 5*time.Second, "the chain is as it was", func() bool { return rulesOf(t, nftables.TableFamilyINet, "own", "forward") == 0 })
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.told) != 5 {
		t.Errorf("told is %q", m.told)
	}
}

// The tables of iptables from before nftables are told and changed as well.
func TestForwardingForbiddenByLegacyTables(t *testing.T) {
	run := func(program string, args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	m := newMachine(t, true, true, nil)
	m.watching()
	for _, program := range []string{"iptables-legacy", "ip6tables-legacy"} {
		run(program, "-P", "FORWARD", "DROP")
		t.Cleanup(func() {
			run(program, "-F", "FORWARD")
			run(program, "-P", "FORWARD", "ACCEPT")
		})
	}
	run("iptables-legacy", "-A", "FORWARD", "-i", "other0", "-j", "ACCEPT")
	run("iptables-legacy", "-A", "FORWARD", "-j", "REJECT")
	run("ip6tables-legacy", "-N", "rejects")
	t.Cleanup(func() {
		run("ip6tables-legacy", "-F", "FORWARD")
		run("ip6tables-legacy", "-F", "rejects")
		run("ip6tables-legacy", "-X", "rejects")
	})
	run("ip6tables-legacy", "-A", "rejects", "-j", "REJECT")
	run("ip6tables-legacy", "-A", "FORWARD", "-j", "rejects")
	for range 2 { // a second pod changes nothing
		p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
		serve(t, p.space, 80, "web")
		for _, here := range []string{here4, here6} {
			answers(t, m.neighbor, here, 8080, "web")
		}
	}
	if !m.said("chain FORWARD of iptables-legacy") || !m.said("chain FORWARD of ip6tables-legacy") {
		t.Errorf("told is %v", m.told)
	}
	list := strings.Split(strings.TrimSpace(run("iptables-legacy", "-S", "FORWARD")), "\n")
	if len(list) != 5 || !strings.Contains(list[1], "other0") || !strings.Contains(list[4], "REJECT") {
		t.Errorf("the rules are\n%s", strings.Join(list, "\n"))
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := m.Detach(ended, Pod{UID: "web"}); err != nil {
		t.Error(err)
	}
	if list := run("iptables-legacy", "-S", "FORWARD"); strings.Contains(list, m.config.Bridge) {
		t.Errorf("left behind is\n%s", list)
	}
}

func setSysctl(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func rulesOf(t *testing.T, family nftables.TableFamily, table, chain string) int {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	at := &nftables.Table{Family: family, Name: table}
	rules, err := c.GetRules(at, &nftables.Chain{Table: at, Name: chain})
	if err != nil {
		t.Fatal(err)
	}
	return len(rules)
}

// A sender of UDP that was there first, and never stops, is heard when the pod comes, and when it comes again.
func TestUDPSenderWasFirst(t *testing.T) {
	m := newMachine(t, true, true, nil)
	m.attach("first", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}) // with it the machine tracks connections
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, ip := range []string{here4, here6} {
		var c net.Conn
		in(t, m.neighbor, func() (err error) {
			c, err = net.Dial("udp", net.JoinHostPort(ip, "514"))
			return err
		})
		wg.Go(func() {
			defer c.Close()
			for ctx.Err() == nil {
				c.Write([]byte(ip)) //nolint:errcheck // nobody listens at first
				<-time.After(20 * time.Millisecond)
			}
		})
	}
	flows := func() int {
		n := 0
		for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
			list, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
			if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				t.Fatal(err)
			}
			for _, f := range list {
				if f.Forward.DstPort == 514 {
					n++
				}
			}
		}
		return n
	}
	eventually(t, 5*time.Second, "both flows are known", func() bool { return flows() == 2 })
	for _, uid := range []string{"syslog", "again"} {
		p := m.attach(uid, Port{HostPort: 514, ContainerPort: 5514, Protocol: "UDP"})
		var l net.PacketConn
		in(t, p.space, func() (err error) {
			l, err = net.ListenPacket("udp", ":5514")
			return err
		})
		heard, b := map[string]bool{}, make([]byte, 64)
		l.SetReadDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck // the read fails
		for !heard[here4] || !heard[here6] {
			n, _, err := l.ReadFrom(b)
			if err != nil {
				t.Fatalf("%s hears %v: %v", uid, heard, err)
			}
			heard[string(b[:n])] = true
		}
		l.Close()
		m.detach(p)
		eventually(t, 5*time.Second, "the flows go on without a pod", func() bool { return flows() == 2 })
	}
}
