package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/solopod/solopod/manifests"
)

// ruleRow is one rule of the API server's, or what it takes and must not be refused. in says where text stands; want is a part of the error
// that is found, and the only field where there is one; an empty one means that there is none.
type ruleRow struct{ in, text, want string }

// ruleFrames are the manifests that rows stand in.
var ruleFrames = map[string]string{
	"meta":      "apiVersion: v1\nkind: Pod\nmetadata: {name: x, %s}\nspec: {containers: [{name: c, image: \"i:1\"}]}\n",
	"name":      "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: [{name: c, image: \"i:1\"}]}\n",
	"pod":       "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: c, image: \"i:1\"}], %s}\n",
	"spec":      "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {%s}\n",
	"container": "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {volumes: [{name: v}, {name: w}, {name: i, image: {reference: \"i:1\"}}], containers: [{name: c, image: \"i:1\", ports: [{containerPort: 80, name: web}], %s}]}\n",
	"image":     "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: c, image: %s}]}\n",
	"init":      "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {initContainers: [{name: i, image: \"i:1\", %s}], containers: [{name: c, image: \"i:1\", ports: [{containerPort: 80, hostPort: 80}]}]}\n",
	"volume":    "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {volumes: [{name: v, %s}], containers: [{name: c, image: \"i:1\"}]}\n",
	"affinity":  "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {affinity: {%s}, containers: [{name: c, image: \"i:1\"}]}\n",

	"configmap":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n%s\n",
	"secret":      "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n%s\n",
	"claim":       "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: x}\nspec: {%s}\n",
	"deployment":  "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: \"i:1\"}]}}, %s}\n",
	"replicaset":  "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: x}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: \"i:1\"}]}}, %s}\n",
	"statefulset": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {volumes: [{name: v}], containers: [{name: c, image: \"i:1\", volumeMounts: [{name: v, mountPath: /v}]}]}}, %s}\n",
	"daemonset":   "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: \"i:1\"}]}}, %s}\n",
	"workload":    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {%s}\n",
	"template":    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: \"i:1\"}], %s}}}\n",
	"labels":      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {%s}, spec: {containers: [{name: c, image: \"i:1\"}]}}}\n",
	"job":         "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: \"i:1\"}]}}, %s}\n",
	"jobtemplate": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: c, image: \"i:1\"}], %s}}}\n",
	"cronjob":     "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: \"i:1\"}]}}}}, %s}\n",
	"cronspec":    "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {schedule: \"@daily\", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: \"i:1\"}]}}, %s}}}\n",
	"document":    "%s\n",
}

// manifest is the text of a row.
func (r ruleRow) manifest() string { return strings.Replace(ruleFrames[r.in], "%s", r.text, 1) }

// What the API server refuses is refused, with words that say what to do, and what it takes is taken (Kubernetes 1.37, pkg/apis/*/validation):
// each row was tried with its own code. Rows marked "ours" are refused here alone.
func TestRules(t *testing.T) {
	if len(ruleRows) < 400 {
		t.Errorf("only %d rows", len(ruleRows))
	}
	seen := map[string]bool{}
	for i, r := range ruleRows {
		if ruleFrames[r.in] == "" || seen[r.in+r.text] {
			t.Errorf("row %d, %s: there is no such frame, or it stands there twice: %s", i, r.in, r.text)
		}
		seen[r.in+r.text] = true
		_, problems := Decode("x", []byte(r.manifest()), Options{AllowedUnsafeSysctls: []string{"*"}})
		errors := problems.Errors()
		switch {
		case r.want == "" && len(errors) > 0:
			t.Errorf("%s: %.300s\n is refused: %.600v", r.in, r.text, errors)
		case r.want != "" && (len(fieldsOfErrors(errors)) != 1 || !strings.Contains(errors[0].Error(), r.want)):
			t.Errorf("%s: %.300s\n got  %.600v\n want %s", r.in, r.text, errors, r.want)
		}
	}
}

// fieldsOfErrors are the fields that something is wrong with: apimachinery may have two things to say of one.
func fieldsOfErrors(errors manifests.Problems) map[string]bool {
	out := map[string]bool{}
	for _, e := range errors {
		out[e.Path] = true
	}
	return out
}

// many repeats a text, with %d its number, n times.
func many(n int, text string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(text, "%d", fmt.Sprint(i))
	}
	return strings.Join(out, ", ")
}
