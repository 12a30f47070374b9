package inspection

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What others could change or read of a box is found where the configuration says it is, each file of Solopod's by its name.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]os.FileMode{
		"root": 0o755, "root/pods": 0o755, "root/claims": 0o711, "root/checkpoints": 0o755, "root/tls": 0o750, "root/containerd": 0o777,
		"state": 0o755, "state/pods": 0o755, "state/seal": 0o755,
	} {
		if err := os.MkdirAll(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"keys", "configuration", "tokens", "authorities", "program"} {
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f := Look(t.Context(), Settings{
		"root": at("root"), "state": at("state"), "manifestKeyFile": at("keys"), "authTokenFile": at("tokens"), "clientCAFile": at("authorities"), "runtime": "none-such",
	}, at("configuration"), []string{at("program")})
	r := Judge(f, nil)
	for name, id := range map[string]string{
		"root/pods": "file-open", "root/claims": "file-open", "root/checkpoints": "file-open", "root/containerd": "file-writable", "state/pods": "file-open",
		"state/seal": "file-open", "keys": "file-writable", "configuration": "file-writable", "tokens": "file-writable", "authorities": "file-writable", "program": "file-writable",
	} {
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == id && strings.Contains(f.Subject, at(name)+" (") }) {
			t.Errorf("%s of %s is not found in %+v", id, name, r.Findings)
		}
	}
}
