// Package kills makes metrics of processes that the kernel killed for memory: how many, and when the last one.
package kills

import (
	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/total"
)

var (
	ofPods = prometheus.NewDesc("solopod_oom_kills_total",
		"Processes of pods that the kernel killed for memory, by whose limit was hit; the container is empty where it is not known", []string{"namespace", "pod", "container", "kind"}, nil)
	ofNode = prometheus.NewDesc("solopod_node_oom_kills_total", "Processes of no pod that the kernel killed for memory, by whose limit was hit", []string{"kind"}, nil)
	last   = prometheus.NewDesc("solopod_oom_last_kill_timestamp_seconds",
		"When a process of the container was last killed for memory, in seconds since 1970; absent when none was", []string{"namespace", "pod", "container"}, nil)
)

// nodeKinds begin at zero; of a container all kinds do so, with its pod.
var nodeKinds = []record.Owner{record.Ancestor, record.Machine, record.Unknown}

// Source knows kills.
type Source struct {
	// Totals counts them.
	Totals func() total.Totals
	// Records are of those whose time is known, the oldest first.
	Records func() []record.Record
	Pods    func() []*v1.Pod
}

type collector struct{ Source }

// New makes the collector of kills. Pods that are gone have none.
func New(s Source) prometheus.Collector { return collector{s} }

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- ofPods
	ch <- ofNode
	ch <- last
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	totals, there, names := c.Totals(), map[string]bool{}, map[[2]string]bool{}
	for _, p := range c.Pods() {
		name := [2]string{p.Namespace, p.Name}
		if names[name] { // one that ends beside one that begins: a series twice would spoil the whole scrape
			continue
		}
		there[string(p.UID)], names[name] = true, true
		for key, n := range killsOf(p, totals) {
			ch <- prometheus.MustNewConstMetric(ofPods, prometheus.CounterValue, float64(n), p.Namespace, p.Name, key.Container, string(key.Owner))
		}
	}
	for owner, n := range killsOfNode(totals) {
		ch <- prometheus.MustNewConstMetric(ofNode, prometheus.CounterValue, float64(n), string(owner))
	}
	type key struct{ uid, container string }
	latest := map[key]record.Record{}
	for _, r := range c.Records() {
		if r.Container != "" && there[r.Pod.UID] {
			latest[key{r.Pod.UID, r.Container}] = r
		}
	}
	for _, r := range latest {
		ch <- prometheus.MustNewConstMetric(last, prometheus.GaugeValue, float64(r.Time.UnixMilli())/1000, r.Pod.Namespace, r.Pod.Name, r.Container)
	}
}

// killsOf are a pod's: also the zeros of what has not been, so that the first is an increase.
func killsOf(p *v1.Pod, totals total.Totals) map[total.Key]uint64 {
	out := map[total.Key]uint64{}
	for _, c := range manifests.AllContainers(p) {
		for _, kind := range record.Owners {
			out[total.Key{Container: c.Name, Owner: kind}] = 0
		}
	}
	for key, n := range totals.Pods[string(p.UID)].Kills {
		out[key] = n
	}
	return out
}

// killsOfNode is nothing at first: kills from before Solopod would be an increase, and raise an alarm.
func killsOfNode(totals total.Totals) map[record.Owner]uint64 {
	if totals.Early {
		return nil
	}
	out := map[record.Owner]uint64{}
	for _, kind := range nodeKinds {
		out[kind] = 0
	}
	for owner, n := range totals.Node {
		out[owner] += n
	}
	return out
}
