// Package sctp begins an association of SCTP for tests. The first packet is made and read by hand: the kernel may have no sockets of SCTP.
package sctp

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Space opens a socket in a network namespace.
type Space func(open func() (int, error)) (int, error)

// Begin sends from one namespace the first packet of an association to an address, and says for which port it comes in another.
func Begin(from, to Space, service netip.AddrPort) (port int, err error) {
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: service.Addr().As16()})
	if service.Addr().Is4() {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Addr: service.Addr().As4()}
	}
	raw := func() (int, error) { return unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP) }
	reader, err := to(raw)
	if err != nil {
		return 0, err
	}
	defer unix.Close(reader) //nolint:errcheck // nothing is lost with it
	if err := unix.SetsockoptTimeval(reader, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return 0, err
	}
	sender, err := from(raw)
	if err != nil {
		return 0, err
	}
	defer unix.Close(sender) //nolint:errcheck // nothing is lost with it
	if err := unix.Sendto(sender, first(40000, service.Port()), 0, at); err != nil {
		return 0, err
	}
	buf := make([]byte, 256)
	n, _, err := unix.Recvfrom(reader, buf, 0)
	if err != nil {
		return 0, fmt.Errorf("nothing comes: %w", err)
	}
	packet := buf[:n]
	if family == unix.AF_INET {
		packet = packet[min(20, n):] // its header
	}
	if len(packet) < 13 || packet[12] != initChunk {
		return 0, fmt.Errorf("what comes does not begin an association: %x", packet)
	}
	return int(binary.BigEndian.Uint16(packet[2:])), nil
}

// initChunk is the kind of the chunk that begins an association (RFC 9260, section 3.3.2).
const initChunk = 1

func first(from, to uint16) []byte {
	p := binary.BigEndian.AppendUint16(nil, from)
	p = binary.BigEndian.AppendUint16(p, to)
	p = append(p, 0, 0, 0, 0, 0, 0, 0, 0) // verification tag, checksum
	p = append(p, initChunk, 0, 0, 20)    // 20 bytes
	p = binary.BigEndian.AppendUint32(p, 0x01020304)
	p = binary.BigEndian.AppendUint32(p, 65536)
	p = append(p, 0, 1, 0, 1) // one stream each way
	p = binary.BigEndian.AppendUint32(p, 1)
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}
