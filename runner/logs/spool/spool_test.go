package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/durable"
)

// What is kept is in the log, once, when there is room again; also after a kill in the midst of it.
func TestDelivery(t *testing.T) {
	disk := stuck.Small(t, 64)
	log := filepath.Join(disk, "pod", "c", "0.log")
	const before = "2026-01-01T00:00:00Z stdout F before\n"
	if err := errors.Join(os.MkdirAll(filepath.Dir(log), 0o755), os.WriteFile(log, []byte(before), 0o600)); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(disk, "fill")
	if err := os.WriteFile(full, make([]byte, 64<<10), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	s := New(t.TempDir())
	rest, err := s.Take(log)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := range 10 {
		line := fmt.Sprintf("2026-01-01T00:00:01Z stdout F %d %s\n", i, strings.Repeat("x", 1000))
		want += line
		if err := rest.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := rest.Close(); err != nil {
		t.Fatal(err)
	}
	if !s.deliver(t.Context()) {
		t.Error("it was delivered to a full disk")
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	paths, err := files(s.dir, spoolSuffix)
	if err != nil || len(paths) != 1 {
		t.Fatalf("kept: %v, %v", paths, err)
	}
	tearDelivery(t, paths[0], log)
	if s.deliver(t.Context()) {
		t.Error("it was not delivered")
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != before+want {
		t.Errorf("the log has %d bytes, not %d: %v", len(b), len(before+want), err)
	}
}

// Damaged files are set aside, and what belongs to a pod that goes is forgotten.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	s := New(dir)
	for name, text := range map[string]string{
		"empty": "", "zeros": strings.Repeat("\x00", 1000), "version": `{"version":2,"log":"/a/b.log","size":"-1"}` + "\n",
		"relative": `{"version":1,"log":"b.log","size":"-1"}` + "\n", "size": `{"version":1,"log":"/a/b.log","size":"x"}` + "\n",
		"dots": `{"version":1,"log":"/a/../b.log","size":"-1"}` + "\n", "big": strings.Repeat("x", maxSpooled+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name+spoolSuffix), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"+spoolSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	if s.deliver(context.Background()) {
		t.Error("something is to be tried again")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 8 {
		t.Errorf("there are %v, %v", entries, err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), durable.AsideSuffix) {
			t.Errorf("%s was not set aside", e.Name())
		}
	}
	for _, log := range []string{"/log/pod/c/0.log", "/log/pod2/c/0.log"} {
		sp, err := s.Take(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := sp.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Forget(s.dir, "/log/pod"); err != nil {
		t.Error(err)
	}
	if left, err := files(s.dir, spoolSuffix); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// tearDelivery does what a run does that is killed while it writes to the log.
func tearDelivery(t *testing.T, path, log string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, _, text, err := parseSpool(b)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	h.Size = sizeOf(info.Size())
	line, err := h.line()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(line, 0); err != nil {
		t.Fatal(err)
	}
	l, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Write(text[:5000]); err != nil {
		t.Fatal(err)
	}
}
