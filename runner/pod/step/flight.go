package step

import (
	"fmt"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

func applyBegun(s *next, e state.Begun) {
	f := e.Flight
	s.Flights[e.Thing] = &f
	switch f.Kind {
	case state.KindSetUp:
		s.setUpBegun(f.Began)
	case state.KindClear: // from now on nobody can rely on it, whatever comes of this
		s.SetUp, s.Dirty = false, true
	}
	if e.Making == nil {
		return
	}
	c := s.Containers[f.Name]
	if c == nil {
		c = &state.Container{}
		s.Containers[f.Name] = c
	}
	making := *e.Making
	c.Making = &making
	s.EndBy = time.Time{} // an end that had begun does not go on
}

func applyTold(s *next, e state.Told) {
	if f := s.Flights[e.Thing]; f != nil && f.Cancelled.IsZero() {
		f.Cancelled = e.At
	}
}

func applyLeftBehind(s *next, e state.LeftBehind) {
	f := s.Flights[e.Thing]
	if f == nil || f.Left {
		return
	}
	f.Left = true
	s.tell(state.Report{
		Container: s.containerOf(f), Warning: true, Reason: "EffectLeftBehind", Count: 1,
		Message: f.Kind + " does not end (begun " + f.Began.UTC().Format(time.RFC3339) + "); it is left behind, and what it works on waits for it",
	})
}

func (s *next) containerOf(f *state.Flight) string {
	if s.Containers[f.Name] != nil {
		return f.Name
	}
	return ""
}

// applyHeldBack: each attempt would leave more behind, without an end.
func applyHeldBack(s *next, e state.HeldBack) {
	message := fmt.Sprintf("%d effects on its earlier attempts were left behind and do not end (a disk of logs that hangs, or a runtime?); "+
		"it is started again when one of them does", s.LeftBehind(e.Name))
	s.Containers[e.Name].Hinder(state.ReasonHeldBack, message)
	s.warn(e.Name, state.ReasonHeldBack, "container %s waits: %s", e.Name, message)
}

func applyReturned(s *next, e state.Returned) {
	f := s.Flights[e.Thing]
	if f == nil || f.Token != e.Token {
		return
	}
	delete(s.Flights, e.Thing)
	if f.Left {
		s.tell(state.Report{Container: s.containerOf(f), Reason: "EffectReturned", Message: f.Kind + " that was left behind has ended", Count: -1})
		if c := s.Containers[f.Name]; c != nil && c.Now.WaitingReason == state.ReasonHeldBack {
			c.Hinder("", "")
		}
	}
	if f.Void {
		s.UnclearUntil = e.At
		claimUnclear(s, f)
		if f.ID != "" && s.nameOf(f.ID) == "" && s.Leftovers[f.ID] == nil && (f.Kind == state.KindCreate || f.Kind == state.KindStart) {
			s.Leftovers[f.ID] = &state.Leftover{Name: f.Name, Kill: true, Void: true, Step: s.Steps}
		}
		return
	}
	if p, ok := e.Result.(state.Panicked); ok {
		s.Pauses[e.Thing] = s.Pauses[e.Thing].Failed(e.At)
		s.warn(s.containerOf(f), "InternalError", "%s failed in Solopod's own code: %s", f.Kind, p.Message)
		s.unmakeAfter(f)
		claimUnclear(s, f)
		return
	}
	before := s.Pauses[e.Thing]
	take(s, e.Result, f, e.At)
	if before.Failures > 0 && s.Pauses[e.Thing] == before { // this time nothing failed
		delete(s.Pauses, e.Thing)
	}
}

// claimUnclear: nobody knows what a claim whose result does not count has taken. It is given back, or others would wait for it for ever.
func claimUnclear(s *next, f *state.Flight) {
	if f.Kind == state.KindClaim && !s.SetUp {
		s.Dirty = true
	}
}

// unmakeAfter forgets the attempt that an effect worked on.
func (s *next) unmakeAfter(f *state.Flight) {
	if c := s.Containers[f.Name]; c != nil && c.Making != nil && c.Making.ID == f.ID {
		s.leave(c, f.Name)
	}
}

func applySaid(s *next, e state.Said) {
	if f := s.Flights[e.Thing]; f != nil && f.Token == e.Token && !f.Void {
		take(s, e.News, f, e.At)
	}
}

func applyVoided(s *next, e state.Voided) {
	for thing, f := range e.Flights {
		void := *f
		void.Void = true
		s.Flights[thing] = &void
	}
}

func applySaved(s *next, e state.Saved) {
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

func takePanicked(_ *next, _ state.Panicked, _ *state.Flight, _ time.Time) {}

func takeWatchEnded(s *next, r state.WatchEnded, f *state.Flight, at time.Time) {
	if !r.Problem.Failed() || !f.Cancelled.IsZero() {
		return
	}
	thing := state.ThingOf(f.Kind, f.Name)
	s.Pauses[thing] = s.Pauses[thing].Failed(at)
	if s.Pauses[thing].Failures == 1 {
		s.warn(s.containerOf(f), r.Problem.Reason, "%s", r.Problem.Message)
	}
}
