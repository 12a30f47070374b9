package e2e

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// choosing is a pod that says what a kill for memory means.
func choosing(manifest, annotations string) string {
	return strings.Replace(manifest, "metadata:\n", "metadata:\n  annotations: {"+annotations+"}\n", 1)
}

// A pod that wants that begins anew as a whole when one of its containers is killed for memory; its volumes stay.
func TestOOMRestartsPod(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("whole.yaml", choosing(shell("whole", "test -e /data/killed && exec sleep 100000; until test -e /data/beside; do sleep 0.1; done; touch /data/killed; exec tail < /dev/zero", "volumes: [{name: data, emptyDir: {}}]"), "solopod.io/oom-action: pod")+`    resources: {limits: {memory: 32Mi}}
    volumeMounts: [{name: data, mountPath: /data}]
  - name: beside
    image: solopod.example/box:1
    volumeMounts: [{name: data, mountPath: /data}]
    command: ["/bin/sh", "-c", "trap 'exit 0' TERM; touch /data/beside; while :; do sleep 1000 & wait; done"]
`)
		pod := b.waitPod("whole", "restarted as a whole", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "main").RestartCount == 1 && status(p, "beside").RestartCount == 1
		})
		if last := status(pod, "main").LastTerminationState.Terminated; last == nil || last.Reason != "OOMKilled" {
			t.Errorf("main ended as %+v", last)
		}
		if last := status(pod, "beside").LastTerminationState.Terminated; last == nil || last.ExitCode != 0 {
			t.Errorf("beside, which was told to end, ended as %+v", last)
		}
		b.eventOf("OOMRestart", "main was killed for memory")
	})
}

// A pod that wants that is stopped after some kills, also over a crash of Solopod, while others run on, and begins anew with an edit.
func TestOOMStopsPod(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		const limited = "    resources: {limits: {memory: 32Mi}}\n"
		b.apply("other.yaml", shell("other", forever, ""))
		other := status(b.waitReady("other"), "main").ContainerID
		stop := func(script string) string {
			return choosing(shell("greedy", script, ""), "solopod.io/oom-action: stop, solopod.io/oom-stop-after: 2/10m") + limited
		}
		b.apply("greedy.yaml", stop("exec tail < /dev/zero"))
		stopped := func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed && p.Status.Reason == "OOMKilled" }
		pod := b.waitPod("greedy", "stopped", stopped)
		if s := status(pod, "main"); s.RestartCount != 1 || s.State.Terminated == nil || s.State.Terminated.Reason != "OOMKilled" {
			t.Errorf("its container is %+v", s)
		}
		for _, part := range []string{"killed for memory 2 times", "2/10m", "until its manifest is edited"} {
			if !strings.Contains(pod.Status.Message, part) {
				t.Errorf("%q does not say %q", pod.Status.Message, part)
			}
		}
		b.eventOf("OOMStopped", "killed for memory 2 times")
		b.crash()
		b.start()
		b.waitReady("other")
		if again := b.waitPod("greedy", "stopped still", stopped); status(again, "main").RestartCount != 1 {
			t.Errorf("after a crash of Solopod it was started again: %+v", status(again, "main"))
		}
		b.apply("greedy.yaml", stop(forever))
		b.waitReady("greedy")
		if s := status(b.waitReady("other"), "main"); s.ContainerID != other || s.RestartCount != 0 {
			t.Errorf("the other pod was disturbed: %+v", s)
		}
	})
}
