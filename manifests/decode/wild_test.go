package decode

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/solopod/solopod/manifests"
)

var section = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

// wildManifests are the manifests of testdata/wild: shapes that the world's have, in files of several.
func wildManifests(t *testing.T) (names []string, texts map[string]string) {
	t.Helper()
	files, err := filepath.Glob("testdata/wild/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		found := section.FindAllStringSubmatchIndex(text, -1)
		for i, at := range found {
			end := len(text)
			if i+1 < len(found) {
				end = found[i+1][0]
			}
			name := text[at[2]:at[3]]
			if _, twice := texts[name]; twice {
				t.Fatalf("%s is there twice", name)
			}
			names, texts[name] = append(names, name), text[at[1]:end]
		}
	}
	return names, texts
}

// A hundred manifests as the world has them, and what becomes of each: what is used of it, and what is said.
func TestWildManifests(t *testing.T) {
	names, texts := wildManifests(t)
	if len(names) < 100 {
		t.Errorf("only %d manifests", len(names))
	}
	var out strings.Builder
	for _, name := range names {
		contents, problems := Decode(name, []byte(texts[name]), Options{})
		out.WriteString(verdict(name, contents, problems))
	}
	golden := "testdata/wild/verdicts.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(out.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("line %d: got\n%s\nwant\n%s", i+1, strings.Join(got[min(i, len(got)):min(i+3, len(got))], "\n"), line)
		}
	}
	if len(got) != strings.Count(string(want), "\n")+1 {
		t.Errorf("%d lines, want %d", len(got), strings.Count(string(want), "\n")+1)
	}
}

// verdict is a line that says what is used of a file, and one for each problem.
func verdict(name string, c manifests.Contents, problems manifests.Problems) string {
	word := "taken"
	if len(problems.Errors()) > 0 {
		word = "refused"
	}
	line := fmt.Sprintf("%s: %s", name, word)
	for _, object := range c.Declared {
		line += " " + object
	}
	for _, p := range problems {
		line += "\n    " + strings.TrimPrefix(p.Error(), name+":")
	}
	return line + "\n"
}
