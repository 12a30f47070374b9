package state

import (
	"fmt"
	"maps"
	"time"
)

// Step returns what s becomes by an event. It does not change s.
func Step(s State, e Event) State {
	next := s.clone()
	next.Reports = nil
	next.Steps++
	e.apply(&next)
	return next
}

// clone copies all that a step may change.
func (s State) clone() State {
	containers := make(map[string]*Container, len(s.Containers))
	for name, c := range s.Containers {
		copied := *c
		if c.Making != nil {
			making := *c.Making
			copied.Making = &making
		}
		copied.Now.Probes = maps.Clone(c.Now.Probes)
		containers[name] = &copied
	}
	s.Containers = containers
	s.Leftovers, s.Images, s.Flights = copied(s.Leftovers), copied(s.Images), copied(s.Flights)
	s.Pauses = maps.Clone(s.Pauses)
	if s.Failed != nil {
		failed := *s.Failed
		s.Failed = &failed
	}
	return s
}

func copied[V any](m map[string]*V) map[string]*V {
	out := make(map[string]*V, len(m))
	for key, value := range m {
		v := *value
		out[key] = &v
	}
	return out
}

// wall is a time for the record: without the reading of the process's own clock that Go adds to it, as times that are moved
// along with the machine's clock must be compared by the wall clock alone.
func wall(t time.Time) time.Time { return t.Round(0) }

func (s *State) tell(r Report) { s.Reports = append(s.Reports, r) }

func (s *State) normal(container, reason, format string, args ...any) {
	s.tell(Report{Container: container, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (s *State) warn(container, reason, format string, args ...any) {
	s.tell(Report{Container: container, Warning: true, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// nameOf finds the container that has an id.
func (s *State) nameOf(id string) string {
	for name, c := range s.Containers {
		if id != "" && c.ID == id {
			return name
		}
	}
	return ""
}

// Wanted: the pod shall exist, as far as the manifests have spoken.
func (s *State) Wanted() bool { return s.Decided && s.DeletedAt.IsZero() }

// Anything: something of the pod exists, be it only a part.
func (s *State) Anything() bool { return s.SharedRevision != "" || s.Dirty || s.GrantedFor != "" }

// Over: the pod is gone for good, and nothing of it is left.
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

// Quiet: nothing of the pod's sandbox is in use: no container exists or is being made or cleared, and no effect works on one.
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
		if f.ID != "" || thing == ThingNetwork || thing == ThingVolumes || thing == ThingLimits || thing == ThingStorage {
			return false
		}
	}
	return true
}

// Suspended: nothing of the pod runs any more, and what its containers shared is gone.
func (s *State) Suspended() bool {
	return !s.SetUp && !s.Dirty && s.Quiet() && s.Flights[ThingSandbox] == nil
}

// Settled: the pod is not just being brought up: all that could be started has been, or waits for something.
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
	return s.AttachedAt > s.Noted, saved
}

// Things that effects work on, beside those of containers and images.
const (
	ThingSandbox = "sandbox"
	ThingNetwork = "network"
	ThingVolumes = "volumes"
	ThingLimits  = "limits"
	ThingStorage = "storage"
)
