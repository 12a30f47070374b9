package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/names/forward"
	"github.com/solopod/solopod/runner/rescue"
)

// maxQuery bounds a query: longer ones are cut, and so are none. Those of clients have some hundred bytes at most.
const maxQuery = 4096

// queue is for how many bytes of queries, and of answers, a socket has room, as the kernel counts.
const queue = 1 << 20

// retry is after what time a socket that has failed is tried again: a moment of too few descriptors or too little memory passes.
const retry = 50 * time.Millisecond

// packets answers on a socket. It reads the next query once the last one is answered, or is on its way to other servers.
func (s *Server) packets(ctx context.Context, conn *net.UDPConn, f *forward.Forwarder) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot answer DNS on %s: %w", conn.LocalAddr(), err)
	}
	widen(raw)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		_ = conn.SetReadDeadline(time.Time{})
	}()
	buf, shares := make([]byte, maxQuery), newShares()
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("cannot answer DNS on %s any more: %w", conn.LocalAddr(), err)
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil: // also what ICMP has to say of an answer before
			if !pause(ctx) {
				return nil
			}
			continue
		case !shares.take(from.Addr(), time.Now()):
			continue
		}
		_ = rescue.Do("answer a DNS query", func() error { // rescue logs it
			s.answer(f, buf[:n], from.Addr(), false, func(b []byte) { send(raw, b, from) })
			return nil
		})
	}
}

// send gives a client its answer, at once or not at all: where there is no room, because others' answers wait for addresses that nobody
// has, all others would wait with them. An answer that is lost is asked for again.
func send(raw syscall.RawConn, b []byte, to netip.AddrPort) {
	if b == nil {
		return
	}
	var at unix.Sockaddr
	if a := to.Addr(); a.Is4() {
		at = &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	} else {
		six := &unix.SockaddrInet6{Port: int(to.Port()), Addr: a.As16()}
		if zone := a.Zone(); zone != "" {
			link, err := net.InterfaceByName(zone)
			if err != nil {
				return
			}
			six.ZoneId = uint32(link.Index)
		}
		at = six
	}
	_ = raw.Write(func(fd uintptr) bool {
		_ = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, at)
		return true
	})
}

// widen lets queries wait in the socket while the machine is busy elsewhere: 200 KiB, the usual, are some 250.
func widen(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o[0], queue) != nil { // it takes a privilege
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o[1], queue)
			}
		}
	})
}

// pause waits a moment, and says whether to go on.
func pause(ctx context.Context) bool {
	t := time.NewTimer(retry)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
