package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Who has the other end of a connection is known when that is on this machine, over IPv4, IPv6 and IPv4 in a listener of both.
func TestUserOf(t *testing.T) {
	const nobody = 65534
	for name, c := range map[string]struct{ network, listen, dial string }{
		"IPv4": {"tcp4", "127.0.0.1:0", "127.0.0.1"}, "IPv6": {"tcp6", "[::1]:0", "::1"}, "both": {"tcp", "[::]:0", "127.0.0.2"},
	} {
		l, err := net.Listen(c.network, c.listen)
		if err != nil {
			if c.network == "tcp6" {
				t.Logf("this machine has no IPv6: %v", err)
				continue
			}
			t.Fatal(err)
		}
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // the client may not come
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		client := exec.Command("setpriv", fmt.Sprint("--reuid=", nobody), "--clear-groups", "busybox", "nc", c.dial, fmt.Sprint(port))
		stdin, err := client.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		client.Stderr = &said
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err, said.String())
		}
		ends := func() (netip.AddrPort, netip.AddrPort) {
			return conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		}
		if uid, err := UserOf(ends()); err != nil || uid != nobody {
			t.Errorf("%s: %d, %v", name, uid, err)
		}
		stdin.Close()
		client.Process.Kill() //nolint:errcheck // it may have ended
		client.Wait()         //nolint:errcheck // it was killed
		if uid, err := UserOf(ends()); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s, when the client is gone: %d, %v", name, uid, err)
		}
		conn.Close()
		l.Close()
	}
	far := netip.MustParseAddrPort("192.0.2.1:80")
	if uid, err := UserOf(netip.MustParseAddrPort("192.0.2.9:10255"), far); !errors.Is(err, ErrElsewhere) {
		t.Errorf("another machine's: %d, %v", uid, err)
	}
}
