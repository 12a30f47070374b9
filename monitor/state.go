package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/monitor/exposition"
)

// PodSource gives the pods and the manifest files; the Runner is one.
type PodSource interface {
	Pods() []*v1.Pod
	Files() (files []manifests.File, problem, unwatched string)
	// Busy is how many pods are looked after, and how long the longest step of one takes by now.
	Busy() (workers int, longest time.Duration)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	manifestsIn  = desc("solopod_manifests", "Manifest files by state", "state")
	manifestErr  = desc("solopod_manifest_errors", "Errors in a manifest file", "file")
	workers      = desc("solopod_pod_workers", "Pods that are looked after, each by a worker")
	longestStep  = desc("solopod_pod_worker_longest_step_seconds", "How long the worker has been busy that is longest at one step")
	directoryErr = desc("solopod_manifests_directory_error", "Whether the manifests directory cannot be used")

	// What a kubelet's dashboards ask for, under its names (pkg/kubelet/metrics/metrics.go and volumemanager/metrics/metrics.go).
	nodeName          = desc("kubelet_node_name", "The node's name; the value is 1", "node")
	desiredPods       = desc("kubelet_desired_pods", "Pods that the manifests name", "static")
	runningPods       = desc("kubelet_running_pods", "Pods of which a container runs")
	runningContainers = desc("kubelet_running_containers", "Containers by their state", "container_state")
	volumes           = desc("volume_manager_total_volumes", "Volumes of pods that the manifests name, and of those that are set up", "plugin_name", "state")
)

// states collects what there is of pods and manifests.
type states struct {
	source PodSource
	node   string
}

// NewStates makes the collector of how many pods and manifests there are, and in which states. node is the machine's name.
func NewStates(s PodSource, node string) prometheus.Collector { return states{s, node} }

// Describe implements prometheus.Collector.
func (s states) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s states) Collect(ch chan<- prometheus.Metric) {
	gauge(ch, nodeName, 1, s.node)
	countPods(ch, s.source.Pods())
	files, dirError, _ := s.source.Files()
	count := map[string]int{manifests.StateActive: 0, manifests.StateInvalid: 0, manifests.StateConflict: 0}
	errors := map[string]int{} // by the file's name as a label has it
	for _, f := range files {
		count[f.State]++
		errors[exposition.Text(f.Name)] += len(f.Problems.Errors())
	}
	for file, n := range errors {
		gauge(ch, manifestErr, float64(n), file)
	}
	for state, n := range count {
		gauge(ch, manifestsIn, float64(n), state)
	}
	gauge(ch, directoryErr, oneIf(dirError != ""))
	n, longest := s.source.Busy()
	gauge(ch, workers, float64(n))
	gauge(ch, longestStep, longest.Seconds())
}

// volumeKey is a kind of volume, and whether it is wanted or there.
type volumeKey struct{ plugin, state string }

// countPods counts pods, their containers and their volumes.
func countPods(ch chan<- prometheus.Metric, pods []*v1.Pod) {
	containers := map[string]int{"running": 0, "exited": 0, "created": 0}
	running, desired, all := 0, 0, map[volumeKey]int{}
	for _, p := range pods {
		if p.DeletionTimestamp == nil {
			desired++
		}
		here := 0
		for _, statuses := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range statuses {
				switch state := statuses[i].State; {
				case state.Running != nil:
					here++
					containers["running"]++
				case state.Terminated != nil || statuses[i].LastTerminationState.Terminated != nil: // it may wait for its next attempt
					containers["exited"]++
				case statuses[i].ContainerID != "":
					containers["created"]++
				}
			}
		}
		running += int(oneIf(here > 0))
		for i := range p.Spec.Volumes {
			plugin := manifests.VolumePlugin(&p.Spec.Volumes[i])
			all[volumeKey{plugin, "desired_state_of_world"}]++
			all[volumeKey{plugin, "actual_state_of_world"}] += int(oneIf(here > 0))
		}
	}
	gauge(ch, desiredPods, float64(desired), "true")
	gauge(ch, runningPods, float64(running))
	for state, n := range containers {
		gauge(ch, runningContainers, float64(n), state)
	}
	for key, n := range all {
		gauge(ch, volumes, float64(n), key.plugin, key.state)
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
