package status

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/signals"
	"github.com/solopod/solopod/runner/pod/state"
)

// made shows of what a container was made: while an edit is on its way that is not what its manifest c says.
func (v view) made(s *v1.ContainerStatus, c *v1.Container, known *state.Container) {
	s.Resources = c.Resources.DeepCopy()
	if known.Image == "" {
		return // it has not run
	}
	s.Image, s.ImageID, s.User = known.Image, known.ImageID, known.User.DeepCopy()
	if name := signals.Name(known.StopSignal); name != "" {
		s.StopSignal = ptr.To(v1.Signal(name))
	}
	as := v.as(c, known)
	s.Resources, s.AllocatedResources = as.Resources.DeepCopy(), as.Resources.Requests.DeepCopy()
}

// as is the container as it runs, or else as its manifest has it.
func (v view) as(c *v1.Container, known *state.Container) *v1.Container {
	if known != nil && known.Running {
		if applied := manifests.ContainerOf(v.s.Applied, c.Name); applied != nil {
			return applied
		}
	}
	return c
}

// mounts shows those of a container, also before it runs.
func (v view) mounts(s *v1.ContainerStatus, c *v1.Container, known *state.Container) {
	as := v.as(c, known)
	for i := range as.VolumeMounts {
		m := mounted(&as.VolumeMounts[i])
		if image := v.s.VolumeImages[m.Name]; image != "" {
			m.VolumeStatus = &v1.VolumeStatus{Image: &v1.ImageVolumeStatus{ImageRef: image}}
		}
		s.VolumeMounts = append(s.VolumeMounts, m)
	}
}

// mounted is a mount as it is in the container. What is mounted below a recursive one is read-only as well wherever it could be made:
// the runtime refuses it where the kernel cannot.
func mounted(m *v1.VolumeMount) v1.VolumeMountStatus {
	out := v1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
	if m.ReadOnly {
		out.RecursiveReadOnly = ptr.To(v1.RecursiveReadOnlyDisabled)
		if r := m.RecursiveReadOnly; r != nil && *r != v1.RecursiveReadOnlyDisabled {
			out.RecursiveReadOnly = ptr.To(v1.RecursiveReadOnlyEnabled)
		}
	}
	return out
}

// podResources shows what the pod as a whole has: its own resources, and the requests of its own or of all its containers.
func podResources(s *state.State, status *v1.PodStatus) {
	if !s.Anything() {
		return
	}
	pod := s.Pod
	if s.Applied != nil && s.Resized != s.Revisions.Resized {
		pod = s.Applied // a change is on its way
	}
	status.AllocatedResources = manifests.TotalRequests(pod)
	if pod.Spec.Resources != nil {
		status.Resources = pod.Spec.Resources.DeepCopy()
	}
}
