package objects

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
)

//nolint:staticcheck // Endpoints are deprecated, and much asked for
type (
	endpoints       = v1.Endpoints
	endpointSubset  = v1.EndpointSubset
	endpointAddress = v1.EndpointAddress
	endpointPort    = v1.EndpointPort
)

// endpoints are those of the Services, made of their EndpointSlices, as Kubernetes' controller makes them: of the first family of each
// Service.
func (s Served) endpoints() []*endpoints {
	byService := map[[2]string][]*discoveryv1.EndpointSlice{}
	for _, e := range s.EndpointSlices() {
		if name := e.Labels[discoveryv1.LabelServiceName]; name != "" && e.AddressType != discoveryv1.AddressTypeFQDN {
			key := [2]string{e.Namespace, name}
			byService[key] = append(byService[key], e)
		}
	}
	var out []*endpoints
	for _, svc := range s.Services() {
		of := byService[[2]string{svc.Namespace, svc.Name}]
		if len(of) == 0 {
			continue
		}
		o := &endpoints{ObjectMeta: metav1.ObjectMeta{
			Namespace: svc.Namespace, Name: svc.Name, Labels: svc.Labels, CreationTimestamp: svc.CreationTimestamp,
			UID: manifests.DeriveUID(svc.Namespace, "endpoints/"+svc.Name),
		}}
		family := of[0].AddressType
		if len(svc.Spec.IPFamilies) > 0 {
			family = discoveryv1.AddressType(svc.Spec.IPFamilies[0])
		}
		for _, e := range of {
			if e.AddressType == family {
				addSubset(o, e)
			}
		}
		out = append(out, o)
	}
	return out
}

func addSubset(o *endpoints, e *discoveryv1.EndpointSlice) {
	var subset endpointSubset
	for _, p := range e.Ports {
		if p.Port == nil {
			continue
		}
		port := endpointPort{Port: *p.Port, AppProtocol: p.AppProtocol}
		if p.Name != nil {
			port.Name = *p.Name
		}
		if p.Protocol != nil {
			port.Protocol = *p.Protocol
		}
		subset.Ports = append(subset.Ports, port)
	}
	for _, at := range e.Endpoints {
		if len(at.Addresses) == 0 {
			continue
		}
		a := endpointAddress{IP: at.Addresses[0], NodeName: at.NodeName, TargetRef: at.TargetRef}
		if at.Hostname != nil {
			a.Hostname = *at.Hostname
		}
		if at.Conditions.Ready == nil || *at.Conditions.Ready {
			subset.Addresses = append(subset.Addresses, a)
		} else {
			subset.NotReadyAddresses = append(subset.NotReadyAddresses, a)
		}
	}
	if len(subset.Addresses)+len(subset.NotReadyAddresses) == 0 {
		return
	}
	byIP := func(a, b endpointAddress) int { return cmp.Compare(a.IP, b.IP) }
	slices.SortFunc(subset.Addresses, byIP)
	slices.SortFunc(subset.NotReadyAddresses, byIP)
	o.Subsets = append(o.Subsets, subset)
}
