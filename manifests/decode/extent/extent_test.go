package extent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestExtent(t *testing.T) {
	lines := strings.Repeat("    [x, y]: {a: b}, - c\n", 1000)
	for name, c := range map[string]struct {
		text      string
		values    int
		documents int
		depth     int
	}{
		"lines":                {"a: b\nc: d\n", 4, 1, 0},
		"comments and blanks":  {"# a: b, c\n\n   # x\na: b # c, d: e\n", 2, 1, 0},
		"block scalar":         {"data:\n  k: |\n" + lines + "b: c\n", 6, 1, 0},
		"folded, of a dash":    {"- >-\n" + lines + "- b\n", 4, 1, 0},
		"key behind a dash":    {"- k: |2 # text\n" + lines + "  b: c\n", 5, 1, 0},
		"scalar on its line":   {"k:\n  |\n" + lines + "b: c\n", 5, 1, 0},
		"root scalar":          {"--- |\n" + lines + "---\na: b\n", 3, 3, 0},
		"double quoted":        {`a: "x, [y]: \" {z}` + "\n  more, and: more\"\nb: c\n", 4, 1, 0},
		"single quoted":        {"a: 'x, it''s [y]: {z}'\nb: c\n", 4, 1, 0},
		"quoted key":           {"\"a, b: c\": d\n", 2, 1, 0},
		"apostrophe":           {"a: don't, x\nb: [c, d]\n", 6, 1, 1},
		"quote in the middle":  {"a: b\n  \"c\nd: [e, f]\n", 7, 1, 1},
		"flow":                 {"[a, {b: [c]}, \"d,e\"]", 7, 1, 3},
		"json":                 {`{"a":"b,c","d":[1,2]}`, 7, 1, 2},
		"no json":              {`{a:"b,c",d: e}`, 5, 1, 1},
		"a comment that ends":  {"# x\u0085[a, b, c]\n", 4, 1, 1},
		"tag before a scalar":  {"a: !!str |\n" + lines, 2, 1, 0},
		"documents":            {"---\na\n---\nb\n...\n", 2, 3, 0},
		"brackets in a scalar": {"a: x[0], y{1}\n", 2, 1, 0},
	} {
		if got := Measure([]byte(c.text)); got != (Extent{c.values, c.documents, c.depth}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// nodes counts what the parser makes of a text; ok is false when that finds an error.
func nodes(text []byte) (n int, ok bool) {
	var count func(*yaml.Node) int
	count = func(n *yaml.Node) int {
		sum := 1
		for _, c := range n.Content {
			sum += count(c)
		}
		return sum
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return n, true
		} else if err != nil {
			return n, false
		}
		n += count(&doc)
	}
}

// The parser never finds more than was counted.
func FuzzExtent(f *testing.F) {
	files, err := filepath.Glob("../testdata/*/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"a: foo\n  \" bar\nb: [x,x,x,x]\n", "a: |\n    x\n  [a,a,a,a,a,a,a]\n", "a: |9\n   [a,a,a]\n", "? |\n x\n: >\n y\n", "- - - |\n   a, b\n  - c\n",
		"[foo\n \"a,a,a,a\", b]", "{a:\"b,c,d\"}", "--- |\na,b\n---\n- c\n", "a: &x !t 'b\n c'\n", "[[a],[b]: c]", "# \u2028[a,a,a]", "{a,b,c,d,e}", "[a: b, c]", "'a': \"b\\\"\" \n",
		"- &a\n- *a\n", "key:\n  |\n  a: b\nc: d", "a: b\r[c,d,e]\r", "%X\n---\n- a", "[?a,?b]", "? - a\n  - b\n", "-\n-\n-\n", "a:\n- b\n-  c: |\n   [d,e]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
			return // turned into UTF-8 before it is measured
		}
		// Also with many commas for one, so that a list that was not seen as one shows.
		for _, text := range [][]byte{text, bytes.ReplaceAll(text, []byte(","), []byte(strings.Repeat(",a", 20)+","))} {
			if n, ok := nodes(text); ok {
				if e := Measure(text); n > 2*e.Values+2*e.Documents+2 {
					t.Errorf("%d nodes, %+v", n, e)
				}
			}
		}
	})
}
