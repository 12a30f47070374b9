package remote

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

// wrap makes a transport fail when it brings nothing for too long, and go on where it can.
func (r *Registries) wrap(t *http.Transport) http.RoundTripper {
	dial := t.DialContext
	t.ResponseHeaderTimeout = 0 // the connection has its own limit
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if _, ok := c.(*conn); ok { // containerd clones transports
			return c, nil
		}
		return &conn{Conn: c, quiet: r.quiet}, nil
	}
	return &transport{next: t, pauses: r.pauses, quiet: r.quiet}
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
