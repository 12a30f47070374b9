package budget

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeListener hands out connections whose client is their name.
type fakeListener struct {
	net.Listener
	next chan net.Conn
}

func (l fakeListener) Accept() (net.Conn, error) {
	c, ok := <-l.next
	if !ok {
		return nil, errors.New("closed")
	}
	return c, nil
}

func (fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

type fakeConn struct {
	net.Conn
	client string

	mu     sync.Mutex
	closed bool
}

func (c *fakeConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *fakeConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// trial is a listener of fakes.
type trial struct {
	t    *testing.T
	l    *Listener
	next chan net.Conn
}

func newTrial(t *testing.T) *trial {
	next := make(chan net.Conn, 1)
	l := New(fakeListener{next: next}, Config{
		Client: func(c net.Conn) Client {
			name := c.(*fakeConn).client
			return Client{Name: name, Trusted: name == "root"}
		},
		Strangers: Limits{Total: 6, Each: 3}, Known: Limits{Total: 4, Each: 2}, Patience: 10 * time.Second,
	})
	return &trial{t, l, next}
}

// connect is one more connection of a client's; nil when it was closed at once.
func (r *trial) connect(client string) *Conn {
	r.t.Helper()
	raw := &fakeConn{client: client}
	r.next <- raw
	after := &fakeConn{client: "root"} // comes back when the other did not
	got := make(chan net.Conn, 1)
	go func() {
		c, err := r.l.Accept()
		if err != nil {
			r.t.Error(err)
		}
		got <- c
	}()
	synctest.Wait()
	select {
	case c := <-got:
		return c.(*Conn)
	default:
	}
	r.next <- after
	<-got
	if !raw.isClosed() {
		r.t.Error("it was neither accepted nor closed")
	}
	return nil
}

func closed(c *Conn) bool { return c.Conn.(*fakeConn).isClosed() }

// is checks the pools.
func (r *trial) is(strangers, known int) {
	r.t.Helper()
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for _, p := range []*pool{&r.l.strangers, &r.l.known} {
		sum := 0
		for _, n := range p.of {
			sum += n
		}
		if sum != p.total || p.waiting.Len() > p.total {
			r.t.Errorf("%d connections of clients, %d in all, %d wait", sum, p.total, p.waiting.Len())
		}
	}
	if r.l.strangers.total != strangers || r.l.known.total != known {
		r.t.Errorf("%d strangers and %d known, not %d and %d", r.l.strangers.total, r.l.known.total, strangers, known)
	}
}

// Who has its share, or comes when the listener is full, costs the oldest connection without a request: first its own.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrial(t)
		a1, a2, a3 := r.connect("a"), r.connect("a"), r.connect("a")
		b1, b2 := r.connect("b"), r.connect("b")
		a4 := r.connect("a")
		if !closed(a1) || closed(a2) || closed(b1) {
			t.Error("a client that has its share costs another one's connection, or not its oldest")
		}
		c1 := r.connect("c")
		r.is(6, 0)
		c2 := r.connect("c")
		if !closed(b1) && !closed(a2) || closed(a3) || closed(c1) {
			t.Error("not the oldest one was closed when the listener was full")
		}
		r.is(6, 0)
		for _, c := range []*Conn{a2, a3, a4, b1, b2, c1, c2} {
			if !closed(c) {
				Track(c, http.StateActive)
			}
		}
		if c := r.connect("d"); c != nil {
			t.Error("there is one more, though all are at work")
		}
		if c := r.connect("root"); c == nil || closed(c) {
			t.Error("a trusted client is not let in")
		}
		Track(b2, http.StateIdle)
		if d := r.connect("d"); d == nil || !closed(b2) {
			t.Error("one that became idle is not closed for a new one")
		}
		r.is(6, 0)
		for _, c := range []*Conn{a2, a3, a4, b1, b2, c1, c2} {
			c.Close()
			c.Close() // twice is once
		}
		r.is(1, 0)
		time.Sleep(11 * time.Second) //nolint:forbidigo // of the bubble
		r.is(0, 0)
	})
}

// A stranger's connection without a request ends, however often it is renewed later; not one at work, nor one of a known client.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrial(t)
		silent, works, known, root := r.connect("a"), r.connect("a"), r.connect("a"), r.connect("root")
		Track(works, http.StateActive)
		Track(known, http.StateActive)
		if !known.Authenticated("user") {
			t.Error("there is no room for a known client")
		}
		Track(known, http.StateIdle)
		time.Sleep(9 * time.Second) //nolint:forbidigo // of the bubble
		if closed(silent) {
			t.Error("it was closed early")
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble
		if !closed(silent) || closed(works) || closed(known) || closed(root) {
			t.Error(closed(silent), closed(works), closed(known), closed(root))
		}
		Track(works, http.StateIdle)
		time.Sleep(11 * time.Second) //nolint:forbidigo // of the bubble
		if !closed(works) {
			t.Error("it stays without a request")
		}
		r.is(0, 1)
		Track(known, http.StateActive)
		Track(known, http.StateHijacked)
		known.Close()
		r.is(0, 0)
	})
}

// Known clients have a pool of their own, which strangers do not fill, and each a share of it.
func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrial(t)
		known := func(client, user string) (*Conn, bool) {
			t.Helper()
			c := r.connect(client)
			if c == nil {
				t.Fatal("no room for a stranger")
			}
			Track(c, http.StateActive)
			return c, c.Authenticated(user)
		}
		u1, ok := known("a", "u")
		if !ok || u1.Client().Name != "u" || !u1.Authenticated("u") {
			t.Error("the first is not let in")
		}
		if _, ok = known("b", "u"); !ok {
			t.Error("the second is not let in")
		}
		third, ok := known("c", "u")
		if ok {
			t.Error("a third is let in, though both of the user's work")
		}
		third.Close()
		Track(u1, http.StateIdle)
		if _, ok = known("c", "u"); !ok || !closed(u1) {
			t.Error("an idle one of the user's does not go for another")
		}
		for i := range 6 { // more strangers than there is room for
			r.connect(fmt.Sprint("s", i))
		}
		r.is(6, 2)
		if _, ok = known("x", "v"); !ok {
			t.Error("strangers keep a known client out")
		}
		again, ok := known("y", "v")
		if !ok || !again.Authenticated("w") || again.Client().Name != "w" { // another token on the same connection
			t.Error("a second user on a connection")
		}
		r.is(5, 4)
		if _, ok = known("z", "x"); ok {
			t.Error("more are let in than there is room for")
		}
		time.Sleep(11 * time.Second) //nolint:forbidigo // of the bubble
	})
}

// Streams are shared by clients, and given back.
func TestStreams(t *testing.T) {
	s := NewShares(Limits{Total: 3, Each: 2})
	take := func(client string, want Verdict) func() {
		t.Helper()
		give, v := s.Take(client)
		if v != want {
			t.Errorf("%s: %v, want %v", client, v, want)
		}
		return give
	}
	give := take("a", Yes)
	take("a", Yes)
	take("a", ClientFull)
	last := take("b", Yes)
	take("b", AllFull)
	take("c", AllFull)
	give()
	take("c", Yes)
	last()
	take("a", Yes)
	if len(s.of) != 2 || s.total != 3 {
		t.Error(s.of, s.total)
	}
}

// A machine has 64 bits of addresses of IPv6.
func TestByAddress(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:0:1:2:3:4:5": "2001:db8:0:1::/64", "2001:db8:0:1::9": "2001:db8:0:1::/64",
		"fe80::1%eth0": "fe80::/64", "::1": "::1",
	} {
		if got := byAddress(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

type tcpConn struct{ net.Conn }

func (tcpConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:9"))
}
func (tcpConn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:8"))
}

// A kernel that does not say whose a connection is, for it loads a module from a disk that hangs, holds one connection up for a moment and
// no other; when it does again, users are known again.
func TestKernelHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		var asked atomic.Int64
		client := byUserOr(func(_, _ netip.AddrPort) (uint32, error) {
			asked.Add(1)
			<-answer
			return 7, nil
		})
		began := time.Now()
		for range 3 {
			if c := client(tcpConn{}); c.Name != "127.0.0.1" {
				t.Errorf("while it hangs: %+v", c)
			}
		}
		if took := time.Since(began); took > 5*time.Second || asked.Load() != 1 {
			t.Errorf("it was asked %d times, and waited for %s", asked.Load(), took)
		}
		close(answer)
		synctest.Wait()
		if c := client(tcpConn{}); c.Name != "uid 7" {
			t.Errorf("when it answers: %+v", c)
		}
	})
}

// The users of both ends of a socket, and of a connection on this machine, are known.
func TestClients(t *testing.T) {
	for network, of := range map[string]struct {
		address string
		client  func(net.Conn) Client
		want    Client
	}{
		"unix": {t.TempDir() + "/s", BySocket, Client{"uid 0", true}}, "tcp": {"127.0.0.1:0", ByAddress(), Client{"uid 0", false}},
	} {
		l, err := net.Listen(network, of.address)
		if err != nil {
			t.Fatal(err)
		}
		other, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(l, Config{Client: of.client, Strangers: Limits{1, 1}, Patience: time.Minute}).Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.(*Conn).Client(); got != of.want {
			t.Errorf("%s: %+v", network, got)
		}
		if cred := Peer(c); (cred != nil) != (network == "unix") {
			t.Errorf("%s: %+v", network, cred)
		}
		if err := c.(*Conn).CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		c.Close()
		other.Close()
		l.Close()
	}
}

// What anybody can bring about is told once a minute.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told Told
		if !told.Now() || told.Now() {
			t.Error("not once")
		}
		time.Sleep(time.Minute) //nolint:forbidigo // of the bubble
		if !told.Now() {
			t.Error("not again")
		}
	})
}
