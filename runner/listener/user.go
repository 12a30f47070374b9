package listener

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrElsewhere says that no process of this network has the other end of a connection, or has it no more.
var ErrElsewhere = errors.New("the other end of the connection is not on this machine")

// UserOf is the id of the user who has the other end of a TCP connection that local is this end of. Both ends must be on this machine and
// in its network, else it is ErrElsewhere.
func UserOf(local, remote netip.AddrPort) (uid uint32, err error) {
	local, remote = unmapped(local), unmapped(remote)
	if !remote.Addr().IsLoopback() && remote.Addr() != local.Addr() || remote.Addr().Is4() != local.Addr().Is4() {
		return 0, ErrElsewhere
	}
	r := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	r.AddData(newExactRequest(remote, local))
	messages, err := r.Execute(unix.NETLINK_SOCK_DIAG, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, ErrElsewhere
	}
	if err != nil {
		return 0, fmt.Errorf("cannot ask the kernel for the user of a connection: %w", err)
	}
	for _, m := range messages {
		if uid, ok := parseUser(m); ok {
			return uid, nil
		}
	}
	return 0, ErrElsewhere
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// newExactRequest asks for the one connected TCP socket with these ends. It has the fields of struct inet_diag_sockid from the eighth byte
// on, and no cookie.
func newExactRequest(own, other netip.AddrPort) *request {
	family := uint8(unix.AF_INET6)
	if own.Addr().Is4() {
		family = unix.AF_INET
	}
	r := newRequest(family, kind{unix.IPPROTO_TCP, ^uint32(0)})
	binary.BigEndian.PutUint16(r[8:], own.Port())
	binary.BigEndian.PutUint16(r[10:], other.Port())
	copy(r[12:], own.Addr().AsSlice())
	copy(r[28:], other.Addr().AsSlice())
	for i := 48; i < 56; i++ { // INET_DIAG_NOCOOKIE
		r[i] = 0xff
	}
	return r
}

// parseUser reads the user of a struct inet_diag_msg. One whose process has closed it tells none: the kernel says 0 then.
func parseUser(m []byte) (uid uint32, ok bool) {
	if len(m) < messageSize || m[1] != netlink.TCP_ESTABLISHED && m[1] != netlink.TCP_CLOSE_WAIT {
		return 0, false
	}
	return binary.NativeEndian.Uint32(m[64:]), true
}
