package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// prompt begins a line that is typed.
const prompt = "# "

// Measures of the picture, in pixels.
const (
	cell   = 8.4 // a character's width
	row    = 19
	margin = 16
	bar    = 28 // the window's title
)

// colours of SGR's foregrounds, as they are seen on the dark ground.
var colours = map[string]string{"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea", "90": "#8b949e", "91": "#ffa198", "92": "#7ee787", "93": "#e3b341"}

// span is text of one look.
type span struct {
	text, colour string
	bold         bool
}

// spans reads a line with SGR's escapes (ECMA-48, 8.3.117). Other escapes are left out.
func spans(line string) []span {
	var out []span
	var now span
	for line != "" {
		text, rest, found := strings.Cut(line, "\x1b[")
		if now.text = text; text != "" {
			out = append(out, now)
		}
		if !found {
			break
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
		if end < 0 {
			break
		}
		if rest[end] == 'm' {
			for _, code := range strings.Split(rest[:end], ";") {
				switch colour, known := colours[code]; {
				case known:
					now.colour = colour
				case code == "1":
					now.bold = true
				case code == "" || code == "0":
					now = span{}
				case code == "39":
					now.colour = ""
				case code == "22":
					now.bold = false
				}
			}
		}
		line = rest[end+1:]
	}
	return out
}

// typed is the look of a line that somebody has typed.
func typed(command string) []span {
	command, comment, found := strings.Cut(command, "   #")
	look := []span{{text: prompt, colour: colours["32"], bold: true}, {text: command, bold: true}}
	if found {
		look = append(look, span{text: "   #" + comment, colour: colours["90"]})
	}
	return look
}

// wrap divides a line where the terminal ends.
func wrap(look []span, columns int) [][]span {
	rows, column := [][]span{nil}, 0
	for _, s := range look {
		for text := []rune(s.text); len(text) > 0; {
			if column == columns {
				rows, column = append(rows, nil), 0
			}
			n := min(len(text), columns-column)
			s.text = string(text[:n])
			rows[len(rows)-1] = append(rows[len(rows)-1], s)
			text, column = text[n:], column+n
		}
	}
	return rows
}

// words are the parts of a text between blanks, of which there are two or more, and the column of each.
var words = regexp.MustCompile(`\S+( \S+)*`)

// terminal is the picture of a terminal that shows the lines. Words have a place and a length of their own: columns stay columns, whatever font
// the reader has.
func terminal(lines []string, columns int, title string) string {
	var rows [][]span
	for _, line := range lines {
		look := spans(line)
		if command, found := strings.CutPrefix(line, prompt); found {
			look = typed(command)
		}
		rows = append(rows, wrap(look, columns)...)
	}
	width, height := float64(columns)*cell+2*margin, bar+len(rows)*row+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d" role="img" aria-label="%s">
<title>%s</title>
<rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>
<circle cx="20" cy="16" r="6" fill="#ff5f56"/><circle cx="40" cy="16" r="6" fill="#ffbd2e"/><circle cx="60" cy="16" r="6" fill="#27c93f"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#c9d1d9">
`, width, height, width, height, html.EscapeString(title), html.EscapeString(title))
	for i, look := range rows {
		column := 0
		for _, s := range look {
			for _, at := range words.FindAllStringIndex(s.text, -1) {
				word, before := s.text[at[0]:at[1]], utf8.RuneCountInString(s.text[:at[0]])
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" textLength="%.1f"%s>%s</text>`+"\n", margin+float64(column+before)*cell, bar+margin+i*row+13,
					float64(utf8.RuneCountInString(word))*cell, s.attributes(), html.EscapeString(word))
			}
			column += utf8.RuneCountInString(s.text)
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

func (s span) attributes() (out string) {
	if s.colour != "" {
		out += fmt.Sprintf(` fill="%s"`, s.colour)
	}
	if s.bold {
		out += ` font-weight="bold"`
	}
	return out
}
