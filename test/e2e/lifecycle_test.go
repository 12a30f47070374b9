package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// The main job: a manifest becomes a running pod that is restarted, adopted and removed.
func TestLifecycle(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("web.yaml", web("web", ""))
		pod := b.waitReady("web")
		if body := fetch(t, "http://"+pod.Status.PodIP+":8080/"); !strings.Contains(body, "Hello from web") {
			t.Errorf("the pod answers %q", body)
		}

		// The first restart comes at once, the second waits.
		b.killContainer(pod, "web")
		pod = b.waitPod("web", "restarted and ready", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "web").RestartCount == 1
		})
		last := status(pod, "web").LastTerminationState.Terminated
		if last == nil || last.ExitCode != 137 || last.Reason != "Error" {
			t.Errorf("the last attempt ended as %+v", last)
		}
		if wait := status(pod, "web").State.Running.StartedAt.Sub(last.FinishedAt.Time); wait >= 10*time.Second { // the back-off's
			t.Errorf("the first restart took %s", wait)
		}
		b.killContainer(pod, "web")
		pod = b.waitPod("web", "in back-off", func(p *v1.Pod) bool {
			w := status(p, "web").State.Waiting
			return w != nil && w.Reason == "CrashLoopBackOff"
		})
		if m := status(pod, "web").State.Waiting.Message; !strings.Contains(m, "back-off 10s") || !strings.Contains(m, "next try at 20") {
			t.Errorf("the waiting message is %q", m)
		}
		if out := b.run("get", "pods"); !strings.Contains(out, "CrashLoopBackOff") {
			t.Errorf("get pods says\n%s", out)
		}
		b.waitPod("web", "restarted again", func(p *v1.Pod) bool { return isReady(p) && status(p, "web").RestartCount == 2 })

		b.delete("web.yaml")
		b.waitGone("web")
	})
}

// Solopod may be killed at any moment, or stopped in order: containers run on, and the next start adopts them.
func TestAdoption(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("stays.yaml", shell("stays", forever, ""))
		b.apply("ends.yaml", shell("ends", "while [ ! -e /hold/go ]; do sleep 0.1; done; exit 7", "restartPolicy: Never\nvolumes: [{name: hold, hostPath: {path: "+b.path("hold")+", type: DirectoryOrCreate}}]")+
			"    volumeMounts: [{name: hold, mountPath: /hold}]\n")
		before := b.waitReady("stays")
		b.waitReady("ends")
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			b.stop(signal)
			b.start()
			after := b.waitReady("stays")
			if a, c := status(before, "main"), status(after, "main"); a.ContainerID != c.ContainerID || c.RestartCount != 0 {
				t.Errorf("after %v the container was replaced: %s, %d restarts", signal, c.ContainerID, c.RestartCount)
			}
		}

		// What ends while nobody looks is learned: code and time.
		b.crash()
		ended := time.Now()
		b.writeFile("hold/go", "")
		b.eventually("the process has ended", func() error { return processGone(b, before, "ends") })
		b.start()
		pod := b.waitPod("ends", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		got := status(pod, "main").State.Terminated
		if got.ExitCode != 7 || got.FinishedAt.Time.Before(ended.Add(-time.Second)) || time.Since(got.FinishedAt.Time) > time.Since(ended)+time.Second {
			t.Errorf("the ending is %+v; the process ended soon after %s", got, ended)
		}

		// A pod whose manifest went while Solopod was away goes with the next start.
		b.crash()
		b.delete("stays.yaml")
		b.start()
		b.waitGone("stays")
	})
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	code, body := ask(&http.Client{Timeout: 10 * time.Second}, "GET", url, "")
	if code == 0 {
		t.Fatal(body)
	}
	return body
}

// processGone says whether only the processes of the other pod are left; the daemon does not run.
func processGone(b *box, other *v1.Pod, name string) error {
	for _, pid := range b.containerProcesses() {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && !hasPod(cgroup, string(other.UID)) {
			return fmt.Errorf("process %d of pod %s lives", pid, name)
		}
	}
	return nil
}

// A shim that is killed takes its containers with it, and they come back under another one.
func TestShimKilled(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("web.yaml", web("web", ""))
		pod := b.waitReady("web")
		killed := 0
		for _, pid := range b.processes() {
			cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			if err == nil && strings.Contains(string(cgroup), b.shimCgroup()+"/pod"+string(pod.UID)) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
				killed++
			}
		}
		if killed != 1 {
			t.Fatalf("%d shims were killed", killed)
		}
		pod = b.waitPod("web", "restarted and ready", func(p *v1.Pod) bool { return isReady(p) && status(p, "web").RestartCount == 1 })
		b.pid(pod, "web")
		b.delete("web.yaml")
		b.waitGone("web")
	})
}
