package budget

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/listener"
)

// BySocket tells clients of a unix socket apart by their user. Root's are trusted.
func BySocket(c net.Conn) Client {
	cred := Peer(c)
	if cred == nil {
		return Client{Name: "unknown"}
	}
	return Client{Name: fmt.Sprint("uid ", cred.Uid), Trusted: cred.Uid == 0}
}

// errNoSocket: a connection is none of a unix socket.
var errNoSocket = errors.New("the connection is of no unix socket")

// OnSocket asks the kernel about a connection to a unix socket, by its descriptor, also one that a listener of this package has counted.
func OnSocket(c net.Conn, ask func(fd int) error) error {
	if counted := of(c); counted != nil {
		c = counted.Conn
	}
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return errNoSocket
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var answer error
	if err := raw.Control(func(fd uintptr) { answer = ask(int(fd)) }); err != nil {
		return err
	}
	return answer
}

// Peer is who is at the other side of a unix socket; nil where the kernel does not say.
func Peer(c net.Conn) (cred *unix.Ucred) {
	err := OnSocket(c, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return nil
	}
	return cred
}

// askLimit is how long the kernel may take to say whose a connection is: for the first one it may load a module, from a disk that hangs.
const askLimit = time.Second

// ByAddress tells clients of a TCP port apart by their address, and those on this machine, which have the same one, by their user, if the
// kernel tells it soon. None is trusted: a container in the machine's network may be called root, too.
func ByAddress() func(net.Conn) Client { return byUserOr(listener.UserOf) }

func byUserOr(user func(local, remote netip.AddrPort) (uint32, error)) func(net.Conn) Client {
	places := &aside.Places{}
	return func(c net.Conn) Client {
		remote, ok := c.RemoteAddr().(*net.TCPAddr)
		local, ok2 := c.LocalAddr().(*net.TCPAddr)
		if !ok || !ok2 {
			return Client{Name: "unknown"}
		}
		uid, err := aside.Do(context.Background(), places, "the kernel", askLimit, func() (uint32, error) {
			return user(local.AddrPort(), remote.AddrPort())
		})
		if err == nil {
			return Client{Name: fmt.Sprint("uid ", uid)}
		}
		return Client{Name: byAddress(remote.AddrPort().Addr())}
	}
}

// byAddress takes what one client can choose its addresses from for one: of IPv6 that is 64 bits.
func byAddress(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is6() && !a.IsLoopback() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
