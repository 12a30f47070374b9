package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/solopod/solopod/manifests/source/watch"
)

// FuzzLedger: whatever stands in the list of imported archives, it is taken up or set aside, can be asked and be added to, and what is
// written then is read as it is.
func FuzzLedger(f *testing.F) {
	for _, seed := range []string{
		`{"/images/a.tar":{"size":1,"modified":2,"images":["a:1"]}}`, "null", "", "[]", `{"/images/a.tar":null}`, `{"/images/a.tar":{"images":null}}`,
		`{"":{"size":-1}}`, `{"../a":{"size":1e3}}`, "\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "archives.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLedger(path)
		known := l.names("/images")
		for _, name := range known {
			l.find("/images/"+name, watch.Version{})
		}
		v := watch.Version{Size: 3, Modified: 4, Inode: 5}
		if err := l.note("/images/new.tar", v, []string{"new:1"}); err != nil {
			t.Fatal(err)
		}
		again := openLedger(path)
		if e, ok := again.find("/images/new.tar", v); !ok || len(e.Images) != 1 || e.Images[0] != "new:1" {
			t.Fatalf("after %q the new entry is %+v, %t", data, e, ok)
		}
		if len(again.entries) != len(l.entries) {
			t.Fatalf("%d entries became %d", len(l.entries), len(again.entries))
		}
	})
}
