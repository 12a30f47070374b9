package monitor

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// PodSource gives the pods and the manifest files; the Runner is one.
type PodSource interface {
	Pods() []*v1.Pod
	Files() (files []manifests.File, problem, unwatched string)
	// Busy is how many pods are looked after, and how long the longest step of one takes by now.
	Busy() (workers int, longest time.Duration)
}

var podLabels = []string{"namespace", "pod", "uid"}

func podDesc(name, help string, extra ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append(append([]string{}, podLabels...), extra...), nil)
}

var (
	podInfo      = podDesc("kube_pod_info", "Information about the pod", "host_ip", "pod_ip", "node", "host_network")
	podPhase     = podDesc("kube_pod_status_phase", "The pod's current phase", "phase")
	podReady     = podDesc("kube_pod_status_ready", "Whether the pod is ready to serve requests", "condition")
	podCreated   = podDesc("kube_pod_created", "Unix creation timestamp")
	podReason    = podDesc("kube_pod_status_reason", "Why the pod as a whole is as it is", "reason")
	podOwner     = podDesc("kube_pod_owner", "What the pod was made from", "owner_kind", "owner_name", "owner_is_controller")
	podRequests  = podDesc("kube_pod_container_resource_requests", "The number of requested request resource by a container", "container", "node", "resource", "unit")
	podLimits    = podDesc("kube_pod_container_resource_limits", "The number of requested limit resource by a container", "container", "node", "resource", "unit")
	podStart     = podDesc("kube_pod_start_time", "Start time in unix timestamp for a pod")
	manifestsIn  = prometheus.NewDesc("solopod_manifests", "Manifest files by state", []string{"state"}, nil)
	manifestErr  = prometheus.NewDesc("solopod_manifest_errors", "Errors in a manifest file", []string{"file"}, nil)
	workers      = prometheus.NewDesc("solopod_pod_workers", "Pods that are looked after, each by a worker", nil, nil)
	longestStep  = prometheus.NewDesc("solopod_pod_worker_longest_step_seconds", "How long the worker has been busy that is longest at one step", nil, nil)
	directoryErr = prometheus.NewDesc("solopod_manifests_directory_error", "Whether the manifests directory cannot be used", nil, nil)
)

// containerDescs are the families of one sort of container. Their names are kube-state-metrics' own.
type containerDescs struct {
	restarts, ready, running, waiting, ended, waitReason, endedReason, lastReason *prometheus.Desc
}

func describeContainers(prefix, what string) containerDescs {
	desc := func(name, help string, extra ...string) *prometheus.Desc {
		return podDesc(prefix+name, help, append([]string{"container"}, extra...)...)
	}
	return containerDescs{
		restarts:    desc("_restarts_total", "The number of "+what+" restarts"),
		ready:       desc("_ready", "Whether the "+what+"'s readiness check succeeded"),
		running:     desc("_running", "Whether the "+what+" is running"),
		waiting:     desc("_waiting", "Whether the "+what+" is waiting"),
		ended:       desc("_terminated", "Whether the "+what+" has ended"),
		waitReason:  desc("_waiting_reason", "Why the "+what+" is waiting", "reason"),
		endedReason: desc("_terminated_reason", "Why the "+what+" ended", "reason"),
		lastReason:  desc("_last_terminated_reason", "Why the "+what+"'s last attempt ended", "reason"),
	}
}

var (
	containerState     = describeContainers("kube_pod_container_status", "container")
	initContainerState = describeContainers("kube_pod_init_container_status", "init container")
)

// states collects the state of pods and manifests.
type states struct{ source PodSource }

// NewStates makes the collector of pods' and manifests' state.
func NewStates(s PodSource) prometheus.Collector { return states{s} }

// Describe implements prometheus.Collector.
func (s states) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s states) Collect(ch chan<- prometheus.Metric) {
	for _, pod := range s.source.Pods() {
		collectPod(ch, pod)
	}
	files, dirError, _ := s.source.Files()
	count := map[string]int{manifests.StateActive: 0, manifests.StateInvalid: 0, manifests.StateConflict: 0}
	for _, f := range files {
		count[f.State]++
		gauge(ch, manifestErr, float64(len(f.Problems.Errors())), f.Name)
	}
	for state, n := range count {
		gauge(ch, manifestsIn, float64(n), state)
	}
	gauge(ch, directoryErr, oneIf(dirError != ""))
	n, longest := s.source.Busy()
	gauge(ch, workers, float64(n))
	gauge(ch, longestStep, longest.Seconds())
}

func collectPod(ch chan<- prometheus.Metric, pod *v1.Pod) {
	id := []string{pod.Namespace, pod.Name, string(pod.UID)}
	with := func(more ...string) []string { return append(append([]string{}, id...), more...) }
	network := "false"
	if pod.Spec.HostNetwork {
		network = "true"
	}
	gauge(ch, podInfo, 1, with(pod.Status.HostIP, pod.Status.PodIP, pod.Spec.NodeName, network)...)
	for _, phase := range []v1.PodPhase{v1.PodPending, v1.PodRunning, v1.PodSucceeded, v1.PodFailed, v1.PodUnknown} {
		gauge(ch, podPhase, oneIf(pod.Status.Phase == phase), with(string(phase))...)
	}
	if pod.Status.StartTime != nil {
		gauge(ch, podStart, float64(pod.Status.StartTime.Unix()), id...)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodReady {
			gauge(ch, podReady, oneIf(c.Status == v1.ConditionTrue), with("true")...)
			gauge(ch, podReady, oneIf(c.Status == v1.ConditionFalse), with("false")...)
		}
	}
	if !pod.CreationTimestamp.IsZero() {
		gauge(ch, podCreated, float64(pod.CreationTimestamp.Unix()), id...)
	}
	if pod.Status.Reason != "" {
		gauge(ch, podReason, 1, with(pod.Status.Reason)...)
	}
	if kind, name, ok := strings.Cut(pod.Annotations[manifests.OwnerAnnotation], "/"); ok {
		gauge(ch, podOwner, 1, with(kinds[kind], name, "true")...)
	}
	for _, c := range pod.Spec.Containers {
		resources(ch, podRequests, c.Resources.Requests, pod, c.Name, with)
		resources(ch, podLimits, c.Resources.Limits, pod, c.Name, with)
	}
	containerState.collect(ch, pod.Status.ContainerStatuses, with)
	initContainerState.collect(ch, pod.Status.InitContainerStatuses, with)
}

func (d containerDescs) collect(ch chan<- prometheus.Metric, statuses []v1.ContainerStatus, with func(...string) []string) {
	for _, c := range statuses {
		ch <- prometheus.MustNewConstMetric(d.restarts, prometheus.CounterValue, float64(c.RestartCount), with(c.Name)...)
		gauge(ch, d.ready, oneIf(c.Ready), with(c.Name)...)
		gauge(ch, d.running, oneIf(c.State.Running != nil), with(c.Name)...)
		gauge(ch, d.waiting, oneIf(c.State.Waiting != nil), with(c.Name)...)
		gauge(ch, d.ended, oneIf(c.State.Terminated != nil), with(c.Name)...)
		if w := c.State.Waiting; w != nil {
			gauge(ch, d.waitReason, 1, with(c.Name, w.Reason)...)
		}
		if t := c.State.Terminated; t != nil {
			gauge(ch, d.endedReason, 1, with(c.Name, t.Reason)...)
		}
		if t := c.LastTerminationState.Terminated; t != nil {
			gauge(ch, d.lastReason, 1, with(c.Name, t.Reason)...)
		}
	}
}

// kinds are those of objects that pods are made from, by their names in the owner's annotation.
var kinds = map[string]string{
	"deployment": "Deployment", "replicaset": "ReplicaSet", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "job": "Job", "cronjob": "CronJob",
}

// resourceEscapes makes a resource's name what kube-state-metrics writes.
var resourceEscapes = strings.NewReplacer("-", "_", "/", "_", ".", "_")

// resources tells processors in cores and the rest in bytes; a device, or whatever else is counted, is an integer.
func resources(ch chan<- prometheus.Metric, d *prometheus.Desc, list v1.ResourceList, pod *v1.Pod, container string, with func(...string) []string) {
	for name, q := range list {
		unit := "integer"
		switch {
		case name == v1.ResourceCPU:
			unit = "core"
		case name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage || strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix):
			unit = "byte"
		}
		gauge(ch, d, q.AsApproximateFloat64(), with(container, pod.Spec.NodeName, resourceEscapes.Replace(string(name)), unit)...)
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
