package monitor

import (
	"bytes"
	"context"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/monitor/nearlimit"
)

// resourceSource is what /metrics/resource tells of one owner, which is the node, all pods, a pod or a container.
type resourceSource struct {
	node, pod, container *Stats
	// pods is what all pods have together.
	pods *Stats
	// started is the container's, in seconds since 1970.
	started float64
	// swap is what the machine's swap holds, in bytes.
	swap float64
}

// resourceFamilies are the kubelet's (pkg/kubelet/metrics/collectors/resource_metrics.go), which metrics-server reads.
var resourceFamilies = []familyRow[resourceSource]{
	{"node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", true, nil, ofNode(cpuUsage)},
	{"node_memory_working_set_bytes", "Current working set of the node in bytes", false, nil, ofNode(memoryWorkingSet)},
	{"node_swap_usage_bytes", "Current swap usage of the node in bytes", false, nil, func(s *resourceSource, to *exposition.Samples) {
		if s.node != nil {
			to.Add(s.swap)
		}
	}},
	{"pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", true, nil, ofPod(cpuUsage)},
	{"pod_memory_working_set_bytes", "Current working set of the pod in bytes", false, nil, ofPod(memoryWorkingSet)},
	{"pod_swap_usage_bytes", "Current swap usage of the pod in bytes", false, nil, ofPod(memorySwap)},
	{"container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", true, nil, ofContainer(cpuUsage)},
	{"container_memory_working_set_bytes", "Current working set of the container in bytes", false, nil, ofContainer(memoryWorkingSet)},
	{"container_swap_usage_bytes", "Current swap usage of the container in bytes", false, nil, ofContainer(memorySwap)},
	{"container_swap_limit_bytes", "Current swap limit of the container in bytes; only where there is one", false, nil, func(s *resourceSource, to *exposition.Samples) {
		if s.container != nil && s.container.values[memorySwapLimit] > 0 {
			stat(to, s.container, memorySwapLimit)
		}
	}},
	{"container_start_time_seconds", "Start time of the container since unix epoch in seconds", false, nil, func(s *resourceSource, to *exposition.Samples) {
		if s.container != nil {
			to.Add(s.started)
		}
	}},
	{"solopod_memory_limit_ratio", "Memory that the kernel cannot take back as part of its limit, of a container, a pod, or, without labels, all pods together; only where there is a limit", false, nil, nearLimit},
}

func nearLimit(s *resourceSource, to *exposition.Samples) {
	for _, of := range []*Stats{s.container, s.pod, s.pods} {
		if of == nil || !of.present[memoryUsage] {
			continue
		}
		v := &of.values // what the kernel does not tell of a cgroup is zero
		m := nearlimit.Memory{Usage: v[memoryUsage], ActiveFile: v[memoryActiveFile], InactiveFile: v[memoryInactiveFile], Limit: v[memoryLimit]}
		if ratio, limited := m.Ratio(); limited {
			to.Add(ratio)
		}
	}
}

func ofNode(k key) func(*resourceSource, *exposition.Samples) {
	return func(s *resourceSource, to *exposition.Samples) { stat(to, s.node, k) }
}

func ofPod(k key) func(*resourceSource, *exposition.Samples) {
	return func(s *resourceSource, to *exposition.Samples) { stat(to, s.pod, k) }
}

func ofContainer(k key) func(*resourceSource, *exposition.Samples) {
	return func(s *resourceSource, to *exposition.Samples) { stat(to, s.container, k) }
}

// WriteResources writes what stands behind /metrics/resource. It fails when ctx ends, or an earlier scrape does not end.
func (m *Monitor) WriteResources(ctx context.Context, w *bytes.Buffer) error {
	leave, err := m.turn.Take(ctx)
	if err != nil {
		return err
	}
	defer leave()
	e := m.resource
	e.Begin()
	for _, p := range m.read(false) {
		if p.pod == nil {
			continue
		}
		e.Add(e.Owner(p.PodCgroup, "namespace", p.Namespace, "pod", p.Pod), &resourceSource{pod: p.pod})
		for _, c := range p.containers {
			if c.stats == nil {
				continue
			}
			o := e.Owner(c.Cgroup, "container", c.Container, "namespace", c.Namespace, "pod", c.Pod)
			e.Add(o, &resourceSource{container: c.stats, started: float64(c.StartedAt.UnixNano()) / 1e9})
		}
	}
	if all := m.together(false); all != nil {
		e.Add(e.Owner(m.pods), &resourceSource{pods: all})
	}
	root := m.root(false)
	e.Add(e.Owner(""), &resourceSource{node: root, swap: root.values[memorySwap]})
	e.Write(w)
	return nil
}
