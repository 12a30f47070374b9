package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whatever stands in a file's place: it is read or told, and set aside it makes room for a new one.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		put     func(path string) error
		is      error // of ReadFile
		becomes string
	}{
		"good":  {func(path string) error { return os.WriteFile(path, []byte("good"), 0o600) }, nil, "a regular file"},
		"none":  {func(string) error { return nil }, fs.ErrNotExist, ""},
		"empty": {func(path string) error { return os.WriteFile(path, nil, 0o600) }, nil, "a regular file"},
		"large": {func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30)) }, ErrDamaged, "a regular file"},
		"directory": {func(path string) error {
			return errors.Join(os.Mkdir(path, 0o755), os.WriteFile(filepath.Join(path, "x"), nil, 0o600))
		}, ErrDamaged, "a directory"},
		"fifo":   {func(path string) error { return unix.Mkfifo(path, 0o600) }, ErrDamaged, "a FIFO"},
		"device": {func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }, ErrDamaged, "a character device"},
		"link":   {func(path string) error { return os.Symlink("/etc/passwd", path) }, ErrDamaged, "a symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				hostile(t, filepath.Join(t.TempDir(), "file"), c.put, c.is, c.becomes)
			}()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Fatal("it waits")
			}
		})
	}
}

func hostile(t *testing.T, path string, put func(string) error, is error, becomes string) {
	for range 2 { // the second takes the place of what the first set aside
		if err := errors.Join(os.RemoveAll(path), put(path)); err != nil {
			t.Error(err)
			return
		}
		if _, err := ReadFile(path, 1<<10); !errors.Is(err, is) || is == nil && err != nil {
			t.Errorf("read: %v, want %v", err, is)
		}
		told, err := SetAside(path, errors.New("the reason"))
		if err != nil || (becomes == "") != (told == "") || !strings.Contains(told, becomes) {
			t.Errorf("set aside: %q, %v", told, err)
		}
		if becomes != "" && !strings.HasSuffix(told, "is set aside as file.damaged: the reason") {
			t.Errorf("it told %q", told)
		}
		if _, err := os.Lstat(path + ".damaged"); (err == nil) != (becomes != "") {
			t.Errorf("beside it: %v", err)
		}
		if err := errors.Join(Replace(path, []byte("new"), 0o600), Sync(path)); err != nil {
			t.Error(err)
		}
		if data, err := ReadFile(path, 3); err != nil || string(data) != "new" {
			t.Errorf("%q, %v", data, err)
		}
	}
}

// A file is made or continued; what cannot be one is told.
func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for range 2 {
		f, err := OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if data, err := ReadFile(path, 10); err != nil || string(data) != "xx" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := OpenFile(filepath.Dir(path), os.O_CREATE|os.O_WRONLY, 0o600); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: %v", err)
	}
	if err := Sync(path + "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

// A record is what was written, or nothing; what is none is set aside, and told.
func TestReadJSON(t *testing.T) {
	good := func(m map[string]int) error {
		if m["bad"] != 0 {
			return errors.New("bad is none")
		}
		return nil
	}
	for text, want := range map[string]struct {
		count int
		told  string
	}{
		`{"a": 1}`:            {1, ""},
		"{}":                  {0, ""},
		`{"a": 1`:             {0, "unexpected end of JSON input"},
		`{"a": 1, "b": "x"}`:  {0, "cannot unmarshal string"},
		" null\n":             {0, "it is empty"},
		"":                    {0, "unexpected end of JSON input"},
		`{"bad": 1}`:          {0, "bad is none"},
		`{"a": 123456789012}`: {0, "too large"},
	} {
		path := filepath.Join(t.TempDir(), "record.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, told := ReadJSON(path, 18, good)
		if len(got) != want.count || (told == "") != (want.told == "") || !strings.Contains(told, want.told) {
			t.Errorf("%q: %v, %q", text, got, told)
		}
		if _, err := os.Lstat(path + AsideSuffix); (err == nil) != (told != "") {
			t.Errorf("%q: set aside: %v", text, err)
		}
		if want.told == "" {
			continue
		}
		if again, told := ReadJSON(path, 18, good); again != nil || told != "" {
			t.Errorf("%q: it is there again: %v, %q", text, again, told)
		}
	}
}
