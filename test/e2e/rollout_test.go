package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// versions is a pod template, which can be on the bridge, of a version: it is ready a moment after it has begun, unless it is broken.
func versions(version, more string) string {
	return versionsOf(version, "sleep 1; touch /run-ready; "+forever, more)
}

// broken is a version that never becomes ready.
func broken(version, more string) string { return versionsOf(version, forever, more) }

func versionsOf(version, script, more string) string {
	return "selector: {matchLabels: {app: x}}\ntemplate:\n  metadata: {labels: {app: x}}\n  spec:\n    terminationGracePeriodSeconds: 2\n" + indent(4, more) +
		"\n    containers:\n    - name: main\n      image: solopod.example/box:1\n      env: [{name: VERSION, value: \"" + version + "\"}]\n" +
		"      readinessProbe: {exec: {command: [test, -e, /run-ready]}, periodSeconds: 1, timeoutSeconds: 20}\n" + // a busy machine is no unready pod
		"      command: [/bin/sh, -c]\n      args:\n      - |\n" + indent(8, script) + "\n"
}

// counted is how many pods of an object there were and were ready, at least and at most, since it was watched.
type counted struct {
	least, most int
	// seen names all that there were.
	seen []string
}

// seen is a pod as it was shown at one moment; versions grow with time.
type seen struct {
	version int
	name    string
	ready   bool
}

// leastReady is how few pods were ready at the same time, from when so many were. Of changes that a watch has found together it tells in
// the order of names: here they are in their own.
func leastReady(all []seen, from int) int {
	slices.SortStableFunc(all, func(a, b seen) int { return a.version - b.version })
	ready, least := map[string]bool{}, -1
	for _, s := range all {
		if ready[s.name] = true; !s.ready {
			delete(ready, s.name)
		}
		switch n := len(ready); {
		case least >= 0:
			least = min(least, n)
		case n >= from:
			least = n
		}
	}
	return least
}

// countReady watches the pods of an object, by kind/name, until the returned function is called, which says what there was. It counts from
// when so many are ready on.
func (b *box) countReady(owner string, from int) (end func() counted) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://solopod/pods?watch=true", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	client := *b.http
	client.Timeout = 0
	resp, err := client.Do(req) //nolint:bodyclose // closed by the goroutine that reads it
	if err != nil {
		b.t.Fatal("cannot watch: ", err)
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	var out counted
	go func(begun chan struct{}) {
		defer close(ended)
		defer resp.Body.Close()
		var all []seen
		pods, names := map[string]bool{}, map[string]bool{}
		for d := json.NewDecoder(resp.Body); ; {
			var e struct {
				Type   string
				Object *v1.Pod
			}
			if err := d.Decode(&e); err != nil {
				out.least, out.seen = leastReady(all, from), slices.Sorted(maps.Keys(names))
				return
			}
			if e.Object.Annotations["solopod.io/owner"] != owner {
				continue
			}
			name, ready := e.Object.Name, isReady(e.Object) && e.Type != "DELETED"
			version, err := strconv.Atoi(e.Object.ResourceVersion)
			if err != nil {
				out.least = -2 // no test expects it
				return
			}
			all, names[name] = append(all, seen{version, name, ready}), true
			if pods[name] = true; e.Type == "DELETED" {
				delete(pods, name)
			}
			out.most = max(out.most, len(pods))
			if begun != nil && leastReady(slices.Clone(all), from) >= 0 {
				close(begun)
				begun = nil
			}
		}
	}(begun)
	select {
	case <-begun:
	case <-time.After(patience):
		cancel()
		<-ended
		b.t.Fatalf("%d pods of %s were not ready at the same time within %s", from, owner, patience)
	}
	return func() counted {
		cancel()
		<-ended
		return out
	}
}

// rolledOut waits until all pods of an object have a version and are ready, and there are no others.
func (b *box) rolledOut(kind, name, version string, pods ...string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%s has version %s", name, version), func() error {
		var list v1.PodList
		if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
			return err
		}
		var is []string
		for i := range list.Items {
			p := &list.Items[i]
			if p.Annotations["solopod.io/owner"] != strings.ToLower(kind)+"/"+name {
				continue
			}
			is = append(is, p.Name)
			if v := p.Spec.Containers[0].Env[0].Value; v != version || !isReady(p) || !strings.Contains(status(p, "main").ContainerID, "containerd") {
				return fmt.Errorf("%s has version %s, ready %v", p.Name, v, isReady(p))
			}
		}
		if !slices.Equal(is, pods) {
			return fmt.Errorf("there are %s", is)
		}
		return nil
	})
	for _, pod := range pods {
		if out := strings.TrimSpace(b.run("exec", pod, "--", "sh", "-c", "echo $VERSION")); out != version {
			b.t.Errorf("%s runs version %s, not %s", pod, out, version)
		}
	}
}

// deployed waits until a list of objects says of one what is wanted.
func (b *box) deployed(kinds, want string) {
	b.t.Helper()
	columns := "N:.metadata.name,R:.status.readyReplicas,D:.spec.replicas,U:.status.updatedReplicas,A:.status.availableReplicas"
	if kinds == "daemonsets" {
		columns = "N:.metadata.name,R:.status.numberReady,D:.status.desiredNumberScheduled,U:.status.updatedNumberScheduled,A:.status.numberAvailable"
	}
	b.eventually(kinds+" show "+want, func() error {
		out := b.run("get", kinds, "--no-headers", "-o", "custom-columns="+columns)
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			f := strings.Fields(line)
			return len(f) == 5 && fmt.Sprintf("%s %s/%s %s %s", f[0], f[1], f[2], f[3], f[4]) == want
		}) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// containers are the IDs of the pods' containers.
func (b *box) containers(pods ...string) (out []string) {
	for _, name := range pods {
		if p := b.pod(v1.NamespaceDefault, name); p != nil {
			out = append(out, status(p, "main").ContainerID)
		}
	}
	return out
}

// A Deployment gets a new version without ever fewer ready pods than it allows; a crash of the daemon in the middle changes nothing of
// that. What does not change the pods restarts none.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	web := func(replicas int, version, more string) {
		b.apply("web.yaml", workload("apps/v1", "Deployment", "web", fmt.Sprintf("replicas: %d\nminReadySeconds: 1\n", replicas)+more+versions(version, "")))
	}
	three := []string{"web-0", "web-1", "web-2"}
	web(3, "1", "")
	b.apply("single.yaml", workload("apps/v1", "Deployment", "single", versions("1", "")))
	b.rolledOut("Deployment", "web", "1", three...)
	b.rolledOut("Deployment", "single", "1", "single-0")
	b.deployed("deployments", "web 3/3 3 3")

	end := b.countReady("deployment/web", 3)
	web(3, "2", "")
	b.rolledOut("Deployment", "web", "2", three...)
	if c := end(); c.least != 3 || c.most != 4 || !slices.Contains(c.seen, "web-3") {
		t.Errorf("with the default strategy: %+v", c)
	}
	b.eventually("it is told", func() error { return b.events("all pods have the new version and are available") })

	end = b.countReady("deployment/web", 3)
	web(3, "3", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}\n")
	b.rolledOut("Deployment", "web", "3", three...)
	if c := end(); c.least != 2 || c.most != 3 {
		t.Errorf("with maxUnavailable 1: %+v", c)
	}

	b.stop(syscall.SIGTERM) // an edit made meanwhile is rolled out, too
	b.apply("single.yaml", workload("apps/v1", "Deployment", "single", versions("2", "")))
	b.start()
	end = b.countReady("deployment/single", 1)
	b.rolledOut("Deployment", "single", "2", "single-0")
	if c := end(); c.least != 1 || c.most != 2 {
		t.Errorf("with one replica: %+v", c)
	}

	// A crash in the middle.
	end = b.countReady("deployment/web", 3)
	web(3, "4", "")
	b.waitPod("web-0", "of the new version", func(p *v1.Pod) bool { return p.Spec.Containers[0].Env[0].Value == "4" })
	b.crash()
	if c := end(); c.least != 3 {
		t.Errorf("before the crash: %+v", c)
	}
	b.start()
	end = b.countReady("deployment/web", 3)
	b.rolledOut("Deployment", "web", "4", three...)
	if c := end(); c.least != 3 || c.most != 4 {
		t.Errorf("after the crash: %+v", c)
	}

	// Another annotation of the template is another version; another label is none.
	labelled := func(meta string) {
		b.apply("web.yaml", strings.Replace(workload("apps/v1", "Deployment", "web", "replicas: 3\nminReadySeconds: 1\n"+versions("4", "")), "labels: {app: x}}", meta+"}", 1))
	}
	before := b.containers(three...)
	end = b.countReady("deployment/web", 3)
	labelled("labels: {app: x, more: x}, annotations: {checksum/config: abc}")
	b.eventually("all have begun anew", func() error {
		after := b.containers(three...)
		for i := range before {
			if len(after) != 3 || after[i] == before[i] {
				return fmt.Errorf("containers were %s, and are %s", before, after)
			}
		}
		return nil
	})
	b.rolledOut("Deployment", "web", "4", three...)
	if c := end(); c.least != 3 {
		t.Errorf("for an annotation: %+v", c)
	}
	before = b.containers(three...)
	labelled("labels: {app: x}, annotations: {checksum/config: abc}")
	b.waitPod("web-0", "labelled anew", func(p *v1.Pod) bool { return len(p.Labels) == 1 })
	if after := b.containers(three...); !slices.Equal(after, before) {
		t.Errorf("for a label containers that were %s are %s", before, after)
	}
	labelled("labels: {app: x}")
	b.eventually("the annotation goes", func() error {
		if after := b.containers(three...); slices.Equal(after, before) {
			return fmt.Errorf("containers are %s", after)
		}
		return nil
	})
	b.rolledOut("Deployment", "web", "4", three...)

	// More replicas, and fewer, are a matter of an instant; nothing else moves.
	before = b.containers(three...)
	web(5, "4", "revisionHistoryLimit: 3\n")
	b.rolledOut("Deployment", "web", "4", "web-0", "web-1", "web-2", "web-3", "web-4")
	web(2, "4", "")
	b.rolledOut("Deployment", "web", "4", "web-0", "web-1")
	if after := b.containers("web-0", "web-1"); !slices.Equal(after, before[:2]) {
		t.Errorf("containers were %s, and are %s", before, after)
	}

	// Pods that have something of the host that nobody else can have are replaced where they stand.
	b.apply("alone.yaml", workload("apps/v1", "Deployment", "alone", versions("1", "hostNetwork: true")))
	b.rolledOut("Deployment", "alone", "1", "alone-0")
	end = b.countReady("deployment/alone", 1)
	b.apply("alone.yaml", workload("apps/v1", "Deployment", "alone", versions("2", "hostNetwork: true")))
	b.rolledOut("Deployment", "alone", "2", "alone-0")
	if c := end(); c.most != 1 {
		t.Errorf("with the host's network: %+v", c)
	}
	if err := b.events("none begins beside them: they have the host's network"); err != nil {
		t.Error(err)
	}
}

// A version that does not become ready stalls, and leaves the pods of the old one as they are, over a crash, too. It is told after
// the deadline. The next good version gets through.
func TestStalledRollout(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	const spec = "replicas: 3\nprogressDeadlineSeconds: 4\n"
	three := []string{"web-0", "web-1", "web-2"}
	b.apply("web.yaml", workload("apps/v1", "Deployment", "web", spec+versions("1", "")))
	b.rolledOut("Deployment", "web", "1", three...)
	before := b.containers(three...)
	end := b.countReady("deployment/web", 3)
	b.apply("web.yaml", workload("apps/v1", "Deployment", "web", spec+broken("2", "")))
	b.eventually("it is told that nothing goes on", func() error { return b.events("ProgressDeadlineExceeded") })
	b.deployed("deployments", "web 3/3 1 3")
	stalled := func(want string) {
		t.Helper()
		b.eventually("describe shows "+want, func() error {
			if out := b.run("describe", "deployment", "web"); !strings.Contains(out, want) {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	stalled("nothing has gone ahead for 4s: 3 of 3 pods have the old version; waiting for web-3")
	b.crash()
	c := end()
	b.start()
	again := b.countReady("deployment/web", 3)
	stalled("nothing has gone ahead for 4s")
	if after := b.containers(three...); !slices.Equal(after, before) {
		t.Errorf("containers were %s, and are %s", before, after)
	}
	counts := []counted{c, again()}
	b.reboot()
	b.start()
	for _, name := range three {
		b.waitPod(name, "of the old version", func(p *v1.Pod) bool { return p.Spec.Containers[0].Env[0].Value == "1" && isReady(p) })
	}
	again = b.countReady("deployment/web", 3)
	b.apply("web.yaml", workload("apps/v1", "Deployment", "web", spec+versions("3", "")))
	b.rolledOut("Deployment", "web", "3", three...)
	for _, c := range append(counts, again()) {
		if c.least != 3 || c.most != 4 {
			t.Errorf("while it stalled, or was mended: %+v", c)
		}
	}
}

// With Recreate no pod of the new version begins before all of the old one have gone.
func TestRecreate(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	if err := os.Mkdir(b.path("shared"), 0o755); err != nil {
		t.Fatal(err)
	}
	recreate := func(version string) {
		b.apply("web.yaml", workload("apps/v1", "Deployment", "web", "replicas: 2\nstrategy: {type: Recreate}\n"+
			strings.Replace(versionsOf(version, "echo begin $VERSION >>/shared/story; trap 'sleep 1; echo end $VERSION >>/shared/story; exit 0' TERM; touch /run-ready; while true; do sleep 1000 & wait; done",
				"volumes: [{name: shared, hostPath: {path: "+b.path("shared")+"}}]"), "      command:", "      volumeMounts: [{name: shared, mountPath: /shared}]\n      command:", 1)))
	}
	recreate("1")
	b.rolledOut("Deployment", "web", "1", "web-0", "web-1")
	recreate("2")
	b.rolledOut("Deployment", "web", "2", "web-0", "web-1")
	if got, want := b.readFile("shared/story"), "begin 1\nbegin 1\nend 1\nend 1\nbegin 2\nbegin 2\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// Killed while the old ones end: they do not come back.
	recreate("3")
	b.waitPod("web-0", "ending", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	b.crash()
	b.start()
	b.rolledOut("Deployment", "web", "3", "web-0", "web-1")
	if got, want := b.readFile("shared/story"), "end 2\nend 2\nbegin 3\nbegin 3\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%swant at its end\n%s", got, want)
	}
}

// A StatefulSet's pods are replaced one at a time, the highest first, down to the partition.
func TestStatefulSetUpdate(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	if err := os.Mkdir(b.path("shared"), 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(version, strategy string) {
		b.apply("db.yaml", workload("apps/v1", "StatefulSet", "db", "replicas: 3\nserviceName: dbs\nminReadySeconds: 1\n"+strategy+
			strings.Replace(versionsOf(version, "echo $(hostname) $VERSION >>/shared/story; sleep 1; touch /run-ready; "+forever,
				"volumes: [{name: shared, hostPath: {path: "+b.path("shared")+"}}]"), "      command:", "      volumeMounts: [{name: shared, mountPath: /shared}]\n      command:", 1)))
	}
	three := []string{"db-0", "db-1", "db-2"}
	set("1", "")
	b.rolledOut("StatefulSet", "db", "1", three...)
	b.deployed("statefulsets", "db 3/3 3 3") // what is not available anyway would be first
	end := b.countReady("statefulset/db", 3)
	set("2", "updateStrategy: {rollingUpdate: {partition: 1}}\n")
	b.deployed("statefulsets", "db 3/3 2 3")
	b.waitReady("db-1")
	old := b.containers("db-0")
	set("2", "")
	b.rolledOut("StatefulSet", "db", "2", three...)
	if c := end(); c.least != 2 || c.most != 3 {
		t.Errorf("%+v", c)
	}
	if now := b.containers("db-0"); slices.Equal(now, old) {
		t.Error("db-0 was not replaced when the partition went")
	}
	if got, want := b.readFile("shared/story"), "db-2 2\ndb-1 2\ndb-0 2\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%swant at its end\n%s", got, want)
	}
	b.deployed("statefulsets", "db 3/3 3 3")
	end = b.countReady("statefulset/db", 3)
	set("3", "updateStrategy: {rollingUpdate: {maxUnavailable: 2}}\n")
	b.rolledOut("StatefulSet", "db", "3", three...)
	if c := end(); c.least != 1 {
		t.Errorf("with maxUnavailable 2: %+v", c)
	}
	set("3", "updateStrategy: {type: OnDelete}\n")
	b.eventually("it is said that OnDelete is not there", func() error { return b.problemIs("db.yaml", "no pod can be deleted by hand here") })
}

// A DaemonSet's pod is replaced where it stands, or, with maxSurge, after another one is ready.
func TestDaemonSetUpdate(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	set := func(version, strategy string) {
		b.apply("agent.yaml", workload("apps/v1", "DaemonSet", "agent", "minReadySeconds: 1\n"+strategy+versions(version, "")))
	}
	set("1", "")
	b.rolledOut("DaemonSet", "agent", "1", "agent-0")
	end := b.countReady("daemonset/agent", 1)
	set("2", "")
	b.rolledOut("DaemonSet", "agent", "2", "agent-0")
	if c := end(); c.least != 0 || c.most != 1 {
		t.Errorf("%+v", c)
	}
	end = b.countReady("daemonset/agent", 1)
	set("3", "updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n")
	b.rolledOut("DaemonSet", "agent", "3", "agent-0")
	if c := end(); c.least != 1 || c.most != 2 {
		t.Errorf("with maxSurge: %+v", c)
	}
	b.deployed("daemonsets", "agent 1/1 1 1")
}
