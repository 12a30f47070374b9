// Package telemetry holds the counters of what Solopod itself does. The packages that do it count here; monitor and the API show
// the numbers.
package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/runner/logs"
)

// Telemetry is one daemon's. It is safe for concurrent use.
type Telemetry struct {
	PodStart       prometheus.Histogram
	ContainerStart prometheus.Histogram
	Images         *prometheus.HistogramVec // operation, result
	Evictions      prometheus.Counter
	// EffectsLeft counts effects that did not heed their cancellation, and have not ended since.
	EffectsLeft prometheus.Gauge
	// streams of logs that are left behind; the logs count them.
	streams    prometheus.Collector
	probes     *prometheus.CounterVec
	probeTimes *prometheus.HistogramVec
	dns        dns
	kubelet    kubelet
	collection collection
	rollbacks  *prometheus.CounterVec
}

// seconds from 10 ms, when a small machine starts a container, to a minute, when something is wrong.
var seconds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// New makes counters at zero.
func New() *Telemetry {
	t := &Telemetry{
		PodStart: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "solopod_pod_start_duration_seconds", Buckets: seconds,
			Help: "From when a pod's manifest was seen, or changed, until all of its containers ran, pulls included",
		}),
		ContainerStart: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "solopod_container_start_duration_seconds", Buckets: seconds, Help: "From the decision to start a container until its process ran",
		}),
		Images: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "solopod_image_operation_duration_seconds", Buckets: []float64{0.1, 0.5, 1, 5, 10, 30, 60, 300, 900},
			Help: "Duration of imports, pulls and removals of images",
		}, []string{"operation", "result"}),
		Evictions:   prometheus.NewCounter(prometheus.CounterOpts{Name: "solopod_evictions_total", Help: "Pods that were ended because they exceeded a limit of disk space, or because the machine ran short"}),
		EffectsLeft: prometheus.NewGauge(prometheus.GaugeOpts{Name: "solopod_effects_left_behind", Help: "Effects on pods that hang: they did not heed their cancellation, and what they work on waits for them"}),
		streams: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "solopod_log_streams_left_behind", Help: "Output streams of containers that hang in the disk of their logs, and that nobody waits for any more",
		}, func() float64 { return float64(logs.LeftBehind()) }),
		// Names and labels are the kubelet's (pkg/kubelet/prober/prober_manager.go).
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prober_probe_total", Help: "Cumulative number of a liveness, readiness or startup probe for a container by result",
		}, []string{"probe_type", "result", "container", "pod", "namespace", "pod_uid"}),
		probeTimes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "prober_probe_duration_seconds", Help: "Duration in seconds for a probe response",
		}, []string{"probe_type", "container", "pod", "namespace"}),
		dns:        newDNS(),
		kubelet:    newKubelet(),
		collection: newCollection(),
		rollbacks:  newRollbacks(),
	}
	// Both results exist from the beginning, so that a first failure is an increase.
	for _, operation := range []string{"import", "pull", "remove"} {
		for _, result := range []string{"success", "failure"} {
			t.Images.WithLabelValues(operation, result)
		}
	}
	return t
}

// Own are the collectors for /metrics, Probes those for /metrics/probes.
func (t *Telemetry) Own() []prometheus.Collector {
	own := []prometheus.Collector{t.PodStart, t.ContainerStart, t.Images, t.Evictions, t.EffectsLeft, t.streams, t.rollbacks}
	return slices.Concat(own, t.dns.collectors(), t.kubelet.collectors(), t.collection.collectors())
}

// Probes are the collectors for /metrics/probes.
func (t *Telemetry) Probes() []prometheus.Collector {
	return []prometheus.Collector{t.probes, t.probeTimes}
}

// Image counts an operation with an image.
func (t *Telemetry) Image(operation string, began time.Time, err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	t.Images.WithLabelValues(operation, result).Observe(time.Since(began).Seconds())
}

// Probe counts an answer.
func (t *Telemetry) Probe(kind, namespace, pod, uid, container string, took time.Duration, err error) {
	result := "successful"
	if err != nil {
		result = "failed"
	}
	t.probes.WithLabelValues(kind, result, container, pod, namespace, uid).Inc()
	t.probeTimes.WithLabelValues(kind, container, pod, namespace).Observe(took.Seconds())
}

// Forget lets go of a pod's series: otherwise there would be more with every pod that ever was.
func (t *Telemetry) Forget(namespace, pod, uid string) {
	t.probes.DeletePartialMatch(prometheus.Labels{"pod_uid": uid})
	t.probeTimes.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "pod": pod})
}
