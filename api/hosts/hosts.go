// Package hosts says which names a client may call this machine by. A browser sends the name of the page's site as Host: a site whose
// name leads to this machine (DNS rebinding) is found out by it, and cannot use what its visitor can reach.
package hosts

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
)

// Machine is what this machine may be called. The zero value is localhost and what the kernel and /etc/hosts say.
type Machine struct {
	// Node is the machine's name in status and events.
	Node string
	// Allowed are more names and addresses; *.example.com are all names that end so.
	Allowed []string

	told refused
}

// Check says what is wrong with a setting of allowed names.
func Check(allowed []string) error {
	for _, name := range allowed {
		_, err := netip.ParseAddr(name)
		bare := strings.TrimPrefix(name, "*.")
		if problems := validation.IsDNS1123Subdomain(strings.ToLower(bare)); err != nil && len(problems) > 0 {
			return fmt.Errorf("allowedHosts: %q is not a name like box.example.com or *.example.com, nor an address, without a port", name)
		}
	}
	return nil
}

// Local is how a unix socket may be called: it has no name, so that most do. But a browser may reach it through ssh -L or the like, and
// sends there the name of its page.
func (m *Machine) Local(r *http.Request) error {
	host := name(r.Host)
	if host == "" || !strings.ContainsAny(host, ".:") { // no site of the internet has such a name
		return nil
	}
	return m.of(r.Host, nil, nil)
}

// Port is how a port may be called, of whose connection local is this end. certificate, if there is one, has more names.
func (m *Machine) Port(r *http.Request, local net.Addr, certificate *x509.Certificate) error {
	return m.of(r.Host, local, certificate)
}

func (m *Machine) of(host string, local net.Addr, certificate *x509.Certificate) error {
	if m.is(name(host), local, certificate) {
		return nil
	}
	if len(host) > longest {
		host = host[:longest]
	}
	m.told.tell(host)
	return fmt.Errorf("%q is no name or address of this machine: use one that is, or name it in allowedHosts in the configuration", host)
}

// name is a Host header without port, brackets, a last dot and upper case; empty for none.
func name(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (m *Machine) is(host string, local net.Addr, certificate *x509.Certificate) bool {
	if host == "" { // HTTP/1.0, which no browser speaks
		return true
	}
	if m.allows(host) || certificate != nil && certificate.VerifyHostname(host) == nil {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return isLocal(addr.Unmap().WithZone(""), local)
	}
	return isName(host, m.Node)
}

func (m *Machine) allows(host string) bool {
	addr, none := netip.ParseAddr(host)
	return slices.ContainsFunc(m.Allowed, func(allowed string) bool {
		if a, err := netip.ParseAddr(allowed); err == nil && none == nil { // of IPv6 there are many spellings
			return a.Unmap() == addr.Unmap()
		}
		if end, ok := strings.CutPrefix(strings.ToLower(allowed), "*"); ok {
			return strings.HasSuffix(host, end)
		}
		return host == strings.ToLower(allowed)
	})
}

// isLocal: the address is the one that the client has reached, or another one of this machine.
func isLocal(addr netip.Addr, local net.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	if tcp, ok := local.(*net.TCPAddr); ok && tcp.AddrPort().Addr().Unmap().WithZone("") == addr {
		return true
	}
	return host.HasAddress(addr)
}

// isName: localhost, the machine's name or the node's, short or whole.
func isName(host, node string) bool {
	if host == "localhost" {
		return true
	}
	kernel, err := os.Hostname()
	if err != nil {
		slog.Debug("cannot find the machine's name", "err", err)
	}
	for _, own := range []string{node, kernel} {
		own = strings.ToLower(strings.TrimSuffix(own, "."))
		short, _, _ := strings.Cut(own, ".")
		if host == own || host == short {
			return host != ""
		}
		if short != "" && strings.HasPrefix(host, short+".") && slices.Contains(aliases(own), host) {
			return true
		}
	}
	return false
}

// maxHosts bounds /etc/hosts, in bytes.
const maxHosts = 1 << 20

// aliases are the names that /etc/hosts gives for a name of this machine: its name with a domain, as hostname -f finds it.
func aliases(own string) []string {
	data, err := foreign.ReadFollowing("/etc/hosts", maxHosts)
	if err != nil {
		slog.Debug("cannot look for the machine's names", "err", err)
		return nil
	}
	return aliasesIn(data, own)
}

func aliasesIn(data []byte, own string) (out []string) {
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line, _, _ := strings.Cut(strings.ToLower(lines.Text()), "#")
		if fields := strings.Fields(line); len(fields) > 1 && slices.Contains(fields[1:], own) {
			out = append(out, fields[1:]...)
		}
	}
	return out
}

const (
	// longest name that is repeated.
	longest = 253
	// mostTold bounds how many names are told of: anybody can send some.
	mostTold = 16
)

// refused tells each name once.
type refused struct {
	mu    sync.Mutex
	names map[string]bool
}

func (r *refused) tell(host string) {
	if r.isNew(host) {
		slog.Warn("a request was refused: it calls this machine by a name that it does not know; allowedHosts in the configuration names more", "host", host)
	}
}

func (r *refused) isNew(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[host] || len(r.names) >= mostTold {
		return false
	}
	if r.names == nil {
		r.names = map[string]bool{}
	}
	r.names[host] = true
	return true
}
