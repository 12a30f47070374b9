package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// After a reboot everything that the manifests name starts again, with its history, and nothing stale is left.
func TestReboot(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("web.yaml", web("web", ""))
		b.apply("once.yaml", shell("once", "echo done", "restartPolicy: Never"))
		b.apply("gone.yaml", shell("gone", forever, ""))
		b.apply("data.yaml", withData("data"))
		b.waitReady("data")
		b.waitReady("web")
		gone := b.waitReady("gone")
		once := b.waitPod("once", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		b.eventually("its end is written down", func() error { // a machine that goes off before that has not seen it
			if text := readFile(t, b.path("root/pods/"+string(once.UID)+"/pod.json")); !strings.Contains(text, `"Completed"`) {
				return errors.New(text)
			}
			return nil
		})
		b.reboot()
		b.delete("gone.yaml") // while the machine was off
		b.start()
		pod := b.waitPod("web", "ready again", func(p *v1.Pod) bool { return isReady(p) && status(p, "web").RestartCount == 1 })
		if got := fetch(t, "http://"+pod.Status.PodIP+":8080/"); got == "" {
			t.Error("no answer after the reboot")
		}
		if last := status(pod, "web").LastTerminationState.Terminated; last == nil || last.Reason != "ContainerStatusUnknown" || last.ExitCode != 137 {
			t.Errorf("the attempt before the reboot ended with %+v", last)
		}
		b.waitGone("gone")
		b.expectRuns("data", 2)
		b.delete("data.yaml")
		b.waitGone("data")
		after := b.waitPod("once", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		if s := status(after, "main"); s.RestartCount != 0 || s.State.Terminated.FinishedAt != status(once, "main").State.Terminated.FinishedAt {
			t.Errorf("what had succeeded is now %+v", s)
		}
		if _, err := os.Stat(b.path("root/pods/" + string(gone.UID))); err == nil {
			t.Error("a pod that no manifest names still has its directory")
		}
		// One container is left, and one writable snapshot. containerd's collector takes the rest away by itself.
		b.eventually("nothing stale is in containerd", func() error {
			containers, active := b.ctr("containers", "ls", "-q"), 0
			for _, line := range strings.Split(b.ctr("snapshots", "ls"), "\n") {
				if strings.HasSuffix(strings.TrimSpace(line), "Active") {
					active++
				}
			}
			if len(strings.Fields(containers)) != 1 || active != 1 {
				return fmt.Errorf("containers %q, %d active snapshots", containers, active)
			}
			return nil
		})
	})
}

// withData is a pod that writes into a volume of its own how often it has run.
func withData(name string) string {
	return shell(name, "echo run >>/own/runs; cat /own/runs; "+forever, "volumes: [{name: own, emptyDir: {}}]") +
		"    volumeMounts: [{name: own, mountPath: /own}]\n"
}

// expectRuns waits until a pod withData finds as many runs in its volume.
func (b *box) expectRuns(name string, runs int) {
	b.t.Helper()
	want := strings.Repeat("run\n", runs)
	b.eventually("the volume has kept its content", func() error {
		if out := b.run("logs", name); out != want {
			return fmt.Errorf("it holds %q", out)
		}
		return nil
	})
}

// ctr asks the containerd of the box with Debian's client.
func (b *box) ctr(args ...string) string {
	b.t.Helper()
	address := b.path("state/containerd/containerd.sock")
	if b.mode == outside {
		address = b.path("containerd.sock")
	}
	out, err := exec.Command("ctr", append([]string{"-a", address, "-n", "solopod"}, args...)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("ctr %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// reboot does to the box what a reboot does: processes, mounts, cgroups, interfaces and what lies on a tmpfs are gone,
// and the kernel has another boot id.
func (b *box) reboot() {
	b.t.Helper()
	b.crash()
	if b.mode == outside {
		b.containerd.Process.Signal(syscall.SIGKILL) //nolint:errcheck // it runs
		b.containerd.Wait()                          //nolint:errcheck // it was killed
	}
	b.force()
	for _, dir := range []string{"state", "containerd-state"} {
		if err := os.RemoveAll(b.path(dir)); err != nil {
			b.t.Fatal(err)
		}
	}
	records, err := filepath.Glob(b.path("root/pods/*/pod.json"))
	if err != nil || len(records) == 0 {
		b.t.Fatal("no records: ", err)
	}
	boot := regexp.MustCompile(`"bootID": ?"[^"]*"`)
	for _, path := range records {
		text, err := os.ReadFile(path)
		if err != nil {
			b.t.Fatal(err)
		}
		if !boot.Match(text) {
			b.t.Fatalf("%s has no boot id: %s", path, text)
		}
		if err := os.WriteFile(path, boot.ReplaceAll(text, []byte(`"bootID":"00000000-0000-0000-0000-000000000000"`)), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := os.WriteFile(b.path("root/boot-id"), []byte("00000000-0000-0000-0000-000000000000"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if b.mode == outside {
		b.startContainerd()
	}
}
