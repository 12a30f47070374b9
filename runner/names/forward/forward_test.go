package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/solopod/solopod/runner/names/message"
)

func TestAnswerIsKept(t *testing.T) {
	o := newOther(t, good)
	f, q := newForwarder(t, Config{}, o), query4(t, "www.example.com")
	for i, want := range []Source{Upstream, Cache, Cache} {
		a := wait(t, f, q)
		if addresses(t, a) != 1 || a.Source != want || a.Failures != 0 {
			t.Errorf("%d: %+v", i, a)
		}
	}
	if o.packets.Load() != 1 {
		t.Errorf("it was asked %d times", o.packets.Load())
	}
	q.DO = true
	if a := wait(t, f, q); a.Source != Upstream {
		t.Error("an answer without signatures was given to one who wants them")
	}
}

// What many ask for at once is asked for once.
func TestAskedForOnce(t *testing.T) {
	release := make(chan struct{})
	o := newOther(t, func(q dnsmessage.Message, _ bool) [][]byte {
		<-release
		return good(q, false)
	})
	f, q := newForwarder(t, Config{}, o), query4(t, "www.example.com")
	var all sync.WaitGroup
	all.Add(100)
	var from [2]atomic.Int32
	for range 100 {
		f.Ask(q, here, func(a Answer) {
			from[0].Add(1)
			if a.Kept != nil {
				from[1].Add(1)
			}
			all.Done()
		})
	}
	close(release)
	all.Wait()
	if o.packets.Load() != 1 || from[0].Load() != 100 || from[1].Load() != 100 {
		t.Errorf("%d packets, %d answers, %d good", o.packets.Load(), from[0].Load(), from[1].Load())
	}
}

// While the first server is silent, the next one is asked beside it; soon the silent one is asked last, but now and then beside the first.
func TestSilentServer(t *testing.T) {
	var speaks atomic.Bool
	first := newOther(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		if speaks.Load() {
			return good(q, tcp)
		}
		return nil
	})
	second := newOther(t, good)
	f := newForwarder(t, Config{}, first, second)
	for i := range 20 {
		q, began := query4(t, fmt.Sprintf("n%d.example.com", i)), time.Now()
		a := wait(t, f, q)
		took := time.Since(began)
		if addresses(t, a) != 1 || took > 2*time.Second {
			t.Errorf("%d took %s: %+v", i, took, a)
		}
		if i < silentAfter && took < mostPatient {
			t.Errorf("%d took %s: the first server was not waited for", i, took)
		}
	}
	if n := first.packets.Load(); n > silentAfter+2 {
		t.Errorf("the silent server was asked %d times", n)
	}
	speaks.Store(true)
	f.mu.Lock()
	f.servers[first.addr].tried = time.Now().Add(-retrySilent)
	f.mu.Unlock()
	asked, q := first.packets.Load(), query4(t, "again.example.com")
	if a := wait(t, f, q); addresses(t, a) != 1 || first.packets.Load() != asked+1 {
		t.Errorf("%+v, after %d", a, first.packets.Load()-asked)
	}
	stop := time.After(10 * time.Second)
	for back := false; !back; {
		f.mu.Lock()
		back = f.servers[first.addr].silent == 0
		f.mu.Unlock()
		select {
		case <-stop:
			t.Fatal("the server does not count as back")
		default:
			runtime.Gosched()
		}
	}
}

func TestServersThatFail(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := &other{addr: closed.LocalAddr().(*net.UDPAddr).AddrPort()}
	closed.Close()
	for what, c := range map[string]struct {
		servers  []*other
		code     int
		failures int
		answers  bool
	}{
		"one cannot":                {[]*other{newOther(t, says(dnsmessage.RCodeServerFailure)), newOther(t, good)}, dns.RcodeSuccess, 1, true},
		"one refuses":               {[]*other{newOther(t, says(dnsmessage.RCodeRefused)), newOther(t, good)}, dns.RcodeSuccess, 1, true},
		"nobody listens":            {[]*other{refused, newOther(t, good)}, dns.RcodeSuccess, 1, true},
		"none can":                  {[]*other{newOther(t, says(dnsmessage.RCodeServerFailure)), newOther(t, says(dnsmessage.RCodeRefused))}, dns.RcodeRefused, 2, false},
		"no such name":              {[]*other{newOther(t, says(dnsmessage.RCodeNameError)), newOther(t, good)}, dns.RcodeNameError, 0, false},
		"one cannot, one is silent": {[]*other{newOther(t, says(dnsmessage.RCodeServerFailure)), newOther(t, silent)}, dns.RcodeServerFailure, 2, false},
	} {
		t.Run(what, func(t *testing.T) {
			f, q, began := newForwarder(t, Config{}, c.servers...), query4(t, "www.example.com"), time.Now()
			a := wait(t, f, q)
			if a.Kept == nil || a.Code != c.code || a.Failures != c.failures || (addresses(t, a) == 1) != c.answers {
				t.Errorf("%+v", a)
			}
			if took := time.Since(began); took > flightLimit-time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	f, q := newForwarder(t, Config{}, refused), query4(t, "www.example.com")
	if a := wait(t, f, q); a.Kept != nil || a.Err == nil || a.Failures != 1 {
		t.Errorf("%+v", a)
	}
	f = newForwarder(t, Config{})
	if a := wait(t, f, q); a.Kept != nil || !errors.Is(a.Err, ErrNoServers) {
		t.Errorf("%+v", a)
	}
}

// A question that nobody answers ends before clients give up, and was asked more than once: packets are lost.
func TestNobodyAnswers(t *testing.T) {
	o := newOther(t, silent)
	f, began := newForwarder(t, Config{}, o), time.Now()
	a := wait(t, f, query4(t, "www.example.com"))
	if took := time.Since(began); a.Kept != nil || a.Err == nil || a.Failures != 1 || took < flightLimit || took > flightLimit+2*time.Second {
		t.Errorf("after %s: %+v", took, a)
	}
	if n := o.packets.Load(); n < 2 || n > 5 {
		t.Errorf("it was asked %d times", n)
	}
}

// Who cannot see a query must guess its number and port, and whoever guesses wrongly is not heard.
func TestForgedAnswers(t *testing.T) {
	var much atomic.Bool
	o := newOther(t, func(q dnsmessage.Message, _ bool) (out [][]byte) {
		forge := func(f func(*dnsmessage.Message)) {
			out = append(out, answered(q, 9, f))
		}
		forge(func(m *dnsmessage.Message) { m.ID++ })
		forge(func(m *dnsmessage.Message) { m.Response = false })
		forge(func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA })
		forge(func(m *dnsmessage.Message) {
			m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("evil.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		})
		out = append(out, []byte("nothing"), nil)
		for range 40 {
			if much.Load() {
				forge(func(m *dnsmessage.Message) { m.ID++ })
			}
		}
		return append(out, answered(q, 1, nil))
	})
	f := newForwarder(t, Config{}, o)
	for i := range 20 {
		q := query4(t, fmt.Sprintf("n%d.example.com", i))
		if a := wait(t, f, q); addresses(t, a) != 1 {
			t.Errorf("a forged answer was taken: %+v", a)
		}
	}
	o.mu.Lock()
	if len(o.ids) < 19 || len(o.ports) < 15 {
		t.Errorf("20 queries had %d numbers and %d ports", len(o.ids), len(o.ports))
	}
	o.mu.Unlock()
	much.Store(true)
	if a := wait(t, f, query4(t, "attacked.example.com")); !errors.Is(a.Err, errStrays) {
		t.Errorf("somebody guesses, and is listened to: %+v", a)
	}
}

// Somebody else than the server that was asked is not heard at all, even if all else is right.
func TestAnswerFromElsewhere(t *testing.T) {
	elsewhere, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	asked, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	go func() {
		buf := make([]byte, 4096)
		n, from, err := asked.ReadFrom(buf)
		var q dnsmessage.Message
		if err != nil || q.Unpack(buf[:n]) != nil {
			return
		}
		for range 3 {
			_, _ = elsewhere.WriteTo(answered(q, 9, nil), from)
		}
		_, _ = asked.WriteTo(answered(q, 1, nil), from)
	}()
	f, q := newForwarder(t, Config{}, &other{addr: asked.LocalAddr().(*net.UDPAddr).AddrPort()}), query4(t, "www.example.com")
	if a := wait(t, f, q); addresses(t, a) != 1 {
		t.Errorf("%+v", a)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	var withEDNS atomic.Int32
	o := newOther(t, func(q dnsmessage.Message, _ bool) [][]byte {
		if len(q.Additionals) > 0 {
			withEDNS.Add(1)
			return [][]byte{answered(q, 0, func(m *dnsmessage.Message) { m.RCode, m.Questions = dnsmessage.RCodeFormatError, nil })}
		}
		return good(q, false)
	})
	f := newForwarder(t, Config{}, o)
	for i := range 3 {
		q := query4(t, fmt.Sprintf("n%d.example.com", i))
		if a := wait(t, f, q); addresses(t, a) != 1 {
			t.Errorf("%+v", a)
		}
	}
	if withEDNS.Load() != 1 {
		t.Errorf("EDNS was tried %d times", withEDNS.Load())
	}
}

func TestLongAnswers(t *testing.T) {
	o := newOther(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		if tcp {
			return [][]byte{answered(q, 200, nil)}
		}
		return [][]byte{answered(q, 20, func(m *dnsmessage.Message) { m.Truncated = true })}
	})
	f, q := newForwarder(t, Config{}, o), query4(t, "long.example.com")
	for range 2 { // half an answer is not kept
		if a := wait(t, f, q); !a.Truncated || addresses(t, a) != 20 || a.Source != Upstream {
			t.Errorf("%+v", a)
		}
	}
	q.Stream = true
	if a := wait(t, f, q); a.Truncated || addresses(t, a) != 200 || o.streams.Load() != 1 {
		t.Errorf("%+v", a)
	}
	q.Stream = false
	if a := wait(t, f, q); a.Truncated || addresses(t, a) != 200 || a.Source != Cache {
		t.Errorf("the whole answer is not kept: %+v", a)
	}
}

// A server that takes the connection and sends nothing, or too little, ends the question in time.
func TestLongAnswersThatNeverCome(t *testing.T) {
	o := newOther(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		if tcp {
			return [][]byte{answered(q, 200, nil)[:100:100]}
		}
		return [][]byte{answered(q, 1, func(m *dnsmessage.Message) { m.Truncated = true })}
	})
	f, q := newForwarder(t, Config{}, o), query4(t, "long.example.com")
	q.Stream = true
	if a := wait(t, f, q); a.Kept != nil || a.Err == nil {
		t.Errorf("%+v", a)
	}
}

func TestStubDomains(t *testing.T) {
	common, stub, deep := newOther(t, good), newOther(t, good), newOther(t, good)
	f := newForwarder(t, Config{Stubs: map[string][]netip.AddrPort{
		"Appliance.lan": {stub.addr}, "deep.appliance.lan.": {deep.addr}, "dead.lan": nil,
	}}, common)
	for host, want := range map[string]*other{"appliance.lan": stub, "a.appliance.lan": stub, "x.deep.appliance.lan": deep, "xappliance.lan": common, "lan": common} {
		before, q := want.packets.Load(), query4(t, host)
		if a := wait(t, f, q); addresses(t, a) != 1 || want.packets.Load() != before+1 {
			t.Errorf("%s went elsewhere: %+v", host, a)
		}
	}
	if a := wait(t, f, query4(t, "x.dead.lan")); !errors.Is(a.Err, ErrNoServers) {
		t.Errorf("%+v", a)
	}
	if _, err := New(Config{Stubs: map[string][]netip.AddrPort{"a..b": nil}}); err == nil {
		t.Error("a..b is a domain")
	}
}

// In another network names may mean something else: what was kept is forgotten when other servers are to be asked.
func TestOtherServers(t *testing.T) {
	one, two := newOther(t, good), newOther(t, good)
	var now atomic.Pointer[other]
	now.Store(one)
	f := newForwarder(t, Config{Upstreams: func() []netip.AddrPort { return []netip.AddrPort{now.Load().addr} }})
	q := query4(t, "www.example.com")
	for i, want := range []Source{Upstream, Cache} {
		if a := wait(t, f, q); a.Source != want {
			t.Errorf("%d: %+v", i, a)
		}
	}
	now.Store(two)
	if a := wait(t, f, q); a.Source != Upstream || two.packets.Load() != 1 {
		t.Errorf("%+v", a)
	}
}

// A server that is ourselves is not asked, and a question that comes back by way of another server ends, as it joins the one it came from.
func TestLoops(t *testing.T) {
	var back atomic.Int32
	var forwarder atomic.Pointer[Forwarder]
	loop := newOther(t, func(q dnsmessage.Message, _ bool) [][]byte {
		back.Add(1)
		n, _ := message.ParseName(q.Questions[0].Name.String())
		forwarder.Load().Ask(Question{Question: dns.Question{Name: n, Qtype: dns.TypeA, Qclass: dns.ClassINET}, RD: true}, here, func(Answer) {})
		return nil
	})
	ours := netip.MustParseAddrPort("127.0.0.1:53")
	f := newForwarder(t, Config{Ours: []netip.AddrPort{ours}, Upstreams: func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("[::ffff:127.0.0.1]:53"), ours, loop.addr}
	}})
	forwarder.Store(f)
	a := wait(t, f, query4(t, "www.example.com"))
	if a.Kept != nil || a.Failures != 1 || back.Load() > 5 {
		t.Errorf("%d questions came of one: %+v", back.Load(), a)
	}
	if f.back != 1 {
		t.Errorf("%d count as having come back", f.back)
	}
}

// The log tells of questions that come back, but not of two clients that ask the same, nor of servers that are silent.
func TestComesBack(t *testing.T) {
	f, now := newForwarder(t, Config{}), time.Unix(1e9, 0)
	for i, c := range []struct {
		came, answered bool
		after          time.Duration
		told           bool
	}{
		{true, false, 0, false}, {true, false, 0, false}, {true, false, 0, false}, {true, false, 0, false}, {true, true, 0, false}, // two clients
		{true, false, 0, false}, {true, false, 0, false}, {true, false, 0, false}, {true, false, 0, false}, {false, false, 0, false}, // a silent server
		{true, false, 0, false}, {true, false, 0, false}, {true, false, 0, false}, {true, false, 0, false}, {true, false, 0, true}, {true, false, 0, false},
		{true, false, tellAfter, true},
	} {
		now = now.Add(c.after)
		a := Answer{}
		if c.answered {
			a.Kept = kept(t, 1, 60, 0, 0, false)
		}
		if _, told := f.landed(&flight{came: c.came}, a, now); told != c.told {
			t.Errorf("%d: %t", i, told)
		}
	}
}

// No client can keep others from asking, and what waits is bounded in all.
func TestBounds(t *testing.T) {
	o := newOther(t, silent)
	f := newForwarder(t, Config{}, o)
	var busy, other, none atomic.Int32
	ask := func(client, host string) {
		f.Ask(query4(t, host), netip.MustParseAddr(client), func(a Answer) {
			switch {
			case errors.Is(a.Err, ErrBusy):
				busy.Add(1)
			case errors.Is(a.Err, ErrEnded):
				none.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	for i := range maxClient + 50 {
		ask("10.88.0.66", fmt.Sprintf("n%d.example.com", i))
	}
	if busy.Load() != 50 || len(f.flights) != maxClient {
		t.Errorf("%d of a greedy client's were not asked; %d are on their way", busy.Load(), len(f.flights))
	}
	ask("10.88.0.1", "mine.example.com")
	if busy.Load() != 50 {
		t.Error("another client must wait for it")
	}
	for i := range maxWaiting {
		ask(fmt.Sprintf("10.89.%d.%d", i/200, i%200), fmt.Sprintf("m%d.example.com", i%(maxFlights+100)))
	}
	f.mu.Lock()
	if len(f.flights) != maxFlights || f.waiting > maxWaiting {
		t.Errorf("%d questions on their way, %d wait", len(f.flights), f.waiting)
	}
	f.mu.Unlock()
	if n := runtime.NumGoroutine(); n > 3*maxFlights {
		t.Errorf("%d goroutines", n)
	}
	f.Close(0)
	if f.waiting != 0 || len(f.flights) != 0 || len(f.clients) != 0 || other.Load() != 0 {
		t.Errorf("%d wait, %d on their way, %d clients; %d answers", f.waiting, len(f.flights), len(f.clients), other.Load())
	}
	if busy.Load()+none.Load() != maxClient+50+1+maxWaiting {
		t.Error("some were not told")
	}
	if a := wait(t, f, query4(t, "later.example.com")); !errors.Is(a.Err, ErrEnded) {
		t.Errorf("%+v", a)
	}
}

// A panic while one client is told keeps nobody else from being told.
func TestPanics(t *testing.T) {
	release := make(chan struct{})
	f := newForwarder(t, Config{}, newOther(t, func(q dnsmessage.Message, _ bool) [][]byte {
		<-release
		return good(q, false)
	}))
	q, told := query4(t, "www.example.com"), make(chan Answer, 1)
	f.Ask(q, here, func(Answer) { panic("a client") })
	f.Ask(q, here, func(a Answer) { told <- a })
	close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case a := <-told:
		if addresses(t, a) != 1 {
			t.Errorf("%+v", a)
		}
	case <-ctx.Done():
		t.Error("nobody was told")
	}
}
