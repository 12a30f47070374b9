package runner

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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
	s.HostIP = w.runner.hostIP
	s.HostIPs = []v1.HostIP{{IP: s.HostIP}}
	if !w.rec.StartTime.IsZero() {
		s.StartTime = ptr.To(metav1.NewTime(w.rec.StartTime))
		pod.CreationTimestamp = *s.StartTime
	}
	if w.rec.Network != nil {
		for _, ip := range w.rec.Network.IPs {
			s.PodIPs = append(s.PodIPs, v1.PodIP{IP: ip})
		}
		if len(s.PodIPs) > 0 {
			s.PodIP = s.PodIPs[0].IP
		}
	}
	for i := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, w.containerStatus(&pod.Spec.Containers[i]))
	}
	phase := plan.Phase(planned(w.rec.Pod), w.observed())
	s.Phase = v1.PodPhase(phase)
	s.Message = w.message
	if w.decided && w.desired == nil && w.anything {
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(w.deletedAt))
		pod.DeletionGracePeriodSeconds = pod.Spec.TerminationGracePeriodSeconds
	}
	w.rec.Conditions = w.conditions(s, phase.Terminal())
	s.Conditions = w.rec.Conditions
	return pod
}

func (w *worker) containerStatus(c *v1.Container) v1.ContainerStatus {
	s := v1.ContainerStatus{Name: c.Name, Image: c.Image, Started: ptr.To(false)}
	rec := w.rec.Containers[c.Name]
	if rec == nil {
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: "ContainerCreating", Message: w.message}
		return s
	}
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
		if reason := w.restartWait(rec); reason != nil {
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
func (w *worker) restartWait(rec *containerRecord) *v1.ContainerStateWaiting {
	switch policy := w.rec.Pod.Spec.RestartPolicy; {
	case rec.Replaced, policy == v1.RestartPolicyNever, policy == v1.RestartPolicyOnFailure && rec.Ended.ExitCode == 0:
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

// conditions are the kubelet's; the times of those that did not change are kept.
func (w *worker) conditions(s *v1.PodStatus, terminal bool) []v1.PodCondition {
	unready := ""
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			unready += " " + c.Name
		}
	}
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
		{Type: v1.PodInitialized, Status: v1.ConditionTrue},
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
