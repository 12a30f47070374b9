package durable

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Lines of ours are read whatever is between them, from the end of a file that is too long.
func TestReadLines(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		whole      bool
		err        string
	}{
		"good":              {text: "+1\n+2\n", want: "+1 +2", whole: true},
		"empty":             {whole: true},
		"torn at its end":   {text: "+1\n+2", want: "+1"},
		"one torn line":     {text: "+1"},
		"others between":    {text: "+1\n\n\x00+2\n+3\n", want: "+1 +3"},
		"nothing of ours":   {text: "1\n+2", err: "no number is in it"},
		"as long as it may": {text: "+1\n+22\n+333\n+44\n", want: "+1 +22 +333 +44", whole: true},
		"longer":            {text: "+1\n" + strings.Repeat("x", 14) + "\n+22\n", want: "+22"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var got []string
		whole, err := ReadLines(path, 16, "number", func(line []byte) bool {
			if !bytes.HasPrefix(line, []byte("+")) {
				return false
			}
			got = append(got, strings.TrimSpace(string(line)))
			return true
		})
		if strings.Join(got, " ") != c.want || whole != c.whole || (err != nil) != (c.err != "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %q, whole: %t, %v", name, got, whole, err)
		}
	}
	none := func([]byte) bool { t.Error("there is a line"); return false }
	if whole, err := ReadLines(filepath.Join(t.TempDir(), "none"), 16, "number", none); err != nil || !whole {
		t.Errorf("a file that is missing: %t, %v", whole, err)
	}
	if _, err := ReadLines(t.TempDir(), 16, "number", none); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: %v", err)
	}
}

// What is appended stands behind what was there.
func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for i, sync := range []bool{true, false, true} {
		if size, err := Append(path, []byte("ab\n"), 0o600, sync); err != nil || size != int64(i+1)*3 {
			t.Errorf("%d bytes, %v", size, err)
		}
	}
	if data, err := ReadFile(path, 100); err != nil || string(data) != "ab\nab\nab\n" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := Append(filepath.Dir(path), nil, 0o600, false); !errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: %v", err)
	}
}
