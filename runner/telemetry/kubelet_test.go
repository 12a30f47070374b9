package telemetry

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// What Solopod does is counted by the kubelet's names; evictions and errors begin at zero.
func TestKubelet(t *testing.T) {
	counters := New()
	r := prometheus.NewRegistry()
	r.MustRegister(counters.Own()...)
	value := func(name string, labels ...string) (float64, bool) {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == name && hasAll(m, labels) {
					return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
				}
			}
		}
		return 0, false
	}
	if v, ok := value("kubelet_evictions", "eviction_signal", SignalEmptyDir); !ok || v != 0 {
		t.Errorf("before the first eviction there is %v, %t", v, ok)
	}
	counters.PodStarted(time.Second)
	counters.Operation("start_container", time.Second, false)
	counters.Operation("create_container", time.Second, true)
	counters.Operation("create_container", time.Second, false)
	counters.CgroupChanged("destroy", time.Millisecond)
	counters.VolumeSetUp("kubernetes.io/secret", time.Millisecond, nil)
	counters.VolumeSetUp("kubernetes.io/secret", time.Millisecond, errors.New("no"))
	counters.Evicted(SignalEphemeralPod)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"kubelet_pod_start_duration_seconds", nil, 1},
		{"solopod_pod_start_duration_seconds", nil, 1},
		{"kubelet_pod_worker_duration_seconds", []string{"operation_type", "create"}, 1},
		{"kubelet_runtime_operations_total", []string{"operation_type", "create_container"}, 2},
		{"kubelet_runtime_operations_duration_seconds", []string{"operation_type", "create_container"}, 2},
		{"kubelet_runtime_operations_errors_total", []string{"operation_type", "create_container"}, 1},
		{"kubelet_runtime_operations_errors_total", []string{"operation_type", "start_container"}, 0},
		{"kubelet_cgroup_manager_duration_seconds", []string{"operation_type", "destroy"}, 1},
		{"storage_operation_duration_seconds", []string{"volume_plugin", "kubernetes.io/secret", "operation_name", "volume_mount", "status", "success"}, 1},
		{"storage_operation_duration_seconds", []string{"volume_plugin", "kubernetes.io/secret", "status", "fail-unknown"}, 1},
		{"storage_operation_errors_total", []string{"volume_plugin", "kubernetes.io/secret"}, 1},
		{"kubelet_evictions", []string{"eviction_signal", SignalEphemeralPod}, 1},
		{"solopod_evictions_total", nil, 1},
	} {
		if v, ok := value(c.name, c.labels...); !ok || v != c.want {
			t.Errorf("%s %v is %v, %t, not %v", c.name, c.labels, v, ok, c.want)
		}
	}
}

// hasAll says whether a metric has labels, names and values in turn.
func hasAll(m *dto.Metric, labels []string) bool {
	found := 0
	for _, l := range m.Label {
		for i := 0; i < len(labels); i += 2 {
			if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
				found++
			}
		}
	}
	return found == len(labels)/2
}
