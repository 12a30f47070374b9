package server

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/solopod/solopod/runner/names/zone"
	"github.com/solopod/solopod/runner/served"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// shop is what most tests serve.
func shop() *served.Table {
	return &served.Table{
		Services: []served.Service{
			{Namespace: "shop", Name: "web", ClusterIPs: []netip.Addr{addr("10.96.1.1"), addr("fd00::1:1")}, Ports: []served.Port{{Name: "http", Protocol: "TCP", Port: 80}}},
			{Namespace: "shop", Name: "four", ClusterIPs: []netip.Addr{addr("10.96.1.2")}},
			{Namespace: "shop", Name: "db", Headless: true, Endpoints: []served.Endpoint{
				{Hostname: "db-0", Addrs: []netip.Addr{addr("10.88.0.2")}, Ports: []served.Port{{Name: "pg", Protocol: "TCP", Port: 5432}}},
				{Hostname: "db-1", Addrs: []netip.Addr{addr("10.88.0.3")}, Ports: []served.Port{{Name: "pg", Protocol: "TCP", Port: 5432}}},
			}},
			{Namespace: "shop", Name: "away", ExternalName: "www.example.com"},
		},
		Pods: []served.Pod{{Namespace: "shop", Name: "db-0", Addrs: []netip.Addr{addr("10.88.0.2")}}},
	}
}

// box is a server on sockets of its own.
type box struct {
	*Server
	addr netip.AddrPort
	stop func()
}

// begin has a server serve sockets, until what it returns is called; then comes what Serve returns.
func begin(t testing.TB, cfg Config, udp *net.UDPConn, tcp net.Listener) (stop func(), done chan error) {
	t.Helper()
	cfg.Domain = "cluster.local"
	s := New(cfg)
	z, err := zone.New(cfg.Domain, nil, shop())
	if err != nil {
		t.Fatal(err)
	}
	s.SetZone(z)
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan error, 1)
	go func() { done <- s.Serve(ctx, []net.PacketConn{udp}, []net.Listener{tcp}) }()
	return cancel, done
}

// serve starts a server on an address, UDP and TCP with one port.
func serve(t testing.TB, cfg Config, table *served.Table, at string) *box {
	t.Helper()
	cfg.Domain = "cluster.local"
	s := New(cfg)
	if table != nil {
		z, err := zone.New(cfg.Domain, []netip.Addr{addr(at)}, table)
		if err != nil {
			t.Fatal(err)
		}
		s.SetZone(z)
	}
	udp, tcp := listen(t, at)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []net.PacketConn{udp}, []net.Listener{tcp}) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		udp.Close()
		tcp.Close()
	})
	t.Cleanup(stop)
	return &box{s, udp.LocalAddr().(*net.UDPAddr).AddrPort(), stop}
}

// listen finds a port that both protocols have.
func listen(t testing.TB, at string) (*net.UDPConn, net.Listener) {
	t.Helper()
	for range 50 {
		tcp, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(tcp.Addr().(*net.TCPAddr).AddrPort()))
		if err == nil {
			return udp, tcp
		}
		tcp.Close()
	}
	t.Fatal("cannot find a port")
	return nil, nil
}

func packed(t testing.TB, name string, kind dnsmessage.Type, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	if change != nil {
		change(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpacked(t testing.TB, b []byte) (m dnsmessage.Message) {
	t.Helper()
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	return m
}

// ask asks by UDP.
func (b *box) ask(t testing.TB, query []byte) dnsmessage.Message {
	t.Helper()
	conn, err := net.Dial("udp", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(query); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return unpacked(t, buf[:n])
}

// stream is a connection that asks by TCP.
type stream struct{ net.Conn }

func (b *box) stream(t testing.TB) stream {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return stream{conn}
}

func (s stream) send(t testing.TB, query []byte) {
	t.Helper()
	if _, err := s.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		t.Fatal(err)
	}
}

func (s stream) take(t testing.TB) dnsmessage.Message {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(s, size[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(s, b); err != nil {
		t.Fatal(err)
	}
	return unpacked(t, b)
}

// texts are an answer's records, as people write them.
func texts(m dnsmessage.Message) (out []string) {
	for _, r := range m.Answers {
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			out = append(out, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			out = append(out, netip.AddrFrom16(b.AAAA).String())
		case *dnsmessage.CNAMEResource:
			out = append(out, b.CNAME.String())
		case *dnsmessage.PTRResource:
			out = append(out, b.PTR.String())
		default:
			out = append(out, r.Header.Type.String())
		}
	}
	return out
}

func TestClusterNames(t *testing.T) {
	b := serve(t, Config{}, shop(), "127.0.0.1")
	m := b.ask(t, packed(t, "WEB.shop.svc.cluster.LOCAL.", dnsmessage.TypeA, nil))
	if got := texts(m); len(got) != 1 || got[0] != "10.96.1.1" || m.Questions[0].Name.String() != "WEB.shop.svc.cluster.LOCAL." || !m.Authoritative || m.ID != 4711 {
		t.Errorf("%+v", m)
	}
	s := b.stream(t)
	s.send(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeAAAA, nil))
	if got := texts(s.take(t)); len(got) != 1 || got[0] != "fd00::1:1" {
		t.Error(got)
	}
}
