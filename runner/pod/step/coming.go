package step

import (
	"fmt"
	"reflect"
	"time"

	"github.com/solopod/solopod/runner/pod/edit"
	"github.com/solopod/solopod/runner/pod/state"
)

// applyDesired takes what the manifests say of the pod. An edit that would replace what works waits until what it needs is there: what
// cannot be started must not stop what runs.
func applyDesired(s *next, e state.Desired) {
	if s.Pod != nil && e.Pod != nil && !s.Orphan {
		own := state.Desired{At: e.At, Pod: s.Pod, File: e.File, Objects: edit.Own(&s.State, e.Before)}
		if coming := edit.Comes(&s.State, e, own.Objects); coming != nil {
			if s.Coming != nil && !reflect.DeepEqual(s.Coming.Pod.Spec, e.Pod.Spec) {
				s.Generation = max(s.Generation, 1) + 1 // for the one that never was
			}
			s.Coming, s.EditWaits = coming, true
			applyWanted(s, own)
			s.pruneImages()
			return
		}
	}
	shown := shownGeneration(s)
	s.Coming, s.EditWaits = nil, false
	applyWanted(s, e)
	if shown > 0 && e.Pod != nil {
		shown++ // also an edit that is taken back is one more
	}
	s.Generation = max(s.Generation, shown)
}

// shownGeneration is what the pod's generation is shown as where an edit waits, which counts in it; else zero. It must not go back when
// the wait ends, however it does.
func shownGeneration(s *next) int64 {
	if !s.EditWaits {
		return 0
	}
	return max(s.Generation, 1) + 1
}

// applyEditDue takes the edit that has waited.
func applyEditDue(s *next, e state.EditDue) {
	c, shown := s.Coming, shownGeneration(s)
	s.Coming, s.EditWaits = nil, false
	if c != nil {
		applyWanted(s, state.Desired{At: e.At, Pod: c.Pod, File: c.File, Objects: c.Objects})
	}
	s.Generation = max(s.Generation, shown)
}

// adopted: what an earlier run left is known. Where an edit waits and nothing of the pod runs, what its containers share may be of the
// edit already, whose record was lost: it is made anew for what is wanted.
func adopted(s *next) {
	if s.Coming != nil && s.Adoption == (state.Adoption{}) && s.SetUp && !s.AnyRuns() {
		s.SetUp, s.Dirty, s.Network = false, true, nil
	}
}

func applyEditLacks(s *next, e state.EditLacks) {
	c := *s.Coming
	c.Stuck, s.Coming = true, &c
	editLacks(s, e.Message)
}

// editLacks tells why an edit waits, once for each reason.
func editLacks(s *next, message string) {
	if s.Coming.Message == message {
		return
	}
	c := *s.Coming
	c.Message, s.Coming = message, &c
	s.warn("", "EditWaits", "the manifest was edited, and what runs goes on until its new version can be started: %s", message)
}

// takeForeseen takes what an edit that waits was found to lack.
func takeForeseen(s *next, r state.Foreseen, f *state.Flight, at time.Time) {
	if s.Coming == nil || s.Coming.Key != f.Key || !f.Cancelled.IsZero() && r.Problem.Failed() {
		return
	}
	found, missing := edit.Found(*s.Coming, r, at)
	for _, l := range missing {
		s.lack(l.Ref, edit.PolicyOf(found.Pod, l.Ref))
	}
	s.Coming = &found
	if text := edit.Lacks(found.Pod, r); text != "" {
		editLacks(s, text)
	}
}

// comingNotPulled: an image that an edit waits for cannot be had.
func comingNotPulled(s *next, ref string, image *state.Image) {
	if s.Coming != nil && edit.Names(s.Coming.Pod, ref) {
		editLacks(s, fmt.Sprintf("image %q: %s: %s", ref, image.Reason, image.Message))
	}
}

// lookAgain has an edit that waits looked at anew: what it lacked may be there.
func lookAgain(s *next) { s.Coming = edit.Again(s.Coming) }
