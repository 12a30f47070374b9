package step

import (
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// calm is how long a pod must have run for its next eviction to count as the first.
const calm = 2 * state.MaxBackoff

// countEviction counts one more eviction in a row.
func countEviction(s *next, at time.Time) {
	if at.Sub(s.StartTime) > calm {
		s.Evictions = 0
	}
	s.Evictions++
}

// applyEvicted notes that an eviction was asked for; the rules say whether anything comes of it. A pod that ends already has no more time
// than it gives: what is short does not wait.
func applyEvicted(s *next, e state.Evicted) {
	if s.Wanted() && s.Failed == nil && s.Evictable() {
		s.Eviction = &e
		return
	}
	if f := s.Failed; f != nil && f.Signal != "" && e.Grace != nil && (f.Grace == nil || *f.Grace > *e.Grace) {
		f.Grace = e.Grace
	}
	hurry(s, &e)
}

// applyEvictionDecided ends a pod because the machine is short of something. One that is to be restarted is held until it is readmitted:
// the pressure that ended it would end it again.
func applyEvictionDecided(s *next, d state.EvictionDecided) {
	e := s.Eviction
	s.Eviction = nil
	if e == nil {
		return
	}
	if !d.Ends {
		hurry(s, e)
		return
	}
	s.Failed = &state.Failure{
		Reason: state.ReasonEvicted, Message: e.Message, Signal: e.Signal, At: wall(e.At), Grace: e.Grace,
		Held: s.Restarts(),
	}
	countEviction(s, e.At)
	hurry(s, e)
	s.tell(state.Report{Warning: true, Reason: state.ReasonEvicted, Message: e.Message, Count: 1, Signal: e.Signal})
}

// hurry: what was ending already, for another reason, has no more time than the eviction gives.
func hurry(s *next, e *state.Evicted) {
	if e.Grace == nil {
		return
	}
	end := e.At.Add(*e.Grace)
	for _, c := range s.Containers {
		if c.Running && c.Now.Stopping && c.Now.KillAt.After(end) {
			c.Now.KillAt = end
		}
	}
	if s.EndBy.After(end) {
		s.EndBy = end
	}
}

// revive lets a pod begin anew that has failed, and whoever held it.
func revive(s *next, at time.Time) { s.Failed.Held, s.Failed.Revive = false, wall(at) }

func applyReadmitted(s *next, e state.Readmitted) {
	if s.Failed == nil || !s.Failed.Held {
		return
	}
	revive(s, e.At)
	s.normal("", "Readmitted", "the pod, which was evicted (%s), begins anew: the machine has room again", s.Failed.Signal)
}

// unhold lets a pod begin anew that was evicted, or stopped, because somebody wants that now.
func unhold(s *next) {
	if s.Failed != nil && (s.Failed.Held || s.Failed.Reason == state.ReasonOOM) {
		revive(s, s.Failed.At)
	}
}
