// Package modes remembers what a program has asked of the user's terminal: another screen, a hidden cursor, reports of the mouse. When
// the connection to the program is lost nobody else takes that back.
package modes

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// usual are the private modes of DEC and xterm that programs change, and how a terminal has them at first. Those of other screens come
// first, as the others may be kept for each screen.
var usual = map[int]bool{
	47: false, 1047: false, 1049: false, // another screen
	1: false, 5: false, 6: false, 7: true, 25: true, 66: false, // keys, colours turned, origin, wrapping, cursor, keypad
	9: false, 1000: false, 1001: false, 1002: false, 1003: false, 1004: false, 1005: false, 1006: false, 1015: false, 1016: false, // mouse, focus
	2004: false, 2026: false, // pasting in brackets, updates held back
}

// longest is the longest sequence that is looked at.
const longest = 64

// Writer passes on what a program writes, and looks at it. Its zero value has no place to write to. It is not safe for concurrent use.
type Writer struct {
	W       io.Writer
	changed map[int]bool // modes that are not as usual
	pending []byte       // the beginning of a sequence; nil outside
}

// Write implements io.Writer.
func (w *Writer) Write(b []byte) (int, error) {
	for _, c := range b {
		w.look(c)
	}
	return w.W.Write(b)
}

// look takes one byte.
func (w *Writer) look(c byte) {
	switch {
	case c == 0x1b:
		w.pending = append(w.pending[:0], c)
	case len(w.pending) == 0:
	case len(w.pending) == 1 && c == 'c': // a reset of all
		w.changed, w.pending = nil, w.pending[:0]
	case len(w.pending) == 1 && c == '[', len(w.pending) == 2 && c == '?', len(w.pending) > 2 && len(w.pending) < longest && (c >= '0' && c <= '9' || c == ';'):
		w.pending = append(w.pending, c)
	default:
		if len(w.pending) > 2 && (c == 'h' || c == 'l') {
			w.set(string(w.pending[3:]), c == 'h')
		}
		w.pending = w.pending[:0]
	}
}

// set notes modes, as in 1000;1006.
func (w *Writer) set(list string, on bool) {
	for _, text := range strings.Split(list, ";") {
		mode, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if normal, known := usual[mode]; known && on != normal {
			if w.changed == nil {
				w.changed = map[int]bool{}
			}
			w.changed[mode] = true
		} else {
			delete(w.changed, mode)
		}
	}
}

// Undo is what brings a terminal back to where it was: nothing of modes that are as usual. Colours and the like are always put back.
func (w *Writer) Undo() string {
	out := ""
	for _, mode := range slices.Backward(slices.Sorted(maps.Keys(w.changed))) { // 1049 is before 25
		letter := "l"
		if usual[mode] {
			letter = "h"
		}
		out += fmt.Sprintf("\x1b[?%d%s", mode, letter)
	}
	w.changed = nil
	return out + "\x1b[0m"
}
