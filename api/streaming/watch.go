package streaming

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
)

// watcher is a ResponseWriter whose connection, once it was taken over, ends a context when the client is gone: neither SPDY's
// nor the WebSocket's library tells.
type watcher struct {
	http.ResponseWriter
	lost context.CancelFunc
}

// Hijack implements http.Hijacker.
func (w watcher) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hijacker, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("this connection cannot be taken over")
	}
	conn, rw, err := hijacker.Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What the server has read ahead comes first.
	ahead, err := rw.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	watched := watchedConn{conn, w.lost}
	reader := bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), watched))
	return watched, bufio.NewReadWriter(reader, bufio.NewWriter(watched)), nil
}

type watchedConn struct {
	net.Conn
	lost context.CancelFunc
}

func (c watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.lost()
	}
	return n, err
}

// Close implements net.Conn. SPDY's library reads no more once the client has said that it goes, and closes the connection then.
func (c watchedConn) Close() error {
	c.lost()
	return c.Conn.Close()
}
