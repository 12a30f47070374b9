package step

import (
	"reflect"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// applyWanted has the pod be what an event says.
func applyWanted(s *next, e state.Desired) {
	s.Decided = true
	if e.Pod == nil {
		if s.DeletedAt.IsZero() {
			s.DeletedAt = wall(e.At)
			s.Dirty = s.Dirty || !s.Anything() && len(s.Containers) > 0 // there are logs
		}
		return
	}
	old := s.Pod
	if !s.DeletedAt.IsZero() {
		cameBack(s)
	}
	s.DeletedAt, s.Orphan = time.Time{}, false
	changed := old == nil || e.Pod != old && !reflect.DeepEqual(e.Pod.Spec, old.Spec) && state.Hash(e.Pod.Spec) != state.Hash(old.Spec)
	if (changed || !s.SetUp) && s.StartSince.IsZero() {
		s.StartSince = e.At
	}
	s.Pod, s.File = e.Pod, e.File
	if old != nil && e.Pod != old && state.RestartsFor(old, e.Pod) {
		restart(s, "")
	}
	if changed {
		s.Generation = max(s.Generation, 1) + 1
		s.edited(old, e.At)
	}
	oomChoiceChanged(s, old, e.At)
	others := !reflect.DeepEqual(e.Objects, s.Objects) && state.Hash(e.Objects) != state.Hash(s.Objects)
	if others {
		s.Objects = e.Objects
		s.objectsChanged()
	}
	if others || e.Pod != old {
		known := s.Revisions.Manifest
		s.Revisions = s.Revise()
		orderAgain(s)
		s.Shown = s.WantedContent()
		s.pruneImages()
		if s.Revisions.Manifest != known {
			s.SeenAt = wall(e.At)
		}
	}
	if s.SeenAt.IsZero() {
		s.SeenAt = wall(e.At)
	}
	if s.SetUp && s.MeasureAt.IsZero() {
		s.MeasureAt = e.At.Add(state.MeasureInterval)
	}
}

// cameBack: what ends, or has ended, for the pod's removal begins anew; what it ended with says nothing.
func cameBack(s *next) {
	for _, c := range s.Containers {
		switch {
		case c.Running:
			c.Replacing = c.Replacing || c.Now.Stopping || s.Adoption.Containers // whose stop had begun before Solopod was killed
			c.Ready = c.Ready && !c.Now.Stopping
		case c.Ended != nil && !c.Ended.FinishedAt.Before(s.DeletedAt):
			c.Replaced = true
		}
	}
}

// edited lets what has failed be tried at once: the edit may have mended it.
func (s *next) edited(old *v1.Pod, at time.Time) {
	if s.Failed != nil { // an edit makes it another pod, as for a kubelet
		revive(s, at)
	}
	s.Retry, s.LacksClaim, s.OOMEnds = state.Backoff{}, false, nil
	if old == nil {
		return
	}
	for name, c := range s.Containers {
		is, was := manifests.ContainerOf(s.Pod, name), manifests.ContainerOf(old, name)
		if is != nil && was != nil && state.ContainerRevision(is) != state.ContainerRevision(was) {
			c.Hinder("", "")
		}
	}
}

// orderAgain: of containers that are replaced together, for an edit or for the objects that they use, those that come later wait for
// the hooks of the others again.
func orderAgain(s *next) {
	hooked := false
	for i := range s.Pod.Spec.Containers {
		spec := &s.Pod.Spec.Containers[i]
		c := s.Containers[spec.Name]
		if c != nil && c.Revision == s.Revisions.Containers[spec.Name] {
			continue
		}
		if c != nil && hooked {
			c.Begun = false
		}
		hooked = hooked || state.HasPostStart(spec)
	}
}

// objectsChanged: what was missing may be there.
func (s *next) objectsChanged() {
	s.Retry = state.Backoff{}
	for _, c := range s.Containers {
		if c.Now.WaitingReason == "CreateContainerConfigError" {
			c.Now.Retry = state.Backoff{}
		}
	}
}

// restart has a container replaced as it is; with an empty name all of them.
func restart(s *next, container string) {
	unhold(s)
	for name, c := range s.Containers {
		if container != "" && name != container || !manifests.Restartable(s.Pod, name) {
			continue
		}
		c.Revision = "" // of no version of the manifest: it is replaced, as after an edit
		c.Begun = c.Begun && container != ""
		c.Backoff, c.Now.Retry = state.Backoff{}, state.Backoff{}
		if img := s.Images[c.Now.Lacks]; img != nil {
			img.Retry = state.Backoff{}
		}
	}
}

func applyRestartAsked(s *next, e state.RestartAsked) {
	restart(s, e.Container)
	s.normal(e.Container, "RestartRequested", "a restart was asked for")
}

func applyDrained(s *next, e state.Drained) {
	if s.StopBy.IsZero() || e.StopBy.Before(s.StopBy) {
		s.StopBy = e.StopBy
	}
}

func applyClaimsFree(s *next, _ state.ClaimsFree) {
	lookAgain(s)
	if s.LacksClaim {
		s.Retry, s.LacksClaim = state.Backoff{}, false
	}
}

// apply moves the times of this boot to the clock as it is now. Times of earlier boots stay: their clock may have been right.
func applyClockMoved(s *next, e state.ClockMoved) {
	move := func(t time.Time) time.Time {
		if t.IsZero() || t.Before(e.Booted) {
			return t
		}
		return t.Add(e.Moved)
	}
	s.StartTime, s.DeletedAt, s.SeenAt = move(s.StartTime), move(s.DeletedAt), move(s.SeenAt)
	if s.Failed != nil {
		s.Failed.Revive, s.Failed.At = move(s.Failed.Revive), move(s.Failed.At)
	}
	s.OOMEnds = slices.Clone(s.OOMEnds)
	for i, t := range s.OOMEnds {
		s.OOMEnds[i] = move(t)
	}
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].LastTransitionTime.Time = move(s.Conditions[i].LastTransitionTime.Time)
	}
	moved := func(e *state.Ending) *state.Ending {
		if e == nil {
			return nil
		}
		next := *e
		next.StartedAt, next.FinishedAt = move(e.StartedAt), move(e.FinishedAt)
		return &next
	}
	for _, c := range s.Containers {
		c.StartedAt, c.Backoff.Set = move(c.StartedAt), move(c.Backoff.Set)
		c.Ended, c.Last = moved(c.Ended), moved(c.Last)
		if c.Verdict != nil {
			v := *c.Verdict
			v.At = move(v.At)
			c.Verdict = &v
		}
	}
	s.ClockOffset += e.Moved
}

func applyPodFailed(s *next, e state.PodFailed) {
	s.Failed = &state.Failure{Reason: e.Reason, Message: e.Message}
	s.warn("", e.Reason, "%s", e.Message)
}

func applyInitialized(s *next, _ state.Initialized) { s.Initialized = true }

func applyBegunAnew(s *next, e state.BegunAnew) {
	s.Initialized = false
	s.EndBy = time.Time{}
	for name, c := range s.Containers {
		c.Replaced, c.Begun = c.Ended != nil, false
		if name == e.Trigger {
			c.Backoff = e.Backoff
			c.Backoff.Set = wall(c.Backoff.Set)
		}
	}
	if c := s.Containers[e.Trigger]; c != nil && c.Ended.ForMemory() {
		s.warn("", "OOMRestart", "container %s was killed for memory, and the whole pod is restarted (%s: %s)", e.Trigger, manifests.OOMActionAnnotation, manifests.OOMRestartsPod)
		return
	}
	s.normal("", "RestartingAllContainers", "container %s has ended with an exit code for which its rules restart all containers", e.Trigger)
}

func applyRemoved(s *next, e state.Removed) {
	delete(s.Containers, e.Name)
	s.applied(e.Name, nil)
}

func applyConditionsNoted(s *next, e state.ConditionsNoted) { s.Conditions = e.Conditions }
