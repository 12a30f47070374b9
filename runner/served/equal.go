package served

import (
	"slices"
)

// Equal says whether two tables are the same; it is asked whenever a pod changes.
func (t *Table) Equal(other *Table) bool {
	return slices.EqualFunc(t.Services, other.Services, Service.equal) && slices.EqualFunc(t.Pods, other.Pods, Pod.equal)
}

func (s Service) equal(o Service) bool {
	return s.Namespace == o.Namespace && s.Name == o.Name && s.ExternalName == o.ExternalName && s.Headless == o.Headless &&
		s.OnNode == o.OnNode && s.LocalOnly == o.LocalOnly && s.InternalLocal == o.InternalLocal && s.Affinity == o.Affinity &&
		slices.Equal(s.ClusterIPs, o.ClusterIPs) && slices.Equal(s.ExternalIPs, o.ExternalIPs) && slices.Equal(s.SourceRanges, o.SourceRanges) &&
		slices.EqualFunc(s.Ports, o.Ports, Port.equal) && slices.EqualFunc(s.Endpoints, o.Endpoints, Endpoint.equal)
}

func (p Port) equal(o Port) bool {
	return p.Name == o.Name && p.Protocol == o.Protocol && p.Port == o.Port && p.NodePort == o.NodePort && p.NotOnNode == o.NotOnNode &&
		slices.Equal(p.Targets, o.Targets)
}

func (e Endpoint) equal(o Endpoint) bool {
	return e.Hostname == o.Hostname && slices.Equal(e.Addrs, o.Addrs) && slices.EqualFunc(e.Ports, o.Ports, Port.equal)
}

func (p Pod) equal(o Pod) bool {
	return p.Namespace == o.Namespace && p.Name == o.Name && p.Hostname == o.Hostname && p.Subdomain == o.Subdomain &&
		p.HostNetwork == o.HostNetwork && slices.Equal(p.Addrs, o.Addrs)
}
