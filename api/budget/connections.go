// Package budget divides what a listener has, connections and streams, among its clients, so that none takes all of it.
package budget

import (
	"container/list"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of one kind of thing.
type Limits struct {
	// Total is how many there are, Each how many of them one client may have.
	Total, Each int
}

// Client is who is at the other side of a connection, as far as it is known before anything was said.
type Client struct {
	// Name tells clients apart: a user or an address.
	Name string
	// Trusted clients have no limits and are given all time.
	Trusted bool
}

// Config says how a listener's connections are divided.
type Config struct {
	// Client says who has the other side; it must not wait for long, and nothing is accepted meanwhile.
	Client func(net.Conn) Client
	// Strangers are connections whose client has not been authenticated, Known the others.
	Strangers, Known Limits
	// Patience is how long a stranger's connection may be without a request.
	Patience time.Duration
}

// Listener accepts connections at once and closes what is too many: of connections without a request the oldest one, of the same client
// if that has its share already. Only where all are at work a new one is closed. Its Config's server must call Track with each change of a
// connection's state.
type Listener struct {
	net.Listener
	config Config
	told   Told

	mu               sync.Mutex
	strangers, known pool
}

// New divides the connections of a listener.
func New(l net.Listener, c Config) *Listener {
	return &Listener{
		Listener: l, config: c,
		strangers: pool{tally: newTally(c.Strangers), waiting: list.New()},
		known:     pool{tally: newTally(c.Known), waiting: list.New()},
	}
}

// pool is of connections that share limits.
type pool struct {
	tally
	// waiting are the *Conn without a request, the one that has waited longest first.
	waiting *list.List
}

// Conn is a connection with its place in the budget.
type Conn struct {
	net.Conn
	listener *Listener

	// What follows is the listener's, under its lock.
	client  Client
	pool    *pool         // nil: in none, or no more
	waiting *list.Element // in the pool; nil while a request is served
	timer   *time.Timer   // ends the wait of a stranger
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &Conn{Conn: raw, listener: l, client: l.config.Client(raw)}
		if c.client.Trusted {
			return c, nil
		}
		ok, victim := l.place(c, &l.strangers)
		if victim != nil {
			victim.end()
		}
		if ok {
			return c, nil
		}
		c.end()
		if l.told.Now() {
			slog.Warn("a connection was closed: its client has too many that are at work, or the listener has", "listener", l.Addr(), "client", c.client.Name)
		}
	}
}

// place puts a connection, without a request, into a pool. It may cost another one, which the caller ends.
func (l *Listener) place(c *Conn, p *pool) (ok bool, victim *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok, victim = p.room(c.client.Name); !ok {
		return false, nil
	}
	if victim != nil {
		victim.leave()
	}
	c.enter(p)
	c.wait(l.config.Patience)
	return true, victim
}

// room says whether a client may have one more, and which one goes for it.
func (p *pool) room(client string) (ok bool, victim *Conn) {
	v := p.may(client)
	if v == Yes {
		return true, nil
	}
	for e := p.waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); v == AllFull || c.client.Name == client {
			return true, c
		}
	}
	return false, nil
}

func (c *Conn) enter(p *pool) {
	c.pool = p
	p.add(c.client.Name)
}

// leave gives the connection's place to others.
func (c *Conn) leave() {
	c.work()
	if c.pool == nil {
		return
	}
	c.pool.remove(c.client.Name)
	c.pool = nil
}

// wait notes that the connection has no request. A stranger's is closed when that lasts.
func (c *Conn) wait(patience time.Duration) {
	if c.pool == nil || c.waiting != nil {
		return
	}
	c.waiting = c.pool.waiting.PushBack(c)
	if c.pool == &c.listener.strangers {
		c.timer = time.AfterFunc(patience, c.end)
	}
}

// work notes that a request of the connection is served.
func (c *Conn) work() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.waiting != nil {
		c.pool.waiting.Remove(c.waiting)
		c.waiting = nil
	}
}

// end closes the connection, whatever is going on.
func (c *Conn) end() {
	if err := c.Close(); err != nil {
		slog.Debug("cannot close a connection", "err", err)
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.listener.mu.Lock()
	c.leave()
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is for http.Server, which ends an answer to a broken request so that it is read.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Client is who has the other side.
func (c *Conn) Client() Client {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	return c.client
}

// Authenticated takes a connection, which serves a request, out of the strangers' pool into that of a known client, if that has room: one
// of the client's other connections, without a request, may go for it.
func (c *Conn) Authenticated(name string) bool {
	l := c.listener
	l.mu.Lock()
	if c.client.Trusted || c.pool == nil || c.pool == &l.known && c.client.Name == name {
		l.mu.Unlock()
		return true
	}
	if c.pool == &l.known { // another user on the same connection
		c.leave()
	}
	ok, victim := l.known.room(name)
	if ok {
		if victim != nil {
			victim.leave()
		}
		c.leave()
		c.client.Name = name
		c.enter(&l.known)
	}
	l.mu.Unlock()
	if victim != nil {
		victim.end()
	}
	return ok
}

// of finds the connection with a budget within another.
func of(c net.Conn) *Conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	found, _ := c.(*Conn)
	return found
}

// Track is an http.Server's ConnState: a connection is without a request until all of its header was read.
func Track(conn net.Conn, state http.ConnState) {
	c := of(conn)
	if c == nil {
		return
	}
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	switch state {
	case http.StateIdle:
		c.wait(c.listener.config.Patience)
	case http.StateActive, http.StateHijacked:
		c.work()
	}
}

type connKey struct{}

// WithConn keeps a connection for From; it is for an http.Server's ConnContext.
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, of(conn))
}

// From is the connection of a request, or nil where the listener divides nothing.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}
