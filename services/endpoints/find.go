package endpoints

import (
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/solopod/solopod/runner/served"
)

// found is an endpoint of a service.
type found struct {
	pod      *Pod // nil for one that a manifest names
	hostname string
	addrs    []netip.Addr // of the service's families
	ports    []uint16     // for each of the service's ports; zero where the endpoint has none
	state    state
	outside  map[netip.Addr]bool
}

// find lists the endpoints of a service, whatever their state, those of pods first.
func (l *lookup) find(s *v1.Service, key string, families []v1.IPFamily) (out []found) {
	for _, p := range l.byNamespace[s.Namespace] {
		if !Matches(s, p.Pod) || p.Ended || len(p.Addrs) == 0 {
			continue
		}
		f := found{pod: p, hostname: hostname(s, p.Pod), addrs: of(families, p.Addrs), state: stateOf(s, p)}
		if len(f.addrs) == 0 {
			continue
		}
		f.ports = make([]uint16, len(s.Spec.Ports))
		for i := range s.Spec.Ports {
			f.ports[i] = portOf(&s.Spec.Ports[i], p.Pod)
		}
		out = append(out, f)
	}
	for _, slice := range l.slices[key] {
		if len(s.Spec.Selector) > 0 && Mirrored(slice) {
			continue // as in a cluster: Endpoints of a service with a selector are the controller's
		}
		out = append(out, l.ofSlice(s, slice, families)...)
	}
	return out
}

// Mirrored says whether a slice stands for Endpoints.
func Mirrored(s *discoveryv1.EndpointSlice) bool {
	return s.Labels[discoveryv1.LabelManagedBy] == ManagedByMirror
}

// ManagedByMirror is the label of slices that stand for Endpoints, as a cluster's controller gives it.
const ManagedByMirror = "endpointslicemirroring-controller.k8s.io"

// ofSlice are the endpoints of a slice that a manifest has.
func (l *lookup) ofSlice(s *v1.Service, slice *discoveryv1.EndpointSlice, families []v1.IPFamily) (out []found) {
	ports := make([]uint16, len(s.Spec.Ports))
	for i := range s.Spec.Ports {
		ports[i] = slicePort(&s.Spec.Ports[i], slice)
	}
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		f := found{ports: ports, state: ofConditions(&e.Conditions)}
		if e.Hostname != nil {
			f.hostname = *e.Hostname
		}
		var addrs []netip.Addr
		for _, text := range e.Addresses {
			ip, err := netip.ParseAddr(text)
			if err != nil { // a name, which nobody looks up
				continue
			}
			ip = ip.Unmap()
			addrs = append(addrs, ip)
			if !l.ofPods[ip] && !l.Own(ip) {
				if f.outside == nil {
					f.outside = map[netip.Addr]bool{}
				}
				f.outside[ip] = true
			}
		}
		if f.addrs = of(families, addrs); len(f.addrs) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// slicePort is the port of a slice that has the name and the protocol of a service's; zero where it has none.
func slicePort(p *v1.ServicePort, slice *discoveryv1.EndpointSlice) uint16 {
	for i := range slice.Ports {
		of := &slice.Ports[i]
		name, proto := "", v1.ProtocolTCP
		if of.Name != nil {
			name = *of.Name
		}
		if of.Protocol != nil {
			proto = *of.Protocol
		}
		if name == p.Name && proto == protocol(p.Protocol) && of.Port != nil {
			return uint16(*of.Port)
		}
	}
	return 0
}

// ofConditions reads the conditions of an endpoint: what is not said is as if it were ready (discovery/v1, EndpointConditions).
func ofConditions(c *discoveryv1.EndpointConditions) state {
	said := func(b *bool, otherwise bool) bool {
		if b == nil {
			return otherwise
		}
		return *b
	}
	isReady := said(c.Ready, true)
	switch {
	case isReady:
		return ready
	case said(c.Serving, isReady) && said(c.Terminating, false):
		return serving
	}
	return away
}

// endpoint is what names know of it.
func (f *found) endpoint(s *v1.Service) served.Endpoint {
	e := served.Endpoint{Hostname: f.hostname, Addrs: slices.Clone(f.addrs)}
	for i := range s.Spec.Ports {
		if f.ports[i] != 0 {
			p := &s.Spec.Ports[i]
			e.Ports = append(e.Ports, served.Port{Name: p.Name, Protocol: protocol(p.Protocol), Port: f.ports[i]})
		}
	}
	return e
}
