package step

import (
	"slices"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

func applyHostChanged(s *next, e state.HostChanged) {
	s.Host.IPs, s.Host.Resolver = e.IPs, e.Resolver
	s.followHost()
	s.Shown = s.WantedContent()
	if len(e.IPs) == 0 {
		return
	}
	for _, c := range s.Containers {
		if c.Now.WaitingMessage == state.NoAddress {
			c.Hinder("", "")
		}
	}
}

// followHost: a pod with the host's network has the machine's addresses, for as long as the machine has any.
func (s *next) followHost() {
	if s.Network == nil || s.Applied == nil || !s.Applied.Spec.HostNetwork || len(s.Host.IPs) == 0 || slices.Equal(s.Network.IPs, s.Host.IPs) {
		return
	}
	moved := *s.Network
	moved.IPs = s.Host.IPs
	s.Network = &moved
}

// applyAddressAwaited: the environment of a process cannot be changed later.
func applyAddressAwaited(s *next, e state.AddressAwaited) {
	c := s.Containers[e.Name]
	if c == nil {
		c = &state.Container{}
		s.Containers[e.Name] = c
	}
	c.Hinder(state.ReasonNoAddress, state.NoAddress)
	s.warn(e.Name, "HostIPUnknown", "container %s waits: %s", e.Name, state.NoAddress)
}

func takeResolverShown(s *next, r state.ResolverShown, f *state.Flight, at time.Time) {
	if !f.Cancelled.IsZero() {
		return
	}
	if r.Problem.Failed() {
		s.Pauses[state.ThingResolver] = s.Pauses[state.ThingResolver].Failed(at)
		s.warn("", "FailedResolvConf", "the pod keeps its old resolv.conf: %s", r.Problem.Message)
		return
	}
	s.Resolver = r.Resolver
}
