package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests"
)

// Manifests that Kubernetes' API server takes run, those that it refuses do not, and check says beforehand what the daemon then says.
func TestKubernetesRules(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	own := "/proc/self/status; grep -v '^#' /etc/resolv.conf; " + forever
	b.apply("speaker.yaml", shell("speaker", "grep NoNewPrivs "+own, "dnsPolicy: None\ndnsConfig: {nameservers: [127.0.0.1], searches: [\".\", _sip._tcp.example]}")+
		"    securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [NET_ADMIN, SYS_ADMIN]}}\n")
	// The claim takes precedence over the template's volume of its name, which nothing would fill.
	b.apply("db.yaml", workload("apps/v1", "StatefulSet", "db", "serviceName: db\nselector: {matchLabels: {app: x}}\n"+
		"volumeClaimTemplates: [{metadata: {name: datadir}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]\n"+
		strings.Replace(template("echo here >/data/file; "+forever, "volumes: [{name: datadir, persistentVolumeClaim: {claimName: datadir}}]"), "      command:", "      volumeMounts: [{name: datadir, mountPath: /data}]\n      command:", 1)))
	// An init container may want the port of the host that the container after it has.
	b.apply("ports.yaml", `apiVersion: v1
kind: Pod
metadata: {name: ports}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 2
  initContainers: [{name: first, image: 'solopod.example/box:1', command: ['true'], ports: [{containerPort: 18081, hostPort: 18081}]}]
  containers: [{name: main, image: 'solopod.example/box:1', command: [sleep, "1000"], ports: [{containerPort: 18081, hostPort: 18081}]}]
`)
	b.waitReady("ports")
	b.waitReady("db-0")
	if got := readFile(t, b.path("root/claims/default/datadir-db-0/data/file")); got != "here\n" {
		t.Errorf("the claim of the template holds %q", got)
	}
	b.waitReady("speaker")
	b.eventually("what the speaker has", func() error {
		if out := b.run("logs", "speaker"); out != "NoNewPrivs:\t1\nsearch . _sip._tcp.example\nnameserver 127.0.0.1\n" {
			return fmt.Errorf("%q", out)
		}
		return nil
	})

	pod := func(name, spec, container string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec:\n" + indent(2, spec) + "\n  containers:\n  - name: c\n    image: i\n" + indent(4, container) + "\n"
	}
	refused := map[string][2]string{
		"ordinal":  {workload("apps/v1", "StatefulSet", "ordinal", "ordinals: {start: -1}\nselector: {matchLabels: {app: x}}\n"+template("true", "")), "spec.ordinals.start"},
		"twice":    {pod("twice", "volumes: [{name: v, projected: {sources: [{configMap: {name: a, items: [{key: k, path: f}]}}, {configMap: {name: b, items: [{key: k, path: f}]}}]}}]", ""), "is the path of another file"},
		"resize":   {pod("resize", "restartPolicy: Never", "resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]"), "must be NotRequired"},
		"huge":     {pod("huge", "", "resources: {limits: {hugepages-2Mi: 2Mi}}"), "huge pages go with"},
		"selector": {strings.Replace(workload("apps/v1", "Deployment", "selector", "replicas: 1\n"+template("true", "")), "selector: {matchLabels: {app: x}}", "", 1), "a selector is required"},
		"searches": {pod("searches", "dnsConfig: {searches: ["+strings.Repeat("a.example, ", 33)+"]}", ""), "at most 32 search domains"},
		"notes":    {strings.Replace(pod("notes", "", ""), "{name: notes}", "{name: notes, annotations: {a: "+strings.Repeat("b", 256<<10)+"}}", 1), "at most 262144 are allowed"},
		"job":      {workload("batch/v1", "Job", strings.Repeat("j", 64), template("true", "restartPolicy: Never")), "at most 63 characters"},
		"unmasked": {pod("unmasked", "", "securityContext: {procMount: Unmasked}"), "it goes with hostUsers: false"},
		"signal":   {pod("signal", "", "lifecycle: {stopSignal: SIGUSR1}"), "it goes with os"},
		"class":    {pod("class", "priorityClassName: Very High", ""), "spec.priorityClassName"},
		"deadline": {workload("apps/v1", "Deployment", "deadline", "selector: {matchLabels: {app: x}}\n"+template("true", "activeDeadlineSeconds: 5")), "for work that ends use a Job"},
		"scheme":   {strings.Replace(pod("scheme", "", ""), "image: i\n", "image: \"docker://busybox:1\"\n", 1), "write busybox:1"},
		"case":     {strings.Replace(pod("case", "", ""), "image: i\n", "image: \"Nginx:latest\"\n", 1), "write nginx:latest"},
	}
	for name, r := range refused {
		b.apply(name+".yaml", r[0])
	}
	for name, r := range refused {
		b.eventually(name+" is refused", func() error {
			var shown api.Manifests
			if err := json.Unmarshal([]byte(b.run("get", "manifests", "-o", "json")), &shown); err != nil {
				return err
			}
			files := shown.Files
			i := slices.IndexFunc(files, func(f manifests.File) bool { return f.Name == name+".yaml" })
			if i < 0 || files[i].State != manifests.StateInvalid || !strings.Contains(files[i].Problems.Error(), r[1]) {
				return fmt.Errorf("%.600v", files)
			}
			return nil
		})
		out, err := b.try("check", b.path("manifests/"+name+".yaml"))
		if err == nil || !strings.Contains(out+err.Error(), r[1]) {
			t.Errorf("check of %s: %v: %.300s", name, err, out)
		}
		if err := os.Remove(b.path("manifests/" + name + ".yaml")); err != nil {
			t.Error(err)
		}
	}
}
