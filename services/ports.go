package services

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/services/allocate"
	"github.com/solopod/solopod/services/endpoints"
)

// ports knows who has ports of the machine that services want.
type ports struct {
	machine   Machine
	listening map[listener.Port]*listener.Taken
	recheck   time.Time // when it is looked again
}

// recheckAfter is when it is looked again whether a port that somebody else had is free: nothing tells.
const recheckAfter = 30 * time.Second

// portsOfPods are the ports of the machine that pods have.
func portsOfPods(pods []endpoints.Pod) map[listener.Port]string {
	out := map[listener.Port]string{}
	for i := range pods {
		if pods[i].Ended {
			continue
		}
		for _, container := range manifests.AllContainers(pods[i].Pod) {
			for _, p := range container.Ports {
				if p.HostPort != 0 {
					out[listener.Port{Number: uint16(p.HostPort), Protocol: string(p.Protocol)}] = manifests.Key(pods[i].Pod)
				}
			}
		}
	}
	return out
}

// portOf is a port of the machine's with the protocol of a service's, on all addresses.
func portOf(number uint16, p *v1.ServicePort) listener.Port {
	return listener.Port{Number: number, Protocol: string(p.Protocol)}
}

// onNode are the ports that services want of the machine: node ports, and those of load balancers and external addresses.
func (v *view) onNode() (out []listener.Port) {
	for key, s := range v.services {
		for i := range s.Spec.Ports {
			p := &s.Spec.Ports[i]
			if n := v.decided[key].NodePorts[allocate.PortKey(p)]; n != 0 {
				out = append(out, portOf(n, p))
			}
			if endpoints.OnNode(s) {
				out = append(out, portOf(uint16(p.Port), p))
			}
			for _, ip := range endpoints.NamedAddresses(s) {
				if v.own(ip) {
					at := portOf(uint16(p.Port), p)
					at.Addr = ip
					out = append(out, at)
				}
			}
		}
	}
	return out
}

// listen looks who listens on the ports that services want of the machine.
func (p *ports) listen(ctx context.Context, v *view, own []netip.Addr) {
	p.recheck = time.Time{}
	wanted := v.onNode()
	if len(wanted) == 0 {
		p.listening = nil
		return
	}
	found, err := p.machine.Listening(ctx, wanted, own)
	if err != nil {
		slog.Warn("ports of Services may be such as programs of the machine listen on", "err", err)
		return
	}
	p.listening = found
	if len(found) > 0 {
		p.recheck = time.Now().Add(recheckAfter)
	}
}

// show keeps services from ports of the machine that others have: programs, host ports of pods, and other services.
func (c *Controller) show(pods []endpoints.Pod) {
	v := c.shown()
	h := holders{pods: portsOfPods(pods), programs: c.ports.listening, services: map[listener.Port]string{}}
	h.address = sync.OnceValue(func() func(string, netip.Addr) string { return c.addressHeld(pods, v) })
	keys := slices.Sorted(maps.Keys(v.services))
	for _, key := range keys {
		for i := range v.services[key].Spec.Ports {
			p := &v.services[key].Spec.Ports[i]
			if n := v.decided[key].NodePorts[allocate.PortKey(p)]; n != 0 {
				h.services[portOf(n, p)] = key
			}
		}
	}
	changed := false
	out := make(map[string]endpoints.Decided, len(v.decided))
	for _, key := range keys {
		had := v.decided[key]
		d := h.keepOff(key, v.services[key], had.Given, v.own)
		out[key] = d
		changed = changed || !maps.Equal(d.NoNodePort, had.NoNodePort) || !maps.Equal(d.NotOnNode, had.NotOnNode) || !slices.Equal(d.ExternalIPs, had.ExternalIPs)
	}
	c.teller.announce(&c.teller.ports, h.notes)
	if changed {
		c.setView(&view{objects: v.objects, decided: out, own: v.own})
	}
}

// holders are those who have ports of the machine.
type holders struct {
	pods     map[listener.Port]string
	programs map[listener.Port]*listener.Taken
	services map[listener.Port]string
	// address says who else has an address that a service names beside its own; few do, and it is made for the first one.
	address func() func(key string, ip netip.Addr) string
	notes   []allocate.Note
}

// who says who has a port that a service wants; empty when it has it itself.
func (h *holders) who(key string, p listener.Port) string {
	all := p
	all.Addr = netip.Addr{}
	if pod := h.pods[all]; pod != "" {
		return "it is a host port of pod " + pod
	}
	if found := h.programs[p]; found != nil {
		return found.Error()
	}
	if other := h.services[p]; other != "" && other != key {
		return "it belongs to service " + other
	}
	h.services[p] = key
	return ""
}

// keepOff decides on which ports of the machine a service is answered.
func (h *holders) keepOff(key string, s *v1.Service, given allocate.Given, own func(netip.Addr) bool) endpoints.Decided {
	d := endpoints.Decided{Given: given}
	note := func(format string, args ...any) {
		h.notes = append(h.notes, allocate.Note{Namespace: s.Namespace, Name: s.Name, Reason: allocate.PortTaken, Message: fmt.Sprintf(format, args...)})
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		pk := allocate.PortKey(p)
		if n := given.NodePorts[pk]; n != 0 {
			if by := h.who(key, portOf(n, p)); by != "" {
				d.NoNodePort = with(d.NoNodePort, pk)
				note("node port %d/%s is not served: %s", n, p.Protocol, by)
			}
		}
		if endpoints.OnNode(s) {
			if by := h.who(key, portOf(uint16(p.Port), p)); by != "" {
				d.NotOnNode = with(d.NotOnNode, pk)
				note("port %d/%s is not served on the machine's addresses: %s", p.Port, p.Protocol, by)
			}
		}
	}
	for _, ip := range endpoints.NamedAddresses(s) {
		if by := h.address()(key, ip); by != "" {
			h.notes = append(h.notes, allocate.Note{Namespace: s.Namespace, Name: s.Name, Reason: allocate.AddressTaken,
				Message: fmt.Sprintf("the service is not answered on %s, which is %s; name another address", ip, by)})
			continue
		}
		if by := h.at(key, s, ip, own(ip)); by != "" {
			note("the service is not answered on %s, where a port of it is taken: %s", ip, by)
			continue
		}
		d.ExternalIPs = append(d.ExternalIPs, ip)
	}
	return d
}

// at says who has a port of a service at an address. Of an address that is not the machine's only other services can.
func (h *holders) at(key string, s *v1.Service, ip netip.Addr, own bool) string {
	for i := range s.Spec.Ports {
		p := portOf(uint16(s.Spec.Ports[i].Port), &s.Spec.Ports[i])
		p.Addr = ip
		if other := h.services[p]; !own && other != "" && other != key {
			return "it belongs to service " + other
		}
		if !own {
			h.services[p] = key
		} else if by := h.who(key, p); by != "" {
			return by
		}
	}
	return ""
}

func with(m map[string]bool, key string) map[string]bool {
	if m == nil {
		m = map[string]bool{}
	}
	m[key] = true
	return m
}
