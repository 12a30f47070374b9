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

// What a kill in the middle of a writing leaves goes, with the directory where that has nothing else.
func TestRemoveUnfinished(t *testing.T) {
	for name, c := range map[string]struct {
		there, left []string
	}{
		"nothing":           {},
		"unfinished":        {there: []string{".pod.json.123", ".pod.json.4"}},
		"another file":      {there: []string{".pod.json.123", "pod.json.damaged"}, left: []string{"pod.json.damaged"}},
		"another's writing": {there: []string{".other.json.1"}, left: []string{".other.json.1"}},
	} {
		dir := filepath.Join(t.TempDir(), "uid")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range c.there {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := RemoveUnfinished(filepath.Join(dir, "pod.json")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		entries, err := os.ReadDir(dir)
		if len(c.left) == 0 && !os.IsNotExist(err) || len(entries) != len(c.left) || len(entries) > 0 && entries[0].Name() != c.left[0] {
			t.Errorf("%s: left are %v, %v", name, entries, err)
		}
	}
	if err := RemoveUnfinished(filepath.Join(t.TempDir(), "no", "pod.json")); err == nil {
		t.Error("a directory that does not exist is no error")
	}
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
