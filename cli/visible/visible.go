// Package visible makes text of others safe to print: what a terminal would obey, or show in another order than it stands, is shown
// as an escape instead. It knows nothing of where the text goes.
package visible

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text makes a text of several lines visible; line ends and tabs stay. As kubectl's its escape of ESC is ^[ and that of the carriage
// return \r; other controls below the blank are shown in the same way (^G), and what lies above as JSON has it (\u009b): passed
// through Text, JSON keeps its meaning. What is no UTF-8 becomes \x9b.
func Text(s string) string { return escape(s, false) }

// Line is Text for a place of one line: line ends and tabs become \n and \t.
func Line(s string) string { return escape(s, true) }

func escape(s string, oneLine bool) string {
	if clean(s, oneLine) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !obeyed(r, oneLine):
			b.WriteString(s[i : i+n])
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`}[r])
		case r < ' ':
			b.WriteByte('^')
			b.WriteByte(byte(r) + '@')
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

func clean(s string, oneLine bool) bool {
	for i, r := range s {
		if obeyed(r, oneLine) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return false
		}
	}
	return true
}

// obeyed says whether a terminal does something else with a character than to show it: the controls C0, DEL and C1 (ECMA-48), and the
// marks that turn the direction of what follows (UAX #9).
func obeyed(r rune, oneLine bool) bool {
	switch {
	case r == '\n' || r == '\t':
		return oneLine
	case r < ' ', r >= 0x7f && r <= 0x9f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// Incomplete is how many bytes at the end of b begin a character whose rest is missing.
func Incomplete(b []byte) int {
	for n := 1; n <= min(len(b), utf8.UTFMax-1); n++ {
		if at := b[len(b)-n:]; utf8.RuneStart(at[0]) {
			if !utf8.FullRune(at) {
				return n
			}
			return 0
		}
	}
	return 0
}
