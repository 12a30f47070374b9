// Package announce tells the machines of a link which hardware address an IP address has, so that none goes on to send to where it was.
package announce

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Send announces that the interface of the calling thread's network namespace has the addresses: by gratuitous ARP (RFC 5227, section
// 2.3) and by an unsolicited neighbour advertisement (RFC 4861, section 7.2.6). router says that the interface forwards for others.
func Send(index int, mac net.HardwareAddr, router bool, ips ...netip.Addr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // it receives nothing
	if err != nil {
		return fmt.Errorf("cannot announce an address: %w", err)
	}
	// The kernel waits for packets on their way to such a socket when it is closed, some milliseconds, and a pod need not.
	defer func() { go unix.Close(fd) }() //nolint:errcheck // what was sent is sent
	for _, ip := range ips {
		frame := arp(mac, ip)
		if ip.Is6() {
			frame = advertisement(mac, ip, router)
		}
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
			return fmt.Errorf("cannot announce %s: %w", ip, err)
		}
	}
	return nil
}

func ethernet(to string, mac net.HardwareAddr, kind uint16) []byte {
	return binary.BigEndian.AppendUint16(append([]byte(to), mac...), kind)
}

// arp is a request that asks for its own address: neighbours take it up whatever they know (RFC 826).
func arp(mac net.HardwareAddr, ip netip.Addr) []byte {
	f := ethernet("\xff\xff\xff\xff\xff\xff", mac, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, the lengths of their addresses, a request
	f = append(append(f, mac...), ip.AsSlice()...)
	return append(append(f, 0, 0, 0, 0, 0, 0), ip.AsSlice()...)
}

// advertisement is one to all nodes that overrides what they know.
func advertisement(mac net.HardwareAddr, ip netip.Addr, router bool) []byte {
	const next, hops, length = unix.IPPROTO_ICMPV6, 255, 32
	to := netip.IPv6LinkLocalAllNodes()
	flags := byte(0x20) // override
	if router {
		flags |= 0x80
	}
	message := append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, ip.AsSlice()...)
	message = append(append(message, 2, 1), mac...) // the option of the target's hardware address
	pseudo := append(append(ip.AsSlice(), to.AsSlice()...), 0, 0, 0, length, 0, 0, 0, next)
	binary.BigEndian.PutUint16(message[2:], checksum(append(pseudo, message...)))
	f := ethernet("\x33\x33\x00\x00\x00\x01", mac, unix.ETH_P_IPV6)
	f = append(f, 0x60, 0, 0, 0, 0, length, next, hops)
	return append(append(append(f, ip.AsSlice()...), to.AsSlice()...), message...)
}

// checksum is the Internet's (RFC 1071), of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
