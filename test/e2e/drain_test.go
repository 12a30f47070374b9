package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A drain stops all pods, critical ones last, and lets go of all that is theirs but their histories. The next start brings
// back what had not ended by itself.
func TestDrain(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
		mount := "    volumeMounts: [{name: v, mountPath: /v}]\n"
		end := func(word string) string {
			return "trap '" + word + " >>/v/order; exit 0' TERM; while true; do sleep 1000 & wait; done"
		}
		b.apply("critical.yaml", shell("critical", end("echo critical"), volume+"\npriorityClassName: system-cluster-critical")+mount)
		b.apply("slow.yaml", shell("slow", end("sleep 1; echo slow"), volume+"\nrestartPolicy: OnFailure")+mount)
		b.apply("once.yaml", shell("once", "echo done", "restartPolicy: Never"))
		b.apply("web.yaml", web("web", ""))
		b.apply("data.yaml", withData("data"))
		b.apply("leaves.yaml", shell("leaves", forever, ""))
		b.waitReady("data")
		leaves := b.waitReady("leaves")
		for _, name := range []string{"critical", "slow", "web"} {
			b.waitReady(name)
		}
		b.waitPod("once", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		if out := b.run("drain"); !strings.Contains(out, "drained") {
			t.Errorf("drain says %q", out)
		}
		order, err := os.ReadFile(b.path("v/order"))
		if err != nil || string(order) != "slow\ncritical\n" {
			t.Errorf("they ended in the order %q, %v", order, err)
		}
		if n := len(b.containerProcesses()); n != 0 {
			t.Errorf("%d processes of containers run", n)
		}
		for _, m := range b.mounts() {
			if strings.Contains(m, "/state/pods/") {
				t.Errorf("%s is mounted", m)
			}
		}
		// Nothing starts any more, not even something new.
		b.apply("new.yaml", shell("new", forever, ""))
		b.eventually("the file is read", func() error {
			if out := b.run("get", "manifests"); !strings.Contains(out, "new.yaml") {
				return metricError{"new.yaml", out}
			}
			return nil
		})
		if n := len(b.containerProcesses()); n != 0 {
			t.Errorf("%d processes of containers run after a new manifest", n)
		}
		// What people do is answered, and a pod whose manifest goes is removed.
		if out, err := b.try("restart", "slow"); err == nil || !strings.Contains(out, "drain") {
			t.Errorf("restart says %q, %v", out, err)
		}
		if out := b.run("get", "events"); !strings.Contains(out, "Draining") {
			t.Errorf("no event tells of the drain:\n%s", out)
		}
		b.delete("leaves.yaml")
		b.waitGone("leaves")
		if _, err := os.Stat(b.path("root/pods/" + string(leaves.UID))); err == nil {
			t.Error("a pod that was removed after the drain has left its directory")
		}
		b.stop(syscall.SIGTERM)
		b.start()
		for _, name := range []string{"critical", "slow", "web"} { // also the one that ended with 0 and restarts on failure
			pod := b.waitPod(name, "ready again", func(p *v1.Pod) bool { return isReady(p) && p.Status.ContainerStatuses[0].RestartCount == 1 })
			if last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.Reason == "ContainerStatusUnknown" {
				t.Errorf("%s had ended with %+v", name, last)
			}
		}
		b.waitReady("new")
		b.expectRuns("data", 2)
		if once := b.pod(v1.NamespaceDefault, "once"); once.Status.Phase != v1.PodSucceeded || status(once, "main").RestartCount != 0 {
			t.Errorf("what had succeeded is now %s with %+v", once.Status.Phase, status(once, "main"))
		}
	})
}
