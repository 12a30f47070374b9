package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/solopod/solopod/runner/names/forward"
	"github.com/solopod/solopod/runner/rescue"
)

// Bounds of connections.
const (
	maxStreams       = 256
	maxClientStreams = 32 // of one client
	maxPipelined     = 16 // queries of a connection that are not answered yet
	idleLimit        = 10 * time.Second
	writeLimit       = 2 * time.Second
)

// streams are the connections of clients.
type streams struct {
	s   *Server
	f   *forward.Forwarder
	all sync.WaitGroup

	mu      sync.Mutex
	open    int
	clients map[netip.Addr]int
}

func newStreams(s *Server, f *forward.Forwarder) *streams {
	return &streams{s: s, f: f, clients: map[netip.Addr]int{}}
}

func (t *streams) wait() { t.all.Wait() }

// accept serves the connections of a socket.
func (t *streams) accept(ctx context.Context, l *net.TCPListener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		_ = l.SetDeadline(time.Time{})
	}()
	for {
		conn, err := l.AcceptTCP()
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("cannot answer DNS on %s any more: %w", l.Addr(), err)
		case err != nil:
			if !pause(ctx) {
				return nil
			}
			continue
		}
		client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if !t.enter(client) {
			_ = conn.Close()
			continue
		}
		t.all.Go(func() {
			defer t.leave(client)
			_ = rescue.Do("answer DNS queries of a connection", func() error { t.serve(ctx, conn, client); return nil }) // rescue logs it
		})
	}
}

func (t *streams) enter(client netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= maxStreams || t.clients[client] >= maxClientStreams {
		return false
	}
	t.open++
	t.clients[client]++
	return true
}

func (t *streams) leave(client netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	if t.clients[client]--; t.clients[client] == 0 {
		delete(t.clients, client)
	}
}

// serve answers the queries of a connection, each as soon as its answer is known (RFC 7766, 6.2.1.1).
func (t *streams) serve(ctx context.Context, conn *net.TCPConn, client netip.Addr) {
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	p, stop := newPipeline(), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { p.write(conn, stop) })
	defer writer.Wait()
	defer close(stop)
	last := newLast(ctx, conn)
	defer last.stop()
	for p.enter(1) {
		query, err := last.read()
		if err != nil {
			<-p.room
			break
		}
		var replied atomic.Bool
		reply := func(b []byte) {
			if !replied.Swap(true) {
				p.answers <- b
			}
		}
		if err := rescue.Do("answer a DNS query", func() error { t.s.answer(t.f, query, client, true, reply); return nil }); err != nil {
			reply(nil)
			break
		}
	}
	p.enter(maxPipelined) // all have been answered
}

// answerLimit is how long the answer to a query is waited for. The forwarder gives up sooner, and a client that takes no answers is given up.
const answerLimit = 10 * time.Second

// pipeline has the answers of a connection.
type pipeline struct {
	answers chan []byte
	room    chan struct{} // is taken by queries that are not answered: as many answers fit into the other channel
}

func newPipeline() pipeline {
	return pipeline{make(chan []byte, maxPipelined), make(chan struct{}, maxPipelined)}
}

// enter waits for room for some queries. It is false when a query was not answered within the limit.
func (p pipeline) enter(queries int) bool {
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	for range queries {
		select {
		case p.room <- struct{}{}:
		case <-limit.C:
			return false
		}
	}
	return true
}

// write writes answers until it is to stop.
func (p pipeline) write(conn net.Conn, stop <-chan struct{}) {
	for {
		select {
		case b := <-p.answers:
			if b != nil && !write(conn, b) {
				_ = conn.Close() // nobody takes the answers
			}
			<-p.room
		case <-stop:
			return
		}
	}
}

func write(conn net.Conn, b []byte) bool {
	_ = conn.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b))), b...))
	return err == nil
}

var errLong = errors.New("the query is too long")

// last reads a connection's queries until the context ends, and then the one that is on its way: a client that has just connected has
// written, or is about to, and nobody else can answer on this connection.
type last struct {
	conn *net.TCPConn
	stop func() bool

	mu    sync.Mutex
	idle  bool // between two queries
	ended bool
}

// newLast begins with a connection from which the first query is still to come.
func newLast(ctx context.Context, conn *net.TCPConn) *last {
	l := &last{conn: conn}
	l.stop = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended = true
		l.limit()
	})
	return l
}

// limit says until when is read. l.mu is held.
func (l *last) limit() {
	at := time.Now().Add(idleLimit)
	switch {
	case l.ended && l.idle:
		at = time.Unix(1, 0)
	case l.ended:
		at = time.Now().Add(drainLimit)
	}
	_ = l.conn.SetReadDeadline(at)
}

// becomes notes whether the connection is between two queries.
func (l *last) becomes(idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = idle
	l.limit()
}

// read reads a query.
func (l *last) read() ([]byte, error) {
	defer l.becomes(true)
	l.mu.Lock()
	l.limit()
	l.mu.Unlock()
	var size [2]byte
	if _, err := io.ReadFull(l.conn, size[:1]); err != nil {
		return nil, err
	}
	l.becomes(false)
	if _, err := io.ReadFull(l.conn, size[1:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxQuery {
		return nil, errLong
	}
	query := make([]byte, n)
	_, err := io.ReadFull(l.conn, query)
	return query, err
}
