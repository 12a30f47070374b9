package balance

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// Keys are parts that fill registers of four bytes each, as the kernel loads them.

var protocols = map[v1.Protocol]byte{v1.ProtocolTCP: unix.IPPROTO_TCP, v1.ProtocolUDP: unix.IPPROTO_UDP, v1.ProtocolSCTP: unix.IPPROTO_SCTP}

func addrKey(ip netip.Addr) string { return string(ip.AsSlice()) }

func protocolKey(protocol byte) string { return string([]byte{protocol, 0, 0, 0}) }

func portKey(port uint16) string {
	return string(append(binary.BigEndian.AppendUint16(nil, port), 0, 0))
}

// slotKey is a number as the kernel draws it.
func slotKey(i int) string { return string(binary.NativeEndian.AppendUint32(nil, uint32(i))) }

func entryKey(e entry, protocol byte) string {
	key := protocolKey(protocol) + portKey(e.port)
	if !e.node() {
		key = addrKey(e.addr) + key
	}
	return key
}
