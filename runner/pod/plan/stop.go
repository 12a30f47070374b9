package plan

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// terminate stops all containers and, when none runs any more, tears the pod down. With a desired pod (its shared part
// was edited) the pod is set up anew afterwards.
func terminate(d *Desired, o *Observed, now time.Time) []Action {
	if !o.Anything {
		return nil
	}
	grace := o.Grace
	if d != nil {
		grace = d.Grace
	}
	if o.running() {
		return stopAll(o, grace, reasonTerminate(d, o), d != nil, now)
	}
	return []Action{TearDownPod{}}
}

// finish ends a pod that has succeeded or failed: its sidecars stop, and what it shares is let go.
func finish(d *Desired, o *Observed, now time.Time) []Action {
	if o.running() {
		grace := d.Grace
		if o.FailedGrace != nil {
			grace = min(grace, *o.FailedGrace)
		}
		return stopAll(o, grace, "the pod has ended", false, now)
	}
	if o.Discards && o.Anything {
		return []Action{DiscardPod{}}
	}
	if o.SetUp {
		return []Action{SuspendPod{}}
	}
	switch {
	case o.Revive.IsZero():
		return nil
	case o.Revive.After(now):
		return []Action{WaitUntil{o.Revive}}
	}
	return []Action{TearDownPod{}} // it is set up anew afterwards
}

// evicts says whether an eviction ends a pod, which does not end, or has not ended, by itself.
func evicts(d *Desired, o *Observed) bool {
	return d != nil && o.StopBy.IsZero() && outcome(d, o) == ""
}

// suspend stops all containers within the time that is left. What a pod with restartPolicy Never was doing is over, as in
// Kubernetes; the others begin anew when the machine comes back, whatever their exit codes are now. One that is gone from the manifests
// is torn down: after a drain by hand the machine may go on for long.
func suspend(d *Desired, o *Observed, now time.Time) []Action {
	if o.running() {
		left := max(o.StopBy.Sub(now), 0)
		grace, again := min(o.Grace, left), d != nil && d.RestartPolicy != v1.RestartPolicyNever
		return stopAll(o.until(o.StopBy), grace, "all pods are stopped, by a drain or because the machine goes down", again, now)
	}
	if d == nil && o.Anything {
		return []Action{TearDownPod{}}
	}
	if o.SetUp {
		return []Action{SuspendPod{}}
	}
	return nil
}

// until is o with every grace period over at the given time at the latest.
func (o *Observed) until(stopBy time.Time) *Observed {
	out := *o
	out.Containers = map[string]*Status{}
	for name, s := range o.Containers {
		capped := *s
		if s.Stopping && s.KillAt.After(stopBy) { // for another reason, with more time
			capped.KillAt = stopBy
		}
		out.Containers[name] = &capped
	}
	if out.EndBy.After(stopBy) {
		out.EndBy = stopBy
	}
	return &out
}

// running says whether any container runs.
func (o *Observed) running() bool {
	for _, s := range o.Containers {
		if s.Running {
			return true
		}
	}
	return false
}

// stopAll ends the pod's containers. All preStop hooks begin at once; of the stop signals those of sidecars come after all others',
// in the reverse order of their start, and when the grace period is over at the latest (kubelet, killContainer and
// terminationOrdering).
func stopAll(o *Observed, grace time.Duration, reason string, replace bool, now time.Time) []Action {
	if !o.EndBy.IsZero() { // what was only just being started when the pod's end began
		grace = min(grace, max(o.EndBy.Sub(now), state.MinimumGrace))
	}
	ending := *o
	ending.Ends = true
	var out []Action
	for name, s := range sorted(o.Containers) {
		if s.Running {
			out = append(out, ending.stop(name, s, grace, reason, replace, now)...)
		}
	}
	for i, a := range out {
		if s, ok := a.(StopContainer); ok {
			s.EndsPod, s.Awaits = true, slices.Contains(o.Sidecars, s.Name)
			out[i] = s
		}
	}
	return earliestWait(out)
}

// turn says whether all have ended that end before a container that waits for that: everything but sidecars, and the sidecars
// that come after it. When the pod has come back meanwhile, what was started since, or goes on, does not count.
func (o *Observed) turn(name string) bool {
	place := slices.Index(o.Sidecars, name)
	if place < 0 {
		return true // an edit has made it another kind of container
	}
	if o.Starting && o.Ends {
		return false
	}
	for other, s := range o.Containers {
		if at := slices.Index(o.Sidecars, other); s.Running && (s.Stopping || o.Ends) && (at < 0 || at > place) {
			return false
		}
	}
	return true
}

func reasonTerminate(d *Desired, o *Observed) string {
	switch {
	case d == nil:
		return "the pod's manifest is gone"
	case o.SharedRevision == "":
		return "the pod's record is lost, and it begins anew"
	}
	return "the pod's manifest changed in a part that all its containers share"
}

// stop asks a running container to end, and kills it when its time is up.
func (o *Observed) stop(name string, s *Status, grace time.Duration, reason string, replace bool, now time.Time) []Action {
	switch {
	case !s.Stopping:
		return []Action{StopContainer{Name: name, Grace: grace, Reason: reason, Replace: replace}}
	case s.Killed:
		return nil // the kernel will deliver it
	case s.Awaits && o.turn(name):
		return []Action{TakeTurn{name}}
	case s.KillAt.After(now):
		return []Action{WaitUntil{s.KillAt}}
	case s.Hook:
		return []Action{AbandonHook{name}}
	case s.Awaits:
		return []Action{TakeTurn{name}}
	default:
		return []Action{KillContainer{name}}
	}
}
