package plan

import (
	"iter"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// PodPhase is the pod's phase as the API has it.
type PodPhase v1.PodPhase

// Terminal says whether no container will run again.
func (p PodPhase) Terminal() bool {
	return p == PodPhase(v1.PodSucceeded) || p == PodPhase(v1.PodFailed)
}

// Phase computes the phase as the kubelet does (pkg/kubelet/kubelet_pods.go, getPhase): Pending until every container
// has been started once; Succeeded or Failed when all have ended for good; otherwise Running.
func Phase(d *Desired, o *Observed) PodPhase {
	unstarted, running, restarting, failed := 0, 0, 0, 0
	for _, c := range d.Containers {
		s := o.Containers[c.Name]
		switch {
		case s == nil || !s.Running && !s.Ended:
			unstarted++
		case s.Running:
			running++
		case s.Revision != c.Revision || s.ReplacedByEdit || shouldRestart(d.RestartPolicy, s):
			restarting++
		case s.ExitCode != 0:
			failed++
		}
	}
	switch {
	case unstarted > 0:
		return PodPhase(v1.PodPending)
	case running > 0 || restarting > 0:
		return PodPhase(v1.PodRunning)
	case failed > 0:
		return PodPhase(v1.PodFailed)
	default:
		return PodPhase(v1.PodSucceeded)
	}
}

// sorted walks the containers by name, so that a plan is the same for the same input.
func sorted(m map[string]*Status) iter.Seq2[string, *Status] {
	return func(yield func(string, *Status) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}
