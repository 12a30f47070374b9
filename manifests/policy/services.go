package policy

import (
	"fmt"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// JudgeService is Judge for a defaulted Service: it takes ports and addresses of the machine, and can name addresses of others.
func (p *Policy) JudgeService(s *v1.Service) manifests.Problems {
	return p.rules.of(s.Namespace).judgeService(s)
}

func (r *Rules) judgeService(s *v1.Service) manifests.Problems {
	f := &finding{}
	spec := &s.Spec
	if spec.Type == v1.ServiceTypeExternalName {
		return nil // it is only a name
	}
	// On an external address, which may be the machine's, and as a LoadBalancer it has its own ports, and others are not concerned.
	own := len(spec.ExternalIPs) > 0 || spec.Type == v1.ServiceTypeLoadBalancer && spec.LoadBalancerClass == nil
	for i := range spec.Ports {
		p := &spec.Ports[i]
		at := fmt.Sprintf("spec.ports[%d]", i)
		if own && !r.takesPort(p.Port) {
			f.forbid("hostPorts", at+".port", "the port %d of the machine is none of those that services may take", p.Port)
		}
		switch {
		case p.NodePort == 0 && r.HostPorts != nil && allocates(spec):
			f.forbid("hostPorts", at+".nodePort", "name a node port which services may take; elsewhere one is chosen")
		case p.NodePort != 0 && !r.takesPort(p.NodePort):
			f.forbid("hostPorts", at+".nodePort", "the port %d of the machine is none of those that services may take", p.NodePort)
		}
	}
	named := map[string]string{"spec.loadBalancerIP": spec.LoadBalancerIP, "spec.clusterIP": spec.ClusterIP}
	for i, text := range spec.ClusterIPs[min(1, len(spec.ClusterIPs)):] { // the first one is clusterIP
		i++
		named[fmt.Sprintf("spec.clusterIPs[%d]", i)] = text
	}
	for i, text := range spec.ExternalIPs {
		named[fmt.Sprintf("spec.externalIPs[%d]", i)] = text
	}
	for at, text := range named {
		// Where it is none it is None, or nothing, or what validation finds.
		if a, err := netip.ParseAddr(text); err == nil && !r.mayName(a) {
			f.forbid("serviceAddresses", at, "%s is none of the addresses that services may name", a)
		}
	}
	return f.problems
}

// allocates: a port of the service that names no node port is given one.
func allocates(s *v1.ServiceSpec) bool {
	return s.Type == v1.ServiceTypeNodePort || s.Type == v1.ServiceTypeLoadBalancer && (s.AllocateLoadBalancerNodePorts == nil || *s.AllocateLoadBalancerNodePorts)
}

// takesPort says whether a port of the host may be taken.
func (r *Rules) takesPort(port int32) bool {
	return r.HostPorts == nil || slices.ContainsFunc(r.HostPorts, func(a PortRange) bool { return a.Min <= port && port <= a.Max })
}

// mayName says whether a service may name an address for itself.
func (r *Rules) mayName(a netip.Addr) bool {
	return r.ServiceAddresses == nil || slices.ContainsFunc(r.ServiceAddresses, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Contains(a)
	})
}

// checkServiceAddresses says what is wrong with the setting serviceAddresses.
func checkServiceAddresses(list []string) error {
	for i, text := range list {
		if p, err := netip.ParsePrefix(text); err != nil || p != p.Masked() {
			return fmt.Errorf("serviceAddresses[%d] is a range of addresses like 10.96.0.0/16 or 2001:db8::/64, not %q", i, text)
		}
	}
	return nil
}
