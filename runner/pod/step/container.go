package step

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/edit"
	"github.com/solopod/solopod/runner/pod/kills"
	"github.com/solopod/solopod/runner/pod/state"
)

// leave turns an attempt that does not run into a leftover.
func (s *next) leave(c *state.Container, name string) {
	m := c.Making
	c.Making = nil
	s.Leftovers[m.ID] = &state.Leftover{Name: name, Attempt: m.Attempt, Terminal: m.Spec.TTY, Stdin: m.Spec.Stdin, Kill: true, Step: s.Steps}
}

func applyUnmade(s *next, e state.Unmade) {
	if c := s.Containers[e.Name]; c != nil && c.Making != nil {
		s.leave(c, e.Name)
	}
}

// making finds the attempt that an effect worked on.
func (s *next) making(f *state.Flight) (*state.Container, *state.Making) {
	c := s.Containers[f.Name]
	if c == nil || c.Making == nil || c.Making.ID != f.ID {
		return nil, nil
	}
	return c, c.Making
}

func takeMade(s *next, r state.Made, f *state.Flight, at time.Time) {
	c, m := s.making(f)
	if c == nil {
		return
	}
	cancelled := !f.Cancelled.IsZero()
	switch {
	case !r.Problem.Failed() && !cancelled:
		m.Created, m.Pid, m.Image, m.ImageID, m.User = true, r.Pid, r.Image, r.ImageID, r.User
		m.StopSignal, m.Warnings = r.StopSignal, r.Warnings
		if r.Limits != "" {
			s.Limits = r.Limits
		}
		return
	case r.Problem.Refused && !cancelled:
		m.Image, m.ImageID = r.Image, r.ImageID
		refused(s, c, f.Name, r.Problem, at)
		return
	case r.LeftBehind || !r.Problem.Failed():
		s.leave(c, f.Name)
	default:
		c.Making = nil
	}
	if !cancelled {
		s.notStarted(c, f.Name, m.Spec, r.Problem, at)
	}
}

// refused: the runtime cannot run the command of this attempt, which has ended with that. It counts as any other, as with a kubelet.
func refused(s *next, c *state.Container, name string, p state.Problem, at time.Time) {
	m := c.Making
	s.leave(c, name)
	succeed(c, m)
	c.Image, c.ImageID, c.User = m.Image, m.ImageID, m.User
	c.ID, c.Pid, c.Ready, c.Started = "", 0, false, false
	c.Ended = &state.Ending{
		ID: m.ID, ExitCode: state.ExitOfStartError, Reason: state.ReasonStartError, Message: p.Message,
		StartedAt: time.Unix(0, 0).UTC(), FinishedAt: wall(at), // it never started; the API demands a time, and this is containerd's
	}
	c.Now = state.Now{}
	s.applied(name, m.Spec)
	s.warn(name, "Failed", "Error: %s", p.Message)
}

// succeed makes an attempt the current one; what was known of the one before is the last one's.
func succeed(c *state.Container, m *state.Making) {
	if c.Ended != nil {
		c.Last, c.Ended = c.Ended, nil
	}
	c.Attempt, c.Revision, c.Resources, c.Backoff = m.Attempt, m.Revision, m.Resources, m.Backoff
	c.Backoff.Set = wall(c.Backoff.Set)
	c.Replaced, c.Replacing, c.Verdict = false, false, nil
}

// notStarted remembers why an attempt could not be created or started, and when to try again.
func (s *next) notStarted(c *state.Container, name string, spec *v1.Container, p state.Problem, at time.Time) {
	if p.Lacks != "" {
		if spec.ImagePullPolicy != v1.PullNever || !s.Scanned {
			c.Hinder("", "")
			c.Now.Lacks = p.Lacks
			s.lack(p.Lacks, spec.ImagePullPolicy)
			return
		}
		p.Reason = "ErrImageNeverPull"
		p.Message = fmt.Sprintf("image %s is not present and imagePullPolicy is Never%s; import it: solopod images import FILE", p.Lacks, edit.Instead(p.Instead))
	}
	c.Now.Retry = c.Now.Retry.Failed(at)
	c.Now.WaitingReason, c.Now.WaitingMessage = p.Reason, p.Message
	if p.Sandbox {
		s.setUpFailed(state.Problem{Message: p.Message}, at) // which says it
		return
	}
	s.warn(name, "Failed", "%s: %s; next try in %s", p.Reason, p.Message, c.Now.Retry.Delay)
}

func takeStarted(s *next, r state.Started, f *state.Flight, at time.Time) {
	c, m := s.making(f)
	if c == nil {
		return
	}
	if r.Problem.Refused && f.Cancelled.IsZero() {
		refused(s, c, f.Name, r.Problem, at)
		return
	}
	if r.Problem.Failed() {
		s.leave(c, f.Name)
		if f.Cancelled.IsZero() {
			s.notStarted(c, f.Name, m.Spec, r.Problem, at)
		}
		return
	}
	spec := m.Spec
	succeed(c, m)
	c.ID = m.ID
	c.Running, c.Pid, c.StartedAt, c.Image, c.ImageID, c.User = true, m.Pid, wall(r.When), m.Image, m.ImageID, m.User
	c.Terminal, c.Stdin, c.StopSignal, c.PreStop = spec.TTY, spec.Stdin, m.StopSignal, state.PreStopOf(spec)
	c.Hooked, c.Begun = !state.HasPostStart(spec), true
	c.Ready, c.Started, c.Making = false, false, nil
	c.Now = state.Now{Since: r.When, Attached: true, Exit: m.Exit}
	s.applied(f.Name, spec)
	s.Reports = append(s.Reports, m.Warnings...)
	s.normal(f.Name, "Pulled", "Container image %q already present on machine", spec.Image)
	s.normal(f.Name, "Created", "Created container %s", f.Name)
	s.tell(state.Report{Container: f.Name, Reason: "Started", Message: fmt.Sprintf("Started container %s (attempt %d)", f.Name, c.Attempt), Took: at.Sub(m.Began)})
	s.advance(c, spec)
	s.noteStarted(at)
}

// applied notes that a container is now as spec says; nil: it is no more.
func (s *next) applied(name string, spec *v1.Container) {
	if s.Applied == nil {
		return
	}
	if s.Applied == s.Pod && spec != nil && manifests.ContainerOf(s.Pod, name) == spec {
		return
	}
	next := *s.Applied
	replace := func(list []v1.Container) []v1.Container {
		list = slices.Clone(list)
		i := slices.IndexFunc(list, func(c v1.Container) bool { return c.Name == name })
		switch {
		case i >= 0 && spec != nil:
			list[i] = *spec
		case i >= 0:
			list = slices.Delete(list, i, i+1)
		}
		return list
	}
	known := manifests.ContainerOf(s.Applied, name) != nil
	next.Spec.InitContainers, next.Spec.Containers = replace(next.Spec.InitContainers), replace(next.Spec.Containers)
	switch {
	case known || spec == nil:
	case manifests.IsSidecar(spec):
		next.Spec.InitContainers = append(next.Spec.InitContainers, *spec)
	default:
		next.Spec.Containers = append(next.Spec.Containers, *spec)
	}
	s.Applied = &next
	if state.Hash(s.Applied.Spec) == state.Hash(s.Pod.Spec) {
		s.Applied = s.Pod
	}
}

// noteStarted measures a pod's start, when the last of its containers runs.
func (s *next) noteStarted(at time.Time) {
	if s.StartSince.IsZero() {
		return
	}
	for _, c := range s.Pod.Spec.Containers {
		if known := s.Containers[c.Name]; known == nil || !known.Running {
			return
		}
	}
	s.tell(state.Report{Reason: state.PodStarted, Took: at.Sub(s.StartSince)})
	s.StartSince = time.Time{}
}

// advance: without a startup probe a container has started when its postStart hook has ended; without a readiness probe it is
// ready when it has started.
func (s *next) advance(c *state.Container, spec *v1.Container) {
	if spec == nil || !c.Running || c.Now.Exit != nil || !c.Hooked || c.Now.Stopping || c.Verdict != nil {
		return
	}
	if spec.StartupProbe == nil {
		c.Started = true
	}
	if c.Started && spec.ReadinessProbe == nil {
		c.Ready = true
	}
}

func takeOutputRead(s *next, r state.OutputRead, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.Failed() {
		thing := state.ThingOf(f.Kind, f.Name)
		s.Pauses[thing] = s.Pauses[thing].FailedBriefly(at)
		if s.Pauses[thing].Failures == 1 {
			s.warn(f.Name, "OutputNotRead", "cannot reopen the log of container %s; its output waits: %s", f.Name, r.Problem.Message)
		}
		return
	}
	c.Now.Attached = true
	known := c.Now.Kills
	noteKills(s, c, f.Name, r.Kills, wall(at)) // when they were nobody knows
	killedForMemory(s, f.Name, kills.WhileAway(s.Pod, c, r.Group, known, wall(at)), wall(at), at)
}

func takeResized(s *next, r state.Resized, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || !f.Cancelled.IsZero() {
		return
	}
	if r.Limits != "" {
		s.Limits = r.Limits
	}
	if r.Problem.Failed() {
		c.Now.Retry = c.Now.Retry.Failed(at)
		s.warn(f.Name, "ResizeDeferred", "Container %s keeps its resources for now: %s; next try in %s", f.Name, r.Problem.Message, c.Now.Retry.Delay)
		return
	}
	c.Resources, c.Now.Retry = r.Resources, state.Backoff{}
	s.applied(f.Name, manifests.ContainerOf(s.Pod, f.Name))
	s.normal(f.Name, "ResizeCompleted", "Container %s has its new resources, without a restart", f.Name)
}

func takeProbed(s *next, r state.Probed, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || c.Now.Exit != nil || c.Verdict != nil || !f.Cancelled.IsZero() {
		return
	}
	if c.Now.Stopping && (r.Kind != state.Readiness || !c.EndsReady(&s.State)) {
		return
	}
	spec := manifests.ContainerOf(s.Applied, f.Name)
	p := state.ProbeOf(spec, r.Kind)
	if p == nil {
		return
	}
	healthy := r.Failure == ""
	if !healthy && !c.Now.Stopping { // of what was told to end that is nothing to warn of
		s.warn(f.Name, "Unhealthy", "%s probe failed: %s", r.Kind, r.Failure)
	}
	if r.Warning != "" {
		s.warn(f.Name, "ProbeWarning", "%s probe warning: %s", r.Kind, r.Warning)
	}
	if c.Now.Probes == nil {
		c.Now.Probes = map[state.ProbeKind]state.Answers{}
	}
	before, ok := c.Now.Probes[r.Kind]
	if !ok {
		before.Healthy = r.Kind == state.Liveness
	}
	answers, decided := before.Count(p, healthy)
	c.Now.Probes[r.Kind] = answers
	if !decided {
		return
	}
	switch {
	case r.Kind == state.Readiness:
		c.Ready = healthy
	case r.Kind == state.Startup && healthy:
		c.Started = true
		s.advance(c, spec)
	case !healthy:
		v := state.Verdict{Reason: fmt.Sprintf("it failed its %s probe", strings.ToLower(string(r.Kind))), At: wall(at)}
		if p.TerminationGracePeriodSeconds != nil {
			v.Grace = ptr.To(time.Duration(*p.TerminationGracePeriodSeconds) * time.Second)
		}
		judge(s, c, v)
	}
}

// judge notes that a container has to end.
func judge(s *next, c *state.Container, v state.Verdict) {
	c.Verdict, c.Now.Judged = &v, s.Steps
}
