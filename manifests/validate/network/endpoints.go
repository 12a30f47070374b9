package network

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// Bounds of one EndpointSlice (Kubernetes, pkg/apis/discovery/validation).
const (
	maxEndpoints         = 1000
	maxEndpointAddresses = 100
	maxEndpointPorts     = 100
)

// Endpoints checks defaulted Endpoints as the API server does (Kubernetes, pkg/apis/core/validation, ValidateEndpoints).
func Endpoints(e *v1.Endpoints) manifests.Problems { //nolint:staticcheck // deprecated, and much used
	out := &findings.Collector{}
	metadata.Check(out, e, validation.IsDNS1123Subdomain)
	for i := range e.Subsets {
		s := &e.Subsets[i]
		at := fmt.Sprintf("subsets[%d]", i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			out.Errorf(at, "it needs addresses or notReadyAddresses")
		}
		for field, list := range map[string][]v1.EndpointAddress{"addresses": s.Addresses, "notReadyAddresses": s.NotReadyAddresses} {
			for j := range list {
				in := fmt.Sprintf("%s.%s[%d]", at, field, j)
				checkServedAddress(out, in+".ip", list[j].IP)
				if h := list[j].Hostname; h != "" {
					out.All(in+".hostname", h, validation.IsDNS1123Label(h))
				}
				if n := list[j].NodeName; n != nil {
					out.All(in+".nodeName", *n, validation.IsDNS1123Subdomain(*n))
				}
			}
		}
		for j, p := range s.Ports {
			in := fmt.Sprintf("%s.ports[%d]", at, j)
			checkPortsName(out, in, p.Name, len(s.Ports) > 1)
			checkPort(out, in+".port", p.Port)
			checkProtocol(out, in+".protocol", p.Protocol)
			checkAppProtocol(out, in, p.AppProtocol)
		}
	}
	return out.Problems
}

// EndpointSlice checks a defaulted EndpointSlice as the API server does (Kubernetes, pkg/apis/discovery/validation), and says what of it is
// not served.
func EndpointSlice(s *discoveryv1.EndpointSlice) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, s, validation.IsDNS1123Subdomain)
	if s.Labels[discoveryv1.LabelServiceName] == "" {
		out.Warnf("metadata.labels", "accepted without effect: the label %s names the service to which it belongs", discoveryv1.LabelServiceName)
	}
	findings.OneOf(out, "addressType", s.AddressType, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		out.Warnf("addressType", "accepted without effect: connections go to addresses; for a name use a Service of type ExternalName")
	}
	if len(s.Endpoints) > maxEndpoints {
		out.Errorf("endpoints", "there are %d; at most %d are allowed, so use several EndpointSlices", len(s.Endpoints), maxEndpoints)
		return out.Problems
	}
	for i := range s.Endpoints {
		checkEndpoint(out, fmt.Sprintf("endpoints[%d]", i), &s.Endpoints[i], s.AddressType)
	}
	checkEndpointPorts(out, s.Ports)
	return out.Problems
}

func checkEndpoint(out *findings.Collector, at string, e *discoveryv1.Endpoint, family discoveryv1.AddressType) {
	switch n := len(e.Addresses); {
	case n == 0:
		out.Errorf(at+".addresses", "an endpoint needs an address")
	case n > maxEndpointAddresses:
		out.Errorf(at+".addresses", "there are %d; at most %d are allowed", n, maxEndpointAddresses)
	}
	for i, text := range e.Addresses {
		in := fmt.Sprintf("%s.addresses[%d]", at, i)
		if family == discoveryv1.AddressTypeFQDN {
			out.All(in, text, validation.IsDNS1123Subdomain(text))
			continue
		}
		if a, ok := checkServedAddress(out, in, text); ok && (family == discoveryv1.AddressTypeIPv4 || family == discoveryv1.AddressTypeIPv6) &&
			string(familyOf(a)) != string(family) {
			out.Errorf(in, "%s is %s, and addressType says %s; use an EndpointSlice for each of them", a, familyOf(a), family)
		}
	}
	if h := e.Hostname; h != nil {
		out.All(at+".hostname", *h, validation.IsDNS1123Label(*h))
	}
	if n := e.NodeName; n != nil {
		out.All(at+".nodeName", *n, validation.IsDNS1123Subdomain(*n))
	}
}

func checkEndpointPorts(out *findings.Collector, ports []discoveryv1.EndpointPort) {
	if len(ports) > maxEndpointPorts {
		out.Errorf("ports", "there are %d; at most %d are allowed", len(ports), maxEndpointPorts)
		return
	}
	names := map[string]bool{}
	for i, p := range ports {
		at := fmt.Sprintf("ports[%d]", i)
		checkPortsName(out, at, *p.Name, false)
		if names[*p.Name] {
			out.Errorf(at+".name", "another port has the name %q", *p.Name)
		}
		names[*p.Name] = true
		checkProtocol(out, at+".protocol", *p.Protocol)
		checkAppProtocol(out, at, p.AppProtocol)
		if p.Port == nil {
			out.Warnf(at, "accepted without effect: it has no port, and connections go to one")
		} else {
			checkPort(out, at+".port", *p.Port)
		}
	}
}
