// Package netlinks has what all need that talk to the kernel by netlink(7): lists without gaps, attributes of messages, and changes. What
// the messages mean is the business of those who ask.
package netlinks

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrInterrupted says that a list has changed while it was made, and may have gaps (NLM_F_DUMP_INTR).
var ErrInterrupted = netlink.ErrDumpInterrupted

// Whole asks for a list until nothing has changed while it was made, so many times at most: then what there is comes with ErrInterrupted.
func Whole[T any](tries int, ask func() ([]T, error)) (list []T, err error) {
	for range tries {
		if list, err = ask(); !errors.Is(err, ErrInterrupted) {
			break
		}
	}
	return list, err
}

// Attributes walks through attributes, of the form of struct nlattr and struct rtattr, by kind, as far as they are whole.
func Attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			length := int(binary.NativeEndian.Uint16(b))
			if length < unix.SizeofNlAttr || length > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofNlAttr:length]) {
				return
			}
			b = b[min((length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
		}
	}
}

// Subscribe opens a socket that hears groups of a protocol. The groups are joined one by one: the number of some does not fit into a
// bind. Who gets the socket closes it, or calls Listen.
func Subscribe(protocol int, groups ...uint) (*nl.NetlinkSocket, error) {
	socket, err := nl.Subscribe(protocol)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			socket.Close()
			return nil, err
		}
	}
	return socket, nil
}

// Listen signals messages that matter until the socket fails or ctx ends, and closes it. Messages that were lost count as a change.
func Listen(ctx context.Context, socket *nl.NetlinkSocket, matters func(syscall.NetlinkMessage) bool, changes chan<- struct{}) error {
	stop := context.AfterFunc(ctx, socket.Close) // ends Receive
	defer func() {
		if stop() {
			socket.Close()
		}
	}()
	for {
		messages, _, err := socket.Receive()
		if errors.Is(err, unix.ENOBUFS) { // more than could be kept
			Signal(changes)
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range messages {
			if matters(m) {
				Signal(changes)
				break
			}
		}
	}
}

// Signal says that something has changed to who looks at changes, which has room for one. It does not wait.
func Signal(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default:
	}
}
