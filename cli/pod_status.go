package cli

import (
	"fmt"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
)

// readiness counts the containers that are ready, and those that should be: sidecars count, as kubectl counts them.
func readiness(pod *v1.Pod) (ready, total int) {
	total = len(pod.Spec.Containers)
	for _, c := range pod.Status.ContainerStatuses {
		if c.Ready {
			ready++
		}
	}
	for i := range pod.Spec.InitContainers {
		if !manifests.IsSidecar(&pod.Spec.InitContainers[i]) {
			continue
		}
		total++
		if i < len(pod.Status.InitContainerStatuses) && pod.Status.InitContainerStatuses[i].Ready {
			ready++
		}
	}
	return ready, total
}

// podStatus is the word that kubectl shows (pkg/printers/internalversion, printPod): while init containers run, how far they
// are; else a waiting or ended container's reason counts more than the phase.
func podStatus(pod *v1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "Terminating"
	}
	word := string(pod.Status.Phase)
	if pod.Status.Reason != "" {
		return pod.Status.Reason
	}
	if init := initWord(pod); init != "" {
		return init
	}
	running := false
	for i := len(pod.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := pod.Status.ContainerStatuses[i]
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			word = c.State.Waiting.Reason
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			word = c.State.Terminated.Reason
		case c.State.Running != nil && c.Ready:
			running = true
		}
	}
	if word == "Completed" && running {
		return "Running"
	}
	return word
}

// initWord is how far initialization is: Init:1/3, Init:CrashLoopBackOff; "" when it is over.
func initWord(pod *v1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodInitialized && c.Status == v1.ConditionTrue {
			return ""
		}
	}
	for i, s := range pod.Status.InitContainerStatuses {
		switch {
		case s.State.Terminated != nil && s.State.Terminated.ExitCode == 0:
			continue
		case manifests.IsSidecar(&pod.Spec.InitContainers[i]) && s.Started != nil && *s.Started:
			continue
		case s.State.Terminated != nil:
			return "Init:" + s.State.Terminated.Reason
		case s.State.Waiting != nil && s.State.Waiting.Reason != "" && s.State.Waiting.Reason != "PodInitializing" && s.State.Waiting.Reason != "ContainerCreating":
			return "Init:" + s.State.Waiting.Reason
		}
		return fmt.Sprintf("Init:%d/%d", i, len(pod.Spec.InitContainers))
	}
	return ""
}

// restarts shows when the last one happened, as kubectl does; of init containers only sidecars count once the pod runs.
func restarts(pod *v1.Pod) string {
	n := int32(0)
	var last metav1.Time
	count := func(c *v1.ContainerStatus) {
		n += c.RestartCount
		if t := c.LastTerminationState.Terminated; t != nil && last.Before(&t.FinishedAt) {
			last = t.FinishedAt
		}
	}
	initializing := initWord(pod) != ""
	for i := range pod.Status.InitContainerStatuses {
		if initializing || manifests.IsSidecar(&pod.Spec.InitContainers[i]) {
			count(&pod.Status.InitContainerStatuses[i])
		}
	}
	if !initializing {
		for i := range pod.Status.ContainerStatuses {
			count(&pod.Status.ContainerStatuses[i])
		}
	}
	if n == 0 || last.IsZero() {
		return strconv.Itoa(int(n))
	}
	return fmt.Sprintf("%d (%s ago)", n, age(last))
}
