package state

import (
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Wanted says whether the pod shall exist, as far as the manifests have spoken.
func (s *State) Wanted() bool { return s.Decided && s.DeletedAt.IsZero() }

// Anything says whether something of the pod exists, be it only a part.
func (s *State) Anything() bool { return s.SharedRevision != "" || s.Dirty || s.GrantedFor != "" }

// Over says whether the pod is gone for good, and nothing of it is left.
func (s *State) Over() bool {
	return s.Decided && !s.DeletedAt.IsZero() && s.Adoption == (Adoption{}) && !s.Anything() && s.Quiet() && s.Flights[ThingSandbox] == nil
}

// AnyRuns says whether a container's process may exist.
func (s *State) AnyRuns() bool {
	for _, c := range s.Containers {
		if c.Running {
			return true
		}
	}
	return false
}

// Quiet says whether nothing of the pod's sandbox is in use: no container exists or is being made or cleared, and no effect works on one.
func (s *State) Quiet() bool {
	for _, c := range s.Containers {
		if c.Running || c.Making != nil {
			return false
		}
	}
	if len(s.Leftovers) > 0 {
		return false
	}
	for thing, f := range s.Flights {
		if f.ID != "" || thing == ThingNetwork || thing == ThingVolumes || thing == ThingResolver || thing == ThingLimits || thing == ThingStorage {
			return false
		}
	}
	return true
}

// Suspended says whether nothing of the pod runs any more, and what its containers shared is gone.
func (s *State) Suspended() bool {
	return !s.SetUp && !s.Dirty && s.Quiet() && s.Flights[ThingSandbox] == nil
}

// Settled says whether the pod is not just being brought up: all that could be started has been, or waits for something.
func (s *State) Settled() bool {
	if !s.Decided || s.Adoption != (Adoption{}) {
		return false
	}
	for thing, f := range s.Flights {
		if f.Left {
			continue
		}
		switch {
		case thing == ThingSandbox, thing == ThingNetwork, f.Kind == "Create", f.Kind == "Start":
			return false
		}
	}
	return true
}

// AwaitsRecord says whether something is not done before the record was noted, or saved.
func (s *State) AwaitsRecord() (noted, saved bool) {
	for _, l := range s.Leftovers {
		saved = saved || l.Step > s.Saved
	}
	noted = s.AttachedAt > s.Noted
	for _, c := range s.Containers {
		noted = noted || c.Now.Judged > s.Noted
	}
	return noted, saved
}

// LeftBehind counts the effects on a container that were left behind and have not returned.
func (s *State) LeftBehind(container string) (n int) {
	for _, f := range s.Flights {
		if f.Left && f.Name == container && f.Kind != KindPull {
			n++
		}
	}
	return n
}

// StartsUnclear says whether a container may just be being made, or started, and its result will not count.
func (s *State) StartsUnclear() bool {
	for _, f := range s.Flights {
		if f.Void && !f.Left && (f.Kind == KindCreate || f.Kind == KindStart) {
			return true
		}
	}
	return false
}

// Starting says whether a container's process is just being started, and may run.
func (s *State) Starting() bool {
	for _, f := range s.Flights {
		if f.Kind == KindStart && !f.Left {
			return true
		}
	}
	return false
}

// Evictable says whether there is something of the pod that its end would free: it is set up, or something of it runs.
func (s *State) Evictable() bool { return s.SetUp || s.AnyRuns() }

// Restarts says whether the pod begins anew after an eviction. A pod that shall not be restarted does not; and for one of a Job the Job
// makes another.
func (s *State) Restarts() bool {
	_, _, _, ofJob := manifests.JobOfPod(s.Pod)
	return s.Pod.Spec.RestartPolicy != v1.RestartPolicyNever && !ofJob
}
