package step

import (
	"fmt"
	"maps"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// next is the state that a step makes. It is a copy: what it points to may be changed as far as clone has copied it.
type next struct{ state.State }

// Step returns what s becomes by an event. It does not change s.
func Step(s state.State, e state.Event) state.State {
	n := &next{clone(s)}
	n.Reports = nil
	n.Steps++
	apply(n, e)
	return n.State
}

// clone copies all that a step may change.
func clone(s state.State) state.State {
	containers := make(map[string]*state.Container, len(s.Containers))
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

func (s *next) tell(r state.Report) { s.Reports = append(s.Reports, r) }

func (s *next) normal(container, reason, format string, args ...any) {
	s.tell(state.Report{Container: container, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (s *next) warn(container, reason, format string, args ...any) {
	s.tell(state.Report{Container: container, Warning: true, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// nameOf finds the container that has an id.
func (s *next) nameOf(id string) string {
	for name, c := range s.Containers {
		if id != "" && c.ID == id {
			return name
		}
	}
	return ""
}
