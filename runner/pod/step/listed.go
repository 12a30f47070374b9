package step

import (
	"slices"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/edit"
	"github.com/solopod/solopod/runner/pod/signals"
	"github.com/solopod/solopod/runner/pod/state"
)

// apply compares the record with what containerd has: after a start, and when exits may have been missed.
func applyListed(s *next, e state.Listed) {
	adopting := s.Adoption.Containers
	if adopting && (s.StartsUnclear() || e.Asked.Before(s.UnclearUntil)) {
		return // it may have been made before what runs now was started; the worker asks again
	}
	s.Adoption.Containers = false
	if adopting {
		if edit.TakenBefore(&s.State, e.Found) {
			applyEditDue(s, state.EditDue{At: e.At})
		}
		defer adopted(s)
	}
	why := "containerd no longer knows its process"
	if adopting {
		why = "Solopod and the container's shim were both gone"
		if s.BootID != s.Host.BootID {
			why = "the machine was restarted"
		}
	}
	found := map[string]*state.Found{}
	for i := range e.Found {
		found[e.Found[i].ID] = &e.Found[i]
	}
	if adopting {
		inOrder := slices.Clone(e.Found)
		slices.SortStableFunc(inOrder, func(a, b state.Found) int { return a.Attempt - b.Attempt })
		for i := range inOrder {
			s.recognize(&inOrder[i], found)
		}
	}
	for _, c := range s.Containers {
		if m := c.Making; m != nil && m.Exit == nil && found[m.ID] != nil && found[m.ID].Status == state.FoundStopped {
			m.Exit = &state.Exit{Code: found[m.ID].ExitCode, At: found[m.ID].ExitedAt} // before it was known to have started
		}
		if c.Running && (adopting || !c.Now.Since.After(e.Asked)) {
			s.compare(c, found[c.ID], e.At, why)
		}
	}
	if adopting {
		s.stopsForgotten()
	}
	for id, f := range found {
		if !s.knows(id) {
			s.Leftovers[id] = s.foundLeftover(f)
		}
	}
}

// knows: the pod has this container, or an effect works on it whose result will tell.
func (s *next) knows(id string) bool {
	for _, c := range s.Containers {
		if c.ID == id || c.Making != nil && c.Making.ID == id {
			return true
		}
	}
	for _, f := range s.Flights {
		if f.ID == id {
			return true
		}
	}
	return s.Leftovers[id] != nil
}

// foundLeftover: the last attempt's container, whose clean-up was interrupted. Its output may still have to be read.
func (s *next) foundLeftover(f *state.Found) *state.Leftover {
	l := &state.Leftover{Name: f.Name, Attempt: f.Attempt, Drain: f.Status == state.FoundStopped, Step: s.Steps}
	if s.Orphan {
		l.Drain = false // whose log it would be is not known, and a manifest may name the pod yet
	}
	l.Kill = f.Status != state.FoundStopped
	if c := s.Containers[f.Name]; c != nil {
		l.Terminal, l.Stdin = c.Terminal, c.Stdin
		l.FromLog = c.Ended != nil && c.Ended.ID == f.ID && c.Ended.FromLog
	}
	return l
}

// stopsForgotten: stops that an earlier Solopod had begun do not go on, unless they are decided again.
func (s *next) stopsForgotten() {
	for name, c := range s.Containers {
		s.advance(c, manifests.ContainerOf(s.Applied, name))
	}
}

// compare takes what was found of a container that runs as far as is known; nil means that nothing was.
func (s *next) compare(c *state.Container, f *state.Found, at time.Time, why string) {
	switch {
	case c.Now.Exit != nil:
	case f == nil || f.Status == state.FoundUnknown:
		c.Now.Exit = &state.Exit{Lost: why, At: at}
	case f.Status == state.FoundStopped:
		c.Now.Exit = &state.Exit{Code: f.ExitCode, At: f.ExitedAt}
	case f.Status == state.FoundRunning && f.Pid != 0:
		c.Pid = f.Pid
	}
}

// recognize takes over a container that was started just before Solopod was killed, when the record had not been written yet;
// it may have ended since.
func (s *next) recognize(f *state.Found, found map[string]*state.Found) {
	if l := s.Leftovers[f.ID]; l != nil {
		if !l.Void {
			return // it was given up
		}
		delete(s.Leftovers, f.ID)
	}
	c := s.Containers[f.Name]
	spec := edit.SpecOf(&s.State, f)
	if f.Status == state.FoundUnknown || f.Status == state.FoundCreated || spec == nil || c.Had(f.ID) || f.Attempt < c.NextAttempt() {
		return
	}
	next := &state.Container{}
	if c != nil {
		*next = *c
		s.passed(next, f.Name, found[c.ID])
	}
	next.ID, next.Attempt, next.Revision, next.Pid = f.ID, f.Attempt, f.Revision, f.Pid
	next.Running, next.Started, next.Ready, next.Replaced, next.Replacing, next.Verdict = true, false, false, false, false, nil
	next.StartedAt, next.Terminal, next.Stdin, next.Image = wall(f.CreatedAt), spec.TTY, spec.Stdin, spec.Image
	next.ImageID, next.User = "", nil // which only its creation has told
	next.Resources, next.PreStop = state.ResourceRevision(spec), state.PreStopOf(spec)
	next.Hooked, next.Begun = !state.HasPostStart(spec), true
	next.StopSignal = signals.Number(state.StopSignalOf(spec))
	next.Now, next.Making, next.Kills = state.Now{}, nil, 0
	if c != nil && c.Ended != nil {
		next.Backoff = c.Backoff.Next(c.Ended.FinishedAt, f.CreatedAt)
	}
	if f.Status == state.FoundStopped {
		next.Now.Exit = &state.Exit{Code: f.ExitCode, At: f.ExitedAt}
	}
	s.Containers[f.Name] = next
	s.applied(f.Name, spec)
	s.advance(next, spec)
}

// passed: another attempt has followed the one that c knows, whose end is found, or not.
func (s *next) passed(c *state.Container, name string, f *state.Found) {
	if c.Running {
		end := &state.Ending{ID: c.ID, StartedAt: c.StartedAt, FinishedAt: c.StartedAt, ExitCode: state.ExitOfKill, Reason: state.ReasonUnknown, Message: "its end was not written down"}
		if exit := c.Now.Exit; exit != nil && exit.Lost == "" {
			f = &state.Found{Status: state.FoundStopped, ExitCode: exit.Code, ExitedAt: exit.At}
		}
		if f != nil && f.Status == state.FoundStopped {
			end.ExitCode, end.FinishedAt, end.Reason, end.Message = f.ExitCode, wall(f.ExitedAt), state.ReasonCompleted, ""
			if f.ExitCode != 0 {
				end.Reason = state.ReasonError
			}
		}
		s.Leftovers[c.ID] = &state.Leftover{Name: name, Attempt: c.Attempt, Drain: true, Kill: end.Reason == state.ReasonUnknown, Terminal: c.Terminal, Stdin: c.Stdin, Step: s.Steps}
		c.Ended = end
	}
	if c.Ended != nil {
		c.Last, c.Ended = c.Ended, nil
	}
}
