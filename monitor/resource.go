package monitor

import "bytes"

// resourceFamilies are the kubelet's (pkg/kubelet/metrics/collectors/resource_metrics.go), which metrics-server reads.
var resourceFamilies = []familyRow{
	{"node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", true},
	{"node_memory_working_set_bytes", "Current working set of the node in bytes", false},
	{"node_swap_usage_bytes", "Current swap usage of the node in bytes", false},
	{"pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", true},
	{"pod_memory_working_set_bytes", "Current working set of the pod in bytes", false},
	{"pod_swap_usage_bytes", "Current swap usage of the pod in bytes", false},
	{"container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", true},
	{"container_memory_working_set_bytes", "Current working set of the container in bytes", false},
	{"container_swap_usage_bytes", "Current swap usage of the container in bytes", false},
	{"container_swap_limit_bytes", "Current swap limit of the container in bytes; only where there is one", false},
	{"container_start_time_seconds", "Start time of the container since unix epoch in seconds", false},
}

var noLabels = &owner{}

// WriteResources writes what stands behind /metrics/resource.
func (m *Monitor) WriteResources(w *bytes.Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.resource
	e.begin()
	add := func(family string, o *owner, s *Stats, k key) {
		if v, ok := s.get(k); ok {
			e.add(family, o, v)
		}
	}
	for _, p := range m.read(false) {
		if p.pod == nil {
			continue
		}
		o := e.owner(p.PodCgroup, "namespace", p.Namespace, "pod", p.Pod)
		add("pod_cpu_usage_seconds_total", o, p.pod, cpuUsage)
		add("pod_memory_working_set_bytes", o, p.pod, memoryWorkingSet)
		add("pod_swap_usage_bytes", o, p.pod, memorySwap)
		for _, c := range p.containers {
			if c.stats == nil {
				continue
			}
			o := e.owner(c.Cgroup, "container", c.Container, "namespace", c.Namespace, "pod", c.Pod)
			add("container_cpu_usage_seconds_total", o, c.stats, cpuUsage)
			add("container_memory_working_set_bytes", o, c.stats, memoryWorkingSet)
			add("container_swap_usage_bytes", o, c.stats, memorySwap)
			if v, ok := c.stats.get(memorySwapLimit); ok && v > 0 {
				e.add("container_swap_limit_bytes", o, v)
			}
			e.add("container_start_time_seconds", o, float64(c.StartedAt.UnixNano())/1e9)
		}
	}
	root := m.root(false)
	add("node_cpu_usage_seconds_total", noLabels, root, cpuUsage)
	add("node_memory_working_set_bytes", noLabels, root, memoryWorkingSet)
	memory := readMemory()
	e.add("node_swap_usage_bytes", noLabels, memory.swapTotal-memory.swapFree)
	e.write(w)
}
