package oom

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// instances counts this process's inotify instances.
func instances(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.Contains(target, "inotify") {
			n++
		}
	}
	return n
}

// noGoroutines fails when some of this package's are left; one that has told of its end may still be on its way out.
func noGoroutines(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		var b strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "oom.(*changes)") && !strings.Contains(b.String(), "oom.(*Watcher)") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutines are left:\n%s", b.String())
		}
	}
}

func told(c <-chan struct{}) (open, ok bool) {
	select {
	case _, open = <-c:
		return open, true
	case <-time.After(10 * time.Second):
		return false, false
	}
}

// Many files need one instance, each change is told to whom it concerns, and nothing is left afterwards.
func TestChanges(t *testing.T) {
	dir, h, before := t.TempDir(), &changes{}, instances(t)
	const count = 300
	path := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	write := func(n int) {
		t.Helper()
		if err := os.WriteFile(path(n), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var changed []<-chan struct{}
	var leave []func()
	add := func(n int) {
		c, l, err := h.watch(path(n))
		if err != nil {
			t.Fatal(err)
		}
		changed, leave = append(changed, c), append(leave, l)
	}
	for n := range count {
		write(n)
		add(n)
	}
	add(0) // a second one who waits for the same file
	if now := instances(t); now != before+1 {
		t.Errorf("%d instances are open, not one", now-before)
	}
	for _, n := range []int{0, 7} {
		write(n)
	}
	for _, n := range []int{0, count, 7} {
		if open, ok := told(changed[n]); !open || !ok {
			t.Errorf("watch %d is not told of a change", n)
		}
	}
	if err := os.Remove(path(5)); err != nil {
		t.Fatal(err)
	}
	if open, ok := told(changed[5]); open || !ok {
		t.Error("the watch of a file that is gone is not told")
	}
	for n, c := range changed[8:count] {
		select {
		case <-c:
			t.Errorf("watch %d is told of what does not concern it", n)
		default:
		}
	}
	if _, _, err := h.watch(path(count)); err == nil {
		t.Error("a file that does not exist can be watched")
	}
	leave[0]() // the other one who waits for the file stays
	write(0)
	if open, ok := told(changed[count]); !open || !ok {
		t.Error("a watch ended with another one")
	}
	for _, l := range leave {
		l()
		l() // it can be repeated
	}
	if now := instances(t); now != before {
		t.Errorf("%d instances are left", now-before)
	}
	noGoroutines(t)
	// It begins anew.
	again, end, err := h.watch(path(7))
	if err != nil {
		t.Fatal(err)
	}
	write(7)
	if open, ok := told(again); !open || !ok {
		t.Error("a new beginning is not told of changes")
	}
	end()
	noGoroutines(t)
}

// Where no instance can be had, that is said, and nothing breaks.
func TestNoInstances(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3 // those that every process has are open
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	h := &changes{}
	_, _, err := h.watch("/")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err == nil || !strings.Contains(err.Error(), "max_user_instances") {
		t.Errorf("without descriptors: %v", err)
	}
	_, leave, err := h.watch("/")
	if err != nil {
		t.Fatal(err)
	}
	leave()
	noGoroutines(t)
}
