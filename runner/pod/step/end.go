package step

import (
	"fmt"
	"math"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/kills"
	"github.com/solopod/solopod/runner/pod/state"
)

func applyStopBegun(s *next, e state.StopBegun) {
	c := s.Containers[e.Name]
	if c == nil || !c.Running || c.Now.Stopping {
		return
	}
	c.Now.Stopping, c.Replacing = true, e.Replace
	c.Now.KillAt = e.At.Add(e.Grace)
	c.Now.PreStop, c.Now.Awaits = c.PreStop != nil && e.Grace > 0, e.Awaits
	c.Now.Signals, c.Now.Signalled = state.Backoff{}, 0
	c.Ready = c.Ready && c.EndsReady(&s.State)
	if e.EndsPod && s.EndBy.IsZero() {
		s.EndBy = c.Now.KillAt
	}
	s.normal(e.Name, "Killing", "Stopping container %s: %s", e.Name, e.Reason)
}

func applyTurnCome(s *next, e state.TurnCome) {
	if c := s.Containers[e.Name]; c != nil && c.Now.Awaits {
		c.TurnOver(e.At)
	}
}

func applyHookOver(s *next, e state.HookOver) {
	if c := s.Containers[e.Name]; c != nil && c.Now.PreStop {
		s.warn(e.Name, "FailedPreStopHook", "PreStopHook did not end within the grace period and is abandoned")
		c.Now.Awaits = false // its time is over, too
		c.PreStopOver(e.At)
	}
}

func applyKillBegun(s *next, e state.KillBegun) {
	c := s.Containers[e.Name]
	if c == nil || !c.Running || c.Now.Killed {
		return
	}
	c.Now.Killed, c.Now.Signals = true, state.Backoff{}
	s.warn(e.Name, "Killing", "Container %s did not end within its grace period and is killed", e.Name)
}

func takeHookEnded(s *next, r state.HookEnded, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || c.Now.Exit != nil || c.Now.Stopping != r.PreStop || !f.Cancelled.IsZero() {
		return // it ended meanwhile, or its stop has begun
	}
	if r.FellBack != "" { // the event's reason is the kubelet's
		s.warn(f.Name, "LifecycleHTTPFallback", "%s", r.FellBack)
	}
	if r.PreStop {
		if r.Failure != "" {
			s.warn(f.Name, "FailedPreStopHook", "PreStopHook failed: %s", r.Failure)
		}
		if c.Now.PreStop {
			c.PreStopOver(at)
		}
		return
	}
	if r.Failure != "" {
		s.warn(f.Name, "FailedPostStartHook", "PostStartHook failed: %s", r.Failure)
		judge(s, c, state.Verdict{Reason: "its postStart hook failed", At: wall(at)})
		return
	}
	c.Hooked = true
	s.advance(c, manifests.ContainerOf(s.Applied, f.Name))
}

func takeSignalSent(s *next, r state.SignalSent, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || !f.Cancelled.IsZero() {
		return
	}
	switch {
	case r.Found != nil:
		s.compare(c, r.Found, at, "containerd no longer knows its process")
		if c.Now.Exit == nil { // nobody can say whether it lives
			c.Now.Signals = c.Now.Signals.FailedBriefly(at)
		}
	case r.Problem.Failed():
		c.Now.Signals = c.Now.Signals.FailedBriefly(at)
		if c.Now.Signals.Failures == 1 {
			s.warn(f.Name, "FailedKillContainer", "cannot signal container %s: %s; it is tried again", f.Name, r.Problem.Message)
		}
	default:
		c.Now.Signalled = r.Signal
		if r.Signal == state.SIGKILL { // what it does not end is told again: a signal may be lost with its shim
			c.Now.Signals = c.Now.Signals.FailedBriefly(at)
		} else {
			c.Now.Signals = state.Backoff{}
		}
	}
}

func applyExited(s *next, e state.Exited) {
	exit := &state.Exit{Code: e.Code, At: e.When}
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

func takeExamined(s *next, r state.Examined, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running || c.Now.Exit == nil {
		return
	}
	exit := c.Now.Exit
	if exit.Lost != "" {
		s.conclude(c, f.Name, &state.Ending{ExitCode: state.ExitOfKill, Reason: state.ReasonUnknown, Message: exit.Lost, FinishedAt: wall(at)})
		c.Backoff = state.Backoff{}
		s.warn(f.Name, state.ReasonUnknown, "The end of container %s was not seen: %s", f.Name, exit.Lost)
		return
	}
	// The shim's time is by the clock as it was then, which may have been set since.
	when, now := wall(exit.At), wall(at)
	if when.IsZero() || when.Before(c.StartedAt) || when.After(now) {
		when = now
	}
	known := c.Now.Kills
	noteKills(s, c, f.Name, r.Kills, when)
	if c.Verdict != nil && when.Before(c.Verdict.At) && c.Now.Signalled == 0 {
		c.Verdict = nil // it had ended by itself, and what was asked of it then could but fail
	}
	end := &state.Ending{ExitCode: exit.Code, FinishedAt: when, Reason: state.ReasonError, Message: r.Message}
	spec := manifests.ContainerOf(s.Applied, f.Name)
	end.FromLog = spec != nil && r.Message == "" && exit.Code != 0 && spec.TerminationMessagePolicy == v1.TerminationMessageFallbackToLogsOnError
	switch {
	case exit.Code == 0:
		end.Reason = state.ReasonCompleted
	case exit.Code == state.ExitOfKill && !c.Now.Killed && c.Now.Kills > 0 && when.Sub(c.Now.KilledAt) < kills.Window:
		end.Reason = state.ReasonOOM
		if e := c.Now.Explained; kills.Explains(e, when) {
			end.Explained = e.Text
		}
	}
	byItself := !c.Replacing && !c.Now.Stopping
	counts := kills.OfEnd(c, r.Group, known, end)
	s.conclude(c, f.Name, end)
	killedForMemory(s, f.Name, counts, when, at)
	if byItself {
		s.tell(state.Report{Container: f.Name, Warning: end.Reason != state.ReasonCompleted, Reason: "Exited",
			Message: "Container " + f.Name + " ended: " + end.Reason + ", exit code " + fmt.Sprint(end.ExitCode)})
	}
}

// conclude writes an ending down. What is left of the container is a leftover from now on.
func (s *next) conclude(c *state.Container, name string, e *state.Ending) {
	e.ID, e.StartedAt = c.ID, c.StartedAt
	s.Leftovers[c.ID] = &state.Leftover{
		Name: name, Attempt: c.Attempt, Drain: true, FromLog: e.FromLog, Terminal: c.Terminal, Stdin: c.Stdin, Step: s.Steps,
	}
	c.Running, c.Ended, c.Ready, c.Started = false, e, false, false
	c.Replaced, c.Replacing = c.Replacing, false
	c.OOMKills += c.Now.Kills
	c.ID, c.Pid, c.Kills = "", 0, 0
	c.Now = state.Now{}
}

// noteKills makes a report of kills that were not known yet.
func noteKills(s *next, c *state.Container, name string, now uint64, at time.Time) {
	if now > c.Now.Kills {
		c.Now.Kills, c.Now.KilledAt = now, at
		c.Kills = state.NotedKills(now)
		tellKills(s, c, name)
	}
}

// tellKills reports how many kills there were by now, over all attempts: each report says all of it, as nobody knows after a crash of Solopod
// which were told. The words are always the same, so that the event of one container is counted.
func tellKills(s *next, c *state.Container, name string) {
	s.warn(name, state.OOMKilling, "The kernel killed a process of container %s for memory; solopod get ooms says which one, and why", name)
	s.Reports[len(s.Reports)-1].Count = int(min(c.OOMKills+c.Now.Kills, math.MaxInt32)) //nolint:gosec // it fits
}

func takeKillsSeen(s *next, r state.KillsSeen, f *state.Flight, at time.Time) {
	c := s.Containers[f.Name]
	if c == nil || c.ID != f.ID || !c.Running {
		return
	}
	known := c.Now.Kills
	noteKills(s, c, f.Name, r.Kills, wall(at))
	if kills.CountsEach(c, r.Group) {
		killedForMemory(s, f.Name, c.Now.Kills-known, wall(at), at)
	}
}

func takeLeftoverGone(s *next, r state.LeftoverGone, f *state.Flight, at time.Time) {
	l := s.Leftovers[f.ID]
	if l == nil {
		return
	}
	if r.Problem.Failed() {
		if f.Cancelled.IsZero() {
			l.Retry = l.Retry.FailedBriefly(at)
			if !l.Told {
				l.Told = true
				s.warn(s.containerOf(f), "FailedRemoveContainer", "cannot remove what is left of container %s: %s; it is tried again", f.Name, r.Problem.Message)
			}
		}
		return
	}
	delete(s.Leftovers, f.ID)
}

func takeLogComplete(s *next, r state.LogComplete, f *state.Flight, _ time.Time) {
	l := s.Leftovers[f.ID]
	if l == nil || !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.Failed() {
		s.warn(s.containerOf(f), "LogIncomplete", "the last output of container %s may be missing from its log: %s", f.Name, r.Problem.Message)
	}
	l.Drain = false
	c := s.Containers[l.Name]
	if c == nil || !l.FromLog {
		return
	}
	text := func(e *state.Ending) *state.Ending {
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

func applyBackingOff(s *next, e state.BackingOff) {
	if c := s.Containers[e.Name]; c != nil {
		c.Now.BackoffTold = true
		s.warn(e.Name, "BackOff", "Back-off restarting failed container %s: it waits %s", e.Name, c.Backoff.Delay)
	}
}
