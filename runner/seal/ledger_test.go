package seal

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// The key lives from the first container that needs it to the last.
func TestLedger(t *testing.T) {
	s := newStore(t, onDisk(t))
	there := func() bool { _, err := os.Lstat(keyFile(s.dir)); return err == nil }
	l := NewLedger(s)
	l.Begin(nil, false)
	l.Forget("unknown")
	if there() {
		t.Fatal("there is a key that nobody needs")
	}
	take := func(l *Ledger, id string) []string {
		t.Helper()
		key, path, err := l.Take(id, "runc")
		if err != nil || path != filepath.Join(s.dir, "runtimes/runc") {
			t.Fatalf("%s: %s, %v", id, path, err)
		}
		env, err := key.Seal(Process{Env: []string{"ID=" + id}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
	a := take(l, "a")
	take(l, "b")
	l.Forget("a")
	if p, ok := l.Open("a", a); !there() || !ok || p.Env[0] != "ID=a" {
		t.Errorf("the key went before the last: %v, %t", p, ok)
	}

	// A restart of the daemon; also one that finds the links gone, or does not know what there is.
	if err := os.Remove(filepath.Join(s.dir, "runtimes/runc")); err != nil {
		t.Fatal(err)
	}
	l = NewLedger(s)
	l.Begin(map[string]string{"b": "runc", "former": ""}, false)
	if _, err := os.Lstat(filepath.Join(s.dir, "runtimes/runc")); err != nil {
		t.Errorf("the shim does not find the runtime: %v", err)
	}
	l.Forget("b")
	if !there() {
		t.Error("the key went before one that was sealed later")
	}
	l.Forget("former")
	if there() {
		t.Error("the key has outlived the last")
	}
	if _, ok := l.Open("a", a); ok {
		t.Error("it can still be opened")
	}
	take(l, "c")
	if _, ok := l.Open("a", a); ok {
		t.Error("the same key is back")
	}
	unclear := NewLedger(s)
	unclear.Begin(nil, true)
	if !there() {
		t.Error("the key went although there may be more")
	}
	NewLedger(s).Begin(nil, false)
	if there() {
		t.Error("a start has left a key that nobody needs")
	}
	if _, _, err := NewLedger(nil).Take("d", "runc"); err == nil {
		t.Error("sealed without a store")
	}
}

// Containers that come and go at the same time: who has taken the key can use it.
func TestLedgerAtOnce(t *testing.T) {
	l := NewLedger(newStore(t, onDisk(t)))
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			id := string(rune('A' + i))
			for range 20 {
				key, _, err := l.Take(id, "runc")
				if err != nil {
					t.Error(err)
					return
				}
				env, _ := key.Seal(Process{Args: []string{id}}, nil)
				if p, ok := l.Open(id, env); !ok || p.Args[0] != id {
					t.Errorf("%s cannot be opened", id)
				}
				l.Forget(id)
			}
		})
	}
	group.Wait()
	if _, err := os.Lstat(l.store.dir); !os.IsNotExist(err) {
		t.Errorf("after the last: %v", err)
	}
}
