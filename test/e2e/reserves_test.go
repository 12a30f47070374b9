package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// machineMemory is the machine's, in bytes.
func machineMemory(t *testing.T) int64 {
	t.Helper()
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	return int64(info.Totalram) * int64(info.Unit)
}

const mebi = 1 << 20

// leaveMemory reserves all of the machine's memory but so much.
func leaveMemory(t *testing.T, bytes int64) string {
	return fmt.Sprintf("systemReserved: {memory: '%d'}\n", machineMemory(t)-bytes)
}

// machineProcesses is how many processes and threads the kernel allows.
func machineProcesses(t *testing.T) int {
	t.Helper()
	var most []int
	for _, file := range []string{"pid_max", "threads-max"} {
		text, err := os.ReadFile("/proc/sys/kernel/" + file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		most = append(most, n)
	}
	return slices.Min(most)
}

func requesting(name string, memory int, extra string) string {
	return shell(name, forever, extra) + fmt.Sprintf("    resources: {requests: {memory: %dMi}}\n", memory)
}

// What is reserved is not the pods': the node says so, and the kernel bounds them all, until the setting goes.
func TestReservesBound(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	left := machineMemory(t)/2/mebi*mebi + mebi
	b.configure(leaveMemory(t, left) + "kubeReserved: {cpu: 250m, pid: '100'}\n")
	b.start()
	b.apply("pod.yaml", requesting("pod", 16, ""))
	pod := b.waitReady("pod")

	var node v1.Node
	if err := json.Unmarshal([]byte(b.mustGet("/node")), &node); err != nil {
		t.Fatal(err)
	}
	if got := node.Status.Allocatable.Memory().Value(); got != left {
		t.Errorf("%d bytes are allocatable, not %d", got, left)
	}
	cpu := node.Status.Capacity.Cpu().MilliValue() - 250
	if got := node.Status.Allocatable.Cpu().MilliValue(); got != cpu {
		t.Errorf("%d milliCPUs are allocatable, not %d", got, cpu)
	}
	if got := node.Status.Capacity.Memory().Value(); got != machineMemory(t) {
		t.Errorf("the capacity is %d", got)
	}
	metrics := b.mustGet("/metrics")
	for _, want := range []string{
		fmt.Sprintf(`solopod_node_allocatable{resource="memory",unit="byte"} %s`, strconv.FormatFloat(float64(left), 'g', -1, 64)),
		fmt.Sprintf(`solopod_node_requested{resource="memory",unit="byte"} %s`, strconv.FormatFloat(16*mebi, 'g', -1, 64)),
		`kube_node_status_allocatable{node="`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	root := b.cgroupRoot()
	if got := b.mustGet("/metrics/resource"); !strings.Contains(got, "\nsolopod_memory_limit_ratio 0.") {
		t.Errorf("it is not told how near all pods together are to their limit:\n%s", got)
	}
	if got, ok := sample(b.families("/metrics/cadvisor")["container_spec_memory_limit_bytes"], "id", root, "pod", ""); !ok || got != float64(left) {
		t.Errorf("the limit of all pods together is told as %v, %v", got, ok)
	}
	bounded := func(memory, pids string) error {
		if unified() {
			if err := b.differs(root, "", "memory.max", memory); err != nil {
				return err
			}
			return b.differs(root, "", "pids.max", pids)
		}
		if err := b.differs(root, "memory", "memory.limit_in_bytes", strings.Replace(memory, "max", "9223372036854771712", 1)); err != nil {
			return err
		}
		return b.differs(root, "pids", "pids.max", pids)
	}
	if err := bounded(strconv.FormatInt(left, 10), strconv.Itoa(machineProcesses(t)-100)); err != nil {
		t.Error(err)
	}
	if !unified() {
		b.expectFile("root", root, "cpu", "cpu.shares", strconv.FormatInt(cpu*1024/1000, 10))
	}

	b.writeFile("config.yaml", leaveMemory(t, left)+"enforceNodeAllocatable: [none]\n")
	b.stop(syscall.SIGTERM)
	b.start()
	b.eventually("nothing is bounded any more", func() error { return bounded("max", "max") })
	if again := b.waitReady("pod"); status(again, "main").ContainerID != status(pod, "main").ContainerID {
		t.Error("the pod did not run on")
	}
}

// What leaves nothing for pods is no configuration to run with.
func TestReservesEverything(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.configure(leaveMemory(t, 0) + "kubeReserved: {memory: 1Mi}\n")
	b.launch()
	if err := b.daemon.Wait(); err == nil {
		t.Error("the daemon has ended with success")
	}
	b.daemon = nil
	if out := b.daemonOutput(); !strings.Contains(out, "kubeReserved (1Mi): nothing is left for pods of the machine's memory") {
		t.Error(out)
	}
	b.writeFile("config.yaml", "") // to clean up with
}

// By default a pod that asks for more than there is runs all the same, and that is told, once.
func TestReservesWarn(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure(leaveMemory(t, 300*mebi) + "enforceNodeAllocatable: [none]\n")
	b.start()
	b.apply("first.yaml", requesting("first", 200, ""))
	b.waitReady("first")
	b.apply("second.yaml", requesting("second", 150, ""))
	b.waitReady("second")
	b.eventOf("second", "Overcommitted", "Node didn't have enough resource: memory, requested: 157286400, used: 209715200, capacity: 314572800", "it asks for 150Mi, other pods have 200Mi of the 300Mi")
	b.killContainer(b.pod("default", "second"), "main")
	b.waitPod("second", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	b.crash()
	b.start()
	b.waitReady("second")
	if events := b.run("get", "events", "-A"); strings.Count(events, "Overcommitted") != 1 {
		t.Errorf("it is told more than once:\n%s", events)
	}
}

// By setting a pod that does not fit is refused as by a kubelet, whichever was faster, and begins when there is room. What runs is left
// alone.
func TestReservesRefuse(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure(leaveMemory(t, 300*mebi) + "enforceNodeAllocatable: [none]\nadmission: refuse\n")
	for name, memory := range map[string]int{"a": 200, "b": 150, "d": 0} {
		b.apply(name+".yaml", requesting(name, memory, ""))
	}
	b.apply("z.yaml", requesting("z", 250, "priority: 1000"))
	b.start()
	refused := func(name, says string) {
		t.Helper()
		p := b.waitPod(name, "refused", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		if p.Status.Reason != "OutOfmemory" || !strings.HasPrefix(p.Status.Message, "Pod was rejected: Node didn't have enough resource: memory, ") || !strings.Contains(p.Status.Message, says) {
			t.Errorf("%s: %s: %s", name, p.Status.Reason, p.Status.Message)
		}
	}
	z := b.waitReady("z")
	b.waitReady("d") // asks for nothing
	refused("a", "it asks for 200Mi, ")
	refused("b", "it asks for 150Mi, ")
	b.eventOf("OutOfmemory", "pod/b ", "Pod was rejected")

	b.crash()
	b.start()
	if again := b.waitReady("z"); status(again, "main").ContainerID != status(z, "main").ContainerID {
		t.Error("the pod did not run on")
	}
	refused("a", "")
	refused("b", "")

	b.delete("z.yaml")
	b.waitReady("a")
	refused("b", " of the 300Mi that there are for pods") // a has its room, or comes first
	b.apply("a.yaml", requesting("a", 100, ""))           // made smaller in place
	b.waitReady("b")
	b.apply("late.yaml", requesting("late", 100, ""))
	refused("late", "other pods have 250Mi of the 300Mi")
	b.delete("late.yaml")
	b.waitGone("late")
	b.waitReady("b")
}

// Processes of pods have the scores that are theirs, not the daemon's, whoever starts them.
func TestReservesScores(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	score := func(pid int) string {
		t.Helper()
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	own := score(b.daemon.Process.Pid)
	if own != "-999" { // it has not the capability: then it is given another one than pods have
		own = "300"
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", b.daemon.Process.Pid), []byte(own), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := b.daemonOutput(); !strings.Contains(out, "CAP_SYS_RESOURCE is missing: the kernel may end Solopod") {
			t.Error(out)
		}
	}
	const probe = "    readinessProbe: {exec: {command: [sh, -c, 'test -s /tmp/probe || cat /proc/self/oom_score_adj >/tmp/probe']}, periodSeconds: 1, timeoutSeconds: 10}\n"
	b.apply("best.yaml", shell("best", forever, "")+probe)
	b.apply("guaranteed.yaml", shell("guaranteed", forever, "")+"    resources: {limits: {cpu: 100m, memory: 64Mi}}\n"+probe)
	for name, qos := range map[string]v1.PodQOSClass{"best": v1.PodQOSBestEffort, "guaranteed": v1.PodQOSGuaranteed} {
		want := strconv.Itoa(b.expectedOOMScore(qos))
		pod := b.waitReady(name)
		if got := score(b.pid(pod, "main")); got != want {
			t.Errorf("%s: the score is %s, not %s", name, got, want)
		}
		for what, command := range map[string][]string{"exec": {"cat", "/proc/self/oom_score_adj"}, "a probe": {"cat", "/tmp/probe"}} {
			if got := strings.TrimSpace(b.run(append([]string{"exec", name, "--"}, command...)...)); got != want {
				t.Errorf("%s: the score of %s is %s, not %s", name, what, got, want)
			}
		}
	}
}

// Memory that is asked for is kept, and a container is slowed down before its limit, with cgroup v2. With v1 it is told that it is not.
func TestReservesMemoryQoS(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure("memoryQoS: true\nmemoryThrottlingFactor: 0.5\n")
	b.start()
	b.apply("pod.yaml", shell("pod", forever, "")+"    resources: {requests: {memory: 16Mi}, limits: {memory: 64Mi}}\n    resizePolicy: [{resourceName: memory, restartPolicy: NotRequired}]\n")
	pod := b.waitReady("pod")
	if !unified() {
		b.eventOf("MemoryQoSUnavailable", "it needs cgroup v2")
		return
	}
	class := path.Dir(b.podCgroup(pod))
	for _, cgroup := range []string{b.containerCgroup(pod, "main"), b.podCgroup(pod), class, b.cgroupRoot()} {
		b.expectFile("kept", cgroup, "", "memory.min", "16777216")
	}
	b.expectFile("slowed down", b.containerCgroup(pod, "main"), "", "memory.high", "41943040") // 16Mi and half of 48Mi
	b.apply("guaranteed.yaml", shell("guaranteed", forever, "")+"    resources: {limits: {cpu: 100m, memory: 32Mi}}\n")
	guaranteed := b.waitReady("guaranteed")
	b.expectFile("guaranteed", b.containerCgroup(guaranteed, "main"), "", "memory.high", "max")
	b.expectFile("all", b.cgroupRoot(), "", "memory.min", "50331648")
	b.expectFile("its class", class, "", "memory.min", "16777216")
	b.apply("pod.yaml", shell("pod", forever, "")+"    resources: {requests: {memory: 32Mi}, limits: {memory: 64Mi}}\n    resizePolicy: [{resourceName: memory, restartPolicy: NotRequired}]\n")
	b.eventually("it has more", func() error {
		if err := b.differs(b.containerCgroup(pod, "main"), "", "memory.high", "50331648"); err != nil {
			return err
		}
		return b.differs(b.podCgroup(pod), "", "memory.min", "33554432")
	})
}
