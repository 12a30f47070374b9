package manifests

import "testing"

func TestPrintableName(t *testing.T) {
	for name, want := range map[string]string{
		"a.yaml": "a.yaml", "ä b.yaml": "ä b.yaml", "new\nline.yaml": `"new\nline.yaml"`, "\xff.yaml": `"\xff.yaml"`, "\x1b[2J.yaml": `"\x1b[2J.yaml"`,
	} {
		if got := PrintableName(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}
