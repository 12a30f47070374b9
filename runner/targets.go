package runner

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/solopod/solopod/runner/cgroup"
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
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Target
	for _, w := range r.workers {
		if t := w.targets.Load(); t != nil {
			out = append(out, *t...)
		}
	}
	slices.SortFunc(out, func(a, b Target) int {
		return strings.Compare(a.Namespace+"/"+a.Pod+"/"+a.Container, b.Namespace+"/"+b.Pod+"/"+b.Container)
	})
	return out
}

func (w *worker) publishTargets() {
	pod := w.rec.Pod
	var list []Target
	for name, rec := range w.rec.Containers {
		t := Target{
			Namespace: pod.Namespace, Pod: pod.Name, UID: w.uid, Container: name, ID: rec.ID, Image: rec.Image,
			PodCgroup: w.runner.cgroups.Pod(cgroup.QOSClass(pod), w.uid),
			Pid:       rec.Pid, HostNetwork: pod.Spec.HostNetwork, Running: rec.Running, StartedAt: rec.StartedAt,
			PodStartedAt: w.rec.StartTime, LogDir: filepath.Dir(w.logPath(name, 0)),
			Limits: rec.Resources, PodLimits: w.resources,
			OOMKills: rec.OOMKills + w.live[name].kills,
		}
		t.Cgroup = w.runner.cgroups.Container(t.PodCgroup, rec.ID)
		list = append(list, t)
	}
	w.targets.Store(&list)
}
