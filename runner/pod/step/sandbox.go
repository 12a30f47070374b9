package step

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/edit"
	"github.com/solopod/solopod/runner/pod/state"
)

func takeSandboxFound(s *next, r state.SandboxFound, f *state.Flight, at time.Time) {
	if r.Problem.Failed() || !f.Cancelled.IsZero() { // nobody could say; what runs goes on meanwhile
		s.Pauses[state.ThingSandbox] = s.Pauses[state.ThingSandbox].FailedBriefly(at)
		if s.Pauses[state.ThingSandbox].Failures == 1 {
			s.warn("", "SandboxNotFound", "what an earlier run left of the pod cannot be looked at: %s; it is tried again", r.Problem.Message)
		}
		return
	}
	delete(s.Pauses, state.ThingSandbox)
	s.Adoption.Sandbox = false
	defer adopted(s)
	sameBoot := s.BootID == s.Host.BootID
	if !sameBoot {
		// The clock may have been another before, so no restart waits for a time that was set by it. A back-off begins anew,
		// as after a restart of the kubelet.
		for _, c := range s.Containers {
			c.Backoff = state.Backoff{}
		}
		s.Network = nil
	}
	if r.Complete && sameBoot && s.Network != nil {
		s.SetUp, s.GrantedFor, s.Limits = true, s.SharedRevision, r.Limits
		s.followHost()
		s.Resized = state.ResizedRevision(s.Applied)
		s.MeasureAt = at.Add(state.MeasureInterval)
		return
	}
	s.Dirty = s.Dirty || !r.Absent
}

func takeClaimed(s *next, r state.Claimed, f *state.Flight, at time.Time) {
	if r.Released {
		s.GrantedFor = "" // an edit that is taken back would be set up with what others may have now
	}
	if r.Problem.Failed() {
		if f.Cancelled.IsZero() {
			s.notPrepared(r.Problem, at)
		}
		return
	}
	s.Grant, s.GrantedFor, s.NoRoom = r.Grant, f.Key, ""
}

func applyNotPrepared(s *next, e state.NotPrepared) { s.notPrepared(e.Problem, e.At) }

// notPrepared waits for what the set-up needs.
func (s *next) notPrepared(p state.Problem, at time.Time) {
	s.Message = p.Message
	s.LacksClaim, s.NoRoom = p.Claim, ""
	if p.NoRoom {
		s.NoRoom = p.Reason
	}
	s.Retry = s.Retry.Failed(at)
	if p.Reason == state.ReasonNameTaken {
		s.normal("", p.Reason, "%s", p.Message) // nothing is wrong
		return
	}
	s.warn("", p.Reason, "%s", p.Message)
}

// setUpBegun: from now on something of the sandbox exists.
func (s *next) setUpBegun(at time.Time) {
	s.Dirty = true
	s.BootID = s.Host.BootID
	s.Applied = s.Pod
	s.SharedRevision = s.Revisions.Shared
	s.Initialized = false
	s.Network, s.VolumeImages = nil, nil // an earlier one's address is not the new one's
	s.EndBy = time.Time{}
	for _, c := range s.Containers {
		c.Begun = false
	}
	for i := range s.Pod.Spec.InitContainers {
		if c := s.Containers[s.Pod.Spec.InitContainers[i].Name]; c != nil {
			c.Replaced = c.Ended != nil // what they did was for an earlier set-up
		}
	}
	if s.StartTime.IsZero() {
		s.StartTime = wall(at)
	}
	s.Content = s.Shown
}

func takeSandboxMade(s *next, r state.SandboxMade, f *state.Flight, at time.Time) {
	switch {
	case !f.Cancelled.IsZero():
		return // what there is of it is cleared
	case r.Problem.Lacks != "":
		s.setUpLacks(r.Problem, at)
	case r.Problem.Failed():
		s.setUpFailed(r.Problem, at)
	default:
		s.SetUp, s.Dirty, s.Message = true, false, ""
		s.Limits, s.Resized, s.VolumeImages = r.Limits, state.ResizedRevision(s.Applied), r.VolumeImages
		s.MeasureAt = at.Add(state.MeasureInterval)
	}
}

// setUpFailed: what there is of the sandbox is cleared, and it is made anew after a back-off.
func (s *next) setUpFailed(p state.Problem, at time.Time) {
	s.SetUp, s.Dirty, s.Network = false, true, nil
	s.LacksClaim = false
	s.Retry = s.Retry.Failed(at)
	s.Message = p.Message
	reason := p.Reason
	if reason == "" {
		reason = "FailedCreatePodSandBox"
	}
	s.warn("", reason, "cannot set the pod up: %s; next try in %s", p.Message, s.Retry.Delay)
}

func takeAttached(s *next, r state.Attached, f *state.Flight, at time.Time) {
	switch {
	case r.Problem.Failed() && !f.Cancelled.IsZero():
		return
	case r.Problem.Failed():
		s.setUpFailed(r.Problem, at)
	case s.SetUp:
		attachment := r.Attachment
		s.Network, s.AttachedAt, s.Resolver = &attachment, s.Steps, r.Resolver
		s.followHost()
		s.Message, s.Retry, s.LacksClaim = "", state.Backoff{}, false
		s.Shown = s.WantedContent()
	}
}

func takeCleared(s *next, r state.Cleared, f *state.Flight, at time.Time) {
	if r.Problem.Failed() {
		s.Dirty, s.SetUp = true, false
		s.ClearRetry = s.ClearRetry.FailedBriefly(at)
		message := "cannot remove everything of the pod: " + r.Problem.Message + "; it is tried again"
		if s.Message != message {
			s.warn("", "FailedKillPod", "%s", message)
		}
		s.Message = message
		return
	}
	if s.ClearRetry.Failures > 0 {
		s.Message = "" // it said what could not be removed
	}
	s.Dirty, s.SetUp, s.GrantedFor, s.ClearRetry = false, false, "", state.Backoff{}
	s.FirstID, s.SELinuxLevel = 0, ""
	if !r.All {
		if !s.StopBy.IsZero() {
			// At the next start they begin anew. What has ended for good goes on showing what it had.
			s.Network = nil
		}
		return
	}
	s.Retry, s.LacksClaim, s.Message = state.Backoff{}, false, ""
	s.SharedRevision, s.Applied, s.Network = "", nil, nil
	s.EndBy, s.NoRoom = time.Time{}, ""
	if s.Failed.Discards() && s.Wanted() && f.Key != state.ClearGone {
		return // it gave back what it had on the disk, and stays failed
	}
	s.Failed, s.StartTime, s.OOMEnds = nil, time.Time{}, nil
	if s.Wanted() {
		if f.Key == state.ClearGone { // it has come back, and its logs are gone
			s.Containers, s.Conditions = map[string]*state.Container{}, nil
		}
		// An edit: histories go on, so that log files keep their numbers.
		for _, c := range s.Containers {
			c.Replaced, c.Backoff = c.Ended != nil, state.Backoff{}
		}
		return
	}
	if f.Key != state.ClearGone { // it was for an edit, and the pod's logs are still there
		s.Dirty = true
		return
	}
	s.Containers, s.Conditions = map[string]*state.Container{}, nil
	if !s.Orphan {
		s.normal("", "Removed", "the pod is gone")
	}
}

func takeVolumesShown(s *next, r state.VolumesShown, f *state.Flight, _ time.Time) {
	if !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.Failed() {
		s.warn("", "FailedMount", "volumes keep their old content: %s", r.Problem.Message)
	}
	s.Content = r.Content // what cannot be shown stays as it was until the next change
}

func takeLimitsSet(s *next, r state.LimitsSet, f *state.Flight, at time.Time) {
	if !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.Failed() {
		s.Pauses[state.ThingLimits] = s.Pauses[state.ThingLimits].Failed(at)
		s.warn("", "FailedResize", "the pod keeps its old limits as a whole: %s", r.Problem.Message)
		return
	}
	delete(s.Pauses, state.ThingLimits)
	s.Limits, s.Resized = r.Limits, r.Resized
}

// take ends a pod that has written more than it may, and takes away what it has written. A kubelet would leave a static pod at
// that until somebody comes; on a box where nobody does, a pod that is to be restarted begins anew, with a back-off.
func takeMeasured(s *next, r state.Measured, f *state.Flight, at time.Time) {
	s.MeasureAt = at.Add(state.MeasureInterval)
	if !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.Failed() && !s.Unmeasured {
		s.warn("", "FailedMeasure", "cannot measure what the pod has written, so its limits of storage do not hold: %s", r.Problem.Message)
	}
	s.Unmeasured = r.Problem.Failed()
	if r.Over == "" || s.Failed != nil {
		return
	}
	s.Failed = &state.Failure{Reason: state.ReasonEvicted, Message: r.Over}
	if s.Pod.Spec.RestartPolicy != v1.RestartPolicyNever {
		countEviction(s, at)
		pace := state.Backoff{Failures: s.Evictions - 1}.Failed(at)
		s.Failed.Revive = wall(pace.Due())
	}
	s.tell(state.Report{Warning: true, Reason: state.ReasonEvicted, Message: r.Over, Count: 1})
}

// setUpLacks: a volume shows an image that is not present.
func (s *next) setUpLacks(p state.Problem, at time.Time) {
	ref := p.Lacks
	policy, volume := v1.PullIfNotPresent, ""
	for i := range s.Pod.Spec.Volumes {
		if v := &s.Pod.Spec.Volumes[i]; v.Image != nil && v.Image.Reference == ref {
			policy, volume = v.Image.PullPolicy, v.Name
		}
	}
	if policy == v1.PullNever && s.Scanned {
		s.notPrepared(state.Problem{Reason: "FailedMount", Message: fmt.Sprintf(
			"volume %q: image %s is not present and pullPolicy is Never%s; import it: solopod images import FILE", volume, ref, edit.Instead(p.Instead))}, at)
		return
	}
	s.lack(ref, policy)
	s.LacksClaim = false
	s.Message = fmt.Sprintf("volume %q: an image is being pulled", volume)
	if !s.Scanned {
		s.Message = "image archives are being imported"
	}
}
