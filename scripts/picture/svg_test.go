package main

import (
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestSpans(t *testing.T) {
	green, red := colours["32"], colours["31"]
	for line, want := range map[string][]span{
		"":                                     nil,
		"plain":                                {{text: "plain"}},
		"\x1b[32mRunning\x1b[0m 1":             {{text: "Running", colour: green}, {text: " 1"}},
		"a\x1b[1;31mb\x1b[39mc\x1b[md":         {{text: "a"}, {text: "b", colour: red, bold: true}, {text: "c", bold: true}, {text: "d"}},
		"\x1b[H\x1b[2Jcleared\x1b[38;5;9mis 9": {{text: "cleared"}, {text: "is 9"}},
		"cut\x1b[3":                            {{text: "cut"}},
	} {
		if got := spans(line); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, not %+v", line, got, want)
		}
	}
}

// Each word is where the terminal has it, and nothing that a program prints is markup.
func TestTerminal(t *testing.T) {
	svg := terminal([]string{prompt + "show   # all", "NAME   READY", "<b>&   \x1b[32myes\x1b[0m", strings.Repeat("x", 25)}, 20, "A & B")
	for _, want := range []string{
		`width="200" height="155"`, `aria-label="A &amp; B"`,
		`<text x="16.0" y="57" textLength="8.4" fill="#7ee787" font-weight="bold">#</text>`,
		`<text x="32.8" y="57" textLength="33.6" font-weight="bold">show</text>`,
		`<text x="91.6" y="57" textLength="42.0" fill="#8b949e"># all</text>`,
		`<text x="16.0" y="76" textLength="33.6">NAME</text>`,
		`<text x="74.8" y="76" textLength="42.0">READY</text>`,
		`<text x="16.0" y="95" textLength="33.6">&lt;b&gt;&amp;</text>`,
		`<text x="74.8" y="95" textLength="25.2" fill="#7ee787">yes</text>`,
		`<text x="16.0" y="114" textLength="168.0">` + strings.Repeat("x", 20) + `</text>`,
		`<text x="16.0" y="133" textLength="42.0">xxxxx</text>`,
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %s", want)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
	if t.Failed() {
		t.Log(svg)
	}
}
