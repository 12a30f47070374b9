package state

import "time"

// apply compares the record with what containerd has: after a start, and when exits may have been missed.
func (e Listed) apply(s *State) {
	adopting := s.Adoption.Containers
	s.Adoption.Containers = false
	why := "containerd no longer knows its process"
	if adopting {
		why = "Solopod and the container's shim were both gone"
		if s.BootID != s.Host.BootID {
			why = "the machine was restarted"
		}
	}
	found := map[string]*Found{}
	for i := range e.Found {
		found[e.Found[i].ID] = &e.Found[i]
	}
	if adopting {
		for i := range e.Found {
			s.recognize(&e.Found[i])
		}
	}
	for _, c := range s.Containers {
		if c.Running && !(c.StartedAt.After(e.Asked) && !adopting) {
			s.compare(c, found[c.ID], e.At, why)
		}
	}
	for id, f := range found {
		if !s.knows(id) {
			s.Leftovers[id] = s.foundLeftover(f)
		}
	}
}

// knows: the pod has this container, or an effect works on it whose result will tell.
func (s *State) knows(id string) bool {
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
func (s *State) foundLeftover(f *Found) *Leftover {
	l := &Leftover{Name: f.Name, Attempt: f.Attempt, Drain: f.Status == FoundStopped, Step: s.Steps}
	l.Kill = f.Status == FoundRunning || f.Status == FoundUnanswered
	if c := s.Containers[f.Name]; c != nil {
		l.Terminal, l.Stdin = c.Terminal, c.Stdin
		l.FromLog = c.Ended != nil && c.Ended.ID == f.ID && c.Ended.FromLog
	}
	return l
}

// compare takes what was found of a container that runs as far as is known; nil means that nothing was.
func (s *State) compare(c *Container, f *Found, at time.Time, why string) {
	switch {
	case c.Now.Exit != nil:
	case f == nil || f.Status == FoundUnknown:
		c.Now.Exit = &Exit{Lost: why, At: at}
	case f.Status == FoundStopped:
		c.Now.Exit = &Exit{Code: f.ExitCode, At: f.ExitedAt}
	case f.Status == FoundRunning && f.Pid != 0:
		c.Pid = f.Pid
	}
}

// recognize takes over a container that was started just before Solopod was killed, when the record had not been written yet.
func (s *State) recognize(f *Found) {
	spec := ContainerOf(s.Applied, f.Name)
	if spec == nil || containerRevision(spec) != f.Revision {
		if wanted := ContainerOf(s.Pod, f.Name); wanted != nil {
			spec = wanted
		}
	}
	c := s.Containers[f.Name]
	if f.Status != FoundRunning || spec == nil || c != nil && (c.ID == f.ID || f.Attempt < c.Attempt) {
		return
	}
	next := &Container{}
	if c != nil {
		*next = *c
		if c.Ended != nil {
			next.Last, next.Ended = c.Ended, nil
			next.Backoff = c.Backoff.Next(c.Ended.FinishedAt, f.CreatedAt)
		}
	}
	next.ID, next.Attempt, next.Revision, next.Pid = f.ID, f.Attempt, f.Revision, f.Pid
	next.Running, next.Started, next.Ready, next.Replaced = true, false, false, false
	next.StartedAt, next.Terminal, next.Stdin, next.Image = wall(f.CreatedAt), spec.TTY, spec.Stdin, spec.Image
	next.Resources, next.PreStop = resourceRevision(spec), preStopOf(spec)
	next.Hooked = spec.Lifecycle == nil || spec.Lifecycle.PostStart == nil
	next.StopSignal = SignalNumber(stopSignalOf(spec))
	next.Now, next.Making = Now{}, nil
	s.Containers[f.Name] = next
	s.applied(f.Name, spec)
	s.advance(next, spec)
}
