package modes

import (
	"bytes"
	"strings"
	"testing"
)

// What a program has left is undone, and nothing else, however its writes were cut.
func TestUndo(t *testing.T) {
	for name, c := range map[string]struct{ written, want string }{
		"nothing":                       {"hello\r\n", ""},
		"an editor":                     {"\x1b[?1049h\x1b[22;0;0t\x1b[?25l\x1b[?2004h", "\x1b[?2004l\x1b[?1049l\x1b[?25h"},
		"an editor that has ended":      {"\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l", ""},
		"several in one":                {"\x1b[?1000;1006;1002h", "\x1b[?1006l\x1b[?1002l\x1b[?1000l"},
		"what is not private":           {"\x1b[4h\x1b[31m\x1b[2J", ""},
		"unknown modes":                 {"\x1b[?12345h\x1b[?99999999999999999999h\x1b[?;h\x1b[?h", ""},
		"a reset of all":                {"\x1b[?25l\x1bc", ""},
		"a sequence that never ends":    {"\x1b[?" + strings.Repeat("1;", 1000) + "25l\x1b[?1h", "\x1b[?1l"},
		"a sequence within another":     {"\x1b[?10\x1b[?25l", "\x1b[?25h"},
		"letters that look like others": {"[?25l?25l25l", ""},
	} {
		for _, size := range []int{1, 3, 4096} {
			var out bytes.Buffer
			w := Writer{W: &out}
			for rest := c.written; rest != ""; {
				n := min(size, len(rest))
				if _, err := w.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if out.String() != c.written {
				t.Errorf("%s: passed on %q", name, out.String())
			}
			if got := w.Undo(); got != c.want+"\x1b[0m" {
				t.Errorf("%s, %d bytes at a time: %q, want %q", name, size, got, c.want)
			}
			if got := w.Undo(); got != "\x1b[0m" {
				t.Errorf("%s: a second time: %q", name, got)
			}
		}
	}
}
