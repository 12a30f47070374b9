package plan

import (
	v1 "k8s.io/api/core/v1"
)

// PodPhase is the pod's phase as the API has it.
type PodPhase v1.PodPhase

// Terminal says whether no container will run again.
func (p PodPhase) Terminal() bool {
	return p == PodPhase(v1.PodSucceeded) || p == PodPhase(v1.PodFailed)
}

// Phase computes the phase as the kubelet does (pkg/kubelet/kubelet_pods.go, getPhase): Failed when an init container has
// failed for good; Pending until every container has been started once; Succeeded or Failed when all have ended for good,
// whatever sidecars do; otherwise Running. A pod that was failed as a whole is Failed.
func Phase(d *Desired, o *Observed) PodPhase {
	if o.Failed {
		return PodPhase(v1.PodFailed)
	}
	if !o.Initialized {
		for _, c := range d.InitContainers {
			if s := o.Containers[c.Name]; d.over(c, s) && s.ExitCode != 0 {
				return PodPhase(v1.PodFailed)
			}
		}
	}
	unstarted, active, failed := 0, 0, 0
	for _, c := range d.Containers {
		s := o.Containers[c.Name]
		switch {
		case s == nil || !s.Running && !s.Ended:
			unstarted++
		case !d.over(c, s):
			active++
		case s.ExitCode != 0:
			failed++
		}
	}
	switch {
	case unstarted > 0:
		return PodPhase(v1.PodPending)
	case active > 0:
		return PodPhase(v1.PodRunning)
	case failed > 0:
		return PodPhase(v1.PodFailed)
	default:
		return PodPhase(v1.PodSucceeded)
	}
}

// over: the container has ended for good.
func (d *Desired) over(c Container, s *Status) bool {
	return s != nil && !s.Running && s.Ended && s.Revision == c.Revision && !s.ReplacedByEdit && !d.restarts(c, s)
}
