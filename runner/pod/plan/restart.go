package plan

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// restarts says whether a container that ended is started again. As the kubelet (ShouldContainerBeRestarted): a rule for its
// exit code counts first, then the container's own policy, then the pod's. A sidecar always is; an init container that has
// succeeded never is. One that was ended for a probe or its hook is, whatever its exit code, unless the policy is Never: many
// programs end with 0 on a signal (kuberuntime, computePodActions).
func (d *Desired) restarts(c Container, s *Status) bool {
	if c.Sidecar || c.rule(s.ExitCode) != nil {
		return true
	}
	switch d.policy(c) {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return s.ExitCode != 0 || s.Unhealthy != ""
	default:
		return true
	}
}

// policy is what holds for a container that is no sidecar.
func (d *Desired) policy(c Container) v1.RestartPolicy {
	switch {
	case c.RestartPolicy != "":
		return v1.RestartPolicy(c.RestartPolicy)
	case d.RestartPolicy == v1.RestartPolicyAlways && d.isInit(c.Name):
		return v1.RestartPolicyOnFailure
	}
	return d.RestartPolicy
}

// onFailure: a container that ends with 0 has succeeded, unless something else is known of its end.
func (d *Desired) onFailure(c Container) bool {
	return !c.Sidecar && d.policy(c) == v1.RestartPolicyOnFailure
}

func (d *Desired) isInit(name string) bool {
	return slices.ContainsFunc(d.InitContainers, func(c Container) bool { return c.Name == name })
}

// willRestart says whether the named container, as it has ended, will be started again.
func willRestart(d *Desired, o *Observed, name string) bool {
	for c := range d.all() {
		if s := o.Containers[name]; c.Name == name && s != nil {
			return s.ReplacedByEdit || s.Revision != c.Revision || d.restarts(c, s)
		}
	}
	return false
}

// BacksOff says until when the restart of a container that has ended waits, if it does.
func BacksOff(d *Desired, o *Observed, name string, c *state.Container) (until time.Time, waits bool) {
	if outcome(d, o) != "" || c.Running || c.Ended == nil || c.Replaced || !willRestart(d, o, name) {
		return time.Time{}, false
	}
	return c.Backoff.Until(c.Ended.FinishedAt)
}
