package e2e

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// guarded is a pod, and a Deployment, whose new versions go back when they do not become ready in so many seconds.
func (b *box) guarded(version string, seconds int, of func(version, more string) string) {
	after := fmt.Sprintf("solopod.io/rollback-after: %ds", seconds)
	b.apply("one.yaml", strings.Replace(alone("one", of(version, "hostNetwork: true")), "{name: one}", "{name: one, annotations: {"+after+"}}", 1))
	b.apply("web.yaml", strings.Replace(workload("apps/v1", "Deployment", "web", fmt.Sprintf("replicas: 2\nprogressDeadlineSeconds: %d\n%s", seconds, of(version, "hostNetwork: true"))),
		"{name: web}", "{name: web, annotations: {"+after+`, kubernetes.io/change-cause: "to version `+version+`"}}`, 1))
}

// alone is a pod of a template, as versions makes it.
func alone(name, template string) string {
	_, spec, _ := strings.Cut(template, "  spec:\n")
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n%s", name, strings.ReplaceAll("\n"+spec, "\n  ", "\n")[1:])
}

// runsVersion waits until all have a version, and are ready.
func (b *box) runsVersion(version string) {
	b.t.Helper()
	b.rolledOut("Deployment", "web", version, "web-0", "web-1")
	b.waitPod("one", "of version "+version, func(p *v1.Pod) bool { return p.Spec.Containers[0].Env[0].Value == version && isReady(p) })
}

// proven waits until the versions that hold are known as good.
func (b *box) proven() {
	b.t.Helper()
	b.eventually("the versions are known as good", func() error {
		if n := strings.Count(b.readFile("root/revisions.json"), `"good":`); n != 2 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

// A version that does not become ready goes back by itself, whatever happens meanwhile, is told, counted and shown, and not tried again
// before the manifest is changed.
func TestRollback(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	const ample = 300 // on a machine that is slow
	b.guarded("1", ample, versions)
	b.runsVersion("1")
	b.proven()
	for _, kind := range []string{"pod", "deployment", "statefulset", "daemonset"} {
		if err := b.metricIs("/metrics", `solopod_rollbacks_total\{kind="`+kind+`"\}`, 0); err != nil {
			t.Error(err)
		}
	}
	b.guarded("2", 20, broken)
	b.waitPod("one", "of version 2", func(p *v1.Pod) bool { return p.Spec.Containers[0].Env[0].Value == "2" })
	b.crash()
	b.start()
	b.eventually("both go back", func() error { return b.events("did not become ready") })
	b.runsVersion("1")
	for _, kind := range []string{"pod", "deployment"} {
		b.eventually("it is counted", func() error { return b.metricIs("/metrics", `solopod_rollbacks_total\{kind="`+kind+`"\}`, 1) })
	}
	held := func() {
		t.Helper()
		if out, err := b.try("rollout", "status", "deploy/web"); err == nil || !strings.Contains(out, `deployment "web" was rolled back: revision 3 runs in place of the manifest's`) {
			t.Errorf("rollout status: %v, %s", err, out)
		}
		if out := b.run("get", "deploy"); !strings.Contains(out, "HELD") || !strings.Contains(out, "RolledBack") {
			t.Error(out)
		}
		if out := b.run("describe", "deploy/web"); !strings.Contains(out, "solopod.io/held: RolledBack: revision 3") {
			t.Error(out)
		}
		if out := b.run("describe", "pod", "one"); !strings.Contains(out, "the last version that was ready runs in place of the manifest's") {
			t.Error(out)
		}
	}
	held()
	b.reboot()
	b.start()
	b.runsVersion("1")
	held()
	b.guarded("3", ample, versions)
	b.runsVersion("3")
	if out := b.run("rollout", "status", "deploy/web"); !strings.Contains(out, "successfully rolled out") {
		t.Error(out)
	}
	if out := b.run("get", "deploy"); strings.Contains(out, "HELD") {
		t.Error(out)
	}
}

// Former versions come back by undo, in place of the file's until that is changed; a pause keeps what there is.
func TestRolloutUndo(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	web := func(version string) {
		b.apply("web.yaml", strings.Replace(workload("apps/v1", "Deployment", "web", "replicas: 2\n"+versions(version, "hostNetwork: true")),
			"{name: web}", `{name: web, annotations: {kubernetes.io/change-cause: "to version `+version+`"}}`, 1))
	}
	is := func(version string) {
		t.Helper()
		b.rolledOut("Deployment", "web", version, "web-0", "web-1")
	}
	says := func(want string, args ...string) {
		t.Helper()
		if out := b.run(args...); !strings.Contains(out, want) {
			t.Errorf("solopod %s: %s", strings.Join(args, " "), out)
		}
	}
	web("1")
	is("1")
	web("2")
	is("2")
	says("deployment.apps/web rolled back\n", "rollout", "undo", "deploy/web")
	is("1")
	says("successfully rolled out", "rollout", "status", "deploy/web")
	says("Undone", "get", "deploy")
	out := b.run("rollout", "history", "deploy/web")
	for _, want := range []string{"deployment.apps/web\nREVISION", "to version 1", "to version 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("history lacks %q: %s", want, out)
		}
	}
	says("solopod.example/box:1", "rollout", "history", "deploy/web", "--revision", "2")
	says("skipped rollback (current template already matches revision 3)", "rollout", "undo", "deploy/web", "--to-revision=3")
	b.crash()
	b.start()
	is("1")
	b.reboot()
	b.start()
	is("1")
	web("3")
	is("3")
	says("deployment.apps/web paused\n", "rollout", "pause", "deploy/web")
	says("successfully rolled out", "rollout", "status", "deploy/web") // nothing waits
	web("4")
	b.eventually("the edit is seen", func() error {
		if out := b.run("describe", "deploy/web"); !strings.Contains(out, "what the manifest says now waits for solopod rollout resume") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	b.crash()
	b.start()
	is("3")
	says("Paused", "get", "deploy")
	says("deployment.apps/web resumed\n", "rollout", "resume", "deploy/web")
	is("4")
	b.eventually("it is told", func() error { return b.events("RolloutResumed") })
}
