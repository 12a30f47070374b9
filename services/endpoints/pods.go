// Package endpoints finds where the connections of Services go: to which pods and addresses, on which ports. It is pure.
package endpoints

import (
	"fmt"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/services/allocate"
)

// Pod is what counts of a pod.
type Pod struct {
	*v1.Pod
	Addrs []netip.Addr
	// Ready is the pod's condition. Terminating: it was told to go. Ended: none of its containers runs any more, or will again.
	Ready, Terminating, Ended bool
}

// Look finds out what counts of a pod.
func Look(pod *v1.Pod) Pod {
	p := Pod{
		Pod: pod, Terminating: pod.DeletionTimestamp != nil,
		Ended: pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed,
	}
	if c := condition(pod, v1.PodReady); c != nil {
		p.Ready = c.Status == v1.ConditionTrue
	}
	for _, ip := range pod.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil {
			p.Addrs = append(p.Addrs, addr.Unmap())
		}
	}
	return p
}

func condition(pod *v1.Pod, kind v1.PodConditionType) *v1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

// Matches says whether a service selects a pod.
func Matches(s *v1.Service, pod *v1.Pod) bool {
	if len(s.Spec.Selector) == 0 || s.Namespace != pod.Namespace {
		return false
	}
	for k, v := range s.Spec.Selector {
		if has, ok := pod.Labels[k]; !ok || has != v {
			return false
		}
	}
	return true
}

// state is that of an endpoint.
type state int

const (
	away    state = iota // nothing goes to it
	serving              // connections go to it while no other endpoint is ready: it terminates, and still serves (KEP-1669)
	ready
)

// stateOf is a pod's as an endpoint, as the EndpointSlice controller has it.
func stateOf(s *v1.Service, p *Pod) state {
	switch {
	case p.Ended || len(p.Addrs) == 0:
		return away
	case s.Spec.PublishNotReadyAddresses:
		return ready
	case !p.Ready:
		return away
	case p.Terminating:
		return serving
	}
	return ready
}

// portOf is the port of a pod that a port of a service leads to; zero where the pod has none of that name.
func portOf(p *v1.ServicePort, pod *v1.Pod) uint16 {
	if p.TargetPort.Type == intstr.Int {
		if p.TargetPort.IntVal == 0 {
			return uint16(p.Port)
		}
		return uint16(p.TargetPort.IntVal)
	}
	find := func(c *v1.Container) uint16 {
		for i := range c.Ports {
			if of := &c.Ports[i]; of.Name == p.TargetPort.StrVal && protocol(of.Protocol) == protocol(p.Protocol) {
				return uint16(of.ContainerPort)
			}
		}
		return 0
	}
	for i := range pod.Spec.Containers {
		if n := find(&pod.Spec.Containers[i]); n != 0 {
			return n
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; manifests.IsSidecar(c) {
			if n := find(c); n != 0 {
				return n
			}
		}
	}
	return 0
}

func protocol(p v1.Protocol) v1.Protocol {
	if p == "" {
		return v1.ProtocolTCP
	}
	return p
}

// hostname is the name of a pod below that of a service; empty where it has none there.
func hostname(s *v1.Service, pod *v1.Pod) string {
	if pod.Spec.Hostname == "" || pod.Spec.Subdomain != s.Name || pod.Namespace != s.Namespace {
		return ""
	}
	return pod.Spec.Hostname
}

// of keeps the addresses of the families.
func of(families []v1.IPFamily, addrs []netip.Addr) (out []netip.Addr) {
	for _, f := range families {
		for _, ip := range addrs {
			if allocate.FamilyOf(ip) == f {
				out = append(out, ip)
			}
		}
	}
	return out
}

// Why says why connections of a service do not go to a pod that it selects; empty when they do. other: another endpoint is ready.
func Why(s *v1.Service, families []v1.IPFamily, p *Pod, other bool) string {
	switch {
	case p.Ended:
		return fmt.Sprintf("it has ended (%s)", p.Status.Phase)
	case len(p.Addrs) == 0:
		return "it has no address yet"
	case len(of(families, p.Addrs)) == 0:
		return fmt.Sprintf("it has no address of %s", families)
	case stateOf(s, p) == away && p.Terminating:
		return "it terminates"
	case stateOf(s, p) == away:
		if c := condition(p.Pod, v1.PodReady); c != nil && c.Message != "" {
			return "it is not ready: " + c.Message
		}
		return "it is not ready"
	case stateOf(s, p) == serving && other:
		return "it terminates, and others are ready"
	}
	for i := range s.Spec.Ports {
		port := &s.Spec.Ports[i]
		if portOf(port, p.Pod) == 0 {
			return fmt.Sprintf("none of its containers has a port %q of %s (targetPort)", port.TargetPort.StrVal, protocol(port.Protocol))
		}
	}
	return ""
}
