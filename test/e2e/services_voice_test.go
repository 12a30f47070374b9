package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// spaceOf is the network namespace of a pod's container.
func (b *box) spaceOf(p *v1.Pod) string { return fmt.Sprintf("/proc/%d/ns/net", b.pid(p, "main")) }

// speak answers each line that comes by TCP, and each packet of UDP, with a name and who has asked, in a network namespace, until the test ends.
func speak(t *testing.T, space, name, address string) {
	t.Helper()
	connections(t, space, address, func(c net.Conn) {
		for s := bufio.NewScanner(c); s.Scan(); {
			if _, err := fmt.Fprintln(c, name, who(c.RemoteAddr())); err != nil {
				return
			}
		}
	})
	packets(t, space, address, func(_ []byte, from net.Addr) []byte { return fmt.Appendln(nil, name, who(from)) })
}

// who is an address without its port.
func who(a net.Addr) netip.Addr { return netip.MustParseAddrPort(a.String()).Addr().Unmap() }

// call is a connection from a network namespace.
func call(space, network, address string) (net.Conn, error) {
	return inSpace(space, func() (net.Conn, error) { return net.DialTimeout(network, address, 2*time.Second) })
}

// asked asks by a connection who is at its other end, and whom that sees.
func asked(c net.Conn) (name, from string, err error) {
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", "", err
	}
	if _, err = io.WriteString(c, "who\n"); err != nil {
		return "", "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	name, from, _ = strings.Cut(strings.TrimSpace(line), " ")
	return name, from, err
}

// reaches asks, by new connections, until each of those that should answer has, and no other one. Each of them must see the client at an
// address that seen allows.
func reaches(space, network, address string, seen []string, names ...string) error {
	missing := slices.Clone(names)
	for range 60 {
		c, err := call(space, network, address)
		if err != nil {
			return err
		}
		name, from, err := asked(c)
		c.Close()
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", network, address, err)
		case !slices.Contains(names, name):
			return fmt.Errorf("%s %s: %q answers", network, address, name)
		case seen != nil && !slices.Contains(seen, from):
			return fmt.Errorf("%s %s: %s sees %s as its client, not %v", network, address, name, from, seen)
		}
		if missing = slices.DeleteFunc(missing, func(n string) bool { return n == name }); len(missing) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s %s: %v do not answer", network, address, missing)
}

// refuses says whether a connection is refused, at once.
func refuses(space, network, address string) error {
	begun := time.Now()
	c, err := call(space, network, address)
	if err == nil {
		defer c.Close()
		_, _, err = asked(c)
	}
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EPERM) { // the latter is what a sender on the machine itself gets
		return fmt.Errorf("%s %s is not refused: %w", network, address, err)
	}
	if took := time.Since(begun); took > time.Second {
		return fmt.Errorf("%s %s: it took %s to be refused", network, address, took)
	}
	return nil
}

// at joins an address and a port.
func at(ip string, port int32) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

// addresses are those of a pod.
func addresses(p *v1.Pod) (out []string) {
	for _, ip := range p.Status.PodIPs {
		out = append(out, ip.IP)
	}
	return out
}
