package cri

import (
	"strings"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	stamp := "2026-01-02T03:04:05.000000006Z stdout "
	long := strings.Repeat("x", MaxLine)
	for name, c := range map[string]struct {
		in    string
		force bool
		want  string
		used  int
	}{
		"two lines":              {"a\nb\n", false, stamp + "F a\n" + stamp + "F b\n", 4},
		"an unfinished line":     {"a\nb", false, stamp + "F a\n", 2},
		"forced":                 {"b", true, stamp + "P b\n", 1},
		"empty lines":            {"\n\n", false, stamp + "F \n" + stamp + "F \n", 2},
		"a line of maximal size": {long + "\n", false, stamp + "F " + long + "\n", MaxLine + 1},
		"a longer line":          {long + "y\n", false, stamp + "P " + long + "\n" + stamp + "F y\n", MaxLine + 2},
		"long without an end":    {long, false, stamp + "P " + long + "\n", MaxLine},
		"nothing":                {"", true, "", 0},
	} {
		out, used := Format(nil, "stdout", at, []byte(c.in), c.force)
		if string(out) != c.want || used != c.used {
			t.Errorf("%s: %q, used %d", name, out, used)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-01-01T00:00:01Z stdout F one"))
	f.Add([]byte("2026-01-01T00:00:01Z stderr P "))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := Parse(b); err == nil && l.Stream != "stdout" && l.Stream != "stderr" {
			t.Errorf("stream %q", l.Stream)
		}
	})
}
