package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// container is one container of a pod made by containers.
type container struct{ name, script, extra string }

// containers is a pod of several containers with the host's network and a volume /own that they share.
func containers(name, extra string, init []container, main ...container) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  hostNetwork: true\n  terminationGracePeriodSeconds: 5\n  volumes: [{name: own, emptyDir: {}}]\n%s\n", name, indent(2, extra))
	for _, list := range []struct {
		field string
		of    []container
	}{{"initContainers", init}, {"containers", main}} {
		if len(list.of) > 0 {
			fmt.Fprintf(&b, "  %s:\n", list.field)
		}
		for _, c := range list.of {
			fmt.Fprintf(&b, "  - name: %s\n    image: solopod.example/box:1\n    volumeMounts: [{name: own, mountPath: /own}]\n    command: [\"/bin/sh\", \"-c\"]\n    args:\n    - |\n%s\n%s\n",
				c.name, indent(6, c.script), indent(4, c.extra))
		}
	}
	return b.String()
}

func initStatus(p *v1.Pod, name string) v1.ContainerStatus {
	for _, c := range p.Status.InitContainerStatuses {
		if c.Name == name {
			return c
		}
	}
	return v1.ContainerStatus{}
}

func (b *box) waitPhase(name string, phase v1.PodPhase) *v1.Pod {
	b.t.Helper()
	return b.waitPod(name, string(phase), func(p *v1.Pod) bool { return p.Status.Phase == phase })
}

// Init containers run in order, are retried, and run again where the pod is set up anew; sidecars start between them and end
// last, in reverse.
func TestInitContainers(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		sidecar := func(name string) container {
			return container{name, "echo " + name + " >>/own/order; trap 'echo end-" + name + " >>/own/order; exit 0' TERM; while true; do sleep 1000 & wait; done", "restartPolicy: Always"}
		}
		second := "echo second >>/own/order; [ $(grep -c second /own/order) -gt 1 ]" // fails once
		main := "echo main >>/own/order; trap 'echo end-main >>/own/order; exit 0' TERM; while true; do sleep 1000 & wait; done"
		b.apply("order.yaml", containers("order", "", []container{
			{"first", "echo first >>/own/order", ""}, sidecar("s1"), {"second", second, ""}, sidecar("s2"),
		}, container{"main", main, ""}))
		pod := b.waitReady("order")
		order := func() string {
			files := b.matches("root/pods/" + string(pod.UID) + "/volumes/own/order")
			return strings.Join(strings.Fields(readFile(t, files[0])), " ")
		}
		// A container without a readiness probe is ready before it has said so.
		ends := func(what, want string) {
			b.eventually(what, func() error {
				if got := order(); !strings.HasSuffix(got, want) {
					return fmt.Errorf("the order is %s", got)
				}
				return nil
			})
		}
		ends("main has started", "main")
		if got := order(); got != "first s1 second second s2 main" {
			t.Errorf("the order of the start is %s", got)
		}
		if s := initStatus(pod, "second"); s.RestartCount != 1 || !s.Ready || s.State.Terminated == nil {
			t.Errorf("second: %+v", s)
		}
		if s := initStatus(pod, "s1"); s.State.Running == nil || !s.Ready || s.Started == nil || !*s.Started {
			t.Errorf("s1: %+v", s)
		}
		if out := b.run("get", "pods", "order"); !strings.Contains(out, "3/3") {
			t.Errorf("sidecars do not count:\n%s", out)
		}
		b.crash() // an adopted pod knows that it is initialized
		b.start()
		b.waitReady("order")
		if got := order(); got != "first s1 second second s2 main" {
			t.Errorf("after a crash of Solopod: %s", got)
		}
		b.run("drain")
		if got := order(); got != "first s1 second second s2 main end-main end-s2 end-s1" {
			t.Errorf("the order of the end is %s", got)
		}
		b.stop(15)
		b.start()
		b.waitReady("order")
		ends("all have started again, in order", "end-s1 first s1 second s2 main")

		b.apply("fails.yaml", containers("fails", "restartPolicy: Never", []container{{"bad", "echo last words; exit 3", ""}}, container{"main", "true", ""}))
		fails := b.waitPhase("fails", v1.PodFailed)
		if s := initStatus(fails, "bad"); s.State.Terminated == nil || s.State.Terminated.ExitCode != 3 || status(fails, "main").State.Waiting == nil {
			t.Errorf("fails: %+v", fails.Status)
		}
		if out := b.run("logs", "fails", "-c", "bad"); out != "last words\n" {
			t.Errorf("the init container's log: %q", out)
		}
		if out := b.mustGet("/metrics"); !strings.Contains(out, `kube_pod_init_container_status_terminated_reason{container="bad"`) {
			t.Error("no metric of the init container")
		}
		if out := b.run("get", "pods", "fails"); !strings.Contains(out, "Init:Error") {
			t.Errorf("get pods:\n%s", out)
		}

		// What has ended for good ends its sidecars, and stays so.
		b.apply("job.yaml", containers("job", "restartPolicy: Never", []container{sidecar("s1")}, container{"main", "echo main >>/own/order", ""}))
		job := b.waitPod("job", "succeeded, its sidecar ended", func(p *v1.Pod) bool {
			return p.Status.Phase == v1.PodSucceeded && initStatus(p, "s1").State.Terminated != nil
		})
		b.crash()
		b.start()
		if again := b.waitPhase("job", v1.PodSucceeded); status(again, "main").RestartCount != 0 || initStatus(again, "s1").RestartCount != initStatus(job, "s1").RestartCount {
			t.Errorf("it ran again: %+v", again.Status)
		}

		b.apply("deadline.yaml", containers("deadline", "activeDeadlineSeconds: 2", nil, container{"main", forever, ""}))
		pod = b.waitPod("deadline", "failed, its container ended", func(p *v1.Pod) bool {
			return p.Status.Phase == v1.PodFailed && status(p, "main").State.Terminated != nil
		})
		if pod.Status.Reason != "DeadlineExceeded" {
			t.Errorf("the reason is %q", pod.Status.Reason)
		}
		if ran := status(pod, "main").State.Terminated.FinishedAt.Sub(pod.Status.StartTime.Time); ran < time.Second {
			t.Errorf("it ran only %s", ran)
		}
		b.apply("deadline.yaml", containers("deadline", "activeDeadlineSeconds: 3600", nil, container{"main", forever, ""}))
		b.waitPod("deadline", "running after an edit", isReady)
	})
}

// Policies and rules of single containers.
func TestContainerRestartPolicy(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("rules.yaml", containers("rules", "restartPolicy: Never", nil,
		// The first end is 42, for which a rule asks, the second 7.
		container{"main", "echo x >>/own/ran; [ $(wc -l </own/ran) = 1 ] && exit 42; exit 7",
			"restartPolicy: Never\nrestartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]"},
		container{"other", "exit 0", "restartPolicy: OnFailure"}))
	pod := b.waitPhase("rules", v1.PodFailed)
	if s := status(pod, "main"); s.RestartCount != 1 || s.State.Terminated.ExitCode != 7 || s.LastTerminationState.Terminated.ExitCode != 42 {
		t.Errorf("main: %+v", s)
	}
	if s := status(pod, "other"); s.RestartCount != 0 {
		t.Errorf("other: %+v", s)
	}
	b.apply("all.yaml", containers("all", "restartPolicy: Never", []container{{"init", "echo i >>/own/order", ""}},
		container{"main", "echo m >>/own/order; sleep 1; [ $(grep -c m /own/order) = 1 ] && exit 9; " + forever,
			"restartPolicy: Never\nrestartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: NotIn, values: [0]}}]"},
		container{"other", "echo o >>/own/others; " + forever, ""}))
	pod = b.waitPod("all", "ready again", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	if s := status(pod, "other"); s.RestartCount != 1 {
		t.Errorf("other was not restarted: %+v", s)
	}
	if got := readFile(t, b.matches("root/pods/" + string(pod.UID) + "/volumes/own/order")[0]); got != "i\nm\ni\nm\n" {
		t.Errorf("the order is %q", got)
	}
}

// A sidecar's readiness counts for the pod, and its liveness for itself alone.
func TestSidecarProbes(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("pod.yaml", containers("pod", "", []container{{"side", "touch /own/alive /own/ready; " + forever, `restartPolicy: Always
startupProbe: {exec: {command: [test, -e, /own/ready]}, periodSeconds: 1}
readinessProbe: {exec: {command: [test, -e, /own/ready]}, periodSeconds: 1, failureThreshold: 1}
livenessProbe: {exec: {command: [test, -e, /own/alive]}, periodSeconds: 1, failureThreshold: 1}`}}, container{"main", forever, ""}))
	pod := b.waitReady("pod")
	own := filepath.Dir(b.matches("root/pods/" + string(pod.UID) + "/volumes/own/ready")[0])
	if err := os.Remove(filepath.Join(own, "ready")); err != nil {
		t.Fatal(err)
	}
	pod = b.waitPod("pod", "not ready", func(p *v1.Pod) bool { return !isReady(p) && !initStatus(p, "side").Ready })
	if s := initStatus(pod, "side"); s.RestartCount != 0 || s.State.Running == nil || status(pod, "main").State.Running == nil {
		t.Errorf("a sidecar that is not ready: %+v", pod.Status)
	}
	if err := os.WriteFile(filepath.Join(own, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.waitReady("pod")
	if err := os.Remove(filepath.Join(own, "alive")); err != nil {
		t.Fatal(err)
	}
	pod = b.waitPod("pod", "ready, its sidecar restarted", func(p *v1.Pod) bool { return isReady(p) && initStatus(p, "side").RestartCount == 1 })
	if n := status(pod, "main").RestartCount; n != 0 {
		t.Errorf("the main container was restarted %d times", n)
	}
}
