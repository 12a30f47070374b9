// Package nft has what all share that write tables of nftables: the connection, and expressions as nft(8) makes them. What is written is the
// business of those who write.
package nft

import (
	"bytes"
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// room is for a transaction and for what the kernel answers. Each rule is a message of some hundred bytes, and is acknowledged; a socket has
// room for some hundred of them, if nobody asks for more, and a transaction cannot be sent in parts. What is not used costs nothing.
const room = 64 << 20

// Dial makes a connection, which opens a socket for each transaction.
func Dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(room), c.SetReadBuffer(room))
	}))
}

// Session keeps its sockets from one transaction to the next: the kernel has who closes one wait until what was deleted is gone for everybody
// (nft_rcv_nl_event), some ten milliseconds. It is used by one at a time.
type Session struct {
	conn  *nftables.Conn
	asker *nl.SocketHandle
}

// Conn returns the connection of transactions. After an error it must be closed.
func (s *Session) Conn() (*nftables.Conn, error) {
	if s.conn != nil {
		return s.conn, nil
	}
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(room), c.SetReadBuffer(room))
	}))
	if err == nil {
		s.conn = c
	}
	return c, err
}

// Close closes the sockets; they are opened again when they are needed.
func (s *Session) Close() {
	if s.conn != nil {
		s.conn.CloseLasting() //nolint:errcheck // nothing is left to be sent
	}
	if s.asker != nil {
		s.asker.Close()
	}
	*s = Session{}
}

var lastSet atomic.Uint32

// NewSetID is for a set that is new in a transaction. The library counts by itself, but not for several connections at the same time.
func NewSetID() uint32 { return lastSet.Add(1) }

// Unsupported says whether the kernel has no such family of tables, or not what a table consists of.
func Unsupported(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// Interface is an interface's name as the kernel compares it: it has 16 bytes, with its zeros (IFNAMSIZ).
func Interface(name string) []byte {
	data := bytes.Repeat([]byte{0}, unix.IFNAMSIZ)
	copy(data, name)
	return data
}

// Join makes one list of expressions.
func Join(lists ...[]expr.Any) (out []expr.Any) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// Meta compares what is known of a packet with a value.
func Meta(key expr.MetaKey, value []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

// Header has what differs between IPv4 (RFC 791) and IPv6 (RFC 8200): where addresses are in a header, and how long they are.
type Header struct{ Size, Source, Destination uint32 }

// HeaderOf is that of an address's family.
func HeaderOf(ip netip.Addr) Header {
	if ip.Is4() {
		return Header{4, 12, 16}
	}
	return Header{16, 8, 24}
}

// Load puts an address of a packet into register 1.
func (h Header) Load(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: h.Size}
}

// Match compares an address of a packet with a prefix.
func (h Header) Match(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	out := []expr.Any{h.Load(offset)}
	if p.Bits() < int(h.Size)*8 {
		mask := make([]byte, h.Size)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: h.Size, Mask: mask, Xor: make([]byte, h.Size)})
	}
	return append(out, &expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()})
}
