package runner

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/plan"
)

// sourceAnnotation is the kubelet's word for where a static pod came from.
const (
	sourceAnnotation = "kubernetes.io/config.source"
	fileAnnotation   = "solopod.io/manifest"
)

// status builds the pod as the API shows it.
func (w *worker) status() *v1.Pod {
	pod := w.rec.Pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[sourceAnnotation], pod.Annotations[fileAnnotation] = "file", w.rec.File
	pod.Spec.NodeName = w.runner.config.Node
	s := &pod.Status
	s.QOSClass = cgroup.QOSClass(pod)
	w.addresses(s)
	if !w.rec.StartTime.IsZero() {
		s.StartTime = ptr.To(metav1.NewTime(w.rec.StartTime))
		pod.CreationTimestamp = *s.StartTime
	}
	desired, observed := w.planned(), w.observed()
	for i := range pod.Spec.InitContainers {
		s.InitContainerStatuses = append(s.InitContainerStatuses, w.initStatus(&pod.Spec.InitContainers[i], desired, observed))
	}
	for i := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, w.containerStatus(&pod.Spec.Containers[i], desired, observed))
	}
	phase := plan.Phase(desired, observed)
	s.Phase = v1.PodPhase(phase)
	s.Message = w.message
	if f := w.rec.Failed; f != nil {
		s.Reason, s.Message = f.Reason, f.Message
	}
	if w.decided && w.desired == nil && w.anything {
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(w.deletedAt))
		pod.DeletionGracePeriodSeconds = pod.Spec.TerminationGracePeriodSeconds
	}
	w.rec.Conditions = w.conditions(s, phase.Terminal())
	s.Conditions = w.rec.Conditions
	return pod
}

// addresses fills in the machine's addresses and the pod's.
func (w *worker) addresses(s *v1.PodStatus) {
	s.HostIP = w.runner.hostIP
	s.HostIPs = []v1.HostIP{{IP: s.HostIP}}
	if w.rec.Network == nil {
		return
	}
	for _, ip := range w.rec.Network.IPs {
		s.PodIPs = append(s.PodIPs, v1.PodIP{IP: ip})
	}
	if len(s.PodIPs) > 0 {
		s.PodIP = s.PodIPs[0].IP
	}
}

// initStatus is a container's status as that of an init container: it is ready when it has done its work.
func (w *worker) initStatus(c *v1.Container, d *plan.Desired, o *plan.Observed) v1.ContainerStatus {
	s := w.containerStatus(c, d, o)
	switch rec := w.rec.Containers[c.Name]; {
	case manifests.IsSidecar(c):
	case s.State.Terminated != nil:
		s.Ready = s.State.Terminated.ExitCode == 0
	case w.rec.Initialized && rec == nil: // its history was lost
		s.Ready = true
	default:
		s.Ready = false
	}
	if s.State.Waiting != nil && s.State.Waiting.Reason == "ContainerCreating" && w.rec.Containers[c.Name] == nil {
		s.State.Waiting.Reason = "PodInitializing"
	}
	return s
}

func (w *worker) containerStatus(c *v1.Container, d *plan.Desired, o *plan.Observed) v1.ContainerStatus {
	s := v1.ContainerStatus{Name: c.Name, Image: c.Image, Started: ptr.To(false)}
	rec := w.rec.Containers[c.Name]
	if rec == nil {
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: "ContainerCreating", Message: w.message}
		if len(d.InitContainers) > 0 && !w.rec.Initialized {
			s.State.Waiting.Reason = "PodInitializing"
		}
		return s
	}
	s.Resources = c.Resources.DeepCopy()
	live := w.live[c.Name]
	s.Ready, s.Started = rec.Ready, ptr.To(rec.Started)
	s.RestartCount = int32(rec.Attempt)
	s.ImageID = rec.ImageID
	if rec.ID != "" {
		s.ContainerID = containerID(rec.ID)
	}
	last := rec.Last
	switch {
	case rec.Running:
		s.State.Running = &v1.ContainerStateRunning{StartedAt: metav1.NewTime(rec.StartedAt)}
	case rec.Ended == nil || live.waitingReason != "":
		s.State.Waiting = w.waiting(live)
		if rec.Ended != nil {
			last = rec.Ended
		}
	default:
		if reason := w.restartWait(c.Name, d, o); reason != nil {
			s.State.Waiting, last = reason, rec.Ended
		} else {
			s.State.Terminated = terminated(rec.Ended)
		}
	}
	if s.ContainerID == "" && rec.Ended != nil {
		s.ContainerID = containerID(rec.Ended.ID)
	}
	if last != nil {
		s.LastTerminationState.Terminated = terminated(last)
	}
	return s
}

func (w *worker) waiting(live *liveContainer) *v1.ContainerStateWaiting {
	if live.waitingReason == "" {
		return &v1.ContainerStateWaiting{Reason: "ContainerCreating", Message: w.message}
	}
	reason := live.waitingReason
	if reason == "ErrImagePull" && live.failures > 1 {
		reason = "ImagePullBackOff"
	}
	return &v1.ContainerStateWaiting{Reason: reason, Message: live.waitingMessage}
}

// restartWait describes a container that ended and will be restarted; nil when it stays as it is.
func (w *worker) restartWait(name string, d *plan.Desired, o *plan.Observed) *v1.ContainerStateWaiting {
	rec := w.rec.Containers[name]
	if o.Failed || rec.Replaced || !plan.Restarts(d, o, name) {
		return nil
	}
	until, wait := rec.Backoff.Until(rec.Ended.FinishedAt)
	if !wait {
		return nil
	}
	return &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf(
		"back-off %s restarting failed container; next try at %s", rec.Backoff.Delay, until.UTC().Format(time.RFC3339))}
}

func terminated(e *ending) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: e.ExitCode, Reason: e.Reason, Message: e.Message, ContainerID: containerID(e.ID),
		StartedAt: metav1.NewTime(e.StartedAt), FinishedAt: metav1.NewTime(e.FinishedAt),
	}
	if e.ExitCode > 128 && e.ExitCode < 128+65 {
		t.Signal = e.ExitCode - 128
	}
	return t
}

func containerID(id string) string { return "containerd://" + id }

// unready names the containers that are not ready, and says whether the init containers have done their work.
func (w *worker) unready(s *v1.PodStatus) (unready string, initialized v1.PodCondition) {
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			unready += " " + c.Name
		}
	}
	incomplete := ""
	for i, c := range s.InitContainerStatuses {
		sidecar := manifests.IsSidecar(&w.rec.Pod.Spec.InitContainers[i])
		if sidecar && !c.Ready {
			unready += " " + c.Name
		}
		if sidecar && (c.Started == nil || !*c.Started) || !sidecar && !c.Ready {
			incomplete += " " + c.Name
		}
	}
	initialized = v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	if incomplete != "" && !w.rec.Initialized {
		initialized.Status, initialized.Reason = v1.ConditionFalse, "ContainersNotInitialized"
		initialized.Message = "containers with incomplete status:" + incomplete
	}
	return unready, initialized
}

// conditions are the kubelet's; the times of those that did not change are kept.
func (w *worker) conditions(s *v1.PodStatus, terminal bool) []v1.PodCondition {
	unready, initialized := w.unready(s)
	ready := v1.PodCondition{Status: v1.ConditionTrue}
	switch {
	case terminal:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "PodCompleted"}
		if s.Phase == v1.PodFailed {
			ready.Reason = "PodFailed"
		}
	case unready != "":
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "ContainersNotReady", Message: "containers with unready status:" + unready}
	}
	sandbox := v1.ConditionFalse
	if w.setUp && w.rec.Network != nil {
		sandbox = v1.ConditionTrue
	}
	out := []v1.PodCondition{
		{Type: v1.PodReadyToStartContainers, Status: sandbox},
		initialized,
		{Type: v1.PodReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
		{Type: v1.ContainersReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
		{Type: v1.PodScheduled, Status: v1.ConditionTrue},
	}
	for i := range out {
		out[i].LastTransitionTime = metav1.NewTime(time.Now().Truncate(time.Second))
		for _, old := range w.rec.Conditions {
			if old.Type == out[i].Type && old.Status == out[i].Status {
				out[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return out
}
