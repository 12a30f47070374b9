package network

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// Rules that could not be written are written with the next call, also when that has nothing of its own to change.
func TestForwardAgain(t *testing.T) {
	var kernel []string
	var broken error
	n := New(Config{Bridge: "none"})
	n.write = func(_ string, pods map[string]forward) error {
		if broken == nil {
			kernel = slices.Sorted(maps.Keys(pods))
		}
		return broken
	}
	ports := forward{IPs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Ports: []Port{{HostPort: 80, ContainerPort: 80, Protocol: "TCP"}}}
	if err := errors.Join(n.forward("a", ports), n.forward("b", ports)); err != nil || !slices.Equal(kernel, []string{"a", "b"}) {
		t.Fatalf("%v, %v", kernel, err)
	}
	broken = errors.New("no memory")
	if err := n.forward("a", forward{}); !errors.Is(err, broken) {
		t.Fatalf("the error is %v", err)
	}
	broken = nil
	if err := n.forward("a", forward{}); err != nil || !slices.Equal(kernel, []string{"b"}) {
		t.Errorf("the kernel forwards to %v, %v", kernel, err)
	}
	kernel = nil
	if err := n.forward("c", forward{}); err != nil || kernel != nil {
		t.Errorf("rules are written without a change: %v, %v", kernel, err)
	}
}

// What happens before anybody listens is told when somebody does.
func TestToldLate(t *testing.T) {
	m := newMachine(t, true, true, nil)
	for range mostUntold + 1 {
		m.say(Blocked, "early")
	}
	m.watching()
	eventually(t, 3*time.Second, "it is told", func() bool { return m.said("early") })
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := strings.Count(strings.Join(m.told, " "), "early"); n > mostUntold {
		t.Errorf("%d are kept", n)
	}
}
