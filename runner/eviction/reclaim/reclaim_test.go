package reclaim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const stat = "anon 5\nactive_file %d\ninactive_file %d\ninactive_anon 7\n"

// TestCache: the kernel is asked for what is missing, beyond what is available already, and only what was had counts. A file stands in for
// the kernel's, which gives nothing.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "memory.stat"), fmt.Sprintf(stat, 4<<20, 3<<20))
	for name, c := range map[string]struct {
		missing uint64
		wrote   string
	}{
		"some":     {5 << 20, "8388608 swappiness=0"},
		"too much": {1 << 50, "1076887552 swappiness=0"},
		"nothing":  {0, ""},
	} {
		file := filepath.Join(dir, "memory.reclaim")
		write(t, file, "")
		got, err := (&Reclaimer{Cgroup: dir}).Cache(context.Background(), c.missing)
		wrote, _ := os.ReadFile(file)
		if got != "" || err != nil || string(wrote) != c.wrote {
			t.Errorf("%s: %q, %v, wrote %q", name, got, err, wrote)
		}
	}
	for _, none := range []string{"", filepath.Join(dir, "gone")} {
		if got, err := (&Reclaimer{Cgroup: none}).Cache(context.Background(), 1); got != "" || err != nil {
			t.Errorf("%q: %q, %v", none, got, err)
		}
	}
}

// TestCacheIsLess: the kernel says EAGAIN where it found less than it was asked for, and is not waited for. A pipe that is full says so, too.
func TestCacheIsLess(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "memory.stat"), fmt.Sprintf(stat, 0, 0))
	path := filepath.Join(dir, "memory.reclaim")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		_, err = unix.Write(fd, make([]byte, 4096))
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	r, began := &Reclaimer{Cgroup: dir}, time.Now()
	for range 2 { // nothing is left behind
		if got, err := r.Cache(context.Background(), 1<<20); got != "" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if took := time.Since(began); took > cacheLimit {
		t.Errorf("it took %s", took)
	}
}

// TestCacheWasHad: what went of files that were used is what was had, also where the kernel knows no swappiness.
func TestCacheWasHad(t *testing.T) {
	for active, want := range map[uint64]string{4<<20 - 5: "", 1 << 20: "3 MiB of cached files of pods", 9 << 20: ""} {
		dir, asked := t.TempDir(), []string(nil)
		write(t, filepath.Join(dir, "memory.stat"), fmt.Sprintf(stat, 4<<20, 3<<20))
		r := &Reclaimer{Cgroup: dir, ask: func(path, text string) error {
			asked = append(asked, strings.TrimPrefix(path, dir)+" "+text)
			if strings.Contains(text, "swappiness") {
				return unix.EINVAL
			}
			write(t, filepath.Join(dir, "memory.stat"), fmt.Sprintf(stat, active, 0))
			return unix.EAGAIN
		}}
		got, err := r.Cache(context.Background(), 1<<20)
		if got != want || err != nil || !slices.Equal(asked, []string{"/memory.reclaim 4194304 swappiness=0", "/memory.reclaim 4194304"}) {
			t.Errorf("%d: %q, %v after %q", active, got, err, asked)
		}
	}
}

// TestLogs: rotated files go, and nothing else does.
func TestLogs(t *testing.T) {
	dir := t.TempDir()
	stays := []string{"a/0.log", "a/1.log", "a/1.log.note", "a/x.log.20260101-000000.000000000", "a/1.log.20260101-000000.000000002/file", "b/7.log"}
	goes := []string{"a/0.log.20260101-000000.000000000", "a/1.log.20260101-000000.000000001", "b/7.log.20260101-000000.000000001"}
	for _, name := range append(stays, goes...) {
		write(t, filepath.Join(dir, name), "line\n")
	}
	dirs := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "gone")}
	r := &Reclaimer{Disk: dir, LogDirs: func() []string { return dirs }}
	left := func() (n int) {
		for _, name := range goes {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				n++
			}
		}
		return n
	}
	if got, err := (&Reclaimer{Disk: "/proc", LogDirs: r.LogDirs}).Logs(context.Background(), 1<<40); got != "" || err != nil {
		t.Errorf("on another disk: %q, %v", got, err)
	}
	if got, err := r.Logs(context.Background(), 0); got != "" || err != nil || left() != 3 {
		t.Errorf("with nothing missing: %q, %v", got, err)
	}
	if got, err := r.Logs(context.Background(), 1); got != "1 rotated logs" || err != nil || left() != 2 {
		t.Errorf("what is missing: %q, %v, and %d are left", got, err, left())
	}
	if _, err := os.Stat(filepath.Join(dir, goes[0])); !os.IsNotExist(err) {
		t.Errorf("the oldest is there (%v)", err)
	}
	if got, err := r.LogFiles(context.Background(), 2); got != "2 rotated logs" || err != nil || left() != 0 {
		t.Errorf("files: %q, %v", got, err)
	}
	for _, name := range stays {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if got, err := r.Logs(context.Background(), 1); got != "" || err != nil {
		t.Errorf("again: %q, %v", got, err)
	}
}
