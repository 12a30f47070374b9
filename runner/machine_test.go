package runner

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/solopod/solopod/runner/internal/testbox"
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
