package runner

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/resolver"
)

// What is known of the machine at the start need not be learned by every pod: its resolver configuration is, if it can be read.
func TestFirstLook(t *testing.T) {
	path := filepath.Join(testbox.Dir(t), "resolv.conf")
	m := &machine{resolver: resolver.New(path)}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if m.look(); m.now.Resolver != "" {
		t.Errorf("a directory says %q", m.now.Resolver)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if m.look(); m.now.Resolver != m.resolver.Read(t.Context()).Revision() {
		t.Errorf("it says %q", m.now.Resolver)
	}
}

// TestServeNames: pods are told when somebody answers for names, and when nobody does any more; while the machine's configuration cannot be
// read nothing changes for them.
func TestServeNames(t *testing.T) {
	path := filepath.Join(testbox.Dir(t), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var told []string
	m := &machine{resolver: resolver.New(path), tell: func(c state.HostChanged) { told = append(told, c.Resolver) }}
	m.look()
	r := &Naming{m, "cluster.local"}
	plain := m.now.Resolver
	serve := func(addrs ...netip.Addr) {
		t.Helper()
		if err := r.ServeNames(addrs); err != nil {
			t.Error(err)
		}
	}
	serve()
	if len(told) != 0 {
		t.Errorf("without a change they are told %q", told)
	}
	serve(netip.MustParseAddr("10.96.0.10"))
	serve(netip.MustParseAddr("10.96.0.10"))
	if len(told) != 1 || told[0] == plain || told[0] != m.resolver.Read(t.Context()).Revision() {
		t.Errorf("they are told %q; before it was %q", told, plain)
	}
	serve()
	if len(told) != 2 || told[1] != plain {
		t.Errorf("they are told %q; at first it was %q", told, plain)
	}
	told = nil
	unknown := &machine{resolver: resolver.New(filepath.Dir(path)), tell: m.tell}
	unknown.look()
	r.machine = unknown
	serve(netip.MustParseAddr("10.96.0.10"))
	if len(told) != 1 || told[0] != "" {
		t.Errorf("they are told %q", told)
	}
}
