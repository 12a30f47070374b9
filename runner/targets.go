package runner

import (
	"maps"
	"slices"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod"
)

// Target is one container as the monitor needs to know it.
type Target struct {
	Namespace, Pod, UID, Container string
	ID, Image                      string
	// Cgroup is the container's cgroup path; PodCgroup is its pod's.
	Cgroup, PodCgroup string
	// Pid is a process of the pod's network; zero when none runs.
	Pid uint32
	// HostNetwork: the pod has no network of its own to count.
	HostNetwork bool
	Running     bool
	StartedAt   time.Time
	// LogDir holds the container's logs.
	LogDir string
	// PodStartedAt is when the pod was first set up.
	PodStartedAt time.Time
	// OOMKills counts the processes killed for memory over all attempts.
	OOMKills uint64
	// Limits and PodLimits identify the limits of the container's and the pod's cgroup.
	Limits, PodLimits string
}

// Targets lists the containers of all pods, by namespace, pod and container.
func (r *Runner) Targets() []Target {
	var out []Target
	for _, s := range r.owner.Snapshots() {
		out = append(out, r.targets(s)...)
	}
	return out
}

func (r *Runner) targets(s *pod.Snapshot) []Target {
	p, st := s.Pod, &s.State
	podCgroup := r.cgroups.Pod(manifests.QOSClass(p), string(p.UID))
	var out []Target
	for _, name := range slices.Sorted(maps.Keys(st.Containers)) {
		c := st.Containers[name]
		out = append(out, Target{
			Namespace: p.Namespace, Pod: p.Name, UID: string(p.UID), Container: name, ID: c.ID, Image: c.Image,
			Cgroup: r.cgroups.Container(podCgroup, c.ID), PodCgroup: podCgroup,
			Pid: c.Pid, HostNetwork: p.Spec.HostNetwork, Running: c.Running, StartedAt: c.StartedAt,
			PodStartedAt: st.StartTime, LogDir: r.dirs.ContainerLogDir(p, name),
			Limits: c.Resources, PodLimits: st.Limits,
			OOMKills: c.OOMKills + c.Now.Kills,
		})
	}
	return out
}
