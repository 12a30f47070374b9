package decode

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A file's version is that of its objects, which agree; what it declares is what stands in it.
func TestVersion(t *testing.T) {
	object := func(kind, name, annotations string) string {
		more := map[string]string{
			"v1/Pod": "spec: {containers: [{name: c, image: i}]}", "v1/ConfigMap": "data: {k: v}", "v1/Secret": "data: {}",
			"v1/PersistentVolumeClaim": "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
			"apps/v1/Deployment":       "spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, annotations: {solopod.io/version: \"99\"}}, spec: {containers: [{name: c, image: i}]}}}",
			"batch/v1/Job":             "spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
			"batch/v1/CronJob":         "spec: {schedule: \"@daily\", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}",
		}[kind]
		i := strings.LastIndex(kind, "/")
		return fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n  annotations: {%s}\n%s\n", kind[:i], kind[i+1:], name, annotations, more)
	}
	is := func(version string) string { return fmt.Sprintf("solopod.io/version: %q", version) }
	for name, c := range map[string]struct {
		text     string
		version  uint64
		declared string
		says     string
	}{
		"none":           {object("v1/Pod", "a", ""), 0, "pod/default/a", ""},
		"one":            {object("v1/Pod", "a", is("7")), 7, "pod/default/a", ""},
		"the largest":    {object("v1/Pod", "a", is("9223372036854775807")), 9223372036854775807, "pod/default/a", ""},
		"a second":       {object("v1/ConfigMap", "c", "") + object("v1/Pod", "a", is("7")), 7, "configmap/default/c pod/default/a", ""},
		"two that agree": {object("v1/ConfigMap", "c", is("7")) + object("v1/Pod", "a", is("7")), 7, "configmap/default/c pod/default/a", ""},
		"of every kind": {object("v1/Secret", "s", is("3")) + object("v1/PersistentVolumeClaim", "p", is("3")) + object("batch/v1/Job", "j", is("3")) + object("batch/v1/CronJob", "k", is("3")),
			3, "secret/default/s persistentvolumeclaim/default/p job/default/j cronjob/default/k", ""},
		"not a template's":    {object("apps/v1/Deployment", "d", is("3")), 3, "deployment/default/d", ""},
		"two that do not":     {object("v1/ConfigMap", "c", is("7")) + object("v1/Pod", "a", is("8")), 0, "", "f.yaml:13:17: metadata.annotations.solopod.io/version: is 8 here and 7 before"},
		"zero":                {object("v1/Pod", "a", is("0")), 0, "", `f.yaml:6:17: metadata.annotations.solopod.io/version: invalid version "0": write a whole number from 1 up`},
		"below":               {object("v1/Pod", "a", is("-1")), 0, "", `invalid version "-1"`},
		"two spellings":       {object("v1/Pod", "a", is("07")), 0, "", `invalid version "07"`},
		"a sign":              {object("v1/Pod", "a", is("+7")), 0, "", `invalid version "+7"`},
		"a space":             {object("v1/Pod", "a", is("7 ")), 0, "", `invalid version "7 "`},
		"words":               {object("v1/Pod", "a", is("v1.2")), 0, "", `invalid version "v1.2"`},
		"empty":               {object("v1/Pod", "a", is("")), 0, "", `invalid version ""`},
		"too large":           {object("v1/Pod", "a", is("9223372036854775808")), 0, "", "invalid version"},
		"a number, not text":  {object("v1/Pod", "a", "solopod.io/version: 7"), 0, "", "annotations"},
		"in another's object": {object("apps/v1/Deployment", "d", is("x")), 0, "", `invalid version "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := Decode("f.yaml", []byte(c.text), Options{})
			if said := problems.Error(); (len(problems.Errors()) == 0) != (c.says == "") || !strings.Contains(said, c.says) {
				t.Errorf("says %s", said)
			}
			if want := strings.Fields(c.declared); got.Version != c.version || !slices.Equal(got.Declared, want) {
				t.Errorf("%d, %q", got.Version, got.Declared)
			}
		})
	}
}
