package supply

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

// metrics tell what is left, and what must be.
type metrics struct {
	supply     *Supply
	thresholds []threshold.Threshold
}

var (
	availableMetric = prometheus.NewDesc("solopod_eviction_available", "What is left of what pods are evicted for: bytes, files or processes", []string{"signal"}, nil)
	thresholdMetric = prometheus.NewDesc("solopod_eviction_threshold", "What must be left so that no pod is evicted: bytes, files or processes", []string{"kind", "signal"}, nil)
)

// Metrics are those of the signals that have a threshold. They are measured when they are asked for; what cannot be is absent.
func (s *Supply) Metrics(list []threshold.Threshold) prometheus.Collector { return metrics{s, list} }

// Describe implements prometheus.Collector.
func (metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- availableMetric
	ch <- thresholdMetric
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	var signals []threshold.Signal
	for _, t := range m.thresholds {
		signals = append(signals, t.Signal)
	}
	levels, _ := m.supply.Levels(context.Background(), signals)
	for s, l := range levels {
		if l.Capacity > 0 {
			ch <- prometheus.MustNewConstMetric(availableMetric, prometheus.GaugeValue, float64(l.Available), string(s))
		}
	}
	for _, t := range m.thresholds {
		kind := "hard"
		if t.Soft {
			kind = "soft"
		}
		if l := levels[t.Signal]; l.Capacity > 0 {
			ch <- prometheus.MustNewConstMetric(thresholdMetric, prometheus.GaugeValue, float64(t.Least.Of(l.Capacity)), kind, string(t.Signal))
		}
	}
}
