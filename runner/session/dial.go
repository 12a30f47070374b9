package session

import (
	"context"
	"net"
	"strconv"

	"github.com/solopod/solopod/runner/namespace"
)

// Dial connects to a TCP port of a pod, in its own network. The caller must close the connection.
func (s *Sessions) Dial(ctx context.Context, ns, name string, port uint16) (net.Conn, error) {
	pod, err := s.Pod(ns, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if pod.Spec.HostNetwork {
		return dialLoopback(ctx, port)
	}
	var conn net.Conn
	err = namespace.InNetwork(s.dirs.NetworkNamespace(string(pod.UID)), func() (err error) {
		conn, err = dialLoopback(ctx, port)
		return err
	})
	return conn, err
}

// dialLoopback tries both families.
func dialLoopback(ctx context.Context, port uint16) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err == nil {
		return conn, nil
	}
	if conn, err6 := d.DialContext(ctx, "tcp", net.JoinHostPort("::1", strconv.Itoa(int(port)))); err6 == nil {
		return conn, nil
	}
	return nil, err // of the family that almost everybody uses
}
