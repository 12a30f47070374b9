package status

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// unready names the containers that are not ready, and says whether the init containers have done their work.
func (v view) unready(s *v1.PodStatus) (unready []string, initialized v1.PodCondition) {
	var incomplete []string
	for i, c := range s.InitContainerStatuses {
		sidecar := manifests.IsSidecar(&v.s.Pod.Spec.InitContainers[i])
		if sidecar && !c.Ready {
			unready = append(unready, c.Name)
		}
		if sidecar && (c.Started == nil || !*c.Started) || !sidecar && !c.Ready {
			incomplete = append(incomplete, c.Name)
		}
	}
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	initialized = v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	switch {
	case s.Phase == v1.PodSucceeded:
		initialized.Reason = "PodCompleted"
	case len(incomplete) > 0 && !v.s.Initialized:
		initialized.Status, initialized.Reason = v1.ConditionFalse, "ContainersNotInitialized"
		initialized.Message = fmt.Sprintf("containers with incomplete status: %v", incomplete)
	}
	return unready, initialized
}

// sandboxed says whether the sandbox is complete. After a start it is what it was until that was looked at: the condition would move
// for a moment, and its time with it.
func (v view) sandboxed() v1.ConditionStatus {
	if v.s.Adoption.Sandbox {
		for _, old := range v.s.Conditions {
			if old.Type == v1.PodReadyToStartContainers {
				return old.Status
			}
		}
	}
	if v.s.SetUp && v.s.Network != nil {
		return v1.ConditionTrue
	}
	return v1.ConditionFalse
}

// disrupted says that the pod was ended though it had not done its work: it was evicted, or stopped with the machine; nil when it was
// not. It stays on a pod that has ended for good with that.
func (v view) disrupted(terminal bool) *v1.PodCondition {
	c := &v1.PodCondition{Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonTerminationByKubelet}
	if f := v.s.Failed; f != nil {
		if f.Reason != state.ReasonEvicted {
			return nil
		}
		c.Message = f.Message
		return c
	}
	if terminal {
		for _, old := range v.s.Conditions {
			if old.Type == v1.DisruptionTarget {
				c.Message = old.Message
				return c
			}
		}
		return nil
	}
	if v.s.StopBy.IsZero() {
		return nil
	}
	c.Message = "all pods are stopped, by a drain or because the machine goes down"
	return c
}

// conditions are the kubelet's; the times of those that did not change are kept.
func (v view) conditions(s *v1.PodStatus, terminal bool, now time.Time) []v1.PodCondition {
	unready, initialized := v.unready(s)
	ready := v1.PodCondition{Status: v1.ConditionTrue}
	switch {
	case terminal:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "PodCompleted"}
		if s.Phase == v1.PodFailed {
			ready.Reason = "PodFailed"
		}
	case len(unready) > 0:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "ContainersNotReady", Message: fmt.Sprintf("containers with unready status: %v", unready)}
	}
	out := []v1.PodCondition{
		{Type: v1.PodReadyToStartContainers, Status: v.sandboxed()},
		initialized,
		{Type: v1.PodReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
		{Type: v1.ContainersReady, Status: ready.Status, Reason: ready.Reason, Message: ready.Message},
		{Type: v1.PodScheduled, Status: v1.ConditionTrue},
	}
	if disrupted := v.disrupted(terminal); disrupted != nil {
		out = append(out, *disrupted)
	}
	for i := range out {
		out[i].ObservedGeneration = max(v.s.Generation, 1)
		out[i].LastTransitionTime = metav1.NewTime(now.Truncate(time.Second).Round(0))
		for _, old := range v.s.Conditions {
			if old.Type == out[i].Type && old.Status == out[i].Status {
				out[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return out
}
