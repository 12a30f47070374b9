package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// listen makes a socket of the kind, and returns its port.
func listen(t *testing.T, network, address string, only6 bool) uint16 {
	t.Helper()
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if !only6 {
			return nil
		}
		var err error
		controlled := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) })
		return errors.Join(err, controlled)
	}}
	if strings.HasPrefix(network, "udp") {
		p, err := c.ListenPacket(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	l, err := c.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// TestFind: real sockets keep the ports that they should, and no others.
func TestFind(t *testing.T) {
	var l Listeners
	for name, c := range map[string]struct {
		network, address string
		only6            bool
		taken, free      string // host IPs, with a + for one that a process will bind
	}{
		"all, both families": {"tcp", "[::]:0", false, "any +any :: 0.0.0.0 +0.0.0.0 127.0.0.1 ::1 +192.0.2.1", ""},
		"all of IPv4":        {"tcp4", "0.0.0.0:0", false, "any +any :: 0.0.0.0 127.0.0.1 192.0.2.1", "::1"},
		"all of IPv6":        {"tcp6", "[::]:0", true, "any +any :: ::1", "127.0.0.1 0.0.0.0 +0.0.0.0"},
		"loopback":           {"tcp4", "127.0.0.1:0", false, "any :: 0.0.0.0 127.0.0.1 +127.0.0.1", "+any +0.0.0.0 127.0.0.2 192.0.2.1 ::1"},
		"loopback of IPv6":   {"tcp6", "[::1]:0", false, "any :: ::1", "+any 0.0.0.0 127.0.0.1"},
		"UDP":                {"udp4", "127.0.0.1:0", false, "any 127.0.0.1", "127.0.0.2"},
		"UDP, all":           {"udp", "[::]:0", false, "any 127.0.0.1 ::1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			protocol := strings.ToUpper(c.network[:3])
			number := listen(t, c.network, c.address, c.only6)
			find := func(ip string) error {
				p := Port{Number: number, Protocol: protocol}
				if ip, p.Bound = strings.CutPrefix(ip, "+"); ip != "any" {
					p.Addr = netip.MustParseAddr(ip)
				}
				return l.Find(t.Context(), []Port{{Number: 1, Protocol: protocol}, p})
			}
			for _, ip := range strings.Fields(c.taken) {
				var taken *Taken
				if err := find(ip); !errors.As(err, &taken) || !strings.HasSuffix(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) {
					t.Errorf("%s: %v", ip, err)
				}
			}
			for _, ip := range strings.Fields(c.free) {
				if err := find(ip); err != nil {
					t.Errorf("%s: %v", ip, err)
				}
			}
			other := map[string]string{"TCP": "UDP", "UDP": "TCP"}[protocol]
			if err := l.Find(t.Context(), []Port{{Number: number, Protocol: other}, {Number: number, Protocol: "SCTP"}}); err != nil {
				t.Errorf("another protocol: %v", err)
			}
		})
	}
}

// TestClients: who is connected, or has ended, listens to nobody else.
func TestClients(t *testing.T) {
	server := listen(t, "udp4", "127.0.0.1:0", false)
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", server))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var l Listeners
	if err := l.Find(t.Context(), []Port{{Number: c.LocalAddr().(*net.UDPAddr).AddrPort().Port(), Protocol: "UDP"}}); err != nil {
		t.Errorf("a client: %v", err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := gone.Addr().(*net.TCPAddr).AddrPort().Port()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Find(t.Context(), []Port{{Number: port, Protocol: "TCP"}}); err != nil {
		t.Errorf("one that has ended: %v", err)
	}
}

// TestUnknown: what cannot be found out is no port that is taken.
func TestUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var l Listeners
	var taken *Taken
	if err := l.Find(ctx, []Port{{Number: 1, Protocol: "DCCP"}}); err == nil || errors.As(err, &taken) {
		t.Errorf("%v", err)
	}
	if _, err := holder(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("who has it was looked for all the same: %v", err)
	}
}

// TestEndpoints: the kernel's list for SCTP.
func TestEndpoints(t *testing.T) {
	const text = ` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
ffff8801a 0000000000000000 2   10  29   11165   200 299689357 10.0.0.102 10.0.0.70
ffff8801b 0000000000000000 2   10  30   2905    0   7 0000:0000:0000:0000:0000:0000:0000:0000
ffff8801c 0000000000000000 2   7   31   11167   200 299689358 10.0.0.102
ffff8801d 0000000000000000 2   10  32   x       0   8 10.0.0.102
`
	got := ""
	for _, s := range parseEndpoints(strings.NewReader(text)) {
		got += fmt.Sprintf("%s %d %d; ", s.addr, s.port, s.inode)
	}
	if want := "10.0.0.102 11165 299689357; 10.0.0.70 11165 299689357; :: 2905 7; "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzEndpoints(f *testing.F) {
	f.Add("ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS\na b 2 10 29 11165 200 299 10.0.0.102 ::1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseEndpoints(strings.NewReader(text)) {
			if !s.addr.IsValid() {
				t.Errorf("an endpoint without an address: %+v", s)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add(make([]byte, messageSize))
	f.Add(append(append([]byte{unix.AF_INET6}, make([]byte, messageSize-1)...), 5, 0, 11, 0, 1, 0, 0, 0))
	f.Fuzz(func(t *testing.T, m []byte) {
		if s, ok := parse(m); ok && !s.addr.IsValid() {
			t.Errorf("a socket without an address: %+v", s)
		}
	})
}
