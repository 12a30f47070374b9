package endpoints

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services/allocate"
)

// Decided is what a service was given, and what of it others have.
type Decided struct {
	allocate.Given
	// ExternalIPs are those that it answers on.
	ExternalIPs []netip.Addr
	// NoNodePort and NotOnNode are ports, by allocate.PortKey, whose node port, or which itself, somebody else has on the machine.
	NoNodePort, NotOnNode map[string]bool
}

// World is what the endpoints of Services follow from.
type World struct {
	Services map[string]*v1.Service // by namespace/name
	Slices   map[string]*discoveryv1.EndpointSlice
	Decided  map[string]Decided
	// Pods are in the order of namespace and name.
	Pods []Pod
	// Own says whether an address is one of the machine; pods' need not be asked for.
	Own func(netip.Addr) bool
}

// Table is what is served.
func (w *World) Table() *served.Table {
	l := w.look()
	t := &served.Table{Services: make([]served.Service, 0, len(w.Services))}
	for _, key := range slices.Sorted(maps.Keys(w.Services)) {
		t.Services = append(t.Services, l.service(w.Services[key], key))
	}
	if len(t.Services) == 0 {
		return t
	}
	t.Pods = make([]served.Pod, 0, len(w.Pods))
	for i := range w.Pods {
		if p := &w.Pods[i]; !p.Ended && len(p.Addrs) > 0 {
			t.Pods = append(t.Pods, served.Pod{
				Namespace: p.Namespace, Name: p.Name, Addrs: p.Addrs, Hostname: p.Spec.Hostname, Subdomain: p.Spec.Subdomain, HostNetwork: p.Spec.HostNetwork,
			})
		}
	}
	return t
}

// lookup is the World, by what it is looked for.
type lookup struct {
	*World
	byNamespace map[string][]*Pod
	ofPods      map[netip.Addr]bool
	slices      map[string][]*discoveryv1.EndpointSlice // by namespace/name of the service
}

func (w *World) look() *lookup {
	l := &lookup{World: w, byNamespace: map[string][]*Pod{}}
	for i := range w.Pods {
		p := &w.Pods[i]
		l.byNamespace[p.Namespace] = append(l.byNamespace[p.Namespace], p)
	}
	if len(w.Slices) == 0 {
		return l
	}
	l.ofPods, l.slices = map[netip.Addr]bool{}, map[string][]*discoveryv1.EndpointSlice{}
	for i := range w.Pods {
		for _, ip := range w.Pods[i].Addrs {
			l.ofPods[ip] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.Slices)) {
		s := w.Slices[key]
		if service := s.Labels[discoveryv1.LabelServiceName]; service != "" {
			of := s.Namespace + "/" + service
			l.slices[of] = append(l.slices[of], s)
		}
	}
	return l
}

// service is one row of the table.
func (l *lookup) service(s *v1.Service, key string) served.Service {
	out := served.Service{Namespace: s.Namespace, Name: s.Name}
	if s.Spec.Type == v1.ServiceTypeExternalName {
		out.ExternalName = strings.TrimSuffix(s.Spec.ExternalName, ".")
		return out
	}
	d := l.Decided[key]
	found := l.find(s, key, d.Families)
	out.Headless = allocate.Headless(s)
	for _, p := range found {
		if p.state == ready && (out.Headless || p.hostname != "") {
			out.Endpoints = append(out.Endpoints, p.endpoint(s))
		}
	}
	out.Ports = make([]served.Port, 0, len(s.Spec.Ports))
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		port := served.Port{Name: p.Name, Protocol: protocol(p.Protocol), Port: uint16(p.Port)}
		if !out.Headless {
			pk := allocate.PortKey(p)
			if !d.NoNodePort[pk] {
				port.NodePort = d.NodePorts[pk]
			}
			port.NotOnNode = d.NotOnNode[pk]
			port.Targets = targets(found, i)
		}
		out.Ports = append(out.Ports, port)
	}
	if out.Headless {
		return out
	}
	out.ClusterIPs, out.ExternalIPs, out.OnNode = d.ClusterIPs, d.ExternalIPs, OnNode(s)
	out.LocalOnly = s.Spec.ExternalTrafficPolicy == v1.ServiceExternalTrafficPolicyLocal
	out.InternalLocal = s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == v1.ServiceInternalTrafficPolicyLocal
	out.Affinity = Affinity(s)
	if s.Spec.Type == v1.ServiceTypeLoadBalancer {
		for _, text := range s.Spec.LoadBalancerSourceRanges {
			if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
				out.SourceRanges = append(out.SourceRanges, p.Masked())
			}
		}
	}
	return out
}

// OnNode says whether a service is answered on all of the machine's addresses: a load balancer that is none of others, and that names no
// address.
func OnNode(s *v1.Service) bool {
	return s.Spec.Type == v1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && len(NamedAddresses(s)) == 0
}

// NamedAddresses are those beside its own that a manifest has a service answer on.
func NamedAddresses(s *v1.Service) (out []netip.Addr) {
	texts := s.Spec.ExternalIPs
	if s.Spec.Type == v1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && s.Spec.LoadBalancerIP != "" {
		texts = append(slices.Clone(texts), s.Spec.LoadBalancerIP)
	}
	for _, text := range texts {
		if ip, err := netip.ParseAddr(text); err == nil && !slices.Contains(out, ip.Unmap()) {
			out = append(out, ip.Unmap())
		}
	}
	return out
}

// Affinity is for how long a client stays with its endpoint.
func Affinity(s *v1.Service) time.Duration {
	if s.Spec.SessionAffinity != v1.ServiceAffinityClientIP {
		return 0
	}
	seconds := v1.DefaultClientIPServiceAffinitySeconds
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

// targets are where port number i of a service leads: to what is ready, and where nothing is to what still serves.
func targets(found []found, i int) (out []served.Target) {
	for _, wanted := range []state{ready, serving} {
		for _, f := range found {
			if f.state != wanted || f.ports[i] == 0 {
				continue
			}
			for _, ip := range f.addrs {
				t := served.Target{Addr: ip, Port: f.ports[i], Outside: f.outside[ip]}
				if !slices.Contains(out, t) {
					out = append(out, t)
				}
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}
