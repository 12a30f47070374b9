package plan

import (
	"iter"
	"slices"
	"time"
)

// initialize drives the init containers; done says that the others may run. As the kubelet (kuberuntime,
// computeInitContainerActions): one after the other, each when the one before has succeeded or, a sidecar, has started. Once
// the pod is initialized only its sidecars are looked after, independently of each other.
func initialize(d *Desired, o *Observed, now time.Time) (out []Action, done bool) {
	for _, c := range d.InitContainers {
		s := o.Containers[c.Name]
		if !c.Sidecar {
			if o.Initialized || s.succeeded(c) {
				continue
			}
			return append(out, nextForContainer(d, o, c, now)...), false
		}
		out = append(out, nextForContainer(d, o, c, now)...)
		if !o.Initialized && (s == nil || !s.Running || !s.Started || s.Stopping) {
			return append(out, laterStops(d, o, c.Name, now)...), false
		}
	}
	return out, true
}

// laterStops goes on with the ends of those that come after a container, which may wait for these: the pod was ending, and has come back.
func laterStops(d *Desired, o *Observed, after string, now time.Time) (out []Action) {
	later := false
	for c := range d.all() {
		if s := o.Containers[c.Name]; later && s != nil && s.Running && s.Stopping {
			out = append(out, nextForRunning(d, o, c, now)...)
		}
		later = later || c.Name == after
	}
	return out
}

// succeeded: an init container that need not run again.
func (s *Status) succeeded(c Container) bool {
	return s != nil && !s.Running && s.Ended && s.ExitCode == 0 && !s.ReplacedByEdit && s.Revision == c.Revision
}

// restartsAll finds the container whose end makes all of the pod's begin anew, for its exit code or, where the pod wants that, because it
// was killed for memory; nil when there is none.
func restartsAll(d *Desired, o *Observed) *Status {
	for c := range d.all() {
		s := o.Containers[c.Name]
		if s == nil || s.Running || !s.Ended || s.ReplacedByEdit || s.Revision != c.Revision {
			continue
		}
		if rule := c.rule(s.ExitCode); rule != nil && rule.All {
			return s
		}
		if d.OOMRestartsPod && s.ForMemory && d.restarts(c, s) {
			return s
		}
	}
	return nil
}

// beginAnew stops everything, waits for the back-off of the container that asked for it, and lets all run again.
func beginAnew(d *Desired, o *Observed, trigger *Status, now time.Time) []Action {
	if o.running() {
		reason := "a restart rule asks for all containers"
		if trigger.ForMemory {
			reason = "another one of the pod was killed for memory, and the pod restarts as a whole"
		}
		return stopAll(o, d.Grace, reason, true, now)
	}
	if until, wait := trigger.Backoff.Until(trigger.FinishedAt); wait && until.After(now) {
		return []Action{WaitUntil{until}}
	}
	for name, s := range o.Containers {
		if s == trigger {
			return []Action{BeginAnew{name, s.Backoff.Next(s.FinishedAt, now)}}
		}
	}
	return nil
}

// all walks the containers in the order of their start.
func (d *Desired) all() iter.Seq[Container] {
	return func(yield func(Container) bool) {
		for _, list := range [][]Container{d.InitContainers, d.Containers} {
			for _, c := range list {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// rule is the restart rule that holds for an exit code, or nil.
func (c Container) rule(code int32) *RestartRule {
	for i, r := range c.Rules {
		if slices.Contains(r.Codes, code) != r.NotIn {
			return &c.Rules[i]
		}
	}
	return nil
}
