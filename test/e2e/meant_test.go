package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// siblings is a Deployment of two pods with the host's network, each with two containers and an init container.
func siblings(note string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}, annotations: {note: "` + note + `"}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 0
      initContainers:
      - {name: before, image: "solopod.example/box:1", command: [sh, -c, echo before]}
      containers:
      - {name: main, image: "solopod.example/box:1", command: [sh, -c, "echo one; echo two; exec sleep 100000"]}
      - {name: side, image: "solopod.example/box:1", command: [sh, -c, "echo aside; exec sleep 100000"]}
`
}

// Where a pod is meant the name of what has it will do, and a Deployment is followed and restarted as kubectl's users do it.
func TestWhatIsMeant(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("app.yaml", siblings("a"))
	b.apply("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: work}\nspec:\n  template:\n    spec:\n      hostNetwork: true\n      restartPolicy: Never\n      containers:\n"+
		"      - {name: main, image: \"solopod.example/box:1\", command: [sh, -c, echo worked]}\n")
	b.apply("web.yaml", labelled(web("web", ""), "web", "app: web")+"---\napiVersion: v1\nkind: Service\nmetadata: {name: front}\nspec: {selector: {app: web}, ports: [{name: main, port: 8123, targetPort: http}]}\n")
	for _, c := range []struct{ args, want string }{
		{"rollout status deploy/app --timeout 60s", `deployment "app" successfully rolled out`},
		{"wait deploy/app", "deployment.apps/app condition met\n"},
		{"wait job work", "job.batch/work condition met\n"}, // Complete
		{"wait --for=jsonpath={.status.readyReplicas}=2 deployment app", "deployment.apps/app condition met\n"},
		{"wait pods -l app=app", "pod/app-0 condition met\npod/app-1 condition met\n"},
		{"wait deploy --all --for=condition=Available", "deployment.apps/app condition met\n"},
		{"wait --for=create svc/front", "service/front condition met\n"},
		{"wait --for=delete deploy/none cronjob/none", "deployment.apps/none condition met\ncronjob.batch/none condition met\n"},
		{"logs job/work", "worked\n"},
		{"logs deploy/app -c side --all-pods", "[pod/app-0/side] aside\n[pod/app-1/side] aside\n"},
		{"logs -l app=app --tail 1", "two\ntwo\n"},
		{"logs deploy/app --limit-bytes 4", "one\n"},
		{"logs deploy/app --since-time 2100-01-01T00:00:00Z", ""},
		{"logs deploy/app --since-time 2000-01-01T00:00:00+02:00", "one\ntwo\n"},
		{"exec -q deployment.apps/app -- echo hello", "hello\n"},
		{"rollout status deploy", `deployment "app" successfully rolled out`},
		{"rollout status deployments,sts", `deployment "app" successfully rolled out`},
		{"rollout status deploy -l app=none", "error: there are no deployments with the labels app=none in namespace default"},
		{"rollout restart pods", "error: pods have no rollouts"},
		{"rollout restart deploy/app -l app=app", "error: with -l comes one type, and no name"},
		{"rollout undo deploy/app --to-revision=2", "error: deployment/app: revision 2: there is no such version any more, or not yet"},
		{"rollout status daemonset/none", `error: daemonset "none" not found in namespace default`},
		{"rollout status app", "error: name it as TYPE/NAME"},
		{"rollout restart job/work", "error: job/work has no rollouts"},
		{"rollout undo deploy/app", "error: deployment/app: there is no former version"},
		{"rollout undo job/work", "error: job/work has no rollouts"},
		{"rollout history deploy/app --revision 7", "error: deployment/app has no revision 7"},
		{"rollout resume deploy/app", "error: deployment/app: it is not paused"},
		{"rollout pause ds/none", `error: daemonset "none" not found in namespace default`},
		{"wait pods -l app=none", "error: no matching resources found: no pods with the labels app=none in namespace default"},
		{"wait pod/none --timeout=0", "error: timed out after 0s waiting for condition=Ready of pod/none, which is not in namespace default"},
		{"restart none", `error: pods "none" not found in namespace default`},
		{"logs deploy app", `error: pods "deploy" not found in namespace default; for those of a deployment: solopod logs deploy/app`},
		{"logs --since=-1s app-0", "error: --since is how long ago"},
		{"wait --for=condition=Nonsense deploy/app --timeout=0", "error: timed out after 0s waiting for condition=Nonsense of deployment/app"},
		{"wait statefulset/none", "error: say with --for"},
		{"wait images/x", "error: images cannot be waited for"},
		{"exec deploy/none -- true", `error: deployment "none" not found in namespace default`},
		{"exec -n far deploy/app -- true", `error: deployment "app" not found in namespace far; there is one in namespace default: use -n default`},
		{"logs svc/none", "error: service default/none is not there"},
		{"logs cm/x", "error: configmap/x has no pods"},
		{"logs --since-time yesterday app-0", "error: --since-time takes a time like"},
		{"logs -l app=app app-0", "error: name pods, or choose them with -l"},
		{"port-forward job/work 9", "error: pod work-0 does not run, so that no port of it answers; it is Completed"},
		{"exec app-0 -c none -- true", "error: pod default/app-0 has no container \"none\"; it has main, side, before\n"},
		{"port-forward svc/front 9", "error: service front has no port 9; it has 8123/TCP"},
		{"port-forward web none", `error: pod web has no port with the name "none"; it has http`},
	} {
		var stdout, stderr bytes.Buffer
		cmd := b.command(nil, strings.Fields(c.args)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		switch out := stdout.String(); {
		case strings.HasPrefix(c.want, "error: "):
			if err == nil || !strings.HasPrefix(stderr.String(), c.want) || stdout.Len() > 0 {
				t.Errorf("solopod %s: %v, %q, %q, want %q", c.args, err, out, stderr.String(), c.want)
			}
		case err != nil, sortLines(out) != sortLines(c.want) && !strings.HasSuffix(out, c.want+"\n"):
			t.Errorf("solopod %s: %v: %q, not %q; %s", c.args, err, out, c.want, stderr.String())
		}
	}
	// kubectl's words, which are not among the output.
	for args, want := range map[string]string{
		"exec deploy/app -- true":     "Defaulted container \"main\" out of: main, side, before (init)\n",
		"logs deploy/app":             "Found 2 pods, using pod/app-",
		"logs app-0 -c main":          "",
		"exec app-1 -c side -- true":  "",
		"logs pod/app-0 side":         "",
		"exec -q deploy/app -- true":  "",
		"logs --all-containers app-0": "",
	} {
		var stderr bytes.Buffer
		cmd := b.command(nil, strings.Fields(args)...)
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || !strings.HasPrefix(stderr.String(), want) || want == "" && stderr.Len() > 0 {
			t.Errorf("solopod %s: %v: says %q, not %q", args, err, stderr.String(), want)
		}
	}
	// What comes after the time is over is looked at all the same: it may be as wanted.
	var stdout bytes.Buffer
	late := b.command(nil, "wait", "pods", "none", "app-0", "app-1", "--timeout=10ms")
	if late.Stdout = &stdout; late.Run() == nil || stdout.String() != "pod/app-0 condition met\npod/app-1 condition met\n" {
		t.Errorf("wait for a pod that is not there, and for two that are ready, says %q", stdout.String())
	}
	forwardsToService(t, b)
	rollsAnew(t, b)
}

// forwardsToService: a service's port leads to the one that its pods have, and has the number of the service's here.
func forwardsToService(t *testing.T, b *box) {
	t.Helper()
	b.waitReady("web")
	forwarding := b.command(nil, "port-forward", "svc/front", ":main", ":8123")
	said, err := forwarding.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forwarding.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for range 2 {
		lines.Scan()
		ports := regexp.MustCompile(`127.0.0.1:(\d+) -> 8080$`).FindStringSubmatch(lines.Text())
		if ports == nil {
			t.Fatalf("port-forward says %q", lines.Text())
		}
		if got := httpGet("http://127.0.0.1:" + ports[1] + "/healthz"); got != "200 ok\n" {
			t.Errorf("through the service's port: %q", got)
		}
	}
	if err := forwarding.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := forwarding.Wait(); err != nil {
		t.Error(err)
	}
}

// rollsAnew: rollout restart replaces pods as the strategy says, and what is followed then ends when all are new; a crash changes nothing.
func rollsAnew(t *testing.T, b *box) {
	t.Helper()
	before := b.containers("app-0", "app-1")
	if out := b.run("rollout", "restart", "deploy/app"); out != "deployment.apps/app restarted\n" {
		t.Errorf("rollout restart says %q", out)
	}
	b.crash()
	b.start()
	out := b.run("rollout", "status", "deploy/app", "--timeout", "60s")
	if !strings.HasPrefix(out, "Waiting for deployment \"app\" rollout to finish: ") || !strings.HasSuffix(out, "deployment \"app\" successfully rolled out\n") {
		t.Errorf("rollout status says\n%s", out)
	}
	after := b.containers("app-0", "app-1")
	for i := range after {
		if after[i] == before[i] {
			t.Errorf("the containers are %v, and were %v", after, before)
		}
	}
	if got := b.pod(v1.NamespaceDefault, "app-0").Annotations["kubectl.kubernetes.io/restartedAt"]; got == "" {
		t.Error("the pod does not say when it was asked to begin anew")
	}
	// All at once.
	if out := b.run("restart", "deploy/app", "-c", "side"); out != "pod/app-0 restarted\npod/app-1 restarted\n" {
		t.Errorf("restart says %q", out)
	}
	// What never gets ready.
	b.apply("app.yaml", strings.NewReplacer("replicas: 2", "replicas: 2\n  progressDeadlineSeconds: 1", "{name: main,", "{name: main, readinessProbe: {exec: {command: [\"false\"]}},").Replace(siblings("a")))
	b.eventually("the rollout is late", func() error {
		out, err := b.try("rollout", "status", "deploy/app", "--timeout", "20s")
		if err == nil || !strings.Contains(out, `error: deployment "app" exceeded its progress deadline: nothing has gone ahead for 1s: `) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// What is diffed is told with what it does to pods; nothing of Secrets is seen; files that are the same differ in nothing.
func TestDiff(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	secret := func(value string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: " + value + "}\n"
	}
	running := siblings("a") + "---\n" + shell("plain", forever, "")
	private := func(value string) { // others must not read it
		if err := errors.Join(os.WriteFile(b.path("manifests/.secret"), []byte(secret(value)), 0o600), os.Rename(b.path("manifests/.secret"), b.path("manifests/secret.yaml"))); err != nil {
			t.Fatal(err)
		}
	}
	private("hunter1")
	b.apply("all.yaml", running)
	b.run("rollout", "status", "deploy/app", "--timeout", "60s")
	b.waitReady("plain")
	diff := func(want int, text string, args ...string) string {
		t.Helper()
		cmd := b.command(strings.NewReader(text), append([]string{"diff"}, args...)...)
		out, err := cmd.CombinedOutput()
		if code := max(exitCode(err), 0); code != want {
			t.Errorf("diff %v ends with %d, not %d: %v: %s", args, code, want, err, out)
		}
		return string(out)
	}
	if out := diff(0, "", "--prune", b.path("manifests")); out != "" {
		t.Errorf("the daemon's own files differ:\n%s", out)
	}
	edited := strings.Replace(siblings("b"), "echo aside", "echo elsewhere", 1) + "---\n" + secret("hunter2")
	out := diff(1, edited, "-f", "-")
	for _, line := range []string{
		"--- running: deployment/app\n+++ wanted: deployment/app\n@@", "-        note: a\n+        note: b\n", "-        - echo aside; exec", "+        - echo elsewhere; exec",
		"# containers main, side of pod app-0 begin anew\n", "--- running: secret/s\n", "-  k: '*** (before)'\n+  k: '*** (after)'\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	if strings.Contains(out, "hunter") || strings.Contains(out, "pod/plain") {
		t.Errorf("it says\n%s", out)
	}
	b.writeFile("edited.yaml", edited)
	if out := diff(1, "", "--prune", b.path("edited.yaml")); !strings.Contains(out, "--- running: pod/plain\n") || !strings.Contains(out, "# pod plain ends\n") {
		t.Errorf("with --prune it says\n%s", out)
	}
	if out := diff(2, "kind: Pod\n", "-"); !strings.Contains(out, "error: the daemon would not take these files") {
		t.Errorf("of a bad file it says\n%s", out)
	}
	diff(2, "", b.path("none.yaml"))
	// It was right about what begins anew.
	before := b.containers("app-0", "app-1", "plain")
	private("hunter2")
	b.apply("all.yaml", strings.Replace(running, siblings("a"), strings.TrimSuffix(edited, "---\n"+secret("hunter2")), 1))
	b.run("wait", "deploy/app", "--for=jsonpath={.spec.template.metadata.annotations.note}=b")
	b.run("rollout", "status", "deploy/app", "--timeout", "60s")
	after := b.containers("app-0", "app-1", "plain")
	if after[0] == before[0] || after[1] == before[1] || after[2] != before[2] {
		t.Errorf("there were %v, and are %v", before, after)
	}
	if out := diff(0, edited, "-"); out != "" {
		t.Errorf("after the edit there differs\n%s", out)
	}
	if out := b.run("explain", "pod.spec.volumes.nfs"); !strings.Contains(out, "refused: mount it on the host") {
		t.Errorf("explain says\n%s", out)
	}
	if code, got := ask(b.http, "GET", "http://solopod/desired?salt=short", ""); code != 400 {
		t.Errorf("a short salt: %d %s", code, got)
	}
}
