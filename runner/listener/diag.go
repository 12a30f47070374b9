package listener

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
)

// kind are the sockets of a protocol that take what anybody sends.
type kind struct {
	protocol uint8
	// states is a mask of the kernel's states of sockets (tcp_states.h).
	states uint32
}

// A TCP socket listens in a state of its own. One of UDP does while it is not connected, which the kernel has as closed.
var (
	tcp = kind{unix.IPPROTO_TCP, 1 << netlink.TCP_LISTEN}
	udp = kind{unix.IPPROTO_UDP, 1 << netlink.TCP_CLOSE}
)

// Sizes of struct inet_diag_req_v2 and struct inet_diag_msg (linux/inet_diag.h).
const (
	requestSize = 56
	messageSize = 72
)

// request is a struct inet_diag_req_v2 that asks for all sockets of a family and kind.
type request [requestSize]byte

func newRequest(family uint8, k kind) *request {
	var r request
	r[0], r[1] = family, k.protocol
	binary.NativeEndian.PutUint32(r[4:], k.states)
	return &r
}

// Len implements nl.NetlinkRequestData.
func (*request) Len() int { return requestSize }

// Serialize implements nl.NetlinkRequestData.
func (r *request) Serialize() []byte { return r[:] }

// interrupted is how often a list is asked for anew that has changed while it was made.
const interrupted = 5

// ask lists the sockets of a kind. Of a list that goes on changing what there is counts.
func ask(k kind) ([]socket, error) {
	var out []socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		messages, err := netlinks.Whole(interrupted, func() ([][]byte, error) {
			r := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
			r.AddData(newRequest(family, k))
			return r.Execute(unix.NETLINK_SOCK_DIAG, 0)
		})
		if family == unix.AF_INET6 && errors.Is(err, unix.ENOENT) { // a kernel without IPv6
			continue
		}
		if err != nil && !errors.Is(err, netlinks.ErrInterrupted) {
			return nil, err
		}
		for _, m := range messages {
			if s, ok := parse(m); ok {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// parse reads a struct inet_diag_msg with its attributes.
func parse(m []byte) (s socket, ok bool) {
	if len(m) < messageSize {
		return socket{}, false
	}
	s.port = binary.BigEndian.Uint16(m[4:])
	switch m[0] {
	case unix.AF_INET:
		s.addr = netip.AddrFrom4([4]byte(m[8:12]))
	case unix.AF_INET6:
		s.addr = netip.AddrFrom16([16]byte(m[8:24])).Unmap()
	default:
		return socket{}, false
	}
	s.inode = binary.NativeEndian.Uint32(m[68:])
	for kind, value := range netlinks.Attributes(m[messageSize:]) {
		if kind == netlink.INET_DIAG_SKV6ONLY && len(value) > 0 {
			s.only6 = value[0] != 0
		}
	}
	return s, true
}
