package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/durable"
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

// An archive whose images were collected is not read again before somebody wants one of them, over a restart, too.
func TestCollected(t *testing.T) {
	l := openLedger(filepath.Join(t.TempDir(), "archives.json"))
	if err := l.note("/images/a.tar", watch.Version{Size: 1}, []string{"a:1", "a:2"}); err != nil {
		t.Fatal(err)
	}
	if err := l.note("/images/b.tar", watch.Version{Size: 1}, []string{"b:1"}); err != nil {
		t.Fatal(err)
	}
	if l.collect([]string{"none:1"}, "x") || !l.collect([]string{"a:2", "none:1"}, "x") {
		t.Error("what was noted is not what an archive has brought")
	}
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	l = openLedger(l.path)
	for name, want := range map[string]string{"a:2 x": "/images/a.tar", "a:1 x": "", "a:2 y": "", "b:1 x": ""} {
		path, found := l.collected(func(n, digest string) bool { return n+" "+digest == name })
		if path != want || found != (want != "") {
			t.Errorf("%s: %q, %t", name, path, found)
		}
	}
	if err := l.note("/images/a.tar", watch.Version{Size: 1}, []string{"a:1", "a:2"}); err != nil {
		t.Fatal(err)
	}
	if _, found := l.collected(func(string, string) bool { return true }); found {
		t.Error("what was imported anew counts as collected")
	}
}

// What is written last is the newest, also where a write takes long.
func TestNewestIsWrittenLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archives.json")
	synctest.Test(t, func(t *testing.T) {
		l := openLedger(path)
		release, writes := make(chan struct{}), atomic.Int32{}
		l.write = func(path string, data []byte, mode fs.FileMode) error {
			if writes.Add(1) == 1 {
				<-release
			}
			return durable.WriteFile(path, data, mode)
		}
		var noted sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			noted.Go(func() {
				if err := l.note("/images/"+name+".tar", watch.Version{Size: 1}, []string{name}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(release)
		noted.Wait()
		if got := openLedger(path).names("/images"); len(got) != 2 {
			t.Errorf("of two archives %q are written", got)
		}
		// Who waits for a write that hangs gives up.
		hangs := make(chan struct{})
		l.write = func(string, []byte, fs.FileMode) error { <-hangs; return nil }
		var first sync.WaitGroup
		first.Go(func() { _ = l.save() })
		synctest.Wait()
		if err := l.save(); !errors.Is(err, errWriting) {
			t.Error(err)
		}
		close(hangs)
		first.Wait()
	})
}
