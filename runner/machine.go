package runner

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/resolver"
)

// machine knows what of the machine can change while pods run: its addresses and its resolver configuration.
type machine struct {
	addresses host.Addresses
	resolver  *resolver.Resolver
	events    *event.Log
	tell      func(state.HostChanged) // it must not block

	mu  sync.Mutex
	now state.HostChanged
}

// firstLook is how long the machine may take to tell of itself at the start; it takes milliseconds.
const firstLook = 2 * time.Second

// look finds what the machine has at the start. Others are learned later.
func (m *machine) look() {
	ctx, cancel := context.WithTimeout(context.Background(), firstLook)
	defer cancel()
	if found := m.resolver.Read(ctx); found.Known() {
		m.now.Resolver = found.Revision()
	}
	found := make(chan []netip.Addr, 1)
	go func() { // left behind when it hangs
		ips, _, err := m.addresses.Look()
		if err != nil {
			slog.Warn("the machine's addresses are not known yet", "err", err)
		}
		found <- ips
	}()
	select {
	case ips := <-found:
		m.now.IPs = texts(ips)
	case <-ctx.Done():
		slog.Warn("the kernel does not tell the machine's addresses; pods that show them wait")
	}
}

// ips are the machine's addresses.
func (m *machine) ips() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.IPs
}

// change changes what is known, and tells the pods, in order.
func (m *machine) change(what func(*state.HostChanged)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	what(&m.now)
	m.tell(m.now)
}

// watchAddresses tells of changes until ctx ends.
func (m *machine) watchAddresses(ctx context.Context) {
	var known []netip.Addr
	for _, ip := range m.ips() {
		known = append(known, netip.MustParseAddr(ip))
	}
	if len(known) == 0 && len(m.addresses.Fixed) == 0 {
		m.events.Node(v1.EventTypeWarning, "NodeIPUnknown", "the machine has no address yet; containers that show it wait until it has one")
	}
	m.addresses.Watch(ctx, known, func(ips []netip.Addr) {
		is, was := texts(ips), m.ips()
		if slices.Equal(is, was) {
			return
		}
		message := "the machine's address is " + strings.Join(is, ", ")
		if len(was) > 0 {
			message += fmt.Sprintf(" (it was %s); what runs keeps its environment", strings.Join(was, ", "))
		}
		m.events.Node(v1.EventTypeNormal, "NodeIPChanged", message)
		m.change(func(c *state.HostChanged) { c.IPs = is })
	}, func(missing netip.Addr) {
		m.events.Node(v1.EventTypeWarning, "NodeIPMissing", fmt.Sprintf(
			"nodeIP %s is no address of this machine; containers that show it wait until it is (give the machine that address, or change the setting)", missing))
	})
}

// watchResolver tells of changes until ctx ends.
func (m *machine) watchResolver(ctx context.Context) {
	m.resolver.Watch(ctx, func(found resolver.Found) {
		if found.Problem != "" {
			m.events.Node(v1.EventTypeWarning, "NoNameserver", found.Problem)
		}
		if found.Note != "" {
			m.events.Node(v1.EventTypeNormal, "LocalNameserver", found.Note)
		}
		m.resolverChanged()
	})
}

// resolverChanged tells what follows for pods from what was read last and who answers for the names of services: both may have changed
// meanwhile.
func (m *machine) resolverChanged() {
	m.change(func(c *state.HostChanged) {
		if found := m.resolver.Last(); found.Known() {
			c.Resolver = found.Revision()
		}
	})
}

func texts(ips []netip.Addr) (out []string) {
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}
