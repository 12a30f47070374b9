package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Frames and packets as programs with raw sockets make them, which containers may have (CAP_NET_RAW).

func checksum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if len(b)%2 == 1 {
			sum += uint32(b[len(b)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// datagram is a packet of UDP.
func datagram(from, to netip.Addr, port uint16, word string) []byte {
	if len(word)%2 == 1 {
		word += " "
	}
	udp := binary.BigEndian.AppendUint16(nil, 4444)
	udp = binary.BigEndian.AppendUint16(udp, port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(word)))
	udp = append(append(udp, 0, 0), word...)
	return packet(from, to, unix.IPPROTO_UDP, udp, 6)
}

// packet adds a header of IP, and the checksum at a place of the contents.
func packet(from, to netip.Addr, protocol byte, contents []byte, sum int) []byte {
	pseudo := binary.BigEndian.AppendUint16(nil, uint16(len(contents)))
	pseudo = append(append(append(pseudo, 0, protocol), from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(contents[sum:], checksum(pseudo, contents))
	if !from.Is4() {
		header := []byte{0x60, 0, 0, 0}
		header = binary.BigEndian.AppendUint16(header, uint16(len(contents)))
		return slices.Concat(header, []byte{protocol, 255}, from.AsSlice(), to.AsSlice(), contents)
	}
	header := []byte{0x45, 0}
	header = binary.BigEndian.AppendUint16(header, uint16(20+len(contents)))
	header = slices.Concat(header, []byte{0, 0, 0, 0, 64, protocol, 0, 0}, from.AsSlice(), to.AsSlice())
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(header, contents...)
}

// sendFrame sends a frame from a pod's eth0. Types before the packet's own are tags of VLANs with number 0, which a receiver ignores.
func sendFrame(t *testing.T, space *os.File, from, to net.HardwareAddr, contents []byte, types ...uint16) {
	t.Helper()
	in(t, space, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		frame := slices.Concat(to, from)
		for i, kind := range types {
			frame = binary.BigEndian.AppendUint16(frame, kind)
			if i < len(types)-1 {
				frame = append(frame, 0, 0)
			}
		}
		return unix.Sendto(fd, append(frame, contents...), 0, &unix.SockaddrLinklayer{Ifindex: eth0.Attrs().Index})
	})
}

func (p *pod) hardware(t *testing.T) (mac net.HardwareAddr) {
	t.Helper()
	in(t, p.space, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err == nil {
			mac = eth0.Attrs().HardwareAddr
		}
		return err
	})
	return mac
}

// link is the address of the link (fe80::/10) of an interface, when it can be used.
func link(t *testing.T, space *os.File, name string) (ip netip.Addr) {
	t.Helper()
	eventually(t, 10*time.Second, "an address of the link", func() bool {
		in(t, space, func() error {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			addresses, err := netlink.AddrList(l, netlink.FAMILY_V6)
			for _, a := range addresses {
				if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
					ip, _ = netip.AddrFromSlice(a.IP)
				}
			}
			if errors.Is(err, netlink.ErrDumpInterrupted) {
				return nil
			}
			return err
		})
		return ip.IsValid()
	})
	return ip
}

// listener hears what comes to a port by UDP.
func listener(t *testing.T, space *os.File, network string, port int) net.PacketConn {
	t.Helper()
	var l net.PacketConn
	in(t, space, func() (err error) { l, err = net.ListenPacket(network, fmt.Sprintf(":%d", port)); return err })
	t.Cleanup(func() { l.Close() })
	return l
}

// words are what is heard until the word last is.
func words(t *testing.T, l net.PacketConn) (out []string) {
	t.Helper()
	l.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
	for b := make([]byte, 1<<13); ; {
		n, _, err := l.ReadFrom(b)
		if err != nil {
			t.Fatalf("the last word is not heard: %v; before it %q", err, out)
		}
		word := strings.TrimSpace(string(b[:n]))
		if word == "last" {
			return out
		}
		out = append(out, word)
	}
}

// around is what a pod may try to get around policies.
type around struct {
	name  string
	plain bool // it works where there is no policy
	try   func(word string)
}

// tryAll has all tried, and says what was heard behind what comes last.
func tryAll(t *testing.T, all []around, last func(), listeners ...net.PacketConn) map[string]bool {
	t.Helper()
	for _, a := range all {
		a.try(a.name)
	}
	last()
	out := map[string]bool{}
	for _, l := range listeners {
		for _, w := range words(t, l) {
			out[w] = true
		}
	}
	return out
}

func check(t *testing.T, all []around, heard map[string]bool, isolated bool) {
	t.Helper()
	for _, a := range all {
		if want := a.plain && !isolated; heard[a.name] != want {
			t.Errorf("%s: heard %t, isolated %t", a.name, heard[a.name], isolated)
		}
	}
}

var everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func openRoutes(t *testing.T) {
	t.Helper()
	for _, which := range []string{"all", "default"} { // packets from anywhere are taken
		name := "ipv4/conf/" + which + "/rp_filter"
		before, err := os.ReadFile("/proc/sys/net/" + name)
		if err != nil {
			t.Fatal(err)
		}
		setSysctl(t, name, "0")
		t.Cleanup(func() { setSysctl(t, name, strings.TrimSpace(string(before))) })
	}
}

// A pod that may send what it likes does not reach an isolated one: not as another, nor past the machine's stack.
func TestAroundIngress(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		openRoutes(t)
		m := newMachine(t, true, true, nil)
		web, client, other := m.app("web"), m.app("client"), m.app("other")
		l4, l6 := listener(t, web.space, "udp4", 90), listener(t, web.space, "udp6", 90)
		bridge, err := netlink.LinkByName(m.config.Bridge)
		if err != nil {
			t.Fatal(err)
		}
		gateway, mine, target := bridge.Attrs().HardwareAddr, other.hardware(t), web.hardware(t)
		ip := func(p *pod, i int) netip.Addr { return netip.MustParseAddr(p.IPs[i]) }
		send := func(from, to netip.Addr, hardware net.HardwareAddr, types ...uint16) func(string) {
			kind := uint16(unix.ETH_P_IPV6)
			if from.Is4() {
				kind = unix.ETH_P_IP
			}
			return func(word string) {
				sendFrame(t, other.space, mine, hardware, datagram(from, to, 90, word), append(types, kind)...)
			}
		}
		outside, outside6 := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8:5::5")
		subnet := broadcast(t, bridge)
		link6, mine6 := link(t, web.space, "eth0"), link(t, other.space, "eth0")
		const q, ad = unix.ETH_P_8021Q, unix.ETH_P_8021AD
		all := []around{
			{"own address to the pod's hardware", true, send(ip(other, 0), ip(web, 0), target)},
			{"own address to the pod's hardware, IPv6", true, send(ip(other, 1), ip(web, 1), target)},
			{"own address to the gateway", true, send(ip(other, 0), ip(web, 0), gateway)},
			{"own address to everybody's hardware", true, send(ip(other, 0), ip(web, 0), everybody)},
			{"another's address to the pod's hardware", true, send(ip(client, 0), ip(web, 0), target)},
			{"another's address to the pod's hardware, IPv6", true, send(ip(client, 1), ip(web, 1), target)},
			{"another's address to the gateway", true, send(ip(client, 0), ip(web, 0), gateway)},
			{"another's address to the gateway, IPv6", true, send(ip(client, 1), ip(web, 1), gateway)},
			{"an address of outside to the gateway", true, send(outside, ip(web, 0), gateway)},
			{"an address of outside to the gateway, IPv6", true, send(outside6, ip(web, 1), gateway)},
			{"a broadcast", true, send(ip(other, 0), netip.MustParseAddr("255.255.255.255"), everybody)},
			{"a broadcast as another", true, send(ip(client, 0), netip.MustParseAddr("255.255.255.255"), target)},
			{"a broadcast to the pod alone", true, send(ip(other, 0), netip.MustParseAddr("255.255.255.255"), target)},
			{"a broadcast of the subnet", true, send(ip(other, 0), subnet, everybody)},
			{"all hosts", true, send(ip(other, 0), netip.MustParseAddr("224.0.0.1"), net.HardwareAddr{1, 0, 0x5e, 0, 0, 1})},
			{"all nodes", true, send(ip(other, 1), netip.MustParseAddr("ff02::1"), net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1})},
			{"the link's address", true, send(mine6, link6, target)},
			{"the link's address from the own one", true, send(ip(other, 1), link6, target)},
			{"all nodes of the link", true, send(mine6, netip.MustParseAddr("ff02::1"), target)},
			{"one VLAN", true, send(ip(other, 0), ip(web, 0), target, q)},
			{"two VLANs", true, send(ip(other, 0), ip(web, 0), target, q, q)},
			{"two VLANs of a provider", true, send(ip(other, 0), ip(web, 0), target, ad, q)},
			{"two VLANs, IPv6", true, send(ip(client, 1), ip(web, 1), target, q, q)},
			{"two VLANs to the gateway", true, send(ip(client, 0), ip(web, 0), gateway, q, q)},
		}
		last := func() {
			sendFrame(t, client.space, client.hardware(t), gateway, datagram(ip(client, 0), ip(web, 0), 90, "last"), unix.ETH_P_IP)
			sendFrame(t, client.space, client.hardware(t), gateway, datagram(ip(client, 1), ip(web, 1), 90, "last"), unix.ETH_P_IPV6)
		}
		check(t, all, tryAll(t, all, last, l4, l6), false)
		m.isolate(policy(t, "web", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}},
			{ipBlock: {cidr: 203.0.113.0/24}}, {ipBlock: {cidr: "2001:db8:5::/48"}}], ports: [{port: 90, protocol: UDP}]}]}`))
		check(t, all, tryAll(t, all, last, l4, l6), true)
	})
}

// broadcast is that of a bridge's subnet.
func broadcast(t *testing.T, bridge netlink.Link) netip.Addr {
	t.Helper()
	addresses, err := netlink.AddrList(bridge, netlink.FAMILY_V4)
	if err != nil || len(addresses) != 1 {
		t.Fatalf("the bridge has %v, %v", addresses, err)
	}
	last := addresses[0].IP.To4().Mask(addresses[0].Mask)
	for i := range last {
		last[i] |= ^addresses[0].Mask[i]
	}
	ip, _ := netip.AddrFromSlice(last)
	return ip
}

// A pod that may send nothing does not get round that: not to the machine, not to pods, and not out of it.
func TestAroundEgress(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		openRoutes(t)
		m := newMachine(t, true, true, nil)
		jail, web := m.app("jail"), m.app("web")
		bridge, err := netlink.LinkByName(m.config.Bridge)
		if err != nil {
			t.Fatal(err)
		}
		gateway, mine, target := bridge.Attrs().HardwareAddr, jail.hardware(t), web.hardware(t)
		ip := func(p *pod, i int) netip.Addr { return netip.MustParseAddr(p.IPs[i]) }
		machine4, machine6 := netip.MustParsePrefix(jail.IPs[0]+"/24").Masked().Addr().Next(), netip.MustParsePrefix(jail.IPs[1]+"/112").Masked().Addr().Next()
		machineLink, mineLink, webLink := link(t, nil, m.config.Bridge), link(t, jail.space, "eth0"), link(t, web.space, "eth0")
		free4, free6 := ip(web, 0).Next().Next(), ip(web, 1).Next().Next()
		type at struct {
			space   *os.File
			network string
		}
		var listeners []net.PacketConn
		for _, a := range []at{{nil, "udp4"}, {nil, "udp6"}, {web.space, "udp4"}, {web.space, "udp6"}, {m.neighbor, "udp4"}, {m.neighbor, "udp6"}} {
			listeners = append(listeners, listener(t, a.space, a.network, 92))
		}
		send := func(from, to netip.Addr, hardware net.HardwareAddr, types ...uint16) func(string) {
			kind := uint16(unix.ETH_P_IPV6)
			if from.Is4() {
				kind = unix.ETH_P_IP
			}
			return func(word string) {
				sendFrame(t, jail.space, mine, hardware, datagram(from, to, 92, word), append(types, kind)...)
			}
		}
		outside4, outside6 := netip.MustParseAddr(there4), netip.MustParseAddr(there6)
		here4, here6 := netip.MustParseAddr(here4), netip.MustParseAddr(here6)
		const q = unix.ETH_P_8021Q
		all := []around{
			{"the machine", true, send(ip(jail, 0), machine4, gateway)},
			{"the machine, IPv6", true, send(ip(jail, 1), machine6, gateway)},
			{"the machine's other address", true, send(ip(jail, 0), here4, gateway)},
			{"the machine's other address, IPv6", true, send(ip(jail, 1), here6, gateway)},
			{"the machine by the link", true, send(mineLink, machineLink, gateway)},
			{"the machine by its link's address", true, send(ip(jail, 1), machineLink, gateway)},
			{"the machine from the link's address", true, send(mineLink, machine6, gateway)},
			{"all nodes", true, send(mineLink, netip.MustParseAddr("ff02::1"), gateway)},
			{"a broadcast", true, send(ip(jail, 0), netip.MustParseAddr("255.255.255.255"), everybody)},
			{"the machine in a VLAN", true, send(ip(jail, 0), machine4, gateway, q)},
			{"the machine in two VLANs", true, send(mineLink, machineLink, gateway, q, q)},
			{"the machine as another", true, send(ip(web, 0), machine4, gateway)},
			{"the machine as another, IPv6", true, send(ip(web, 1), machine6, gateway)},
			{"the machine as nobody", true, send(free4, machine4, gateway)},
			{"the machine as nobody, IPv6", true, send(free6, machine6, gateway)},
			{"a pod", true, send(ip(jail, 0), ip(web, 0), gateway)},
			{"a pod's hardware, IPv6", true, send(ip(jail, 1), ip(web, 1), target)},
			{"a pod as nobody", true, send(free4, ip(web, 0), target)},
			{"a pod by the link", true, send(mineLink, webLink, target)},
			{"a pod in two VLANs", true, send(ip(jail, 0), ip(web, 0), target, q, q)},
			{"outside", true, send(ip(jail, 0), outside4, gateway)},
			{"outside, IPv6", true, send(ip(jail, 1), outside6, gateway)},
			{"outside as another", true, send(ip(web, 0), outside4, gateway)},
		}
		last := func() {
			hardware := web.hardware(t)
			for _, to := range []netip.Addr{machine4, outside4, machine6, outside6} {
				i, kind := 0, uint16(unix.ETH_P_IP)
				if to.Is6() {
					i, kind = 1, unix.ETH_P_IPV6
				}
				sendFrame(t, web.space, hardware, gateway, datagram(ip(web, i), to, 92, "last"), kind)
			}
			for i, address := range web.IPs { // to itself, and behind what has come to the machine
				to := &net.UDPAddr{IP: net.ParseIP(address), Port: 92}
				in(t, nil, func() error {
					c, err := net.DialUDP([]string{"udp4", "udp6"}[i], nil, to)
					if err != nil {
						return err
					}
					defer c.Close()
					_, err = c.Write([]byte("last"))
					return err
				})
			}
		}
		check(t, all, tryAll(t, all, last, listeners...), false)
		m.isolate(policy(t, "jail", `{podSelector: {matchLabels: {app: jail}}, policyTypes: [Egress]}`))
		check(t, all, tryAll(t, all, last, listeners...), true)

		// What machines ask each other on a link is not routed, so that nothing is told to others with it.
		var l *net.IPConn
		in(t, m.neighbor, func() (err error) { l, err = net.ListenIP("ip6:58", nil); return err })
		defer l.Close()
		for _, kind := range []byte{135, 136, 130, 143, 128} {
			sendFrame(t, jail.space, mine, gateway, packet(ip(jail, 1), outside6, unix.IPPROTO_ICMPV6, append([]byte{kind, 0, 0, 0}, "a secret word.."...), 2), unix.ETH_P_IPV6)
		}
		sendFrame(t, web.space, web.hardware(t), gateway, packet(ip(web, 1), outside6, unix.IPPROTO_ICMPV6, append([]byte{200, 0, 0, 0}, "last"...), 2), unix.ETH_P_IPV6)
		l.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails
		for b := make([]byte, 1<<10); ; {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b[:n]), "secret") {
				t.Errorf("the neighbor hears %q from %s", b[:n], from)
			}
			if strings.Contains(string(b[:n]), "last") {
				break
			}
		}
	})
}

// believes is the hardware address at which the machine believes a pod's address to be.
func believes(t *testing.T, bridge netlink.Link, ip string) string {
	t.Helper()
	list, err := netlink.NeighList(bridge.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.IP.String() == ip {
			return n.HardwareAddr.String()
		}
	}
	return ""
}

// A pod cannot have what is for another sent to itself: not by answers about its addresses, nor by its hardware address.
func TestPosing(t *testing.T) {
	m := newMachine(t, true, true, nil)
	web, other := m.app("web"), m.app("other")
	bridge, err := netlink.LinkByName(m.config.Bridge)
	if err != nil {
		t.Fatal(err)
	}
	setSysctl(t, "ipv4/neigh/"+m.config.Bridge+"/locktime", "0") // what is believed may change at once
	mine, its := other.hardware(t), web.hardware(t)
	machine4, machine6 := netip.MustParsePrefix(web.IPs[0]+"/24").Masked().Addr().Next(), netip.MustParsePrefix(web.IPs[1]+"/112").Masked().Addr().Next()
	w4, w6 := netip.MustParseAddr(web.IPs[0]), netip.MustParseAddr(web.IPs[1])
	pose := func() {
		arp := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 2}, mine, w4.AsSlice(), bridge.Attrs().HardwareAddr, machine4.AsSlice()) // RFC 826
		sendFrame(t, other.space, mine, bridge.Attrs().HardwareAddr, arp, unix.ETH_P_ARP)
		answer := slices.Concat([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, w6.AsSlice(), []byte{2, 1}, mine) // RFC 4861: solicited, override
		for _, from := range []netip.Addr{w6, link(t, other.space, "eth0"), netip.MustParseAddr(other.IPs[1])} {
			sendFrame(t, other.space, mine, bridge.Attrs().HardwareAddr, packet(from, machine6, unix.IPPROTO_ICMPV6, slices.Clone(answer), 2), unix.ETH_P_IPV6)
		}
		for i, to := range []netip.Addr{machine4, machine6} { // behind that
			l := listener(t, nil, "udp", 93+i)
			sendFrame(t, other.space, mine, bridge.Attrs().HardwareAddr, datagram(netip.MustParseAddr(other.IPs[i]), to, uint16(93+i), "last"), []uint16{unix.ETH_P_IP, unix.ETH_P_IPV6}[i])
			words(t, l)
			l.Close()
		}
	}
	meet := func() {
		for _, ip := range web.IPs {
			answers(t, nil, ip, 80, "web")
		}
	}
	meet()
	for _, ip := range web.IPs {
		eventually(t, 10*time.Second, ip+" is believed at another without a policy", func() bool {
			pose()
			return believes(t, bridge, ip) == mine.String()
		})
	}
	m.isolate(policy(t, "web", fromClient))
	for _, ip := range web.IPs {
		in(t, nil, func() error {
			return netlink.NeighDel(&netlink.Neigh{LinkIndex: bridge.Attrs().Index, IP: net.ParseIP(ip)})
		})
	}
	meet()
	for range 5 {
		pose()
	}
	for _, ip := range web.IPs {
		if got := believes(t, bridge, ip); got != its.String() {
			t.Errorf("with a policy %s is believed at %s", ip, got)
		}
	}
	for range 3 { // the bridge would learn that the address is at this port
		sendFrame(t, other.space, its, bridge.Attrs().HardwareAddr, datagram(netip.MustParseAddr(other.IPs[0]), machine4, 99, "posing"), unix.ETH_P_IP)
	}
	meet()
}

// Packets in parts are judged as a whole.
func TestPolicyForFragments(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		web, client := m.app("web"), m.app("client")
		m.isolate(policy(t, "web", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 90, protocol: UDP}]}]}`))
		long := strings.Repeat("x", 4000)
		for i, network := range []string{"udp4", "udp6"} {
			allowed, forbidden := listener(t, web.space, network, 90), listener(t, web.space, network, 91)
			in(t, client.space, func() error {
				for _, port := range []int{91, 90} {
					c, err := net.DialUDP(network, nil, &net.UDPAddr{IP: net.ParseIP(web.IPs[i]), Port: port})
					if err != nil {
						return err
					}
					for _, word := range []string{long, "last"} {
						if _, err := c.Write([]byte(word)); err != nil {
							return err
						}
					}
					c.Close()
				}
				return nil
			})
			if got := words(t, allowed); len(got) != 1 || got[0] != long {
				t.Errorf("%s: %d words are heard", network, len(got))
			}
			forbidden.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) //nolint:errcheck // the read fails
			if n, _, err := forbidden.ReadFrom(make([]byte, 1<<13)); err == nil {
				t.Errorf("%s: a word of %d bytes is heard", network, n)
			}
		}
	})
}

// say sends a word by UDP.
func say(ip string, port int, word string) error {
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(ip), Port: port})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(word))
	return err
}
