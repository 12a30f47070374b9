package state

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// MinimumGrace is the kubelet's: even a grace period of zero, or one that a hook used up, leaves a moment to end in order.
const MinimumGrace = 2 * time.Second

func (e StopBegun) apply(s *State) {
	c := s.Containers[e.Name]
	if c == nil || !c.Running || c.Now.Stopping {
		return
	}
	c.Now.Stopping, c.Now.Replaced = true, e.Replace
	c.Now.KillAt = e.At.Add(e.Grace)
	c.Now.PreStop = c.PreStop != nil && e.Grace > 0
	c.Now.Signals, c.Now.Signalled = Backoff{}, 0
	c.Ready = false
	if e.EndsPod && s.EndBy.IsZero() {
		s.EndBy = c.Now.KillAt
	}
	s.normal(e.Name, "Killing", "Stopping container %s: %s", e.Name, e.Reason)
}

func (e HookOver) apply(s *State) {
	if c := s.Containers[e.Name]; c != nil && c.Now.PreStop {
		s.warn(e.Name, "FailedPreStopHook", "PreStopHook did not end within the grace period and is abandoned")
		c.preStopOver(e.At)
	}
}

// preStopOver: the stop signal comes now; a moment is left for it in any case.
func (c *Container) preStopOver(at time.Time) {
	c.Now.PreStop = false
	if least := at.Add(MinimumGrace); c.Now.KillAt.Before(least) {
		c.Now.KillAt = least
	}
}

func (e KillBegun) apply(s *State) {
	c := s.Containers[e.Name]
	if c == nil || !c.Running || c.Now.Killed {
		return
	}
	c.Now.Killed, c.Now.Signals = true, Backoff{}
	s.warn(e.Name, "Killing", "Container %s did not end within its grace period and is killed", e.Name)
}

func (r HookEnded) take(s *State, f *Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || c.Now.Stopping != r.PreStop || !f.Cancelled.IsZero() {
		return // it ended meanwhile, or its stop has begun
	}
	if r.PreStop {
		if r.Failure != "" {
			s.warn(f.Name, "FailedPreStopHook", "PreStopHook failed: %s", r.Failure)
		}
		if c.Now.PreStop {
			c.preStopOver(at)
		}
		return
	}
	if r.Failure != "" {
		s.warn(f.Name, "FailedPostStartHook", "PostStartHook failed: %s", r.Failure)
		c.Now.Unhealthy = "its postStart hook failed"
		return
	}
	c.Hooked = true
	s.advance(c, ContainerOf(s.Applied, f.Name))
}

const sigkill = 9

// WantedSignal is the signal that the container shall get, or 0.
func (c *Container) WantedSignal() int {
	switch {
	case !c.Running || !c.Now.Stopping || c.Now.Exit != nil:
		return 0
	case c.Now.Killed:
		return sigkill
	case c.Now.PreStop || c.Now.Signalled == c.StopSignal:
		return 0
	}
	return c.StopSignal
}

func (r SignalSent) take(s *State, f *Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || !f.Cancelled.IsZero() {
		return
	}
	switch {
	case r.Found != nil:
		s.compare(c, r.Found, at, "containerd no longer knows its process")
	case r.Problem.failed():
		c.Now.Signals = c.Now.Signals.failedBriefly(at)
		if c.Now.Signals.Failures == 1 {
			s.warn(f.Name, "FailedKillContainer", "cannot signal container %s: %s; it is tried again", f.Name, r.Problem.Message)
		}
	default:
		c.Now.Signalled = r.Signal
		if r.Signal == sigkill { // what it does not end is told again: a signal may be lost with its shim
			c.Now.Signals = c.Now.Signals.failedBriefly(at)
		} else {
			c.Now.Signals = Backoff{}
		}
	}
}

func (e Exited) apply(s *State) {
	exit := &Exit{Code: e.Code, At: e.When}
	if c := s.Containers[s.nameOf(e.ID)]; c != nil {
		if c.Running && c.Now.Exit == nil {
			c.Now.Exit = exit
		}
		return
	}
	for _, c := range s.Containers {
		if c.Making != nil && c.Making.ID == e.ID {
			c.Making.Exit = exit
		}
	}
}

// killWindow is how long before a container's end a kill for memory counts as its cause. The main process dies with the
// kill; a kill of a child some time before is another story.
const killWindow = 2 * time.Second

// Reasons of ended containers, as the kubelet gives them.
const (
	ReasonCompleted = "Completed"
	ReasonError     = "Error"
	ReasonOOM       = "OOMKilled"
	ReasonUnknown   = "ContainerStatusUnknown"
)

// exitOfKill is the exit code of a process that was killed with SIGKILL.
const exitOfKill = 128 + sigkill

func (r Examined) take(s *State, f *Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || c.Now.Exit == nil {
		return
	}
	exit := c.Now.Exit
	if exit.Lost != "" {
		s.conclude(c, f.Name, &Ending{ExitCode: exitOfKill, Reason: ReasonUnknown, Message: exit.Lost, FinishedAt: wall(at)})
		c.Backoff = Backoff{}
		s.warn(f.Name, ReasonUnknown, "The end of container %s was not seen: %s", f.Name, exit.Lost)
		return
	}
	// The shim's time is by the clock as it was then, which may have been set since.
	when, now := wall(exit.At), wall(at)
	if when.IsZero() || when.Before(c.StartedAt) || when.After(now) {
		when = now
	}
	s.noteKills(c, f.Name, r.Kills, when)
	end := &Ending{ExitCode: exit.Code, FinishedAt: when, Reason: ReasonError, Message: r.Message}
	spec := ContainerOf(s.Applied, f.Name)
	end.FromLog = spec != nil && r.Message == "" && exit.Code != 0 && spec.TerminationMessagePolicy == v1.TerminationMessageFallbackToLogsOnError
	switch {
	case exit.Code == 0:
		end.Reason = ReasonCompleted
	case exit.Code == exitOfKill && !c.Now.Killed && c.Now.Kills > 0 && when.Sub(c.Now.KilledAt) < killWindow:
		end.Reason = ReasonOOM
	}
	byItself := !c.Now.Replaced && !c.Now.Stopping
	s.conclude(c, f.Name, end)
	if byItself {
		s.tell(Report{Container: f.Name, Warning: end.Reason != ReasonCompleted, Reason: "Exited",
			Message: "Container " + f.Name + " ended: " + end.Reason + ", exit code " + itoa(end.ExitCode)})
	}
}

// conclude writes an ending down. What is left of the container is a leftover from now on.
func (s *State) conclude(c *Container, name string, e *Ending) {
	e.ID, e.StartedAt = c.ID, c.StartedAt
	s.Leftovers[c.ID] = &Leftover{
		Name: name, Attempt: c.Attempt, Drain: true, FromLog: e.FromLog, Terminal: c.Terminal, Stdin: c.Stdin, Step: s.Steps,
	}
	c.Running, c.Ended, c.Ready, c.Started = false, e, false, false
	c.Replaced = c.Now.Replaced
	c.OOMKills += c.Now.Kills
	c.ID, c.Pid = "", 0
	c.Now = Now{}
}

// noteKills makes a report of kills that were not known yet.
func (s *State) noteKills(c *Container, name string, kills uint64, at time.Time) {
	if kills <= c.Now.Kills {
		return
	}
	n := kills - c.Now.Kills
	c.Now.Kills, c.Now.KilledAt = kills, at
	s.warn(name, "OOMKilling", "the kernel killed %d process(es) of the container for memory; %d so far in this attempt", n, kills)
	s.Reports[len(s.Reports)-1].Count = int(n)
}

func (r KillsSeen) take(s *State, f *Flight, at time.Time) {
	if c := s.Containers[f.Name]; c != nil && c.ID == f.ID && c.Running {
		s.noteKills(c, f.Name, r.Kills, wall(at))
	}
}

func (r LeftoverGone) take(s *State, f *Flight, at time.Time) {
	l := s.Leftovers[f.ID]
	if l == nil {
		return
	}
	if r.Problem.failed() {
		if f.Cancelled.IsZero() {
			l.Retry = l.Retry.failedBriefly(at)
			if !l.Told {
				l.Told = true
				s.warn(s.containerOf(f), "FailedRemoveContainer", "cannot remove what is left of container %s: %s; it is tried again", f.Name, r.Problem.Message)
			}
		}
		return
	}
	delete(s.Leftovers, f.ID)
}

func (r LogComplete) take(s *State, f *Flight, at time.Time) {
	l := s.Leftovers[f.ID]
	if l == nil || !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.failed() {
		s.warn(s.containerOf(f), "LogIncomplete", "the last output of container %s may be missing from its log: %s", f.Name, r.Problem.Message)
	}
	l.Drain = false
	c := s.Containers[l.Name]
	if c == nil || !l.FromLog {
		return
	}
	text := func(e *Ending) *Ending {
		if e == nil || e.ID != f.ID || !e.FromLog {
			return e
		}
		next := *e
		next.Message, next.FromLog = r.Text, false
		return &next
	}
	c.Ended, c.Last = text(c.Ended), text(c.Last)
	l.FromLog, l.Step = false, s.Steps
}

func (e BackingOff) apply(s *State) {
	if c := s.Containers[e.Name]; c != nil {
		c.Now.BackoffTold = true
		s.warn(e.Name, "BackOff", "Back-off restarting failed container %s: it waits %s", e.Name, c.Backoff.Delay)
	}
}
