package state

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/runner/pod/signals"
)

// StopSignalOf is the signal that the manifest names; empty when it names none.
func StopSignalOf(c *v1.Container) string {
	if l := c.Lifecycle; l != nil && l.StopSignal != nil {
		return string(*l.StopSignal)
	}
	return ""
}

// StopSignal is what ends a container: the manifest's signal before the image's.
func StopSignal(c *v1.Container, image string) int {
	if named := StopSignalOf(c); named != "" {
		return signals.Number(named)
	}
	return signals.Number(image)
}

// HasPostStart says whether a container has a postStart hook.
func HasPostStart(c *v1.Container) bool { return c.Lifecycle != nil && c.Lifecycle.PostStart != nil }

// PreStopOf is the hook as it is kept for the container's end: the manifest may have changed until then, so names of ports
// are resolved now.
func PreStopOf(c *v1.Container) *v1.LifecycleHandler {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return nil
	}
	h := c.Lifecycle.PreStop.DeepCopy()
	resolve := func(p *intstr.IntOrString) {
		if p.Type != intstr.String {
			return
		}
		for _, named := range c.Ports {
			if named.Name == p.StrVal && p.StrVal != "" {
				*p = intstr.FromInt32(named.ContainerPort)
			}
		}
	}
	if h.HTTPGet != nil {
		resolve(&h.HTTPGet.Port)
	}
	if h.TCPSocket != nil {
		resolve(&h.TCPSocket.Port)
	}
	return h
}
