package state

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

func (e Desired) apply(s *State) {
	s.Decided = true
	if e.Pod == nil {
		if s.DeletedAt.IsZero() {
			s.DeletedAt = wall(e.At)
			s.Dirty = s.Dirty || !s.Anything() && len(s.Containers) > 0 // there are logs
		}
		return
	}
	old := s.Pod
	s.DeletedAt, s.Orphan, s.Gone = time.Time{}, false, false
	changed := old == nil || e.Pod != old && Hash(e.Pod.Spec) != Hash(old.Spec)
	if (changed || !s.SetUp) && s.StartSince.IsZero() {
		s.StartSince = e.At
	}
	s.Pod, s.File = e.Pod, e.File
	if changed {
		s.edited(old, e.At)
	}
	others := Hash(e.Objects) != Hash(s.Objects)
	if others {
		s.Objects = e.Objects
		s.objectsChanged()
	}
	if others || e.Pod != old {
		s.Revisions = s.revisions()
		s.Shown = s.wantedContent()
		s.pruneImages()
	}
	if s.SetUp && s.MeasureAt.IsZero() {
		s.MeasureAt = e.At.Add(MeasureInterval)
	}
}

// edited lets what has failed be tried at once: the edit may have mended it.
func (s *State) edited(old *v1.Pod, at time.Time) {
	if s.Failed != nil { // an edit makes it another pod, as for a kubelet
		s.Failed.Revive = wall(at)
	}
	s.Retry, s.WaitsFor = Backoff{}, WantsNothing
	if old == nil {
		return
	}
	for name, c := range s.Containers {
		is, was := ContainerOf(s.Pod, name), ContainerOf(old, name)
		if is != nil && was != nil && containerRevision(is) != containerRevision(was) {
			c.hindered("", "")
		}
	}
}

// objectsChanged: what was missing may be there.
func (s *State) objectsChanged() {
	s.Retry = Backoff{}
	for _, c := range s.Containers {
		if c.Now.WaitingReason == "CreateContainerConfigError" {
			c.Now.Retry = Backoff{}
		}
	}
}

// hindered clears what hindered the next attempt, and notes another reason.
func (c *Container) hindered(reason, message string) {
	c.Now.WaitingReason, c.Now.WaitingMessage, c.Now.Lacks, c.Now.Retry = reason, message, "", Backoff{}
}

func (e RestartAsked) apply(s *State) {
	for name, c := range s.Containers {
		if e.Container != "" && name != e.Container || !Restartable(s.Pod, name) {
			continue
		}
		c.Revision = "" // of no version of the manifest: it is replaced, as after an edit
		c.Backoff, c.Now.Retry = Backoff{}, Backoff{}
		if img := s.Images[c.Now.Lacks]; img != nil {
			img.Retry = Backoff{}
		}
	}
	s.normal(e.Container, "RestartRequested", "a restart was asked for")
}

// Restartable: init containers that run to their end are not.
func Restartable(pod *v1.Pod, container string) bool {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == container {
			return manifests.IsSidecar(c)
		}
	}
	return ContainerOf(pod, container) != nil
}

func (e Drained) apply(s *State) {
	if s.StopBy.IsZero() || e.StopBy.Before(s.StopBy) {
		s.StopBy = e.StopBy
	}
}

func (e ClaimsFree) apply(s *State) {
	if s.WaitsFor == WantsClaim {
		s.Retry, s.WaitsFor = Backoff{}, WantsNothing
	}
}

// apply moves the times of this boot to the clock as it is now. Times of earlier boots stay: their clock may have been right.
func (e ClockMoved) apply(s *State) {
	move := func(t time.Time) time.Time {
		if t.IsZero() || t.Before(e.Booted) {
			return t
		}
		return t.Add(e.Moved)
	}
	s.StartTime, s.DeletedAt = move(s.StartTime), move(s.DeletedAt)
	if s.Failed != nil {
		s.Failed.Revive = move(s.Failed.Revive)
	}
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].LastTransitionTime.Time = move(s.Conditions[i].LastTransitionTime.Time)
	}
	moved := func(e *Ending) *Ending {
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
	}
	s.ClockOffset += e.Moved
}

func (e PodFailed) apply(s *State) {
	s.Failed = &Failure{Reason: e.Reason, Message: e.Message}
	s.warn("", e.Reason, "%s", e.Message)
}

func (Initialized) apply(s *State) { s.Initialized = true }

func (e BegunAnew) apply(s *State) {
	s.Initialized = false
	s.EndBy = time.Time{}
	for name, c := range s.Containers {
		c.Replaced = c.Ended != nil
		if name == e.Trigger {
			c.Backoff = e.Backoff
			c.Backoff.Set = wall(c.Backoff.Set)
		}
	}
	s.normal("", "RestartingAllContainers", "container %s has ended with an exit code for which its rules restart all containers", e.Trigger)
}

func (e Removed) apply(s *State) {
	delete(s.Containers, e.Name)
	s.applied(e.Name, nil)
}

func (e ConditionsNoted) apply(s *State) { s.Conditions = e.Conditions }
