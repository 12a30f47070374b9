package keep

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/internal/testbox"
)

var program string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == serverName {
		serverMain(os.Args[1])
	}
	dir, err := os.MkdirTemp("", "keep")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "solopod-keep")
	if out, err := exec.Command("go", "build", "-o", program, "./solopod-keep").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("cannot build the keeper: %v\n%s", err, out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// fill makes a FIFO with content that only a keeper can keep, has it held, and closes it.
func fill(t *testing.T, k *Keeper, path, content string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	k.Hold(path, []File{{path, unix.O_RDONLY}})
}

// content reads what a FIFO holds.
func content(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	b := make([]byte, 100)
	n, err := unix.Read(fd, b)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return string(b[:max(n, 0)])
}

// workdir is a directory whose keepers end with the test, also when it fails.
func workdir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		for _, pid := range keepers(t, dir) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				t.Error(err)
			}
		}
	})
	return dir
}

// keepers finds the processes that keep for a directory.
func keepers(t *testing.T, dir string) []int { return testbox.Running(t, program, dir) }

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !check(); time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // a poll with a deadline
		if time.Now().After(deadline) {
			t.Fatal("not in time: ", what)
		}
	}
}

// What is in a pipe stays while nobody but the keeper has it, is still there for the next Solopod, and the keeper ends
// when it holds nothing.
func TestContentStays(t *testing.T) {
	dir := workdir(t)
	first := New(dir, program)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	fill(t, first, a, "last words")
	fill(t, first, b, "nobody wants this")
	first.Close()
	if n := len(keepers(t, dir)); n != 1 {
		t.Fatalf("%d keepers after Solopod's end", n)
	}
	second := New(dir, program)
	second.Hold(a, []File{{a, unix.O_RDONLY}})
	second.Only()
	if got := content(t, a); got != "last words" {
		t.Errorf("the pipe holds %q", got)
	}
	eventually(t, "what was not named again is let go of", func() bool { return content(t, b) == "" })
	second.Drop(a)
	if n := len(keepers(t, dir)); n != 1 {
		t.Errorf("%d keepers while Solopod is connected", n)
	}
	second.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 })
}

// A keeper that is killed is replaced, and the new one holds what the old one did.
func TestKilledKeeper(t *testing.T) {
	dir := workdir(t)
	k := New(dir, program)
	path := filepath.Join(dir, "fifo")
	fill(t, k, path, "text")
	eventually(t, "the keeper runs", func() bool { now := keepers(t, dir); return len(now) == 1 && holds(now[0], path) })
	old := keepers(t, dir)
	open, err := os.OpenFile(path, os.O_RDWR, 0) // as a running pump has it
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(old[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another keeper runs, and holds the pipe", func() bool {
		now := keepers(t, dir)
		if len(now) != 1 || now[0] == old[0] {
			return false
		}
		return holds(now[0], path)
	})
	open.Close()
	k.Close()
	if got := content(t, path); got != "text" {
		t.Errorf("the pipe holds %q", got)
	}
	last := New(dir, program)
	last.Only()
	last.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 })
}

// A process that is stopped holds nobody up; when it goes on it is told how things are then.
func TestStoppedKeeper(t *testing.T) {
	dir := workdir(t)
	k := New(dir, program)
	first := filepath.Join(dir, "first")
	fill(t, k, first, "text")
	eventually(t, "a keeper runs", func() bool { return len(keepers(t, dir)) == 1 && holds(keepers(t, dir)[0], first) })
	pid := keepers(t, dir)[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT) //nolint:errcheck // it goes on already, if all went well
	last := filepath.Join(dir, "last")
	if err := unix.Mkfifo(last, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range 2000 { // more than its socket holds
		k.Hold(strconv.Itoa(i), []File{{last, unix.O_RDWR}})
		k.Drop(strconv.Itoa(i))
		if i%5 == 0 {
			k.Hold("last", []File{{last, unix.O_RDWR}})
		}
	}
	more := 0
	for told := true; told; more++ {
		k.Hold("more"+strconv.Itoa(more), []File{{last, unix.O_RDWR}})
		for deadline := time.Now().Add(100 * time.Millisecond); ; time.Sleep(time.Millisecond) { //nolint:forbidigo // a poll with a deadline
			if told = pending(k) == 0; told || time.Now().After(deadline) {
				break
			}
		}
		if more > 2000 {
			t.Fatal("its socket takes everything")
		}
	}
	for i := range more {
		k.Drop("more" + strconv.Itoa(i))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if n := pending(k); n > more+10 {
		t.Errorf("%d changes are noted", n)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is told", func() bool { return pending(k) == 0 && holds(pid, last) })
	k.Drop(first)
	k.Drop("last")
	k.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 })
}

func pending(k *Keeper) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.pending)
}

// holds says whether a process has a file open.
func holds(pid int, path string) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == path {
			return true
		}
	}
	return false
}

// A keeper that cannot be started holds nobody up, and is started when it can be.
func TestMissingKeeper(t *testing.T) {
	dir := workdir(t)
	missing := filepath.Join(dir, "solopod-keep")
	if err := os.MkdirAll(filepath.Join(dir, "keep.sock", "full"), 0o700); err != nil { // what is in its place goes
		t.Fatal(err)
	}
	k := New(dir, missing)
	path := filepath.Join(dir, "fifo")
	fill(t, k, path, "text") // the pipe is held here meanwhile
	if err := os.Link(program, missing); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keeper is told", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.told[path]
	})
	k.Close()
	if got := content(t, path); got != "text" {
		t.Errorf("the pipe holds %q", got)
	}
	last := New(dir, program)
	last.Only()
	last.Close()
}

// A keeper whose socket was removed, and another's made, ends when nobody is connected to it any more.
func TestReplacedKeeper(t *testing.T) {
	dir := workdir(t)
	first := New(dir, program)
	path := filepath.Join(dir, "fifo")
	fill(t, first, path, "text")
	first.Close()
	var old []int
	eventually(t, "the first runs, and knows its socket", func() bool {
		old = keepers(t, dir)
		return len(old) == 1 && holds(old[0], path)
	})
	if err := os.Remove(first.socket); err != nil {
		t.Fatal(err)
	}
	second := New(dir, program)
	second.Hold(path, []File{{path, unix.O_RDONLY}})
	eventually(t, "only the second runs, and holds the pipe", func() bool {
		now := keepers(t, dir)
		return len(now) == 1 && now[0] != old[0] && holds(now[0], path)
	})
	if got := content(t, path); got != "text" {
		t.Errorf("the pipe holds %q", got)
	}
	second.Drop(path)
	second.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 })
}

// TestNeverConnected: a keeper whose starter was killed before it connected ends with its socket.
func TestNeverConnected(t *testing.T) {
	dir := workdir(t)
	k := New(dir, program)
	if err := (&link{k: k}).start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return len(keepers(t, dir)) == 1 })
	if err := os.Remove(k.socket); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ends", func() bool { return len(keepers(t, dir)) == 0 })
}
