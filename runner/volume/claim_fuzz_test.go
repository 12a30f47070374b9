package volume

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzClaim: whatever stands in the record of a claim, the claim is the one that was asked for, and its data stay where they are.
func FuzzClaim(f *testing.F) {
	for _, seed := range []string{
		`{"namespace":"default","name":"data","size":"1Gi"}`, "null", "", "[]", "{", "\x00\x00", `{"namespace":"../..","name":"/etc","path":"/etc","group":0}`,
		`{"group":-1}`, `{"createdAt":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	m := Manager{Claims: f.TempDir()}
	dir := filepath.Join(m.Claims, "default", "data")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o777); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, "claim.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it may be the one that was made anew
			c, err := m.claim("default", "data")
			if err != nil || c.Namespace != "default" || c.Name != "data" || c.Path != filepath.Join(dir, "data") {
				t.Fatalf("%+v, %v", c, err)
			}
		}
	})
}
