package runner

import (
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/owner"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
)

// Target is one container as the monitor needs to know it.
type Target struct {
	Namespace, Pod, UID, Container string
	ID, Image                      string
	Attempt                        int
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

// Targets lists the containers of all pods, by namespace, pod and container, also those that have not been made yet: what is counted of
// them begins at zero, with the pod.
func (r *Runner) Targets() []Target {
	var out []Target
	for _, s := range r.owner.Snapshots() {
		out = append(out, r.targets(s)...)
	}
	return out
}

// TargetOf finds the container with an ID that there is, and its pod.
func TargetOf(r *Runner, id string) (Target, *v1.Pod, bool) {
	s := owner.Find(r.owner, func(s *pod.Snapshot) bool {
		for _, c := range s.State.Containers {
			if c.ID == id && id != "" {
				return true
			}
		}
		return false
	})
	if s == nil {
		return Target{}, nil, false
	}
	list := r.targets(s)
	n := slices.IndexFunc(list, func(t Target) bool { return t.ID == id })
	return list[n], s.Pod, true
}

// PodOf finds a pod by its UID; nil where there is none.
func PodOf(r *Runner, uid string) *v1.Pod {
	w := r.owner.Worker(uid)
	if w == nil || w.Snapshot().State.Orphan {
		return nil
	}
	return w.Snapshot().Pod
}

// Explain tells a pod why a process of a container of its was killed for memory.
func Explain(r *Runner, uid, id, text string, at time.Time) {
	if w := r.owner.Worker(uid); w != nil {
		w.Send(state.Explained{ID: id, Text: text, At: at})
	}
}

func (r *Runner) targets(s *pod.Snapshot) []Target {
	p, st := s.Pod, &s.State
	podCgroup := r.cgroups.Pod(manifests.QOSClass(p), string(p.UID))
	var out []Target
	for _, name := range containerNames(s) {
		t := Target{
			Namespace: p.Namespace, Pod: p.Name, UID: string(p.UID), Container: name, PodCgroup: podCgroup, HostNetwork: p.Spec.HostNetwork,
			PodStartedAt: st.StartTime, LogDir: r.dirs.ContainerLogDir(p, name), PodLimits: st.Limits,
		}
		if c := st.Containers[name]; c != nil {
			t.ID, t.Image, t.Attempt, t.Cgroup, t.Pid = c.ID, c.Image, c.Attempt, r.cgroups.Container(podCgroup, c.ID), c.Pid
			t.Running, t.StartedAt, t.Limits, t.OOMKills = c.Running, c.StartedAt, c.Resources, c.OOMKills+c.Now.Kills
		}
		if t.Image == "" {
			t.Image = imageOf(p, name)
		}
		out = append(out, t)
	}
	return out
}

// containerNames are those of the pod's manifest, and of what there is, in order.
func containerNames(s *pod.Snapshot) []string {
	names := map[string]bool{}
	for name := range s.State.Containers {
		names[name] = true
	}
	for _, c := range manifests.AllContainers(s.Pod) {
		names[c.Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// imageOf is the complete name of a container's image, as the container will have it once it is made.
func imageOf(p *v1.Pod, name string) string {
	c := manifests.ContainerOf(p, name)
	if c == nil {
		return ""
	}
	if full, err := image.Normalize(c.Image); err == nil {
		return full
	}
	return c.Image
}
