package cgroup

import (
	"math"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
)

// container writes requests and limits as "cpu memory"; "-" leaves one out.
func container(t *testing.T, cpuRequest, memoryRequest, cpuLimit, memoryLimit string) v1.Container {
	t.Helper()
	list := func(cpu, memory string) v1.ResourceList {
		l := v1.ResourceList{}
		for name, text := range map[v1.ResourceName]string{v1.ResourceCPU: cpu, v1.ResourceMemory: memory} {
			if text == "-" {
				continue
			}
			q, err := resource.ParseQuantity(text)
			if err != nil {
				t.Fatal(err)
			}
			l[name] = q
		}
		return l
	}
	return v1.Container{Resources: v1.ResourceRequirements{Requests: list(cpuRequest, memoryRequest), Limits: list(cpuLimit, memoryLimit)}}
}

const gib = 1 << 30

// Classes are those of Kubernetes' "Pod Quality of Service Classes"; scores those of its "Node Out of Memory behavior".
func TestClassesAndScores(t *testing.T) {
	none := container(t, "-", "-", "-", "-")
	full := container(t, "1", "1Gi", "1", "1Gi")
	for name, c := range map[string]struct {
		containers []v1.Container
		priority   string
		class      v1.PodQOSClass
		score      int // of the first container, on a machine with 4 GiB
	}{
		"nothing asked":           {containers: []v1.Container{none}, class: v1.PodQOSBestEffort, score: 1000},
		"everything bound":        {containers: []v1.Container{full}, class: v1.PodQOSGuaranteed, score: -997},
		"equal, written apart":    {containers: []v1.Container{container(t, "1000m", "1024Mi", "1", "1Gi")}, class: v1.PodQOSGuaranteed, score: -997},
		"one of two bound":        {containers: []v1.Container{full, none}, class: v1.PodQOSBurstable, score: 750},
		"the other one of two":    {containers: []v1.Container{none, full}, class: v1.PodQOSBurstable, score: 999},
		"only a request":          {containers: []v1.Container{container(t, "100m", "-", "-", "-")}, class: v1.PodQOSBurstable, score: 999},
		"only a limit of one":     {containers: []v1.Container{container(t, "-", "1Gi", "-", "1Gi")}, class: v1.PodQOSBurstable, score: 750},
		"all of the memory":       {containers: []v1.Container{container(t, "-", "8Gi", "-", "-")}, class: v1.PodQOSBurstable, score: 3},
		"a zero is no request":    {containers: []v1.Container{container(t, "0", "0", "-", "-")}, class: v1.PodQOSBestEffort, score: 1000},
		"critical for the node":   {containers: []v1.Container{none}, priority: "system-node-critical", class: v1.PodQOSBestEffort, score: -997},
		"critical in the cluster": {containers: []v1.Container{none}, priority: "system-cluster-critical", class: v1.PodQOSBestEffort, score: 1000},
	} {
		pod := &v1.Pod{Spec: v1.PodSpec{Containers: c.containers, PriorityClassName: c.priority}}
		if got := manifests.QOSClass(pod); got != c.class {
			t.Errorf("%s: class %s, want %s", name, got, c.class)
		}
		if got := OOMScoreAdj(pod, &pod.Spec.Containers[0], 4*gib); got != c.score {
			t.Errorf("%s: score %d, want %d", name, got, c.score)
		}
	}
}

func TestResources(t *testing.T) {
	for name, c := range map[string]struct {
		containers    []v1.Container
		shares        uint64
		quota, memory int64 // 0: none
	}{
		"nothing":                {[]v1.Container{container(t, "-", "-", "-", "-")}, 2, 0, 0},
		"a request":              {[]v1.Container{container(t, "250m", "64Mi", "-", "-")}, 256, 0, 0},
		"limits":                 {[]v1.Container{container(t, "1", "1Gi", "1500m", "1Gi")}, 1024, 150_000, gib},
		"less than a share":      {[]v1.Container{container(t, "1m", "-", "1m", "-")}, 2, 1000, 0},
		"more than the kernel's": {[]v1.Container{container(t, "1000", "-", "-", "-")}, 262144, 0, 0},
		"a sum":                  {[]v1.Container{container(t, "1", "1Gi", "1", "1Gi"), container(t, "500m", "1Gi", "1", "2Gi")}, 1536, 200_000, 3 * gib},
		"more than there can be": {[]v1.Container{container(t, "1e30", "1e30", "1e30", "1e30")}, 262144, 1 << 40 / 100_000 * 100_000, math.MaxInt64},
		"such a sum":             {[]v1.Container{container(t, "1e15", "8E", "1e15", "8E"), container(t, "8E", "8E", "8E", "8E")}, 262144, 1 << 40 / 100_000 * 100_000, math.MaxInt64},
		"one without a limit":    {[]v1.Container{container(t, "1", "1Gi", "1", "1Gi"), container(t, "-", "-", "-", "-")}, 1024, 0, 0},
	} {
		pod := PodResources(&v1.Pod{Spec: v1.PodSpec{Containers: c.containers}}, 0)
		of := map[string]struct {
			shares        *uint64
			quota, memory *int64
		}{"pod": {shares: pod.CPU.Shares, quota: pod.CPU.Quota}}
		if pod.Memory != nil {
			p := of["pod"]
			p.memory = pod.Memory.Limit
			of["pod"] = p
		}
		if len(c.containers) == 1 { // then the container's are the same
			one := ContainerResources(c.containers[0].Resources, nil)
			p := of["pod"]
			p.shares, p.quota = one.CPU.Shares, one.CPU.Quota
			of["container"] = p
		}
		for whose, got := range of {
			if *got.shares != c.shares || value(got.quota) != c.quota || value(got.memory) != c.memory {
				t.Errorf("%s, %s: shares %d, quota %d, memory %d; want %d, %d, %d", name, whose, *got.shares, value(got.quota),
					value(got.memory), c.shares, c.quota, c.memory)
			}
		}
	}
}

func value(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}
