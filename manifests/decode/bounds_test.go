package decode

import (
	"strings"
	"testing"
	"unicode/utf16"
)

// What is too much is refused with a word about what to do.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"size":      {strings.Repeat("#", MaxFileSize+1), "x.yaml: the file has more than 4194304 bytes, which is what is read of one; put the objects into several files"},
		"values":    {podHead + strings.Repeat("- a\n", 60_000), "x.yaml: the file has more than 100000 values; put"},
		"documents": {strings.Repeat("---\n", 5000), "x.yaml: the file has more than 4096 documents; put"},
		"objects":   {"apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}\n", 5000), "is already defined"},
		"brackets":  {podHead + "  a: " + strings.Repeat("[", 101) + strings.Repeat("]", 101), "nested more than 100 deep"},
		"dashes":    {podHead + strings.Repeat("- ", 200) + "a", "x.yaml:5:201: its lists and objects are nested more than 100 deep"},
		"key":       {podHead + "  " + strings.Repeat("k", 1025) + "x: v", "cannot be read as YAML"}, // the parser's own bound for keys
		"long key":  {podHead + "  nodeSelector:\n    ? \"" + strings.Repeat("k", 1025) + "\"\n    : v", "x.yaml:6:7: spec.nodeSelector: a key has more than 1024 bytes"},
		"problems":  {podHead + numbered("  f%d: 0\n", 1000), "warning: there may be more problems"},
		"aliases":   {podHead + "  x: &a \"" + strings.Repeat("x", 1<<20) + "\"\n  nodeSelector: {a: *a, b: *a, c: *a, d: *a, e: *a}", "too large once its YAML aliases are expanded"},
		"merged":    {"apiVersion: v1\nkind: Pod\nmetadata: &m\n  <<: *m\n  name: x\n", "x.yaml:3:11: metadata: objects are merged more than 100 deep, or into themselves"},
		"replicas":  {costly["replicas"](), "use fewer replicas, or a smaller template"},
		"utf-16":    {"\xff\xfea", "the last UTF-16 character is incomplete"},
	} {
		contents, problems := Decode("x.yaml", []byte(c.text), Options{})
		if !strings.Contains(problems.Error(), c.want) || len(contents.Pods) > 0 {
			t.Errorf("%s: %.300s\nwant %s", name, problems.Error(), c.want)
		}
	}
}

// Warnings, however many, do not keep a manifest from being used.
func TestManyWarnings(t *testing.T) {
	contents, problems := Decode("x.yaml", []byte(minimal+numbered("    f%d: 0\n", 500)), Options{WarnUnknownFields: true})
	if len(contents.Pods) != 1 || len(problems.Errors()) > 0 || len(problems) != maxProblems+1 {
		t.Errorf("%d pods, %d problems", len(contents.Pods), len(problems))
	}
}

func TestUTF16(t *testing.T) {
	for _, swap := range []bool{false, true} {
		data := []byte{0xfe, 0xff}
		for _, c := range utf16.Encode([]rune(strings.Replace(minimal, "{name: x}", "{name: x, annotations: {a: 'ä😀'}}", 1))) {
			data = append(data, byte(c>>8), byte(c))
		}
		for i := 0; swap && i < len(data); i += 2 {
			data[i], data[i+1] = data[i+1], data[i]
		}
		contents, problems := Decode("x.yaml", data, Options{})
		if len(problems) > 0 || len(contents.Pods) != 1 || contents.Pods[0].Annotations["a"] != "ä😀" {
			t.Errorf("%v %+v", problems, contents.Pods)
		}
	}
}
