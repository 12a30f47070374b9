package state

import (
	"time"
)

func (e Begun) apply(s *State) {
	f := e.Flight
	s.Flights[e.Thing] = &f
	switch f.Kind {
	case KindSetUp:
		s.setUpBegun(f.Began)
	case KindClear: // from now on nobody can rely on it, whatever comes of this
		s.SetUp, s.Dirty = false, true
	}
	if e.Making == nil {
		return
	}
	c := s.Containers[f.Name]
	if c == nil {
		c = &Container{}
		s.Containers[f.Name] = c
	}
	making := *e.Making
	c.Making = &making
	s.EndBy = time.Time{} // an end that had begun does not go on
}

func (e Told) apply(s *State) {
	if f := s.Flights[e.Thing]; f != nil && f.Cancelled.IsZero() {
		f.Cancelled = e.At
	}
}

func (e LeftBehind) apply(s *State) {
	f := s.Flights[e.Thing]
	if f == nil || f.Left {
		return
	}
	f.Left = true
	s.tell(Report{
		Container: s.containerOf(f), Warning: true, Reason: "EffectLeftBehind", Count: 1,
		Message: f.Kind + " does not end (begun " + f.Began.UTC().Format(time.RFC3339) + "); it is left behind, and what it works on waits for it",
	})
}

func (s *State) containerOf(f *Flight) string {
	if s.Containers[f.Name] != nil {
		return f.Name
	}
	return ""
}

func (e Returned) apply(s *State) {
	f := s.Flights[e.Thing]
	if f == nil || f.Token != e.Token {
		return
	}
	delete(s.Flights, e.Thing)
	if f.Left {
		s.tell(Report{Container: s.containerOf(f), Reason: "EffectReturned", Message: f.Kind + " that was left behind has ended", Count: -1})
	}
	if f.Void {
		s.UnclearUntil = e.At
		if f.ID != "" && s.nameOf(f.ID) == "" && s.Leftovers[f.ID] == nil && (f.Kind == KindCreate || f.Kind == KindStart) {
			s.Leftovers[f.ID] = &Leftover{Name: f.Name, Kill: true, Void: true, Step: s.Steps}
		}
		return
	}
	if p, ok := e.Result.(Panicked); ok {
		s.Pauses[e.Thing] = s.Pauses[e.Thing].Failed(e.At)
		s.warn(s.containerOf(f), "InternalError", "%s failed in Solopod's own code: %s", f.Kind, p.Message)
		s.unmakeAfter(f)
		return
	}
	e.Result.take(s, f, e.At)
}

// unmakeAfter forgets the attempt that an effect worked on.
func (s *State) unmakeAfter(f *Flight) {
	if c := s.Containers[f.Name]; c != nil && c.Making != nil && c.Making.ID == f.ID {
		s.leave(c, f.Name)
	}
}

func (e Said) apply(s *State) {
	if f := s.Flights[e.Thing]; f != nil && f.Token == e.Token && !f.Void {
		e.News.take(s, f, e.At)
	}
}

func (e Voided) apply(s *State) {
	for thing, f := range e.Flights {
		void := *f
		void.Void = true
		s.Flights[thing] = &void
	}
}

func (e Saved) apply(s *State) {
	s.Noted = max(s.Noted, e.Step)
	if e.Synced {
		s.Saved = max(s.Saved, e.Step)
	}
	switch {
	case e.Problem == "" && e.Synced:
		s.Unsaved = false
	case e.Problem != "" && !s.Unsaved:
		s.Unsaved = true
		s.warn("", "RecordNotWritten", "the pod runs on, and its history may be lost with a restart of Solopod: %s", e.Problem)
	}
}

func (Panicked) take(*State, *Flight, time.Time) {}

func (r WatchEnded) take(s *State, f *Flight, at time.Time) {
	if !r.Problem.failed() || !f.Cancelled.IsZero() {
		return
	}
	thing := ThingOf(f.Kind, f.Name)
	s.Pauses[thing] = s.Pauses[thing].Failed(at)
	if s.Pauses[thing].Failures == 1 {
		s.warn(s.containerOf(f), r.Problem.Reason, "%s", r.Problem.Message)
	}
}
