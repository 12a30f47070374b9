package decode

import (
	"strings"
	"testing"
)

// How pods are replaced is checked as the API server does, and kept with its defaults.
func TestStrategies(t *testing.T) {
	for _, c := range []struct{ kind, spec, want string }{
		{"Deployment", "", ""},
		{"Deployment", "strategy: {type: Recreate}", ""},
		{"Deployment", "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}", "spec.strategy.rollingUpdate: it has a meaning with type RollingUpdate alone"},
		{"Deployment", "strategy: {type: Rolling}", `spec.strategy.type: unsupported value "Rolling"`},
		{"Deployment", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}", "spec.strategy.rollingUpdate.maxUnavailable: must not be 0 when maxSurge is 0"},
		{"Deployment", "strategy: {rollingUpdate: {maxSurge: 150%, maxUnavailable: 0}}", ""},
		{"Deployment", "strategy: {rollingUpdate: {maxUnavailable: 150%}}", "must not be more than 100%"},
		{"Deployment", "strategy: {rollingUpdate: {maxSurge: many}}", `maxSurge: "many" is neither a number nor a percentage`},
		{"Deployment", "strategy: {rollingUpdate: {maxSurge: -1}}", "maxSurge: must not be negative"},
		{"Deployment", "strategy: {rollingUpdate: {maxSerge: 1}}", `did you mean "maxSurge"?`},
		{"Deployment", "minReadySeconds: 10\n  progressDeadlineSeconds: 10", "spec.progressDeadlineSeconds: must be greater than minReadySeconds, which is 10"},
		{"Deployment", "minReadySeconds: -1", "spec.minReadySeconds: must not be negative"},
		{"Deployment", "paused: true", "spec.paused"},
		{"StatefulSet", "updateStrategy: {rollingUpdate: {partition: 1, maxUnavailable: 50%}}", ""},
		{"StatefulSet", "updateStrategy: {rollingUpdate: {partition: -1}}", "partition: must not be negative"},
		{"StatefulSet", "updateStrategy: {rollingUpdate: {maxUnavailable: 0}}", "maxUnavailable: must not be 0"},
		{"StatefulSet", "updateStrategy: {type: OnDelete}", "warning: spec.updateStrategy.type: no pod can be deleted by hand here"},
		{"StatefulSet", "updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}", "it has a meaning with type RollingUpdate alone"},
		{"StatefulSet", "podManagementPolicy: Ordered", `spec.podManagementPolicy: unsupported value "Ordered"`},
		{"StatefulSet", "podManagementPolicy: Parallel", "warning: spec.podManagementPolicy: accepted without effect: all pods are started at once"},
		{"DaemonSet", "updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}", ""},
		{"DaemonSet", "updateStrategy: {rollingUpdate: {maxSurge: 1}}", "maxSurge: must be 0 when maxUnavailable is not, which is 1 by default"},
		{"DaemonSet", "updateStrategy: {rollingUpdate: {maxUnavailable: 0}}", "must not be 0 when maxSurge is 0"},
		{"DaemonSet", "updateStrategy: {type: OnDelete}", "warning: spec.updateStrategy.type: no pod can be deleted by hand here"},
		{"ReplicaSet", "minReadySeconds: 3", "warning: spec.minReadySeconds: accepted without effect: the pods of a ReplicaSet are replaced at once"},
	} {
		text := "apiVersion: apps/v1\nkind: " + c.kind + "\nmetadata: {name: x}\nspec:\n  " + c.spec +
			"\n  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: \"i:1\"}]}}\n"
		contents, problems := Decode("x.yaml", []byte(text), Options{})
		if c.want == "" && len(problems) > 0 || !strings.Contains(problems.Error(), c.want) {
			t.Errorf("%s, %s\n got  %s\n want %s", c.kind, c.spec, problems.Error(), c.want)
		}
		kept := len(contents.Deployments) + len(contents.StatefulSets) + len(contents.DaemonSets) + len(contents.ReplicaSets)
		if good := len(problems.Errors()) == 0; good != (kept == 1) {
			t.Errorf("%s, %s: %d objects are kept", c.kind, c.spec, kept)
		}
	}
}
