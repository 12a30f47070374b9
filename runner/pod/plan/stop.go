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
		return stopAll(o, d.Grace, "the pod has ended", false, now)
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

// stopAll ends the pod's containers. Sidecars go after all others, in the reverse order of their start, within what is left
// of the pod's grace period (kubelet, kuberuntime, terminationOrdering).
func stopAll(o *Observed, grace time.Duration, reason string, replace bool, now time.Time) []Action {
	var out []Action
	for name, s := range sorted(o.Containers) {
		if s.Running && (s.Stopping || !slices.Contains(o.Sidecars, name)) {
			out = append(out, stop(name, s, grace, reason, replace, now)...)
		}
	}
	if len(out) == 0 && !o.anyEnding() && !o.Starting {
		for _, name := range slices.Backward(o.Sidecars) {
			if s := o.Containers[name]; s != nil && s.Running {
				if !o.EndBy.IsZero() {
					grace = min(grace, max(o.EndBy.Sub(now), state.MinimumGrace))
				}
				out = stop(name, s, grace, reason, replace, now)
				break
			}
		}
	}
	for i, a := range out {
		if s, ok := a.(StopContainer); ok {
			s.EndsPod = true
			out[i] = s
		}
	}
	return earliestWait(out)
}

// anyEnding: a container was killed and its end has not been seen yet.
func (o *Observed) anyEnding() bool {
	for _, s := range o.Containers {
		if s.Running && s.Stopping {
			return true
		}
	}
	return false
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
func stop(name string, s *Status, grace time.Duration, reason string, replace bool, now time.Time) []Action {
	switch {
	case !s.Stopping:
		return []Action{StopContainer{Name: name, Grace: grace, Reason: reason, Replace: replace}}
	case s.Killed:
		return nil // the kernel will deliver it
	case s.KillAt.After(now):
		return []Action{WaitUntil{s.KillAt}}
	case s.Hook:
		return []Action{AbandonHook{name}}
	default:
		return []Action{KillContainer{name}}
	}
}
