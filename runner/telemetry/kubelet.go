package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

// kubelet counts what Solopod does by the names that a kubelet's dashboards and alerts ask for (pkg/kubelet/metrics/metrics.go,
// pkg/volume/util/metrics.go). A series begins with the first operation of its kind, but for evictions and errors.
type kubelet struct {
	podStart   prometheus.Histogram
	podWorker  *prometheus.HistogramVec
	operations *prometheus.CounterVec
	failures   *prometheus.CounterVec
	times      *prometheus.HistogramVec
	cgroups    *prometheus.HistogramVec
	volumes    *prometheus.HistogramVec
	lost       *prometheus.CounterVec
	evictions  *prometheus.CounterVec
}

// milliseconds are from what a small step takes to half a minute.
var milliseconds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// Signals of evictions, in the kubelet's words (pkg/kubelet/eviction/eviction_manager.go).
const (
	SignalEmptyDir           = "emptydirfs.limit"
	SignalEphemeralPod       = "ephemeralpodfs.limit"
	SignalEphemeralContainer = "ephemeralcontainerfs.limit"
)

func newKubelet() kubelet {
	operation := []string{"operation_type"}
	k := kubelet{
		podStart: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubelet_pod_start_duration_seconds", Buckets: seconds, Help: "From when a pod's manifest was seen, or changed, until all of its containers ran, pulls included",
		}),
		podWorker: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubelet_pod_worker_duration_seconds", Buckets: seconds, Help: "How long it took to bring a pod up",
		}, operation),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubelet_runtime_operations_total", Help: "Operations on sandboxes, containers and images",
		}, operation),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubelet_runtime_operations_errors_total", Help: "Operations on sandboxes, containers and images that failed",
		}, operation),
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubelet_runtime_operations_duration_seconds", Buckets: milliseconds, Help: "How long operations on sandboxes, containers and images took",
		}, operation),
		cgroups: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubelet_cgroup_manager_duration_seconds", Buckets: milliseconds, Help: "How long operations on pods' cgroups took",
		}, operation),
		volumes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "storage_operation_duration_seconds", Buckets: milliseconds, Help: "How long it took to set a volume up",
		}, []string{"volume_plugin", "operation_name", "status", "migrated"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "storage_operation_errors_total", Help: "Volumes that could not be set up",
		}, []string{"volume_plugin", "operation_name"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubelet_evictions", Help: "Pods that were ended because they exceeded a limit of disk space, by the limit, or because the machine ran short, by what was short",
		}, []string{"eviction_signal"}),
	}
	signals := []string{SignalEmptyDir, SignalEphemeralPod, SignalEphemeralContainer}
	for _, s := range threshold.Signals {
		signals = append(signals, string(s))
	}
	for _, signal := range signals {
		k.evictions.WithLabelValues(signal)
	}
	return k
}

func (k *kubelet) collectors() []prometheus.Collector {
	return []prometheus.Collector{k.podStart, k.podWorker, k.operations, k.failures, k.times, k.cgroups, k.volumes, k.lost, k.evictions}
}

// PodStarted counts a pod that is up.
func (t *Telemetry) PodStarted(took time.Duration) {
	t.PodStart.Observe(took.Seconds())
	t.kubelet.podStart.Observe(took.Seconds())
	t.kubelet.podWorker.WithLabelValues("create").Observe(took.Seconds())
}

// Operation counts an operation on a sandbox, a container or an image. kind becomes a label: it must be from a short list.
func (t *Telemetry) Operation(kind string, took time.Duration, failed bool) {
	t.kubelet.operations.WithLabelValues(kind).Inc()
	t.kubelet.times.WithLabelValues(kind).Observe(took.Seconds())
	errors := t.kubelet.failures.WithLabelValues(kind) // it begins at zero
	if failed {
		errors.Inc()
	}
}

// CgroupChanged counts an operation on a pod's cgroup: create or destroy.
func (t *Telemetry) CgroupChanged(operation string, took time.Duration) {
	t.kubelet.cgroups.WithLabelValues(operation).Observe(took.Seconds())
}

// VolumeSetUp counts the set-up of a volume; plugin is the kubelet's name of its kind.
func (t *Telemetry) VolumeSetUp(plugin string, took time.Duration, err error) {
	status, errors := "success", t.kubelet.lost.WithLabelValues(plugin, "volume_mount")
	if err != nil {
		status = "fail-unknown"
		errors.Inc()
	}
	t.kubelet.volumes.WithLabelValues(plugin, "volume_mount", status, "false").Observe(took.Seconds())
}

// Evicted counts an eviction, by its signal.
func (t *Telemetry) Evicted(signal string) {
	t.Evictions.Inc()
	t.kubelet.evictions.WithLabelValues(signal).Inc()
}
