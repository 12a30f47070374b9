package allocate

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// HasNodePorts says whether ports of a service get ports of the machine.
func HasNodePorts(s *v1.Service) bool {
	switch s.Spec.Type {
	case v1.ServiceTypeNodePort:
		return true
	case v1.ServiceTypeLoadBalancer:
		return s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts
	}
	return false
}

// wish is one for a node port.
type wish struct {
	key  string
	port *v1.ServicePort
	want uint16 // zero: any
}

// wishes are those for node ports: what is on record, what manifests name, and what follows from names.
func (a *allocation) wishes() (kept, named, derived []wish) {
	for _, key := range a.keys {
		s := a.services[key]
		every := HasNodePorts(s)
		for i := range s.Spec.Ports {
			p := &s.Spec.Ports[i]
			w := wish{key, p, uint16(p.NodePort)}
			had := a.had[key].NodePorts[PortKey(p)]
			switch names := p.NodePort != 0 && (every || s.Spec.Type == v1.ServiceTypeLoadBalancer); {
			case names && w.want == had:
				kept = append(kept, w)
			case names:
				named = append(named, w)
			case !every:
			case had != 0 && a.terms.NodePorts.Contains(had):
				w.want = had
				kept = append(kept, w)
			default:
				derived = append(derived, w)
			}
		}
	}
	return kept, named, derived
}

// nodePorts gives node ports out, in the order of addresses.
func (a *allocation) nodePorts() {
	kept, named, derived := a.wishes()
	owner := map[string]string{}
	give := func(w wish, port uint16) {
		owner[portOf(port, w.port)] = w.key
		g := a.given[w.key]
		if g.NodePorts == nil {
			g.NodePorts = map[string]uint16{}
		}
		g.NodePorts[PortKey(w.port)] = port
	}
	for _, w := range slices.Concat(kept, named) {
		switch other, taken := owner[portOf(w.want, w.port)]; {
		case taken:
			a.note(w.key, PortTaken, "node port %s belongs to service %s; port %d has none until one of the two names another", portOf(w.want, w.port), other, w.port.Port)
		case !a.terms.NodePorts.Contains(w.want):
			a.note(w.key, PortOutOfRange, "node port %d is none of %s; name one of these, or set serviceNodePortRange in the configuration file", w.want, a.terms.NodePorts)
		default:
			give(w, w.want)
		}
	}
	for _, w := range derived {
		port := a.derivePort(w, func(port uint16) bool {
			return owner[portOf(port, w.port)] == "" && a.terms.PortTaken(port, protocol(w.port.Protocol)) == ""
		})
		if port == 0 {
			a.note(w.key, NoneFree, "all node ports of %s are taken; set a larger serviceNodePortRange in the configuration file", a.terms.NodePorts)
			continue
		}
		give(w, port)
	}
}

func portOf(port uint16, p *v1.ServicePort) string {
	return fmt.Sprintf("%d/%s", port, protocol(p.Protocol))
}

// derivePort finds the node port that follows from the names of a service and its port; the lower ones come last, as of addresses (KEP-3668).
func (a *allocation) derivePort(w wish, free func(uint16) bool) uint16 {
	r := a.terms.NodePorts
	lower := min(max(16, r.Size()/32), 128)
	if lower >= r.Size() {
		lower = 0
	}
	start := hash(w.key + "/" + PortKey(w.port))
	for _, band := range [][2]int{{lower, r.Size()}, {0, lower}} {
		n := band[1] - band[0]
		for i := range n {
			place := band[0] + int((start%uint64(n)+uint64(i))%uint64(n))
			if port := r.First + uint16(place); free(port) {
				return port
			}
		}
	}
	return 0
}
