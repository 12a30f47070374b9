package server

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/solopod/solopod/runner/served"
)

// elsewhere is another server, by UDP; handle gives no bytes where it is silent.
func elsewhere(t testing.TB, handle func(q dnsmessage.Message) []byte) func() []netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(buf[:n]) == nil {
				if b := handle(q); b != nil {
					_, _ = conn.WriteToUDPAddrPort(b, from)
				}
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	at := []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	return func() []netip.AddrPort { return at }
}

func silent(dnsmessage.Message) []byte { return nil }

// world has addresses for names of example.com: one for most, 100 for long.example.com.
func world(q dnsmessage.Message) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
	asked, n := q.Questions[0], 1
	switch {
	case !strings.HasSuffix(asked.Name.String(), ".example.com."):
		m.RCode = dnsmessage.RCodeNameError
		n = 0
	case asked.Name.String() == "long.example.com.":
		n = 100
	case asked.Name.String() == "alias.example.com.":
		target := dnsmessage.MustNewName("www.example.com.")
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.CNAMEResource{CNAME: target}})
		asked.Name = target
	}
	for i := range n {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: dnsmessage.ClassINET, TTL: 60}}
		switch asked.Type {
		case dnsmessage.TypeA:
			r.Body = &dnsmessage.AResource{A: [4]byte{192, 0, 2, byte(i + 1)}}
		case dnsmessage.TypeAAAA:
			r.Body = &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 1)}}
		default:
			continue
		}
		m.Answers = append(m.Answers, r)
	}
	b, err := m.Pack()
	if err != nil || len(b) > 1232 {
		m.Truncated, m.Answers = true, m.Answers[:10]
		b, _ = m.Pack()
	}
	return b
}

func opt(t testing.TB, size int) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(size, dnsmessage.RCodeSuccess, false); err != nil {
			t.Fatal(err)
		}
		m.Additionals = append(m.Additionals, dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}})
	}
}

// Cluster names are answered at once, whatever becomes of other servers: while all are silent, and many wait for them.
func TestClusterNamesWhileOthersAreSilent(t *testing.T) {
	b := serve(t, Config{Upstreams: elsewhere(t, silent)}, shop(), "127.0.0.1")
	conn, err := net.Dial("udp", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 300 {
		if _, err := conn.Write(packed(t, fmt.Sprintf("n%d.example.com.", i), dnsmessage.TypeA, nil)); err != nil {
			t.Fatal(err)
		}
	}
	with, without := rounds(t, b), rounds(t, serve(t, Config{}, shop(), "127.0.0.1"))
	t.Logf("the median is %s, 99 of 100 are below %s; while nobody waits %s, %s", with[250], with[495], without[250], without[495])
	if with[250] > without[250]+time.Millisecond { // on a busy machine a packet alone may take that
		t.Errorf("the median is %s, and %s while nobody waits", with[250], without[250])
	}
}

// rounds asks 500 times, and says how long that took, the shortest first.
func rounds(t *testing.T, b *box) (took []time.Duration) {
	t.Helper()
	conn, err := net.Dial("udp", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	query, buf := packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil), make([]byte, 512)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	for range 500 {
		began := time.Now()
		if _, err := conn.Write(query); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		if got := texts(unpacked(t, buf[:n])); !slices.Equal(got, []string{"10.96.1.1"}) {
			t.Fatal(got)
		}
	}
	slices.Sort(took)
	return took
}

// By one connection, an answer that is known does not wait for one that is not.
func TestAnswersOvertake(t *testing.T) {
	release := make(chan struct{})
	b := serve(t, Config{Upstreams: elsewhere(t, func(q dnsmessage.Message) []byte { <-release; return world(q) })}, shop(), "127.0.0.1")
	s := b.stream(t)
	s.send(t, packed(t, "www.example.com.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.ID = 1 }))
	for id := range uint16(40) { // more than may be on their way at once
		s.send(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.ID = 2 + id }))
	}
	for range 40 {
		if m := s.take(t); m.ID < 2 || len(m.Answers) != 1 {
			t.Fatalf("%+v", m)
		}
	}
	close(release)
	if m := s.take(t); m.ID != 1 || !reflect.DeepEqual(texts(m), []string{"192.0.2.1"}) {
		t.Errorf("%+v", m)
	}
}

func TestOtherNames(t *testing.T) {
	b := serve(t, Config{Upstreams: elsewhere(t, world)}, shop(), "127.0.0.1")
	m := b.ask(t, packed(t, "WWW.example.com.", dnsmessage.TypeA, nil))
	if !reflect.DeepEqual(texts(m), []string{"192.0.2.1"}) || m.Authoritative || !m.RecursionAvailable || m.Questions[0].Name.String() != "WWW.example.com." {
		t.Errorf("%+v", m)
	}
	if m := b.ask(t, packed(t, "www.nowhere.", dnsmessage.TypeA, nil)); m.RCode != dnsmessage.RCodeNameError {
		t.Errorf("%+v", m)
	}
	// 30 addresses have room where the client speaks no EDNS, and all by TCP; but elsewhere speaks no TCP here.
	if m := b.ask(t, packed(t, "long.example.com.", dnsmessage.TypeA, nil)); !m.Truncated || len(m.Answers) != 10 {
		t.Errorf("%d answers, truncated: %t", len(m.Answers), m.Truncated)
	}
}

// A service that stands for a name elsewhere is answered with what is known there.
func TestExternalName(t *testing.T) {
	table := shop()
	table.Services = append(table.Services, served.Service{Namespace: "shop", Name: "far", ExternalName: "alias.example.com"}, served.Service{Namespace: "shop", Name: "gone", ExternalName: "gone.nowhere"})
	b := serve(t, Config{Upstreams: elsewhere(t, world)}, table, "127.0.0.1")
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		code dnsmessage.RCode
		want []string
	}{
		{"away", dnsmessage.TypeA, 0, []string{"www.example.com.", "192.0.2.1"}},
		{"away", dnsmessage.TypeAAAA, 0, []string{"www.example.com.", "2001:db8::1"}},
		{"away", dnsmessage.TypeMX, 0, []string{"www.example.com."}},
		{"far", dnsmessage.TypeA, 0, []string{"alias.example.com.", "www.example.com.", "192.0.2.1"}},
		{"gone", dnsmessage.TypeA, dnsmessage.RCodeNameError, []string{"gone.nowhere."}},
	} {
		m := b.ask(t, packed(t, c.name+".shop.svc.cluster.local.", c.kind, nil))
		if m.RCode != c.code || !reflect.DeepEqual(texts(m), c.want) || (len(c.want) < 2) != (len(m.Authorities) == 1) {
			t.Errorf("%s %s: %s %q, %d in authority", c.name, c.kind, m.RCode, texts(m), len(m.Authorities))
		}
	}
}

// Nothing of the cluster is asked for elsewhere, also before anything is known of it.
func TestClusterNamesStayHere(t *testing.T) {
	var asked atomic.Int32
	b := serve(t, Config{Upstreams: elsewhere(t, func(q dnsmessage.Message) []byte { asked.Add(1); return world(q) })}, nil, "127.0.0.1")
	if m := b.ask(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil)); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("%+v", m)
	}
	if asked.Load() != 0 {
		t.Error("another server was told of it")
	}
	b = serve(t, Config{Upstreams: elsewhere(t, func(q dnsmessage.Message) []byte { asked.Add(1); return world(q) })}, shop(), "127.0.0.1")
	if m := b.ask(t, packed(t, "www.example.com.svc.cluster.local.", dnsmessage.TypeA, nil)); m.RCode != dnsmessage.RCodeNameError || len(m.Authorities) != 1 {
		t.Errorf("%+v", m)
	}
	if asked.Load() != 0 {
		t.Error("another server was told of it")
	}
}

func TestQueriesThatAreNone(t *testing.T) {
	b := serve(t, Config{}, shop(), "127.0.0.1")
	conn, err := net.Dial("udp", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// No answer to these: the first answer is that to the last query.
	for _, packet := range [][]byte{nil, {1}, []byte("GET / HTTP/"), packed(t, "web.shop.svc.cluster.local.", 1, func(m *dnsmessage.Message) { m.Response = true })[:11]} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(packed(t, "web.shop.svc.cluster.local.", 1, func(m *dnsmessage.Message) { m.Response, m.ID = true, 3 })); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for _, c := range []struct {
		packet []byte
		code   dnsmessage.RCode
	}{
		{packed(t, "web.shop.svc.cluster.local.", 1, func(m *dnsmessage.Message) { m.OpCode = 5 }), dnsmessage.RCodeNotImplemented},
		{packed(t, "cluster.local.", 252, nil), dnsmessage.RCodeRefused},
		{packed(t, "web.shop.svc.cluster.local.", 1, nil)[:20], dnsmessage.RCodeFormatError},
		{packed(t, "www.example.com.", 1, nil), dnsmessage.RCodeServerFailure}, // there is nobody to ask
	} {
		if _, err := conn.Write(c.packet); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m := unpacked(t, buf[:n]); m.RCode != c.code || m.ID == 3 {
			t.Errorf("%+v, want %s", m, c.code)
		}
	}
}

// A headless service with many endpoints is cut by UDP, and whole by TCP.
func TestManyEndpoints(t *testing.T) {
	many := served.Service{Namespace: "shop", Name: "many", Headless: true}
	for i := range 2000 {
		many.Endpoints = append(many.Endpoints, served.Endpoint{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, byte(i >> 8), byte(i)})}})
	}
	b := serve(t, Config{}, &served.Table{Services: []served.Service{many}}, "127.0.0.1")
	for _, c := range []struct {
		change func(*dnsmessage.Message)
		least  int
	}{{nil, 28}, {opt(t, 1232), 70}} {
		if m := b.ask(t, packed(t, "many.shop.svc.cluster.local.", dnsmessage.TypeA, c.change)); !m.Truncated || len(m.Answers) < c.least || len(m.Answers) > c.least+5 {
			t.Errorf("%d answers, truncated: %t", len(m.Answers), m.Truncated)
		}
	}
	s := b.stream(t)
	s.send(t, packed(t, "many.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
	if m := s.take(t); m.Truncated || len(m.Answers) != 2000 {
		t.Errorf("%d answers, truncated: %t", len(m.Answers), m.Truncated)
	}
}

// An answer is told of after it was sent, and by whoever sent it: the client can be faster, so each is waited for.
func TestObserve(t *testing.T) {
	told := make(chan Answered, 10)
	b := serve(t, Config{Upstreams: elsewhere(t, world), Observe: func(a Answered) { told <- a }}, shop(), "127.0.0.1")
	observed := func(want Answered) {
		t.Helper()
		select {
		case got := <-told:
			if got.Took <= 0 || got.Took > 10*time.Second {
				t.Errorf("it took %s", got.Took)
			}
			if got.Took = 0; got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("nothing was told, want %+v", want)
		}
	}
	b.ask(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
	observed(Answered{"udp", "ipv4", "A", "NOERROR", Cluster, 0, 0})
	b.ask(t, packed(t, "nope.shop.svc.cluster.local.", 999, nil))
	observed(Answered{"udp", "ipv4", "other", "NXDOMAIN", Cluster, 0, 0})
	b.ask(t, packed(t, "www.example.com.", dnsmessage.TypeAAAA, nil))
	observed(Answered{"udp", "ipv4", "AAAA", "NOERROR", Upstream, 0, 0})
	s := b.stream(t)
	s.send(t, packed(t, "www.example.com.", dnsmessage.TypeAAAA, nil))
	s.take(t)
	observed(Answered{"tcp", "ipv4", "AAAA", "NOERROR", Cache, 0, 0})
	b.ask(t, packed(t, "cluster.local.", 252, nil))
	observed(Answered{"udp", "ipv4", "AXFR", "REFUSED", Own, 0, 0})
	b.stop()
	if len(told) > 0 {
		t.Errorf("told of %d answers more", len(told))
	}
}

// The end of a server leaves its sockets open, what has been read is answered, and what comes later waits for whoever serves next.
func TestNextServer(t *testing.T) {
	release := make(chan struct{})
	var got sync.WaitGroup
	got.Add(1)
	upstreams := elsewhere(t, func(q dnsmessage.Message) []byte { got.Done(); <-release; return world(q) })
	udp, tcp := listen(t, "127.0.0.1")
	defer udp.Close()
	defer tcp.Close()
	first, firstDone := begin(t, Config{Upstreams: upstreams}, udp, tcp)
	conn, err := net.Dial("udp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(packed(t, "www.example.com.", dnsmessage.TypeA, nil)); err != nil {
		t.Fatal(err)
	}
	got.Wait()
	idle, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	first()
	close(release)
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if m := unpacked(t, buf[:n]); len(m.Answers) != 1 {
		t.Errorf("%+v", m)
	}
	if err := <-firstDone; err != nil {
		t.Error(err)
	}
	// Nobody serves now.
	for range 20 {
		if _, err := conn.Write(packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil)); err != nil {
			t.Fatal(err)
		}
	}
	b := &box{addr: udp.LocalAddr().(*net.UDPAddr).AddrPort()}
	s := b.stream(t)
	s.send(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
	second, secondDone := begin(t, Config{}, udp, tcp)
	for range 20 {
		if n, err = conn.Read(buf); err != nil {
			t.Fatal(err)
		}
		if m := unpacked(t, buf[:n]); len(m.Answers) != 1 {
			t.Errorf("%+v", m)
		}
	}
	if m := s.take(t); len(m.Answers) != 1 {
		t.Errorf("%+v", m)
	}
	second()
	if err := <-secondDone; err != nil {
		t.Error(err)
	}
}

// The end is in time, also if other servers are silent; who waits is told nothing, and asks again.
func TestEndWhileOthersAreSilent(t *testing.T) {
	var answers atomic.Int32
	b := serve(t, Config{Upstreams: elsewhere(t, silent), Observe: func(Answered) { answers.Add(1) }}, shop(), "127.0.0.1")
	s := b.stream(t)
	s.send(t, packed(t, "www.example.com.", dnsmessage.TypeA, nil))
	s.send(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
	s.take(t)
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > drainLimit+2*time.Second || answers.Load() != 1 {
		t.Errorf("it took %s, and %d answers", took, answers.Load())
	}
	if n, err := s.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came", n)
	}
}

// A client that opens connections, sends nothing, or takes no answers, keeps no other from being answered.
func TestGreedyConnections(t *testing.T) {
	b := serve(t, Config{}, shop(), "127.0.0.1")
	var kept []net.Conn
	for range 3 * maxClientStreams {
		conn, err := net.Dial("tcp", b.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		kept = append(kept, conn)
	}
	_ = kept[0].SetReadDeadline(time.Now().Add(idleLimit / 2))
	closed := 0
	for _, conn := range kept[1:] {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			closed++
		}
	}
	if closed != 2*maxClientStreams {
		t.Errorf("%d connections were closed", closed)
	}
	// Another client.
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := from.Dial("tcp", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := stream{conn}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	s.send(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
	if m := s.take(t); len(m.Answers) != 1 {
		t.Errorf("%+v", m)
	}
	// Too long a query ends its connection, as the rest cannot be told from the next one.
	if _, err := conn.Write([]byte{0xFF, 0xFF, 1, 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the connection goes on: %v", err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // as it comes from the socket
	return ok && e.Timeout()
}

// Whoever takes no answers is left in time.
func TestConnectionThatTakesNothing(t *testing.T) {
	many := served.Service{Namespace: "shop", Name: "many", Headless: true}
	for i := range 3000 {
		many.Endpoints = append(many.Endpoints, served.Endpoint{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 88, byte(i >> 8), byte(i)})}})
	}
	b := serve(t, Config{}, &served.Table{Services: []served.Service{many}}, "127.0.0.1")
	s := b.stream(t)
	query := packed(t, "many.shop.svc.cluster.local.", dnsmessage.TypeA, nil)
	whole := append([]byte{0, byte(len(query))}, query...)
	began := time.Now()
	for err := error(nil); err == nil; { // until both sides' buffers are full, and the server gives up
		if time.Since(began) > 20*time.Second {
			t.Fatal("the server waits for ever")
		}
		_, err = s.Write(whole)
	}
}

// Whatever comes in, the server goes on.
func FuzzServer(f *testing.F) {
	b := serve(f, Config{Upstreams: elsewhere(f, world)}, shop(), "127.0.0.1")
	f.Add(packed(f, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
	f.Add(packed(f, "www.example.com.", dnsmessage.TypeA, opt(f, 1232)))
	last := packed(f, "web.shop.svc.cluster.local.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.ID = 0xFEED })
	f.Fuzz(func(t *testing.T, packet []byte) {
		conn, err := net.Dial("udp", b.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		for _, p := range [][]byte{packet[:min(len(packet), 60000)], last} {
			if _, err := conn.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		for buf := make([]byte, 2048); ; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if err := new(dns.Msg).Unpack(buf[:n]); err != nil && n != 12 && n != 23 {
				t.Errorf("%x is answered with %x", packet, buf[:n])
			}
			if n > 1 && buf[0] == 0xFE && buf[1] == 0xED {
				return
			}
		}
	})
}

// Goroutines do not grow with queries.
func TestGoroutines(t *testing.T) {
	b := serve(t, Config{Upstreams: elsewhere(t, silent)}, shop(), "127.0.0.1")
	before := runtime.NumGoroutine()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 66)}, net.UDPAddrFromAddrPort(b.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 5000 {
		if _, err := conn.Write(packed(t, fmt.Sprintf("n%d.example.com.", i%1000), dnsmessage.TypeA, nil)); err != nil {
			t.Fatal(err)
		}
		if i%200 == 0 { // the socket has no room for all at once
			b.ask(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
		}
	}
	if n := runtime.NumGoroutine() - before; n > 400 {
		t.Errorf("%d goroutines more", n)
	}
}

// Without one of its sockets a server ends, and says which one is gone.
func TestSocketIsGone(t *testing.T) {
	for what, gone := range map[string]func(udp, tcp func() error) error{
		"udp": func(udp, _ func() error) error { return udp() }, "tcp": func(_, tcp func() error) error { return tcp() },
	} {
		udp, tcp := listen(t, "127.0.0.1")
		defer udp.Close()
		defer tcp.Close()
		stop, done := begin(t, Config{}, udp, tcp)
		defer stop()
		b := &box{addr: udp.LocalAddr().(*net.UDPAddr).AddrPort()}
		b.ask(t, packed(t, "web.shop.svc.cluster.local.", dnsmessage.TypeA, nil))
		if err := gone(udp.Close, tcp.Close); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "cannot answer DNS on "+b.addr.String()) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the server goes on")
		}
	}
	if err := New(Config{Domain: "cluster.local"}).Serve(t.Context(), []net.PacketConn{&net.IPConn{}}, nil); err == nil {
		t.Error("it serves anything")
	}
}

// A fault of our own in one answer ends nothing but, by TCP, its connection.
func TestPanics(t *testing.T) {
	b := serve(t, Config{Upstreams: elsewhere(t, world), Observe: func(Answered) { panic("a fault") }}, shop(), "127.0.0.1")
	for range 3 {
		for _, name := range []string{"web.shop.svc.cluster.local.", "www.example.com.", "away.shop.svc.cluster.local."} {
			if m := b.ask(t, packed(t, name, dnsmessage.TypeA, nil)); len(m.Answers) == 0 {
				t.Errorf("%s: %+v", name, m)
			}
			s := b.stream(t)
			s.send(t, packed(t, name, dnsmessage.TypeA, nil))
			if m := s.take(t); len(m.Answers) == 0 {
				t.Errorf("%s by TCP: %+v", name, m)
			}
		}
	}
	b.stop()
}
