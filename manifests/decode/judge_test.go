package decode

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// What the judge says of a pod stands at the pod's own field in the file, whatever kind of object the pod comes from, and is said once.
func TestJudge(t *testing.T) {
	judge := func(pod *v1.Pod) manifests.Problems {
		if !pod.Spec.HostPID {
			return nil
		}
		return manifests.Problems{
			{Path: "spec.hostPID", Control: "c", Message: "forbidden"},
			{Path: "spec.containers[0].image", Control: "c", Message: "told", Warning: true},
		}
	}
	const spec = "containers: [{name: c, image: i}], hostPID: true"
	for name, c := range map[string]struct{ text, hostPID, image string }{
		"pod": {"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  {" + spec + "}", "f:5:39: spec.hostPID", "f:5:27: warning: spec.containers[0].image"},
		"in a list": {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {" + spec + "}}",
			"f:4:94: items[0].spec.hostPID", "f:4:82: warning: items[0].spec.containers[0].image"},
		"deployment": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p}\nspec:\n  replicas: 3\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      {" + spec + "}",
			"f:10:43: spec.template.spec.hostPID", "f:10:31: warning: spec.template.spec.containers[0].image"},
		"stateful set": {"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: p}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      {" + spec + "}",
			"f:9:43: spec.template.spec.hostPID", "f:9:31: warning: spec.template.spec.containers[0].image"},
		"daemon set": {"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: p}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      {" + spec + "}",
			"f:9:43: spec.template.spec.hostPID", "f:9:31: warning: spec.template.spec.containers[0].image"},
		"replica set": {"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: p}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      {" + spec + "}",
			"f:9:43: spec.template.spec.hostPID", "f:9:31: warning: spec.template.spec.containers[0].image"},
		"job": {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: p}\nspec:\n  template:\n    spec:\n      {restartPolicy: Never, " + spec + "}",
			"f:7:65: spec.template.spec.hostPID", "f:7:53: warning: spec.template.spec.containers[0].image"},
		"cron job": {"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: p}\nspec:\n  schedule: \"@daily\"\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          {restartPolicy: Never, " + spec + "}",
			"f:10:69: spec.jobTemplate.spec.template.spec.hostPID", "f:10:57: warning: spec.jobTemplate.spec.template.spec.containers[0].image"},
	} {
		contents, problems := Decode("f", []byte(c.text), Options{Judge: judge})
		if got, want := problems.Error(), c.image+": told\n"+c.hostPID+": forbidden"; got != want {
			t.Errorf("%s:\n%s\nnot\n%s", name, got, want)
		}
		if len(contents.Pods)+len(contents.Jobs)+len(contents.CronJobs) > 0 {
			t.Errorf("%s: it is used all the same", name)
		}
		if len(problems) > 0 && problems[0].Control != "c" {
			t.Errorf("%s: the control is lost", name)
		}
		good := strings.Replace(c.text, "hostPID: true", "hostPID: false", 1)
		if _, problems := Decode("f", []byte(good), Options{Judge: judge}); len(problems) > 0 {
			t.Errorf("%s, without it: %v", name, problems)
		}
	}
}
