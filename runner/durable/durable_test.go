package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/solopod/solopod/internal/stuck"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for i, write := range []func(string, []byte, os.FileMode) error{WriteFile, Replace, WriteFile} {
		text := string(rune('a' + i))
		if err := write(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("it holds %q, %v; want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	onlyIn(t, dir, "file")
}

// A file that cannot be replaced stays, and no temporary file is left.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(taken, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	onlyIn(t, dir, "taken")
	if err := WriteFile(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that does not exist: %v", err)
	}
}

// A full disk leaves the old content.
func TestFullDisk(t *testing.T) {
	dir := stuck.Small(t, 64)
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("a megabyte found room on a disk of 64 KiB")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("it holds %d bytes, %v", len(got), err)
	}
	onlyIn(t, dir, "file")
	if err := SyncFileSystem(dir); err != nil {
		t.Error(err)
	}
}

func onlyIn(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("in the directory are %v, %v", entries, err)
	}
}
