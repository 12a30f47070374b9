package pull

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// quietLimit is how long a connection may bring no byte while one is waited for: for an answer, or within it. It is longer than a
// registry takes to look up a large image, and shorter than an operator's patience. A pull that gets bytes goes on, however slow.
const quietLimit = time.Minute

// Limits for the beginning of a connection, as the HTTP client of containerd has them.
const (
	dialLimit      = 30 * time.Second
	handshakeLimit = 10 * time.Second
	idleLimit      = 30 * time.Second
)

// ErrStalled says that a registry has sent nothing for too long: the link is lost, or the registry hangs.
var ErrStalled = errors.New("the connection is stalled")

// newClient makes a client whose connections fail when they bring nothing for quiet.
func newClient(quiet time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &conn{Conn: c, quiet: quiet}, nil
		},
		TLSHandshakeTimeout:   handshakeLimit,
		IdleConnTimeout:       idleLimit,
		ExpectContinueTimeout: 5 * time.Second,
		MaxIdleConns:          10,
	}}
}

// conn is a connection with a limit on each read and each write. Nobody reads from it while the disk takes what has come, so that a
// slow disk is not taken for a stalled link.
type conn struct {
	net.Conn
	quiet time.Duration
}

func (c *conn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.quiet)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	return n, c.stalled(err, "sent")
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.quiet)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	return n, c.stalled(err, "taken")
}

func (c *conn) stalled(err error, verb string) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %s has %s no byte for %s", ErrStalled, c.RemoteAddr(), verb, c.quiet)
}
