package plan

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// restarts says whether a container that ended is started again. As the kubelet (ShouldContainerBeRestarted): a rule for its
// exit code counts first, then the container's own policy, then the pod's. A sidecar always is; an init container that has
// succeeded never is.
func (d *Desired) restarts(c Container, s *Status) bool {
	if c.Sidecar || c.rule(s.ExitCode) != nil {
		return true
	}
	policy := v1.RestartPolicy(c.RestartPolicy)
	if policy == "" {
		policy = d.RestartPolicy
		if policy == v1.RestartPolicyAlways && d.isInit(c.Name) {
			policy = v1.RestartPolicyOnFailure
		}
	}
	switch policy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return s.ExitCode != 0
	default:
		return true
	}
}

func (d *Desired) isInit(name string) bool {
	return slices.ContainsFunc(d.InitContainers, func(c Container) bool { return c.Name == name })
}

// Restarts says whether the named container, as it has ended, will be started again.
func Restarts(d *Desired, o *Observed, name string) bool {
	for c := range d.all() {
		if s := o.Containers[name]; c.Name == name && s != nil {
			return s.ReplacedByEdit || s.Revision != c.Revision || d.restarts(c, s)
		}
	}
	return false
}
