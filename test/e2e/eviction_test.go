package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// availableMemory is what the machine has of memory.available, in bytes.
func availableMemory(t *testing.T) (sum int) {
	t.Helper()
	for line := range strings.Lines(readFile(t, "/proc/meminfo")) {
		if f := strings.Fields(line); len(f) == 3 && (f[0] == "MemFree:" || f[0] == "Inactive(file):") {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			sum += n << 10
		}
	}
	return sum
}

// evictedFor waits for a pod to have been evicted, and to have ended.
func (b *box) evictedFor(name, resource string) *v1.Pod {
	b.t.Helper()
	p := b.waitPod(name, "evicted", func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodFailed && p.Status.Reason == "Evicted" && (len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Running == nil)
	})
	if !strings.HasPrefix(p.Status.Message, "The node was low on resource: "+resource+". Threshold quantity: ") {
		b.t.Errorf("pod %s: its message is %q", name, p.Status.Message)
	}
	return p
}

// countEvents is how many lines of events have a text.
func (b *box) countEvents(part string) int {
	b.t.Helper()
	return strings.Count(b.run("get", "events", "-A"), part)
}

// A pod that takes more of the machine's memory than it has asked for is evicted, whatever the priority of those that do not; it stays so
// over a crash of the daemon, and begins anew when there has been enough memory for a while. Not in parallel: it is the machine's memory.
func TestEvictionForMemory(t *testing.T) {
	available := availableMemory(t)
	margin := min(available/6, 2<<30) // what others use and free meanwhile
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure(fmt.Sprintf("evictionHard: {memory.available: '%d'}\nevictionPressureTransitionPeriod: 15s\n", available-margin))
	if err := os.Mkdir(b.path("told"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.apply("modest.yaml", shell("modest", forever, "")+"    resources: {requests: {memory: 32Mi}}\n")
	modest := b.waitReady("modest")
	volumes := "priority: 1000\nvolumes:\n- {name: fast, emptyDir: {medium: Memory}}\n- {name: told, hostPath: {path: " + b.path("told") + "}}"
	hog := fmt.Sprintf("test -e /told/enough || dd if=/dev/zero of=/fast/fill bs=1M count=%d\n", 2*margin>>20) + forever
	b.apply("hog.yaml", shell("hog", hog, volumes)+
		"    resources: {requests: {memory: 16Mi}}\n    volumeMounts: [{name: fast, mountPath: /fast}, {name: told, mountPath: /told}]\n")
	p := b.evictedFor("hog", "memory")
	if !strings.Contains(p.Status.Message, "Container main was using ") || !strings.Contains(p.Status.Message, "request is 16Mi, has larger consumption of memory. ") {
		t.Errorf("its message is %q", p.Status.Message)
	}
	b.writeFile("told/enough", "")
	disrupted := false
	for _, c := range p.Status.Conditions {
		disrupted = disrupted || c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == v1.PodReasonTerminationByKubelet
	}
	if !disrupted {
		t.Errorf("its conditions are %+v", p.Status.Conditions)
	}
	b.eventOf("EvictionThresholdMet", "memory.available")
	b.eventOf("hog", "Evicted", "low on resource: memory")
	b.eventOf("NodeHasInsufficientMemory")
	own := b.families("/metrics")
	if n, ok := sample(own["kubelet_evictions"], "eviction_signal", "memory.available"); !ok || n != 1 {
		t.Errorf("kubelet_evictions is %v", own["kubelet_evictions"])
	}
	if n, ok := sample(own["solopod_eviction_threshold"], "signal", "memory.available", "kind", "hard"); !ok || int(n) != available-margin {
		t.Errorf("solopod_eviction_threshold is %v", own["solopod_eviction_threshold"])
	}
	if n, ok := sample(own["solopod_eviction_available"], "signal", "memory.available"); !ok || n <= 0 {
		t.Errorf("solopod_eviction_available is %v", own["solopod_eviction_available"])
	}

	b.crash()
	b.start()
	if p := b.pod("default", "hog"); p.Status.Phase != v1.PodFailed || p.Status.Reason != "Evicted" {
		t.Errorf("after a crash the pod is %+v", p.Status)
	}
	b.waitReady("hog")
	b.eventOf("hog", "Readmitted", "memory.available")
	if again := b.pod("default", "modest"); status(again, "main").ContainerID != status(modest, "main").ContainerID || status(again, "main").RestartCount != 0 {
		t.Errorf("the modest pod was disturbed: %+v", again.Status)
	}
}

// A pod that fills the disk gets time to end where a soft threshold is crossed; what it has there goes with it. What is short through
// others evicts nobody, and is told once.
func TestEvictionForDisk(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("root", "200m")
	b.link(imageArchive, "images/box.tar")
	b.configure("evictionHard: {nodefs.available: 5%}\nevictionSoft: {nodefs.available: 50%}\nevictionSoftGracePeriod: {nodefs.available: 2s}\n" +
		"evictionMaxPodGracePeriod: 20\nevictionPressureTransitionPeriod: 10s\n")
	if err := os.Mkdir(b.path("told"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.apply("modest.yaml", shell("modest", forever, ""))
	modest := b.waitReady("modest")
	volumes := "volumes:\n- {name: data, emptyDir: {}}\n- {name: told, hostPath: {path: " + b.path("told") + "}}"
	writer := "trap 'echo asked >/told/asked; exit 0' TERM\ntest -e /told/asked || dd if=/dev/zero of=/data/fill bs=1M count=120\nwhile true; do sleep 1000 & wait; done"
	b.apply("writer.yaml", strings.Replace(shell("writer", writer, volumes), "terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 30", 1)+
		"    volumeMounts: [{name: data, mountPath: /data}, {name: told, mountPath: /told}]\n")
	p := b.evictedFor("writer", "ephemeral-storage")
	if asked := readFile(t, b.path("told/asked")); asked != "asked\n" {
		t.Errorf("it was not asked to end: %q", asked)
	}
	b.eventually("what it has written is gone", func() error {
		if _, err := os.Stat(b.path("root/pods/" + string(p.UID) + "/volumes")); !os.IsNotExist(err) {
			return errors.New("its volumes are there")
		}
		return nil
	})
	b.eventOf("NodeHasDiskPressure")
	b.waitReady("writer") // there is room again

	b.fill("root/fill")
	b.eventOf("NothingToEvict", "nodefs.available")
	for _, name := range []string{"modest", "writer"} {
		if p := b.pod("default", name); p.Status.Phase != v1.PodRunning {
			t.Errorf("%s: %+v", name, p.Status)
		}
	}
	if again := b.pod("default", "modest"); status(again, "main").ContainerID != status(modest, "main").ContainerID {
		t.Error("the modest pod was disturbed")
	}
	b.free("root/fill")
	b.eventually("the disk is not short any more", func() error {
		var node v1.Node
		if err := json.Unmarshal([]byte(b.mustGet("/node")), &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == v1.NodeDiskPressure && c.Status == v1.ConditionFalse {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %+v", node.Status.Conditions)
	})
	if told := b.countEvents("NothingToEvict"); told > 2 {
		t.Errorf("that nothing can be evicted was told %d times", told)
	}
	if out, err := os.ReadFile(b.path("output")); err != nil || bytes.Count(out, []byte("reclaimed as the machine runs short")) > 3 {
		t.Errorf("what was reclaimed was told often (%v)", err)
	}
}

// Rotated logs go before pods do; a pod that takes up next to nothing stays, however little there is.
func TestEvictionReclaimsLogs(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure("evictionHard: {}\ncontainerLogMaxSize: 64Ki\ncontainerLogMaxFiles: 4\n")
	b.start()
	b.apply("talker.yaml", shell("talker", "for n in $(seq 6000); do echo line $n of a log that is rotated; done; sleep 1; echo the last line; "+forever, ""))
	p := b.waitReady("talker")
	rotated := func() []string {
		t.Helper()
		found, err := filepath.Glob(b.path("log/pods/default_talker_" + string(p.UID) + "/main/0.log.*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	b.eventually("its log is rotated, and it has said everything", func() error {
		if found, out := rotated(), b.run("logs", "talker"); len(found) < 3 || !strings.Contains(out, "the last line") {
			return fmt.Errorf("there are %q, and %d bytes", found, len(out))
		}
		return nil
	})
	b.stop(syscall.SIGTERM)
	b.writeFile("config.yaml", "evictionHard: {nodefs.available: 99.9999%}\ncontainerLogMaxSize: 64Ki\ncontainerLogMaxFiles: 4\n")
	b.start()
	b.eventOf("NothingToEvict", "nodefs.available")
	if found := rotated(); len(found) > 0 {
		t.Errorf("rotated logs are left: %q", found)
	}
	if out := b.run("logs", "talker"); !strings.Contains(out, "the last line") {
		t.Errorf("the log that is being written has gone, too: %.200s", out)
	}
	if again := b.pod("default", "talker"); status(again, "main").ContainerID != status(p, "main").ContainerID {
		t.Error("the pod was disturbed")
	}
}
