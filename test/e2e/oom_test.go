package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// hog takes memory without end: tail keeps what has no line end. It offers itself to the kernel first, so that it is the
// child that dies.
const hog = "(echo 1000 > /proc/self/oom_score_adj; exec tail < /dev/zero)"

// A container whose main process is killed for memory is OOMKilled; a killed child is counted and reported, and its
// container lives on where the pod chooses so, which is the default with cgroup v1.
func TestOOM(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		limits := "    resources: {limits: {memory: 32Mi}}\n"
		b.apply("main.yaml", shell("main-dies", "exec tail < /dev/zero", "restartPolicy: Never")+limits)
		pod := b.waitPod("main-dies", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		if ended := status(pod, "main").State.Terminated; ended.Reason != "OOMKilled" || ended.ExitCode != 137 {
			t.Errorf("it ended as %+v", ended)
		}
		if out := b.run("get", "pods"); !strings.Contains(out, "OOMKilled") {
			t.Errorf("get pods says\n%s", out)
		}

		b.apply("child.yaml", livesOn("child-dies", "trap 'exit 0' TERM; for i in 1 2 3; do "+hog+"; echo child $i ended; done; while true; do sleep 1000 & wait; done", "")+limits)
		pod = b.waitReady("child-dies")
		b.eventually("three kills are counted", func() error {
			return b.metricIs("/metrics/cadvisor", `container_oom_events_total\{container="main",.*pod="child-dies"\}`, 3)
		})
		if again := b.pod(v1.NamespaceDefault, "child-dies"); status(again, "main").RestartCount != 0 || status(again, "main").ContainerID != status(pod, "main").ContainerID {
			t.Errorf("the container was restarted")
		}
		if out := b.run("get", "events"); !strings.Contains(out, "OOMKilling") {
			t.Errorf("there is no event:\n%s", out)
		}

		// What was counted stays counted, over a crash of Solopod and a restart of the container.
		b.crash()
		b.start()
		pod = b.waitReady("child-dies")
		b.killContainer(pod, "main")
		b.waitPod("child-dies", "restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		b.eventually("six kills are counted", func() error {
			return b.metricIs("/metrics/cadvisor", `container_oom_events_total\{container="main",.*pod="child-dies"\}`, 6)
		})
		// A kill by somebody else is not one for memory.
		if last := status(b.pod(v1.NamespaceDefault, "child-dies"), "main").LastTerminationState.Terminated; last.Reason != "Error" {
			t.Errorf("the killed container ended as %+v", last)
		}
	})
}

// livesOn is a pod whose containers outlive a killed child.
func livesOn(name, script, extra string) string {
	return strings.Replace(shell(name, script, extra), "metadata:\n", "metadata:\n  annotations: {solopod.io/oom-group: \"false\"}\n", 1)
}

// With cgroup v2 a container is killed as a whole, unless the pod chooses otherwise: what is left of one that has lost a
// process often hangs. With v1 there is no such thing.
func TestOOMGroup(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("group.yaml", shell("group", "trap 'exit 0' TERM; "+hog+"; while true; do sleep 1000 & wait; done", "restartPolicy: Never")+
			"    resources: {limits: {memory: 32Mi}}\n")
		if !unified() {
			pod := b.waitReady("group")
			b.eventually("a kill is counted", func() error {
				return b.metricIs("/metrics/cadvisor", `container_oom_events_total\{container="main",.*pod="group"\}`, 1)
			})
			if again := b.pod(v1.NamespaceDefault, "group"); status(again, "main").ContainerID != status(pod, "main").ContainerID {
				t.Error("the container ended")
			}
			return
		}
		pod := b.waitPod("group", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		if ended := status(pod, "main").State.Terminated; ended.Reason != "OOMKilled" || ended.ExitCode != 137 {
			t.Errorf("it ended as %+v", ended)
		}
		if out := b.run("get", "events"); !strings.Contains(out, "OOMKilling") {
			t.Errorf("there is no event:\n%s", out)
		}
	})
}

type metricError struct{ series, got string }

func (e metricError) Error() string { return e.series + " is " + e.got }

// metricIs compares one series; the pattern is its name and labels.
func (b *box) metricIs(path, pattern string, want float64) error {
	b.t.Helper()
	m := regexp.MustCompile(`(?m)^` + pattern + ` (\S+)$`).FindStringSubmatch(b.mustGet(path))
	if m == nil {
		return metricError{pattern, "absent"}
	}
	if got, err := strconv.ParseFloat(m[1], 64); err != nil || got != want {
		return metricError{pattern, m[1]}
	}
	return nil
}
