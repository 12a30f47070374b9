package visible

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscapes(t *testing.T) {
	for in, want := range map[string]struct{ text, line string }{
		"":                                  {},
		"plain, ä, 語, 🙂, \uFFFD":            {"plain, ä, 語, 🙂, \uFFFD", "plain, ä, 語, 🙂, \uFFFD"},
		"two\nlines\tand a tab":             {"two\nlines\tand a tab", `two\nlines\tand a tab`},
		"\x1b]0;owned\a\x1b[2J\x1b[1;1Hx\r": {`^[]0;owned^G^[[2J^[[1;1Hx\r`, `^[]0;owned^G^[[2J^[[1;1Hx\r`},
		"\x00\b\x7f\x1f":                    {`^@^H\u007f^_`, `^@^H\u007f^_`},
		"\u009b2J\u0085":                    {`\u009b2J\u0085`, `\u009b2J\u0085`},
		"\x9b2J\xff\xe8\xaa":                {`\x9b2J\xff\xe8\xaa`, `\x9b2J\xff\xe8\xaa`},
		"\u202egnp.exe\u2066x\u2069":        {`\u202egnp.exe\u2066x\u2069`, `\u202egnp.exe\u2066x\u2069`},
		"\u200fright to left is language":   {"\u200fright to left is language", "\u200fright to left is language"},
	} {
		if got := Text(in); got != want.text {
			t.Errorf("the text %q becomes %q, want %q", in, got, want.text)
		}
		if got := Line(in); got != want.line {
			t.Errorf("the line %q becomes %q, want %q", in, got, want.line)
		}
	}
}

func TestIncomplete(t *testing.T) {
	for in, want := range map[string]int{"": 0, "a": 0, "ä": 0, "a\xc3": 1, "語"[:2]: 2, "🙂"[:3]: 3, "x🙂": 0, "\xff": 0, "\x80\x80\x80\x80": 0} {
		if got := Incomplete([]byte(in)); got != want {
			t.Errorf("%q: %d bytes, want %d", in, got, want)
		}
	}
}

// What comes out is obeyed by no terminal, and the same when it goes in again; JSON means what it meant.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "\x1b[2J", "\u009b", "\u202e", "\xc3", "ä\n\t\r\x7f", `{"a": "\u001b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, got := range map[string]string{"text": Text(s), "line": Line(s)} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return obeyed(r, name == "line") }) {
				t.Errorf("%s: %q becomes %q", name, s, got)
			}
			if again := Text(got); again != got {
				t.Errorf("%s: %q becomes %q, and that %q", name, s, got, again)
			}
		}
		if whole := strings.TrimSuffix(s, s[len(s)-Incomplete([]byte(s)):]); utf8.ValidString(s) && whole != s {
			t.Errorf("%q counts as incomplete", s)
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(Text(string(data))), &back); err != nil || back != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Errorf("%q comes back from JSON as %q (%v)", s, back, err)
		}
	})
}
