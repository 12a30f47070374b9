package probe

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// asked is a connection on which nothing is heard before something was said. What comes unasked net/http takes for an answer on an idle
// connection: it writes it to the log of the process, some KiB of it at each probe, and the error says nothing of it.
type asked struct {
	net.Conn
	once sync.Once
	said chan struct{}
}

func newAsked(conn net.Conn) *asked { return &asked{Conn: conn, said: make(chan struct{})} }

func (a *asked) saying() { a.once.Do(func() { close(a.said) }) }

// Read waits for the first Write, or for Close: the transport closes what takes too long.
func (a *asked) Read(b []byte) (int, error) {
	<-a.said
	return a.Conn.Read(b)
}

func (a *asked) Write(b []byte) (int, error) {
	a.saying()
	return a.Conn.Write(b)
}

func (a *asked) Close() error {
	a.saying()
	return a.Conn.Close()
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newAsked(conn), nil
}

// dialTLS accepts any certificate, as transport says.
func dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, ServerName: host}) //nolint:gosec // see transport
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close() //nolint:errcheck // nothing was sent
		return nil, err
	}
	return newAsked(conn), nil
}
