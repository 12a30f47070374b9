package manifests

import (
	"os"
	"strings"
	"testing"
)

// docs/pod-spec.md lists what is implemented, and nothing else.
func TestDocumentedFields(t *testing.T) {
	text, err := os.ReadFile("../docs/pod-spec.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) == 4 && strings.Contains(cells[2], "`") {
			fields := strings.NewReplacer("`", "", ",", "").Replace(cells[2])
			documented[strings.TrimSpace(cells[1])] = strings.TrimSpace(fields)
		}
	}
	for kind, fields := range implementedFields {
		if documented[kind] != fields {
			t.Errorf("%s is documented with %q, and has %q", kind, documented[kind], fields)
		}
		delete(documented, kind)
	}
	for kind := range documented {
		t.Errorf("%s is documented and not implemented", kind)
	}
	for kind := range fieldsWithoutEffect {
		if !strings.Contains(string(text), "`"+kind+"`") {
			t.Errorf("%s has no effect, and the documentation does not say so", kind)
		}
	}
}
