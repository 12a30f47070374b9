package server

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/thread"
)

func TestShares(t *testing.T) {
	s, now := newShares(), time.Unix(1e9, 0)
	greedy, other := addr("10.88.0.66"), addr("10.88.0.2")
	for i := range 3 * maxWindow {
		if got := s.take(greedy, now); got != (i < maxWindow) {
			t.Fatalf("%d: %t", i, got)
		}
	}
	for !s.take(other, now) { // they share a slot: another server has another hash
		s = newShares()
		for s.take(greedy, now) {
			continue
		}
	}
	if !s.take(greedy, now.Add(window)) {
		t.Error("the next window is full")
	}
}

// A flood of one client is not answered beyond its share, and costs another one nothing.
func TestFlood(t *testing.T) {
	b := serve(t, Config{}, shop(), "127.0.0.1")
	flood, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 66)}, net.UDPAddrFromAddrPort(b.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer flood.Close()
	query, began := packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil), time.Now()
	answers := make(chan int)
	go func() {
		n := 0
		for buf := make([]byte, 512); ; n++ {
			if _, err := flood.Read(buf); err != nil {
				answers <- n
				return
			}
		}
	}()
	sent := 0
	for ; time.Since(began) < time.Second; sent++ {
		_, _ = flood.Write(query)
	}
	took := time.Since(began)
	mine, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(b.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	for buf, ok := make([]byte, 512), false; !ok; { // the socket may be full still
		if time.Since(began) > 10*time.Second {
			t.Fatal("the other client has no answer")
		}
		_, _ = mine.Write(query)
		_ = mine.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := mine.Read(buf)
		ok = err == nil && len(unpacked(t, buf[:n]).Answers) == 1
	}
	_ = flood.SetReadDeadline(time.Now().Add(time.Second))
	n := <-answers
	t.Logf("%d of %d queries in %s were answered", n, sent, took)
	// A machine that has others to serve does not send so many that there is something to refuse; what a window takes TestShares knows.
	if most := maxWindow * (int(took/window) + 2); n == 0 || n > most {
		t.Errorf("%d queries were answered, not %d", n, most)
	}
}

// Answers to addresses that nobody has wait in the kernel, and keep no others waiting.
func TestSendNeverWaits(t *testing.T) {
	if err := thread.Own(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "pods"}, PeerName: "nobody"}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		peer, err := netlink.LinkByName("nobody")
		if err != nil {
			return err
		}
		at, err := netlink.ParseAddr("10.88.0.1/16")
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.LinkSetUp(peer), netlink.LinkSetUp(link), netlink.AddrAdd(link, at)); err != nil {
			return err
		}
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(10, 88, 0, 1)})
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		widen(raw)
		began, answer := time.Now(), make([]byte, 500)
		for i := range 20000 {
			send(raw, answer, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 88, 1, byte(i % 20)}), 53))
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("20000 answers took %s", took)
		}
		// There is no room, and so another kind of write would wait.
		_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := conn.WriteToUDPAddrPort(answer, netip.MustParseAddrPort("10.88.0.9:53")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the test proves nothing: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
