// Package status shows a pod's state as the Kubernetes API does. It is pure.
package status

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// Annotations of pods as they are shown.
const (
	// The kubelet's words for where a static pod came from, what it says, as a hash, and when that was seen. A mirror pod, which is what
	// clients of a cluster see of it, has the hash once more.
	sourceAnnotation = "kubernetes.io/config.source"
	hashAnnotation   = "kubernetes.io/config.hash"
	seenAnnotation   = "kubernetes.io/config.seen"
	mirrorAnnotation = "kubernetes.io/config.mirror"
)

// Of is the pod with its status. now is the time of conditions that have just changed.
func Of(s state.State, now time.Time) *v1.Pod {
	pod := s.Pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[sourceAnnotation], pod.Annotations[manifests.FileAnnotation] = "file", s.File
	pod.Annotations[hashAnnotation], pod.Annotations[mirrorAnnotation] = s.Revisions.Manifest, s.Revisions.Manifest
	if !s.SeenAt.IsZero() {
		pod.Annotations[seenAnnotation] = s.SeenAt.UTC().Format(time.RFC3339Nano)
	}
	pod.Spec.NodeName = s.Host.Node
	pod.Generation = max(s.Generation, 1)
	if s.EditWaits { // it is there, and not taken yet
		pod.Generation++
	}
	status := &pod.Status
	status.ObservedGeneration = max(s.Generation, 1)
	podResources(&s, status)
	status.QOSClass = manifests.QOSClass(pod)
	state.Addresses(&s, status)
	if !s.StartTime.IsZero() {
		status.StartTime = ptr.To(metav1.NewTime(s.StartTime))
		pod.CreationTimestamp = *status.StartTime
	}
	v := view{&s, plan.Described(&s), plan.ObservedOf(&s)}
	for i := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, v.initContainer(&pod.Spec.InitContainers[i]))
	}
	for i := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, v.container(&pod.Spec.Containers[i]))
	}
	phase := plan.Phase(v.desired, v.observed)
	status.Phase = v1.PodPhase(phase)
	status.Message = s.Message
	if f := s.Failed; f != nil && phase.Terminal() {
		status.Reason, status.Message = f.Reason, f.Message
	}
	if s.NoRoom != "" && !s.SetUp && !phase.Terminal() { // as a kubelet shows it; here the pod begins when there is room
		status.Phase, status.Reason = v1.PodFailed, s.NoRoom
	}
	if s.Decided && !s.DeletedAt.IsZero() && s.Anything() {
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(s.DeletedAt))
		pod.DeletionGracePeriodSeconds = pod.Spec.TerminationGracePeriodSeconds
	}
	status.Conditions = v.conditions(status, phase.Terminal(), now)
	return pod
}

// view is a state with what the rules make of it.
type view struct {
	s        *state.State
	desired  *plan.Desired
	observed *plan.Observed
}

// initContainer is a container's status as that of an init container: it is ready when it has done its work.
func (v view) initContainer(c *v1.Container) v1.ContainerStatus {
	s := v.container(c)
	known := v.s.Containers[c.Name]
	switch {
	case manifests.IsSidecar(c):
	case s.State.Terminated != nil:
		s.Ready = s.State.Terminated.ExitCode == 0
	case v.s.Initialized && known == nil: // its history was lost, and it has done its work
		s.Ready = true
		s.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: state.ReasonCompleted, Message: "the pod is initialized, so it has succeeded; how it ended is no longer known"}}
	default:
		s.Ready = false
	}
	if s.State.Waiting != nil && s.State.Waiting.Reason == creating && known == nil {
		s.State.Waiting.Reason = initializing
	}
	return s
}

// The kubelet's words for containers that were never started.
const (
	creating     = "ContainerCreating"
	initializing = "PodInitializing"
)

func (v view) container(c *v1.Container) v1.ContainerStatus {
	s := v1.ContainerStatus{Name: c.Name, Image: c.Image, Started: ptr.To(false)}
	known := v.s.Containers[c.Name]
	v.mounts(&s, c, known)
	if known == nil {
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: creating, Message: v.s.Message}
		if len(v.desired.InitContainers) > 0 && !v.s.Initialized {
			s.State.Waiting.Reason = initializing
		}
		return s
	}
	s.Ready, s.Started = known.Serves(), ptr.To(known.Started)
	s.RestartCount = int32(known.Attempt)
	v.made(&s, c, known)
	if known.ID != "" {
		s.ContainerID = containerID(known.ID)
	}
	last := known.Last
	switch waits := v.waits(known); {
	case known.Running:
		s.State.Running = &v1.ContainerStateRunning{StartedAt: metav1.NewTime(known.StartedAt)}
	case known.Ended == nil && waits == nil:
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: creating, Message: v.s.Message}
	case waits != nil:
		s.State.Waiting = waits
		if known.Ended != nil {
			last = known.Ended
		}
	default:
		if reason := v.backoff(c.Name, known); reason != nil {
			s.State.Waiting, last = reason, known.Ended
		} else {
			s.State.Terminated = terminated(known.Ended)
		}
	}
	if s.ContainerID == "" && known.Ended != nil {
		s.ContainerID = containerID(known.Ended.ID)
	}
	if last != nil {
		s.LastTerminationState.Terminated = terminated(last)
	}
	return s
}

// waits says what hinders a container's next attempt; nil when nothing does that was seen.
func (v view) waits(c *state.Container) *v1.ContainerStateWaiting {
	if c.Ended != nil && plan.Phase(v.desired, v.observed).Terminal() {
		return nil // there will be none
	}
	if c.Now.WaitingReason != "" {
		return &v1.ContainerStateWaiting{Reason: c.Now.WaitingReason, Message: c.Now.WaitingMessage}
	}
	image := v.s.Images[c.Now.Lacks]
	switch {
	case image == nil:
		return nil
	case image.AwaitsScan:
		return &v1.ContainerStateWaiting{Reason: creating, Message: "image archives are being imported"}
	case image.Reason == "":
		return &v1.ContainerStateWaiting{Reason: creating, Message: v.s.Message}
	}
	if image.Reason == "ErrImagePull" && image.BacksOff {
		return &v1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: fmt.Sprintf("Back-off pulling image %q: %s: %s", c.Now.Lacks, image.Reason, image.Message)}
	}
	return &v1.ContainerStateWaiting{Reason: image.Reason, Message: image.Message}
}

// backoff describes a container that ended and will be restarted; nil when it stays as it is.
func (v view) backoff(name string, c *state.Container) *v1.ContainerStateWaiting {
	until, wait := plan.BacksOff(v.desired, v.observed, name, c)
	if !wait {
		return nil
	}
	return &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf(
		"back-off %s restarting failed container; next try at %s", c.Backoff.Delay, until.UTC().Format(time.RFC3339))}
}

func terminated(e *state.Ending) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: e.ExitCode, Reason: e.Reason, Message: e.Message, ContainerID: containerID(e.ID),
		StartedAt: metav1.NewTime(e.StartedAt), FinishedAt: metav1.NewTime(e.FinishedAt),
	}
	if t.Message == "" && !e.FromLog {
		t.Message = e.Explained
	}
	if e.ExitCode > 128 && e.ExitCode < 128+65 {
		t.Signal = e.ExitCode - 128
	}
	return t
}

func containerID(id string) string { return "containerd://" + id }
