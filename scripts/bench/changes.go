package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// readiness answers the probe of a pod as it is told.
type readiness struct {
	server http.Server
	port   int

	mu    sync.Mutex
	ready bool
	told  chan time.Time // the next answer after set
}

func newReadiness(space string) (*readiness, error) {
	r := &readiness{ready: true}
	r.server.Handler = r
	r.server.ReadHeaderTimeout = patience
	var l net.Listener
	err := within(space, func() (err error) {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
		return err
	})
	if err != nil {
		return nil, err
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	go r.server.Serve(l) //nolint:errcheck // until it is closed
	return r, nil
}

func (r *readiness) end() {
	r.server.Close()
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Now()
	if !r.ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.told != nil {
		r.told <- at
		r.told = nil
	}
}

// set changes the answer, and returns when it was given first.
func (r *readiness) set(ready bool) (time.Time, error) {
	told := make(chan time.Time, 1)
	r.mu.Lock()
	r.ready, r.told = ready, told
	r.mu.Unlock()
	select {
	case at := <-told:
		return at, nil
	case <-time.After(patience):
		return time.Time{}, errors.New("nobody probes the pod")
	}
}

// monitor hears of changes of the kernel's table of services.
type monitor struct {
	changes chan time.Time
	cancel  context.CancelFunc
	ended   chan struct{}
}

func newMonitor(space string) (*monitor, error) {
	var fd int
	err := within(space, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		return errors.Join(
			unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)}),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}))
	})
	if err != nil {
		return nil, fmt.Errorf("cannot hear of changes of nftables: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &monitor{changes: make(chan time.Time, 1<<16), cancel: cancel, ended: make(chan struct{})}
	go m.listen(ctx, fd)
	return m, nil
}

func (m *monitor) end() {
	m.cancel()
	<-m.ended
}

func (m *monitor) listen(ctx context.Context, fd int) {
	defer close(m.ended)
	defer unix.Close(fd)
	for buffer := make([]byte, 1<<16); ctx.Err() == nil; {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if at := time.Now(); err == nil && changesServices(buffer[:n]) {
			m.changes <- at
		}
	}
}

// changesServices: elements of a set of services' table come or go.
func changesServices(messages []byte) bool {
	for len(messages) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(messages))
		if size < unix.SizeofNlMsghdr || size > len(messages) {
			return false
		}
		kind := binary.NativeEndian.Uint16(messages[4:])
		elements := kind == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM || kind == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELSETELEM
		if elements && bytes.Contains(messages[:size], []byte("-services\x00")) {
			return true
		}
		messages = messages[min((size+3)&^3, len(messages)):]
	}
	return false
}

// drain forgets earlier changes.
func (m *monitor) drain() {
	for {
		select {
		case <-m.changes:
		case <-time.After(300 * time.Millisecond): // nothing more comes of what was before
			return
		}
	}
}

// next is the first change after a moment.
func (m *monitor) next(from time.Time) (time.Time, error) {
	for limit := time.After(patience); ; {
		select {
		case at := <-m.changes:
			if at.After(from) {
				return at, nil
			}
		case <-limit:
			return time.Time{}, fmt.Errorf("the kernel's table has not changed within %s", patience)
		}
	}
}
