// Package monitor turns cgroup and network counters into Prometheus metrics with cAdvisor's names and labels, and the
// state of pods into metrics with kube-state-metrics' names. It reads when it is asked, never acts, and keeps nothing.
package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/runner"
)

// Source says who runs; the Runner is one.
type Source interface {
	Targets() []runner.Target
}

// metric is one family: adding one is adding a row.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	key        key
}

var containerMetrics = []metric{
	{"container_cpu_usage_seconds_total", "Cumulative cpu time consumed", prometheus.CounterValue, cpuUsage},
	{"container_cpu_user_seconds_total", "Cumulative user cpu time consumed", prometheus.CounterValue, cpuUser},
	{"container_cpu_system_seconds_total", "Cumulative system cpu time consumed", prometheus.CounterValue, cpuSystem},
	{"container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals", prometheus.CounterValue, cpuPeriods},
	{"container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals", prometheus.CounterValue, cpuThrottledPeriods},
	{"container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled", prometheus.CounterValue, cpuThrottled},
	{"container_memory_usage_bytes", "Current memory usage, including all memory regardless of when it was accessed", prometheus.GaugeValue, memoryUsage},
	{"container_memory_working_set_bytes", "Current working set", prometheus.GaugeValue, memoryWorkingSet},
	{"container_memory_rss", "Size of RSS", prometheus.GaugeValue, memoryRSS},
	{"container_memory_cache", "Total page cache memory", prometheus.GaugeValue, memoryCache},
	{"container_memory_mapped_file", "Size of memory mapped files", prometheus.GaugeValue, memoryMapped},
	{"container_memory_swap", "Container swap usage", prometheus.GaugeValue, memorySwap},
	{"container_memory_max_usage_bytes", "Maximum memory usage recorded", prometheus.GaugeValue, memoryMax},
	{"container_memory_failcnt", "Number of memory usage hits limits", prometheus.CounterValue, memoryFailures},
	{"container_spec_memory_limit_bytes", "Memory limit for the container", prometheus.GaugeValue, memoryLimit},
	{"container_processes", "Number of processes running inside the container", prometheus.GaugeValue, processes},
	{"container_pressure_cpu_waiting_seconds_total", "Total time duration tasks in the container have waited due to cpu congestion", prometheus.CounterValue, cpuWaiting},
	{"container_pressure_cpu_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to cpu congestion", prometheus.CounterValue, cpuStalled},
	{"container_pressure_memory_waiting_seconds_total", "Total time duration tasks in the container have waited due to memory congestion", prometheus.CounterValue, memoryWaiting},
	{"container_pressure_memory_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to memory congestion", prometheus.CounterValue, memoryStalled},
	{"container_pressure_io_waiting_seconds_total", "Total time duration tasks in the container have waited due to I/O congestion", prometheus.CounterValue, ioWaiting},
	{"container_pressure_io_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to I/O congestion", prometheus.CounterValue, ioStalled},
}

var networkMetrics = []struct{ receive, transmit, help string }{
	{"container_network_receive_bytes_total", "container_network_transmit_bytes_total", "Cumulative count of bytes "},
	{"container_network_receive_packets_total", "container_network_transmit_packets_total", "Cumulative count of packets "},
	{"container_network_receive_errors_total", "container_network_transmit_errors_total", "Cumulative count of errors while "},
	{"container_network_receive_packets_dropped_total", "container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while "},
}

var containerLabels = []string{"container", "id", "image", "name", "namespace", "pod"}

// containers collects cAdvisor's families.
type containers struct {
	source  Source
	descs   []*prometheus.Desc
	network [][2]*prometheus.Desc
	start   *prometheus.Desc
	seen    *prometheus.Desc
	oom     *prometheus.Desc
}

// NewContainers makes the collector behind /metrics/cadvisor.
func NewContainers(s Source) prometheus.Collector {
	c := &containers{source: s}
	for _, m := range containerMetrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, containerLabels, nil))
	}
	labels := append(append([]string{}, containerLabels...), "interface")
	for _, m := range networkMetrics {
		c.network = append(c.network, [2]*prometheus.Desc{
			prometheus.NewDesc(m.receive, m.help+"received", labels, nil),
			prometheus.NewDesc(m.transmit, m.help+"transmitted", labels, nil),
		})
	}
	c.start = prometheus.NewDesc("container_start_time_seconds", "Start time of the container since unix epoch", containerLabels, nil)
	c.seen = prometheus.NewDesc("container_last_seen", "Last time a container was seen by the exporter", containerLabels, nil)
	c.oom = prometheus.NewDesc("container_oom_events_total", "Count of out of memory events observed for the container", containerLabels, nil)
	return c
}

// Describe implements prometheus.Collector.
func (c *containers) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *containers) Collect(ch chan<- prometheus.Metric) {
	pods := map[string]bool{}
	for _, t := range c.source.Targets() {
		labels := []string{t.Container, t.Cgroup, t.Image, t.ID, t.Namespace, t.Pod}
		if t.Running {
			c.one(ch, Read(t.Cgroup), labels)
			ch <- prometheus.MustNewConstMetric(c.start, prometheus.GaugeValue, float64(t.StartedAt.UnixNano())/1e9, labels...)
			ch <- prometheus.MustNewConstMetric(c.seen, prometheus.GaugeValue, float64(time.Now().Unix()), labels...)
		}
		// Over all attempts, and with labels that stay, so that a kill is not lost between two scrapes.
		ch <- prometheus.MustNewConstMetric(c.oom, prometheus.CounterValue, float64(t.OOMKills), t.Container, "", t.Image, "", t.Namespace, t.Pod)
		if t.Running && !pods[t.UID] {
			pods[t.UID] = true
			pod := []string{"", t.PodCgroup, "", "", t.Namespace, t.Pod}
			c.one(ch, Read(t.PodCgroup), pod)
			if !t.HostNetwork {
				c.interfaces(ch, ReadInterfaces(t.Pid), pod)
			}
		}
	}
}

func (c *containers) one(ch chan<- prometheus.Metric, s Stats, labels []string) {
	for i, m := range containerMetrics {
		if v, ok := s[m.key]; ok {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labels...)
		}
	}
}

func (c *containers) interfaces(ch chan<- prometheus.Metric, list []Interface, labels []string) {
	for _, i := range list {
		with := append(append([]string{}, labels...), i.Name)
		for n, d := range c.network {
			ch <- prometheus.MustNewConstMetric(d[0], prometheus.CounterValue, i.Receive[n], with...)
			ch <- prometheus.MustNewConstMetric(d[1], prometheus.CounterValue, i.Transmit[n], with...)
		}
	}
}
