package logfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A write that the last run did not complete is cut off; what others wrote behind it is not.
func TestTornWrites(t *testing.T) {
	const before, batch = "before\n", "one\ntwo\n"
	for name, c := range map[string]struct {
		content string
		size    int64
		want    string
	}{
		"nothing was written": {before, 7, before},
		"half":                {before + "one\ntw", 7, before},
		"all":                 {before + batch, 7, before},
		"more":                {before + batch + "three\n", 7, before + batch + "three\n"},
		"something else":      {before + "two\n", 7, before + "two\n"},
		"zeros":               {before + "\x00\x00", 7, before + "\x00\x00"},
		"a damaged size":      {before, 0, before},
		"a negative size":     {before, -1, before},
		"the log is shorter":  {"", 7, ""},
	} {
		path := filepath.Join(t.TempDir(), "0.log")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		f := New(path, Limits{})
		f.Interrupted(c.size, []byte(batch))
		if err := errors.Join(f.Make(), f.Close()); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != c.want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestNextRotated(t *testing.T) {
	old := []string{"0.log.20260101-000000.000000000", "0.log.29990101-000000.000000001"}
	if got := nextRotated("0.log", old); got != "0.log.29990101-000000.000000002" {
		t.Errorf("behind one of the future: %s", got)
	}
	if got := nextRotated("0.log", old[:1]); got <= old[0] || got >= old[1] {
		t.Errorf("now: %s", got)
	}
}
