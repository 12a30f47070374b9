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

// Phase computes the phase as the kubelet does (pkg/kubelet/kubelet_pods.go, getPhase, and status_manager.go, mergePodStatus): Failed
// or Succeeded when it has come to that and nothing runs any more, be it a sidecar; else Pending until every container has been
// started once, and then Running.
func Phase(d *Desired, o *Observed) PodPhase {
	if phase := outcome(d, o); phase != "" && !o.running() && !o.Starting {
		return phase
	}
	for _, c := range d.Containers {
		if s := o.Containers[c.Name]; s == nil || !s.Running && !s.Ended {
			return PodPhase(v1.PodPending)
		}
	}
	return PodPhase(v1.PodRunning)
}

// outcome is what has become of a pod for good; what still runs of it is to end. Empty: nothing yet. It has failed when that was
// said of it as a whole, when an init container has failed for good, or one of its containers when all have ended for good;
// sidecars do not count.
func outcome(d *Desired, o *Observed) PodPhase {
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
	phase := PodPhase(v1.PodSucceeded)
	for _, c := range d.Containers {
		s := o.Containers[c.Name]
		if !d.over(c, s) {
			return ""
		}
		if s.ExitCode != 0 {
			phase = PodPhase(v1.PodFailed)
		}
	}
	return phase
}

// over: the container has ended for good.
func (d *Desired) over(c Container, s *Status) bool {
	return s != nil && !s.Running && s.Ended && s.Revision == c.Revision && !s.ReplacedByEdit && !d.restarts(c, s)
}
