package forward

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/solopod/solopod/runner/names/message"
)

// other is a DNS server elsewhere. What it does with a query is for handle: no bytes mean that it is silent.
type other struct {
	addr    netip.AddrPort
	packets atomic.Int32
	streams atomic.Int32
	mu      sync.Mutex
	ports   map[uint16]bool
	ids     map[uint16]bool
	handle  func(q dnsmessage.Message, tcp bool) [][]byte
}

func newOther(t *testing.T, handle func(q dnsmessage.Message, tcp bool) [][]byte) *other {
	t.Helper()
	var tcp *net.TCPListener
	var udp *net.UDPConn
	for udp == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp = l.(*net.TCPListener)
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(tcp.Addr().(*net.TCPAddr).AddrPort())); err != nil {
			tcp.Close()
		}
	}
	o := &other{addr: udp.LocalAddr().(*net.UDPAddr).AddrPort(), ports: map[uint16]bool{}, ids: map[uint16]bool{}, handle: handle}
	var all sync.WaitGroup
	all.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			o.packets.Add(1)
			var q dnsmessage.Message
			if err := q.Unpack(buf[:n]); err != nil {
				t.Errorf("the query is no DNS: %v", err)
				continue
			}
			o.mu.Lock()
			o.ports[from.Port()], o.ids[q.ID] = true, true
			o.mu.Unlock()
			for _, b := range o.handle(q, false) {
				_, _ = udp.WriteToUDPAddrPort(b, from)
			}
		}
	})
	all.Go(func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			all.Go(func() { o.stream(conn) })
		}
	})
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		all.Wait()
	})
	return o
}

func (o *other) stream(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return
	}
	o.streams.Add(1)
	var q dnsmessage.Message
	if q.Unpack(b) != nil {
		return
	}
	for _, b := range o.handle(q, true) {
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
}

// answered is a response with some addresses, changed.
func answered(q dnsmessage.Message, addresses int, change func(*dnsmessage.Message)) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: true, RecursionAvailable: true}, Questions: slices.Clone(q.Questions)}
	for i := range addresses {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, byte(i + 1)}},
		})
	}
	if change != nil {
		change(&m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// good has an address for every name, by UDP.
func good(q dnsmessage.Message, _ bool) [][]byte { return [][]byte{answered(q, 1, nil)} }

func silent(dnsmessage.Message, bool) [][]byte { return nil }

// says answers with a code.
func says(code dnsmessage.RCode) func(dnsmessage.Message, bool) [][]byte {
	return func(q dnsmessage.Message, _ bool) [][]byte {
		return [][]byte{answered(q, 0, func(m *dnsmessage.Message) { m.RCode = code })}
	}
}

var here = netip.MustParseAddr("10.88.0.2")

func newForwarder(t *testing.T, cfg Config, servers ...*other) *Forwarder {
	t.Helper()
	if cfg.Upstreams == nil {
		cfg.Upstreams = func() (out []netip.AddrPort) {
			for _, s := range servers {
				out = append(out, s.addr)
			}
			return out
		}
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(0) })
	return f
}

func query4(t *testing.T, host string) Question {
	t.Helper()
	n, err := message.ParseName(host)
	if err != nil {
		t.Fatal(err)
	}
	return Question{Question: dns.Question{Name: n, Qtype: dns.TypeA, Qclass: dns.ClassINET}, RD: true}
}

// wait asks, and waits for the answer.
func wait(t *testing.T, f *Forwarder, q Question) Answer {
	t.Helper()
	got := make(chan Answer, 1)
	f.Ask(q, here, func(a Answer) { got <- a })
	select {
	case a := <-got:
		return a
	case <-time.After(20 * time.Second):
		t.Fatal("there is no answer")
		return Answer{}
	}
}

// addresses are those of an answer.
func addresses(t *testing.T, a Answer) int {
	t.Helper()
	if a.Kept == nil {
		t.Fatalf("there is no answer: %v", a.Err)
	}
	records, err := a.Records(message.MaxTCP, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}
