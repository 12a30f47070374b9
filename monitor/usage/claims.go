package usage

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/runner/storage"
)

// claimFamilies are the kubelet's (pkg/kubelet/metrics/collectors/volume_stats.go).
var claimFamilies = []struct {
	desc  *prometheus.Desc
	value func(*storage.Measured) float64
}{
	{ofClaim("capacity_bytes", "Capacity in bytes of the volume"), func(m *storage.Measured) float64 { return float64(m.Capacity) }},
	{ofClaim("available_bytes", "Number of available bytes in the volume"), func(m *storage.Measured) float64 { return float64(m.Available) }},
	{ofClaim("used_bytes", "Number of used bytes in the volume"), func(m *storage.Measured) float64 { return float64(m.Bytes) }},
	{ofClaim("inodes", "Maximum number of inodes in the volume"), func(m *storage.Measured) float64 { return float64(m.FileSystem.Inodes) }},
	{ofClaim("inodes_free", "Number of free inodes in the volume"), func(m *storage.Measured) float64 { return float64(m.InodesFree) }},
	{ofClaim("inodes_used", "Number of used inodes in the volume"), func(m *storage.Measured) float64 { return float64(m.Space.Inodes) }},
}

func ofClaim(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("kubelet_volume_stats_"+name, help, []string{"namespace", "persistentvolumeclaim"}, nil)
}

// claimMetrics collects them.
type claimMetrics struct{ meter *Meter }

// ClaimMetrics makes the collector of what claims take up.
func (m *Meter) ClaimMetrics() prometheus.Collector { return claimMetrics{m} }

// Describe implements prometheus.Collector.
func (c claimMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range claimFamilies {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c claimMetrics) Collect(ch chan<- prometheus.Metric) {
	for of, measured := range c.meter.claims() {
		for _, f := range claimFamilies {
			ch <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, f.value(&measured), of.namespace, of.name)
		}
	}
}
