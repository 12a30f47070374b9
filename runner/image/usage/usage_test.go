package usage

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/runner/durable"
)

// at is a time of the tests, in minutes.
func at(minutes int) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(minutes) * time.Minute).UTC()
}

func opened(t *testing.T, path string) *Ledger {
	t.Helper()
	l := Open(path)
	l.moved = func() time.Duration { return 0 }
	return l
}

// same compares times, of which those of a file have lost their monotonic part.
func same(a, b Times) bool { return a.Came.Equal(b.Came) && a.Used.Equal(b.Used) && a.InUse == b.InUse }

func TestLook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.json")
	l := opened(t, path)
	look := func(when int, present map[string]bool, used map[string]time.Time, want map[string]Times) {
		t.Helper()
		got := l.Look(present, used, at(when))
		if len(got) != len(want) {
			t.Errorf("%d: %v, not %v", when, got, want)
		}
		for digest, w := range want {
			if !same(got[digest], w) {
				t.Errorf("%d: %s: %+v, not %+v", when, digest, got[digest], w)
			}
		}
	}
	look(0, map[string]bool{"a": false, "b": true}, nil, map[string]Times{"a": {Came: at(0)}, "b": {Came: at(0), Used: at(0), InUse: true}})
	// A use between two looks counts.
	look(10, map[string]bool{"a": false, "b": true, "c": false}, map[string]time.Time{"a": at(7)}, map[string]Times{
		"a": {Came: at(0), Used: at(7)}, "b": {Came: at(0), Used: at(10), InUse: true}, "c": {Came: at(10)},
	})
	l.Save()
	l = opened(t, path) // what was used until a restart was used until then
	look(20, map[string]bool{"a": false, "b": false, "c": false}, nil, map[string]Times{
		"a": {Came: at(0), Used: at(7)}, "b": {Came: at(0), Used: at(20)}, "c": {Came: at(10)},
	})
	look(30, map[string]bool{"b": false}, nil, map[string]Times{"b": {Came: at(0), Used: at(20)}})
	look(40, map[string]bool{"a": false}, nil, map[string]Times{"a": {Came: at(40)}}) // it is another one
	// A clock that is set moves the times along; one that begins in 1970 again does not make times of the future.
	l.moved = func() time.Duration { return time.Hour }
	look(105, map[string]bool{"a": false}, nil, map[string]Times{"a": {Came: at(100)}})
	l.moved = func() time.Duration { return 0 }
	look(-1000, map[string]bool{"a": false}, nil, map[string]Times{"a": {Came: at(-1000)}})
}

// While an image is used nothing is written, however often is looked.
func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.json")
	l := opened(t, path)
	writes := func(when int, present map[string]bool) bool {
		t.Helper()
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		l.Look(present, nil, at(when))
		l.Save()
		_, err := os.Stat(path)
		return err == nil
	}
	for i, c := range []struct {
		present map[string]bool
		want    bool
	}{
		{map[string]bool{"a": true}, true}, {map[string]bool{"a": true}, false}, {map[string]bool{"a": true}, false},
		{map[string]bool{"a": false}, true}, {map[string]bool{"a": false}, false}, {map[string]bool{"a": true}, true}, {nil, true}, {nil, false},
	} {
		if got := writes(i, c.present); got != c.want {
			t.Errorf("%d: %v: written: %t", i, c.present, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.json")
	for _, text := range []string{"{", "null", `{"a": 7}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := opened(t, path)
		if got := l.Look(map[string]bool{"a": false}, nil, at(0)); !same(got["a"], Times{Came: at(0)}) {
			t.Errorf("%s: %v", text, got)
		}
	}
	// What cannot be written is known nevertheless, and written later.
	l := opened(t, filepath.Join(path, "none", "images.json"))
	l.Look(map[string]bool{"a": false}, nil, at(0))
	l.Save()
	if got := l.Look(map[string]bool{"a": false}, nil, at(5)); !same(got["a"], Times{Came: at(0)}) || !l.unsaved {
		t.Errorf("%v", got)
	}
}

// What is written last is the newest, also where a write takes long.
func TestNewestIsWrittenLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.json")
	synctest.Test(t, func(t *testing.T) {
		l := opened(t, path)
		release, writes := make(chan struct{}), atomic.Int32{}
		l.write = func(path string, data []byte, mode fs.FileMode) error {
			if writes.Add(1) == 1 {
				<-release
			}
			return durable.WriteFile(path, data, mode)
		}
		var saved sync.WaitGroup
		for _, present := range []map[string]bool{{"a": false}, {"a": false, "b": false}} {
			l.Look(present, nil, at(0))
			saved.Go(l.Save)
			synctest.Wait()
		}
		close(release)
		saved.Wait()
		if got := opened(t, path).entries; len(got) != 2 {
			t.Errorf("of two images %v are written", got)
		}
	})
}
