package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// Requests and limits reach the kernel, in cgroups per QoS class and per pod; the OOM score is the kubelet's.
func TestResources(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		if unified() {
			t.Fatal("the names below are those of cgroup v1")
		}
		for name, resources := range map[string]string{
			"guaranteed": "{limits: {cpu: 500m, memory: 64Mi}}",
			"burstable":  "{requests: {cpu: 250m, memory: 32Mi}, limits: {memory: 64Mi}}",
			"besteffort": "{}",
		} {
			b.apply(name+".yaml", shell(name, forever, "")+"    resources: "+resources+"\n")
		}
		for name, want := range map[string]struct {
			qos                              v1.PodQOSClass
			shares, quota, memory, podShares string
		}{
			"guaranteed": {v1.PodQOSGuaranteed, "512", "50000", "67108864", "512"},
			"burstable":  {v1.PodQOSBurstable, "256", "-1", "67108864", "256"},
			"besteffort": {v1.PodQOSBestEffort, "2", "-1", "", "2"},
		} {
			pod := b.waitReady(name)
			id := strings.TrimPrefix(status(pod, "main").ContainerID, "containerd://")
			if pod.Status.QOSClass != want.qos {
				t.Errorf("%s: QoS class %s", name, pod.Status.QOSClass)
			}
			for _, c := range []struct{ id, controller, file, want string }{
				{id, "cpu", "cpu.shares", want.shares}, {id, "cpu", "cpu.cfs_quota_us", want.quota},
				{id, "memory", "memory.limit_in_bytes", want.memory}, {"", "cpu", "cpu.shares", want.podShares},
				{"", "cpu", "cpu.cfs_quota_us", want.quota}, {"", "memory", "memory.limit_in_bytes", want.memory},
			} {
				if got := b.cgroupFile(pod, c.id, c.controller, c.file); c.want != "" && got != c.want {
					t.Errorf("%s: %s of %q is %s, not %s", name, c.file, c.id, got, c.want)
				}
			}
			if got, want := b.oomScore(pod), b.expectedOOMScore(want.qos); got != want {
				t.Errorf("%s: oom_score_adj is %d, not %d", name, got, want)
			}
		}
		class, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/cpu", b.cgroup, "guaranteed/cpu.shares"))
		if err != nil || strings.TrimSpace(string(class)) != "512" {
			t.Errorf("the class's weight is %s, %v", class, err)
		}
	})
}

func (b *box) oomScore(p *v1.Pod) int {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", b.pid(p, "main")))
	if err != nil {
		b.t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// expectedOOMScore is the kubelet's; without CAP_SYS_RESOURCE a negative one is clamped to zero.
func (b *box) expectedOOMScore(qos v1.PodQOSClass) int {
	b.t.Helper()
	switch qos {
	case v1.PodQOSGuaranteed:
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			b.t.Fatal(err)
		}
		var caps uint64
		for _, line := range strings.Split(string(status), "\n") {
			if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
				if _, err := fmt.Sscanf(strings.TrimSpace(hex), "%x", &caps); err != nil {
					b.t.Fatal(err)
				}
			}
		}
		if caps&(1<<24) == 0 {
			return 0
		}
		return -997
	case v1.PodQOSBestEffort:
		return 1000
	}
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.t.Fatal(err)
	}
	var total int64
	if _, err := fmt.Sscanf(string(meminfo), "MemTotal: %d kB", &total); err != nil {
		b.t.Fatal(err)
	}
	return int(1000 - 1000*(32<<20)/(total<<10))
}

// cAdvisor's families and labels, and the state of pods.
func TestMetrics(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("web.yaml", web("web", "resources: {limits: {memory: 64Mi}}"))
		pod := b.waitReady("web")
		fetch(t, "http://"+pod.Status.PodIP+":8080/")
		id := strings.TrimPrefix(status(pod, "web").ContainerID, "containerd://")
		text := b.mustGet("/metrics/cadvisor")
		for _, want := range []string{
			`container_cpu_usage_seconds_total{container="web",id="` + b.cgroup + `/burstable/pod`, `container_memory_working_set_bytes{container="web"`,
			`container_memory_rss{container="web"`, `container_network_receive_bytes_total{container="",id="`, `interface="eth0"`,
			`container_oom_events_total{container="web"`, `container_start_time_seconds{container="web"`, `image="solopod.example/box:1",name="` + id + `",namespace="default",pod="web"`,
			`container_spec_memory_limit_bytes{container="web"`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("/metrics/cadvisor lacks %s:\n%s", want, text)
			}
		}
		own := b.mustGet("/metrics")
		for _, want := range []string{
			`kube_pod_status_phase{namespace="default",phase="Running",pod="web",uid="` + string(pod.UID) + `"} 1`,
			`kube_pod_container_status_restarts_total{container="web",namespace="default",pod="web"`, `kube_pod_status_ready{condition="true"`,
			`solopod_manifest_errors{file="web.yaml"} 0`, `solopod_build_info{`, `kube_pod_container_status_running{container="web"`,
		} {
			if !strings.Contains(own, want) {
				t.Errorf("/metrics lacks %s:\n%s", want, own)
			}
		}
	})
}
