// Package extent counts what a text of YAML or JSON holds, before anything is built of it.
package extent

import (
	"bytes"
)

// Extent is how much a text holds, counted before anything is built of it: the parser makes some 250 bytes of each value, so
// that four megabytes of "a,a,a" would cost hundreds.
type Extent struct {
	// Values bounds the number of the text's values: no parser finds more than twice as many nodes.
	Values    int
	Documents int
	// Depth is how deep lists and objects in brackets are nested.
	Depth int
}

// fresh: whether a new value or key may begin where the scanner stands.
type fresh int

const (
	within    fresh = iota // inside a plain scalar, or behind a complete one
	atKey                  // at the start of a line, or behind "- " or "? ": a key or a value may begin
	atContent              // behind ": ", "," or a bracket
)

// scanner goes through YAML, or JSON, and knows where scalars begin and end, no more. Where it and a parser could disagree it
// counts too much, or the parser finds an error (FuzzExtent holds it to that).
type scanner struct {
	text []byte
	i    int
	// lineStart is where the line begins; column is that of the key or dash to which a block scalar would belong.
	lineStart, column int
	flow              int // open brackets
	fresh             fresh
	pending           bool // a value is still to come: behind ":", "-" or a document's start
	quoted            bool // directly behind a quoted scalar, where JSON needs no blank after ":"
	Extent
}

// Measure counts what a text in UTF-8 holds.
func Measure(text []byte) Extent {
	s := &scanner{text: text, column: -1, pending: true}
	s.Documents = 1
	for s.i < len(s.text) {
		s.line()
	}
	return s.Extent
}

// breakAt is the length of the line break at i, or 0. YAML 1.1 has those of Unicode too.
func (s *scanner) breakAt(i int) int {
	switch rest := s.text[i:]; {
	case len(rest) == 0:
		return 0
	case rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n':
		return 2
	case rest[0] == '\n' || rest[0] == '\r':
		return 1
	case rest[0] == 0xc2 && len(rest) > 1 && rest[1] == 0x85:
		return 2
	case rest[0] == 0xe2 && len(rest) > 2 && rest[1] == 0x80 && (rest[2] == 0xa8 || rest[2] == 0xa9):
		return 3
	}
	return 0
}

// blankAt: a blank, a line's end or the text's end.
func (s *scanner) blankAt(i int) bool {
	return i >= len(s.text) || s.text[i] == ' ' || s.text[i] == '\t' || s.text[i] == 0 || s.breakAt(i) > 0
}

func (s *scanner) skipLine() {
	for s.i < len(s.text) {
		if n := s.breakAt(s.i); n > 0 {
			s.i += n
			return
		}
		s.i++
	}
}

// marker: "---" or "..." at the start of a line.
func (s *scanner) marker() bool {
	rest := s.text[s.i:]
	return (bytes.HasPrefix(rest, []byte("---")) || bytes.HasPrefix(rest, []byte("..."))) && s.blankAt(s.i+3)
}

func (s *scanner) line() {
	s.lineStart = s.i
	if s.marker() {
		if s.text[s.i] == '-' {
			s.Documents++
		}
		s.i += 3
		s.flow, s.column, s.pending = 0, -1, true
	}
	for s.i < len(s.text) && (s.text[s.i] == ' ' || s.text[s.i] == '\t') {
		s.i++
	}
	if s.i >= len(s.text) || s.text[s.i] == '#' || s.text[s.i] == '%' && s.i == s.lineStart || s.breakAt(s.i) > 0 {
		s.skipLine()
		return
	}
	s.Values++
	if s.flow == 0 {
		s.fresh, s.quoted = atKey, false
	}
	for s.i < len(s.text) {
		if n := s.breakAt(s.i); n > 0 {
			s.i += n
			return
		}
		if s.text[s.i] == '#' && s.blankAt(s.i-1) {
			s.skipLine()
			return
		}
		if s.token() {
			return
		}
	}
}

// token steps over one thing of a line. It returns true when the line has ended with it.
func (s *scanner) token() (ended bool) {
	c := s.text[s.i]
	switch {
	case c == ' ' || c == '\t':
		s.i++
		return false
	case s.indicator(c):
		return false
	case s.fresh != within && (c == '&' || c == '!'):
		for !s.blankAt(s.i) && (s.flow == 0 || bytes.IndexByte([]byte(",[]{}"), s.text[s.i]) < 0) {
			s.i++
		}
		return false
	case s.fresh != within && s.flow == 0 && (c == '|' || c == '>') && (s.fresh == atContent || s.pending):
		return s.block()
	}
	s.enter()
	if (c == '"' || c == '\'') && s.fresh != within && s.quote(c) {
		return false
	}
	s.fresh, s.pending, s.quoted = within, false, false
	s.i++
	return false
}

// enter notes the column of a key.
func (s *scanner) enter() {
	if s.flow == 0 && s.fresh == atKey {
		s.column = s.i - s.lineStart
	}
}

// indicator steps over what separates values, and counts it.
func (s *scanner) indicator(c byte) bool {
	next := s.blankAt(s.i + 1)
	switch {
	case c == ':' && (next || s.flow > 0 && (s.quoted || s.fresh != within || bytes.IndexByte([]byte(",[]{}?"), s.text[s.i+1]) >= 0)):
		if s.flow == 0 && s.fresh == atKey { // an explicit value, or one of an empty key
			s.column = s.i - s.lineStart
		}
		s.open(atContent)
	case (c == '-' || c == '?') && next && s.fresh == atKey:
		s.column = s.i - s.lineStart
		s.open(atKey)
	case (c == '[' || c == '{') && (s.flow > 0 || s.fresh != within):
		s.enter()
		s.flow++
		s.Depth = max(s.Depth, s.flow)
		s.open(atContent)
	case (c == ']' || c == '}') && s.flow > 0:
		s.flow--
		s.fresh, s.pending, s.quoted = within, false, true
	case (c == ',' || c == '?') && s.flow > 0:
		s.open(atContent)
	default:
		return false
	}
	s.i++
	return true
}

func (s *scanner) open(f fresh) {
	s.Values++
	s.fresh, s.pending, s.quoted = f, true, false
}

// quote steps over a quoted scalar. Where no value is awaited it could be the middle of a plain scalar of several lines; a key
// ends on its line.
func (s *scanner) quote(c byte) bool {
	oneLine := s.flow == 0 && !s.pending
	for i := s.i + 1; i < len(s.text); i++ {
		switch {
		case s.text[i] == '\\' && c == '"':
			i++
		case s.text[i] == c && c == '\'' && i+1 < len(s.text) && s.text[i+1] == c:
			i++
		case s.text[i] == c:
			s.i = i + 1
			s.fresh, s.pending, s.quoted = within, false, true
			return true
		case oneLine && s.breakAt(i) > 0:
			return false
		case s.breakAt(i) > 0:
			s.lineStart = i + s.breakAt(i)
		}
	}
	if oneLine {
		return false
	}
	s.i = len(s.text) // it does not end: an error, found at once
	return true
}

// block steps over a block scalar: all lines that are indented more than what it belongs to.
func (s *scanner) block() (ended bool) {
	i := s.i + 1
	for i < len(s.text) && bytes.IndexByte([]byte("+-123456789"), s.text[i]) >= 0 {
		i++
	}
	for i < len(s.text) && (s.text[i] == ' ' || s.text[i] == '\t') {
		i++
	}
	if i < len(s.text) && s.breakAt(i) == 0 && s.text[i] != '#' {
		s.i++ // not a block scalar's head
		return false
	}
	s.i = i
	s.skipLine()
	for s.i < len(s.text) {
		indent := 0
		for s.i+indent < len(s.text) && s.text[s.i+indent] == ' ' {
			indent++
		}
		blank := s.i+indent >= len(s.text) || s.breakAt(s.i+indent) > 0
		if !blank && (indent <= s.column || s.marker()) {
			break
		}
		s.skipLine()
	}
	s.fresh, s.pending, s.quoted = within, false, false
	return true
}
