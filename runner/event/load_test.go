package event

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: whatever stands in the file of events, the store takes up events alone, no more of them than it keeps, and what it writes
// anew is read as just those.
func FuzzLoad(f *testing.F) {
	const good = `{"kind":"Event","apiVersion":"v1","metadata":{"name":"a.1","namespace":"default"},"lastTimestamp":"2026-01-01T00:00:00Z","count":1}` + "\n"
	for _, seed := range []string{
		good, good + `{"kind":"Event"`, "\x00\x00\n" + good, "[]\nnull\n{}\n", "", "\n", good + good,
		`{"kind":"Event","apiVersion":"v1","metadata":{"name":"b"},"lastTimestamp":"9999-12-31T23:59:59Z","count":-1,"series":{}}` + "\n",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newStore(filepath.Join(dir, "memory"), filepath.Join(dir, "disk"))
		for _, path := range []string{s.memory, s.disk} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		list, ofBoot := s.load()
		if len(list) > maxEvents || len(ofBoot) > len(list) {
			t.Fatalf("%d events, %d of this boot", len(list), len(ofBoot))
		}
		text := lines(list) // an event whose time has no text is left out
		if err := os.WriteFile(s.disk, text, 0o600); err != nil {
			t.Fatal(err)
		}
		again, whole, err := read(s.disk)
		if err != nil || !whole || len(again) != bytes.Count(text, []byte("\n")) {
			t.Fatalf("%d events became %d, whole %t, %v:\n%s", len(list), len(again), whole, err, text)
		}
	})
}
