package e2e

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// limits are what one kind of pod gets. Weights of cgroup v2 come from shares by a formula that runc changed with 1.3.2 and
// containerd/cgroups, which makes pods' cgroups, had changed before; both are right for a container.
type limits struct {
	resources                        string
	qos                              v1.PodQOSClass
	shares, weight, oldWeight, quota string
	memory, pages                    string
}

// Requests and limits reach the kernel, in cgroups per QoS class and per pod; the OOM score is the kubelet's.
func TestResources(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		kinds := map[string]limits{
			"guaranteed": {"{limits: {cpu: 500m, memory: 64Mi}}", v1.PodQOSGuaranteed, "512", "59", "20", "50000", "67108864", ""},
			"burstable":  {"{requests: {cpu: 250m, memory: 32Mi}, limits: {memory: 64Mi}}", v1.PodQOSBurstable, "256", "35", "10", "", "67108864", ""},
			"besteffort": {"{}", v1.PodQOSBestEffort, "2", "1", "1", "", "", ""},
		}
		if hugetlb() {
			k := kinds["burstable"]
			k.resources, k.pages = "{requests: {cpu: 250m, memory: 32Mi}, limits: {memory: 64Mi, hugepages-2Mi: 4Mi}}", "4194304"
			kinds["burstable"] = k
		} else {
			b.apply("huge.yaml", shell("huge", forever, "")+"    resources: {requests: {cpu: 1m}, limits: {hugepages-2Mi: 4Mi}}\n")
			b.waitPod("huge", "refused for what the machine lacks", func(p *v1.Pod) bool {
				return strings.Contains(p.Status.Message, "cannot limit huge pages of 2MB")
			})
		}
		for name, kind := range kinds {
			b.apply(name+".yaml", shell(name, forever, "")+"    resources: "+kind.resources+"\n")
		}
		for name, want := range kinds {
			pod := b.waitReady(name)
			if pod.Status.QOSClass != want.qos {
				t.Errorf("%s: QoS class %s", name, pod.Status.QOSClass)
			}
			b.expectLimits(name, b.podCgroup(pod), want, want.weight)
			b.expectLimits(name, b.containerCgroup(pod, "main"), want, want.weight, want.oldWeight)
			if got, want := b.oomScore(pod), b.expectedOOMScore(want.qos); got != want {
				t.Errorf("%s: oom_score_adj is %d, not %d", name, got, want)
			}
			if class := path.Dir(b.podCgroup(pod)); unified() {
				b.expectFile(name, class, "", "cpu.weight", want.weight)
			} else {
				b.expectFile(name, class, "cpu", "cpu.shares", want.shares)
			}
		}
		// An edit reaches the pod's own limit as well.
		b.apply("burstable.yaml", shell("burstable", forever, "")+"    resources: {requests: {cpu: 250m}, limits: {memory: 128Mi}}\n    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]\n")
		pod := b.waitPod("burstable", "edited", func(p *v1.Pod) bool {
			return isReady(p) && p.Status.ContainerStatuses[0].RestartCount == 1
		})
		more := limits{shares: "256", weight: "35", memory: "134217728"}
		b.expectLimits("edited", b.podCgroup(pod), more, more.weight)
	})
}

// expectLimits compares the kernel's files; an empty limit means none.
func (b *box) expectLimits(name, cgroup string, want limits, weights ...string) {
	b.t.Helper()
	if !unified() {
		none := map[string]string{"": "-1"}
		b.expectFile(name, cgroup, "cpu", "cpu.shares", want.shares)
		b.expectFile(name, cgroup, "cpu", "cpu.cfs_quota_us", want.quota+none[want.quota])
		if want.memory != "" {
			b.expectFile(name, cgroup, "memory", "memory.limit_in_bytes", want.memory)
		}
		if want.pages != "" {
			b.expectFile(name, cgroup, "hugetlb", "hugetlb.2MB.limit_in_bytes", want.pages)
		}
		return
	}
	none := map[string]string{"": "max"}
	b.expectFile(name, cgroup, "", "cpu.weight", weights...)
	b.expectFile(name, cgroup, "", "cpu.max", want.quota+none[want.quota]+" 100000")
	b.expectFile(name, cgroup, "", "memory.max", want.memory+none[want.memory])
	b.expectFile(name, cgroup, "", "pids.max", "max")
	if want.pages != "" {
		b.expectFile(name, cgroup, "", "hugetlb.2MB.max", want.pages)
	}
}

func (b *box) expectFile(name, cgroup, controller, file string, want ...string) {
	b.t.Helper()
	if got := b.cgroupFile(cgroup, controller, file); !slices.Contains(want, got) {
		b.t.Errorf("%s: %s of %s is %s, not %s", name, file, cgroup, got, strings.Join(want, " or "))
	}
}

// hugetlb says whether the machine limits huge pages.
func hugetlb() bool {
	controllers, err := os.ReadFile(cgroupMount + "/cgroup.controllers")
	return exists(cgroupMount+"/hugetlb") || err == nil && strings.Contains(string(controllers), "hugetlb")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
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
			`container_cpu_usage_seconds_total{container="web",cpu="total",id="` + b.containerCgroup(pod, "web") + `"`, `container_memory_working_set_bytes{container="web"`,
			`container_memory_rss{container="web"`, `container_network_receive_bytes_total{container="",id="`, `interface="eth0"`,
			`container_oom_events_total{container="web"`, `container_start_time_seconds{container="web"`, `image="solopod.example/box:1",name="` + id + `",namespace="default",pod="web"`,
			`container_spec_memory_limit_bytes{container="web"`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("/metrics/cadvisor lacks %s:\n%s", want, text)
			}
		}
		if exists("/proc/pressure/cpu") && unified() {
			for _, resource := range []string{"cpu", "memory", "io"} {
				for _, kind := range []string{"waiting", "stalled"} {
					if want := "container_pressure_" + resource + "_" + kind + `_seconds_total{container="web"`; !strings.Contains(text, want) {
						t.Errorf("/metrics/cadvisor lacks %s", want)
					}
				}
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
