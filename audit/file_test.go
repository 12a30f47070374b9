package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
)

func write(l *Log, text string) { l.Write([]byte(text)) } //nolint:errcheck // it fails never

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		return "none"
	}
	return string(data)
}

// The file is root's alone, goes on where it was, and has no half line in its middle.
func TestLogGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("one\nha"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	l := &Log{Path: path, MaxSize: 1 << 20, MaxBackups: 1}
	write(l, "two\nthree\n")
	if got := content(t, path); got != "one\nha\ntwo\nthree\n" {
		t.Errorf("it holds %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What a file holds is bounded, and so are the older ones, also those that an earlier run has left.
func TestLogRotates(t *testing.T) {
	for backups, want := range [][]string{{"e\n"}, {"e\n", "c\nd\n"}, {"e\n", "c\nd\n", "a\nb\n"}, {"e\n", "c\nd\n", "a\nb\n"}} {
		path := filepath.Join(t.TempDir(), "audit.log")
		for _, line := range []string{"a\n", "b\n", "c\n", "d\n", "e\n"} {
			l := &Log{Path: path, MaxSize: 4, MaxBackups: backups} // each line is another run's
			write(l, line)
			l.close()
			if l.Lost() != 0 {
				t.Fatalf("%d are lost", l.Lost())
			}
		}
		again := &Log{Path: filepath.Join(filepath.Dir(path), "again"), MaxSize: 4, MaxBackups: backups}
		write(again, "a\nb\nc\nd\ne\n")
		for _, base := range []string{path, again.Path} {
			var got []string
			for n := 0; ; n++ {
				name := base
				if n > 0 {
					name = fmt.Sprintf("%s.%d", base, n)
				}
				text := content(t, name)
				if text == "none" {
					break
				}
				got = append(got, text)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("with %d older ones %s: %q, want %q", backups, filepath.Base(base), got, want)
			}
		}
	}
}

// A rotation that a kill has cut off between two renames costs no older file: the next one uses the gap.
func TestLogAfterCutRotation(t *testing.T) {
	for cut, found := range map[string]map[string]string{
		"after the first rename":  {"": "d\n", ".1": "c\n", ".3": "b\n"},
		"after the second rename": {"": "d\n", ".2": "c\n", ".3": "b\n"},
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		for suffix, text := range found {
			if err := os.WriteFile(path+suffix, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := &Log{Path: path, MaxSize: 2, MaxBackups: 3}
		write(l, "e\n")
		l.close()
		for suffix, want := range map[string]string{"": "e\n", ".1": "d\n", ".2": "c\n", ".3": "b\n"} {
			if got := content(t, path+suffix); got != want {
				t.Errorf("%s: audit.log%s holds %q, not %q", cut, suffix, got, want)
			}
		}
	}
}

// A file that is removed, or moved by a program that rotates logs, is made anew with the next line, and nothing goes where nobody looks.
func TestLogIsTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := &Log{Path: path, MaxSize: 4, MaxBackups: 1}
	defer l.close()
	for i, take := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.Rename(path, path+".moved") },
		func() error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		write(l, "a\nb\n")
		if err := take(); err != nil {
			t.Fatal(err)
		}
		write(l, "c\n")
		if got := content(t, path); got != "c\n" || l.Lost() != 0 {
			t.Errorf("%d: it holds %q, and %d are lost", i, got, l.Lost())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// What others have put in the place of the file is not written to: lines are lost, counted, and go on when the place is free.
func TestLogOfOthers(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, put := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink(elsewhere, path) },
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a hard link": func(path string) error {
			if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
				return err
			}
			return os.Link(elsewhere, path)
		},
		"another user's": func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Chown(path, 1000, 1000)
		},
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		l := &Log{Path: path, MaxSize: 100, MaxBackups: 1}
		write(l, "a\nb\n")
		if l.Lost() != 2 {
			t.Errorf("%s: %d are lost", name, l.Lost())
		}
		if text := content(t, elsewhere); text != "none" && text != "" {
			t.Errorf("%s: elsewhere stands %q", name, text)
		}
		if err := os.Remove(elsewhere); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(l, "c\n")
		if content(t, path) != "c\n" || l.Lost() != 2 {
			t.Errorf("%s: after it is gone %q, %d", name, content(t, path), l.Lost())
		}
	}
}

// A file that was renamed or removed, as logrotate does it, is not written to any more.
func TestLogMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := &Log{Path: path, MaxSize: 1 << 20, MaxBackups: 1}
	defer l.close()
	l.Open()
	if content(t, path) != "" {
		t.Errorf("when it was opened it holds %q", content(t, path))
	}
	write(l, "a\n")
	if err := os.Rename(path, path+"-old"); err != nil {
		t.Fatal(err)
	}
	write(l, "b\nc\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(l, "d\n")
	if err := os.Rename(path, path+"-older"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(l, "e\n")
	if old, older, now := content(t, path+"-old"), content(t, path+"-older"), content(t, path); old != "a\n" || older != "d\n" || now != "another's\ne\n" {
		t.Errorf("%q, %q, %q", old, older, now)
	}
	if l.Lost() != 0 {
		t.Errorf("%d are lost", l.Lost())
	}
}

// A full disk loses lines, but leaves whole ones only, and what comes when there is room is written.
func TestLogOnFullDisk(t *testing.T) {
	dir := stuck.Small(t, 64)
	l := &Log{Path: filepath.Join(dir, "audit.log"), MaxSize: 1 << 20, MaxBackups: 1}
	defer l.close()
	line := Line{Stage: Done, Error: strings.Repeat("x", 900)}.JSON()
	for range 100 {
		l.Write(line) //nolint:errcheck // it counts
	}
	if l.Lost() == 0 || l.Lost() == 100 {
		t.Fatalf("%d are lost", l.Lost())
	}
	lost := l.Lost()
	data := content(t, l.Path)
	if err := os.Remove(l.Path); err != nil {
		t.Fatal(err)
	}
	write(l, "more\n")
	if l.Lost() != lost || content(t, l.Path) != "more\n" {
		t.Errorf("with room again: %d, %q", l.Lost(), content(t, l.Path))
	}
	for one := range bytes.Lines([]byte(data)) {
		if !json.Valid(one) {
			t.Errorf("a part of a line: %q", one)
		}
	}
}
