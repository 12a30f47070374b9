package objects

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/monitor/exposition"
)

// container is one of a pod. status is never nil.
type container struct {
	pod    *v1.Pod
	spec   *v1.Container
	status *v1.ContainerStatus
}

// containersOf pairs containers with their states; one that has none yet waits, and has all its series from the beginning.
func containersOf(p *v1.Pod, specs []v1.Container, statuses []v1.ContainerStatus) []container {
	out := make([]container, len(specs))
	for i := range specs {
		out[i] = container{p, &specs[i], &v1.ContainerStatus{State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{}}}}
		if at := slices.IndexFunc(statuses, func(s v1.ContainerStatus) bool { return s.Name == specs[i].Name }); at >= 0 {
			out[i].status = &statuses[at]
		}
	}
	return out
}

func (c *container) name() []string { return append(podName(c.pod), "container", c.spec.Name) }

type containerRow = exposition.Row[container]

// containerFamilies are those of one sort of container: prefix is kube_pod_container or kube_pod_init_container.
func containerFamilies(prefix string, init bool) []containerRow {
	info := []string{"image", "image_spec", "image_id", "container_id"}
	if init {
		info = append(info, "restart_policy")
	}
	return slices.Concat(containerStates(prefix+"_status"), containerEnds(prefix+"_status"), []containerRow{
		several(prefix+"_info", "The container's image, and its id", info, func(c *container, to *exposition.Samples) {
			values := []string{c.status.Image, c.spec.Image, c.status.ImageID, c.status.ContainerID}
			if init {
				values = append(values, string(valueOf(c.spec.RestartPolicy)))
			}
			to.Add(1, values...)
		}),
		moment(prefix+"_state_started", "When the container's process began, in seconds since 1970", func(c *container) *metav1.Time {
			switch s := c.status.State; {
			case s.Running != nil:
				return &s.Running.StartedAt
			case s.Terminated != nil:
				return &s.Terminated.StartedAt
			}
			return nil
		}),
		several(prefix+"_resource_requests", "What the container asks for", []string{"node", "resource", "unit"}, func(c *container, to *exposition.Samples) {
			addResources(to, c.spec.Resources.Requests, c.pod.Spec.NodeName)
		}),
		several(prefix+"_resource_limits", "What the container may have at most", []string{"node", "resource", "unit"}, func(c *container, to *exposition.Samples) {
			addResources(to, c.spec.Resources.Limits, c.pod.Spec.NodeName)
		}),
	})
}

func containerStates(prefix string) []containerRow {
	reason := []string{"reason"}
	return []containerRow{
		{Name: prefix + "_restarts_total", Help: "How often the container has begun anew", Counter: true, Values: func(c *container, to *exposition.Samples) {
			to.Add(float64(c.status.RestartCount))
		}},
		number(prefix+"_ready", "Whether the container's readiness check succeeded", func(c *container) float64 { return oneIf(c.status.Ready) }),
		number(prefix+"_running", "Whether the container is running", func(c *container) float64 { return oneIf(c.status.State.Running != nil) }),
		number(prefix+"_waiting", "Whether the container is waiting", func(c *container) float64 { return oneIf(c.status.State.Waiting != nil) }),
		number(prefix+"_terminated", "Whether the container has ended", func(c *container) float64 { return oneIf(c.status.State.Terminated != nil) }),
		several(prefix+"_waiting_reason", "Why the container is waiting", reason, func(c *container, to *exposition.Samples) {
			if w := c.status.State.Waiting; w != nil && w.Reason != "" {
				to.Add(1, w.Reason)
			}
		}),
		several(prefix+"_terminated_reason", "Why the container ended", reason, func(c *container, to *exposition.Samples) {
			if t := c.status.State.Terminated; t != nil {
				to.Add(1, t.Reason)
			}
		}),
	}
}

// containerEnds are the families of how a container's attempt before ended.
func containerEnds(prefix string) []containerRow {
	last := func(c *container) *v1.ContainerStateTerminated { return c.status.LastTerminationState.Terminated }
	return []containerRow{
		several(prefix+"_last_terminated_reason", "Why the container's last attempt ended", []string{"reason"}, func(c *container, to *exposition.Samples) {
			if t := last(c); t != nil {
				to.Add(1, t.Reason)
			}
		}),
		integer(prefix+"_last_terminated_exitcode", "With which exit code the container's last attempt ended", func(c *container) *int32 {
			if t := last(c); t != nil {
				return &t.ExitCode
			}
			return nil
		}),
		moment(prefix+"_last_terminated_timestamp", "When the container's last attempt ended, in seconds since 1970", func(c *container) *metav1.Time {
			if t := last(c); t != nil {
				return &t.FinishedAt
			}
			return nil
		}),
	}
}
