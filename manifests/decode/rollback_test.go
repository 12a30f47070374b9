package decode

import (
	"strings"
	"testing"
)

// When a version goes back is checked where the object says it; that an object is held its manifest cannot say.
func TestRollbackAnnotation(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {solopod.io/held: mine, solopod.io/rollback-after: %}}\nspec: {containers: [{name: c, image: i}]}\n"
	of := func(kind, spec string) string {
		return "apiVersion: apps/v1\nkind: " + kind + "\nmetadata: {name: p, annotations: {solopod.io/rollback-after: %}}\nspec:\n  selector: {matchLabels: {a: b}}\n" + spec +
			"  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: i}]}\n"
	}
	for kind, text := range map[string]string{
		"Pod": pod, "Deployment": of("Deployment", ""), "StatefulSet": of("StatefulSet", "  serviceName: s\n"), "DaemonSet": of("DaemonSet", ""),
	} {
		for value, wrong := range map[string]string{"5m": "", `"0"`: "", "10s": "", "soon": `"soon" is no duration; write it as 5m, or 0 for never`, "1s": "1s is too short", "-5m": "too short"} {
			contents, problems := Decode("f", []byte(strings.Replace(text, "%", value, 1)), Options{})
			err := problems.Errors().Error()
			if (wrong == "") != (len(problems.Errors()) == 0) || !strings.Contains(err, wrong) || wrong != "" && !strings.Contains(err, "metadata.annotations.solopod.io/rollback-after") {
				t.Errorf("%s, %s: %s", kind, value, err)
			}
			if wrong == "" && kind == "Pod" && contents.Pods[0].Annotations["solopod.io/held"] != "" {
				t.Error("a manifest says that its pod is held")
			}
		}
	}
}
