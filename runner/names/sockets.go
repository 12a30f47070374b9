package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/names/handover"
)

// port is where queries are answered.
const port = 53

// waiting is how much may wait in a socket for UDP while nobody reads, in bytes: some thousand queries. It takes memory only then.
const waiting = 4 << 20

// socket is one that is bound.
type socket struct {
	kind int // SOCK_DGRAM or SOCK_STREAM
	addr netip.Addr
	file *os.File
}

func (s socket) network() string {
	if s.kind == unix.SOCK_DGRAM {
		return "udp"
	}
	return "tcp"
}

// open returns sockets for the addresses: those that there are, those that the keeper has since an earlier daemon, and new ones.
func (n *Names) open(ctx context.Context, addrs []netip.Addr) (out []socket, err error) {
	there := slices.Clone(n.sockets)
	var silent error
	if !n.left {
		var kept []socket
		kept, silent = n.take(ctx)
		there = append(there, kept...)
	}
	defer func() {
		if err != nil {
			n.keepOnly(n.sockets, append(out, there...))
		} else {
			n.keepOnly(slices.Concat(n.sockets, out), there)
			n.left = true
		}
	}()
	if err := ctx.Err(); err != nil { // a daemon that is told to end at its start does not know what is kept; the program goes on
		return nil, fmt.Errorf("cannot answer for names: %w", err)
	}
	for _, addr := range addrs {
		for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_STREAM} {
			i := slices.IndexFunc(there, func(s socket) bool { return s.kind == kind && s.addr == addr })
			if i >= 0 {
				out = append(out, there[i])
				continue
			}
			s := socket{kind: kind, addr: addr}
			if err := n.bind(ctx, &s, silent); err != nil {
				return out, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// take gets what the keeper has. silent says that it does not answer.
func (n *Names) take(ctx context.Context) (out []socket, silent error) {
	files, failure, err := n.config.Keeper.Take(ctx, handover.Key)
	if failure != "" {
		slog.Warn("names were not answered all the time while Solopod was away", "err", failure)
	}
	for _, f := range files {
		s, known := identify(f)
		if !known {
			f.Close() //nolint:errcheck // the file in memory
			continue
		}
		out = append(out, s)
	}
	return out, err
}

// identify finds what a file is that the keeper had.
func identify(f *os.File) (socket, bool) {
	kind, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return socket{}, false
	}
	name, err := unix.Getsockname(int(f.Fd()))
	if err != nil {
		return socket{}, false
	}
	s := socket{kind: kind, file: f}
	bound := 0
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		s.addr, bound = netip.AddrFrom4(name.Addr), name.Port
	case *unix.SockaddrInet6:
		s.addr, bound = netip.AddrFrom16(name.Addr), name.Port
	}
	return s, bound == port && (kind == unix.SOCK_DGRAM || kind == unix.SOCK_STREAM)
}

// bind makes a socket. A program that answers in the daemon's place, and whose keeper was killed, ends for it.
func (n *Names) bind(ctx context.Context, s *socket, silent error) (err error) {
	s.file, err = bind(s.kind, s.addr)
	if errors.Is(err, unix.EADDRINUSE) && (silent == nil || !errors.Is(silent, keep.ErrSilent)) {
		if err := endOrphan(ctx, n.config.State); err != nil {
			return err
		}
		s.file, err = bind(s.kind, s.addr)
	}
	if err == nil {
		return nil
	}
	advice := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE) && silent != nil:
		advice = fmt.Sprintf("; an earlier Solopod's may still be held: %v (if solopod-keep of %s is stopped, end it)", silent, n.config.State)
	case errors.Is(err, unix.EADDRINUSE):
		advice = "; if a DNS server of the machine listens on all addresses, give it those that it needs (dnsmasq: bind-dynamic, unbound: interface), or another serviceCIDR to this Solopod"
	}
	return fmt.Errorf("cannot answer for names at %s (%s): %w%s", netip.AddrPortFrom(s.addr, port), s.network(), err, advice)
}

// bind makes a socket that reads what is sent to an address, be it the machine's already or not. It never waits (O_NONBLOCK), in any process.
func bind(kind int, addr netip.Addr) (*os.File, error) {
	family, name := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: port, Addr: addr.As16()})
	if addr.Is4() {
		family, name = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: addr.As4()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd, family, kind, name); err != nil {
		unix.Close(fd) //nolint:errcheck // nothing is in it
		return nil, err
	}
	return os.NewFile(uintptr(fd), net.JoinHostPort(addr.String(), fmt.Sprint(port))), nil
}

func prepare(fd, family, kind int, name unix.Sockaddr) error {
	set := func(level, option int) error { return unix.SetsockoptInt(fd, level, option, 1) }
	var err error
	if family == unix.AF_INET6 {
		err = errors.Join(set(unix.SOL_IPV6, unix.IPV6_V6ONLY), set(unix.SOL_IPV6, unix.IPV6_FREEBIND))
	} else {
		err = set(unix.SOL_IP, unix.IP_FREEBIND)
	}
	if kind == unix.SOCK_STREAM {
		err = errors.Join(err, set(unix.SOL_SOCKET, unix.SO_REUSEADDR))
	} else if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, waiting) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, waiting) //nolint:errcheck // less may wait
	}
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, name); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if kind == unix.SOCK_STREAM {
		return os.NewSyscallError("listen", unix.Listen(fd, unix.SOMAXCONN))
	}
	return nil
}
