package network

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/served"
)

// Connections are made without a pause while an endpoint comes and goes: none falls between what was before and what is after.
func TestServeChangesRefuseNobody(t *testing.T) {
	m := newMachine(t, true, false, nil)
	client, pods := m.attach("client"), []*pod{m.attach("one"), m.attach("two")}
	var listeners []int
	for _, p := range pods {
		in(t, p.space, func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return err
			}
			t.Cleanup(func() { unix.Close(fd) })
			listeners = append(listeners, fd)
			return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: 8080}), unix.Listen(fd, 64))
		})
	}
	for name, affinity := range map[string]time.Duration{"any": 0, "the same": time.Hour} {
		t.Run(name, func(t *testing.T) {
			service := func(pods ...*pod) served.Service {
				p := served.Port{Protocol: v1.ProtocolTCP, Port: 80}
				for _, to := range pods {
					p.Targets = append(p.Targets, served.Target{Addr: netip.MustParseAddr(ofFamily(to, here4)), Port: 8080})
				}
				return served.Service{Namespace: "default", Name: "web", ClusterIPs: addrs(web4), Ports: []served.Port{p}, Affinity: affinity}
			}
			m.serveServices(service(pods...))
			stop, ended := make(chan struct{}), make(chan error, 1)
			made := 0
			go func() {
				ended <- within(client.space, func() error {
					for ; ; made++ {
						select {
						case <-stop:
							return nil
						default:
						}
						if err := connectOnce(web4, 80); err != nil {
							return fmt.Errorf("connection %d: %w", made, err)
						}
						for _, fd := range listeners {
							if taken, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
								unix.Close(taken)
							}
						}
					}
				})
			}()
			changes := 0
			for until := time.Now().Add(3 * time.Second); time.Now().Before(until) && len(ended) == 0; changes++ {
				m.serveServices(service([][]*pod{pods[:1], pods, pods[1:], pods}[changes%4]...))
			}
			close(stop)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			t.Logf("%d connections, %d changes", made, changes)
		})
	}
	m.serveServices()
}

// connectOnce makes a connection and resets it.
func connectOnce(ip string, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(ip).As4()})
	for errors.Is(err, unix.EINTR) || errors.Is(err, unix.EALREADY) { // Go's runtime interrupts threads; the connection goes on
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(ip).As4()})
	}
	if errors.Is(err, unix.EISCONN) {
		return nil
	}
	return err
}
