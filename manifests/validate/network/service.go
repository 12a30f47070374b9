// Package network checks what pods are found by and kept apart by, as the API server does: Services and their endpoints, network policies, and
// namespaces, whose labels policies go by. It is pure.
package network

import (
	"fmt"
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// PortRange is from Min to Max, both included; the zero one has all ports.
type PortRange struct{ Min, Max int32 }

// maxAffinitySeconds bounds for how long a client stays with its endpoint: a day, as for the API server.
const maxAffinitySeconds = 86400

// Service checks a defaulted Service as the API server does (Kubernetes, pkg/apis/core/validation, ValidateService), and says what of it is
// not served. nodePorts are those that it may name.
func Service(s *v1.Service, nodePorts PortRange) manifests.Problems {
	out := &findings.Collector{}
	// Since RelaxedServiceNameValidation a name may begin with a digit.
	metadata.Check(out, s, validation.IsDNS1123Label)
	spec := &s.Spec
	findings.OneOf(out, "spec.type", spec.Type, v1.ServiceTypeClusterIP, v1.ServiceTypeNodePort, v1.ServiceTypeLoadBalancer, v1.ServiceTypeExternalName)
	metadata.Labels(out, "spec.selector", spec.Selector)
	checkServicePorts(out, spec, nodePorts)
	checkAffinity(out, spec)
	checkTraffic(out, spec)
	checkLoadBalancer(out, spec)
	if spec.Type == v1.ServiceTypeExternalName {
		checkExternalName(out, spec)
	} else {
		checkClusterIPs(out, spec)
	}
	for i, ip := range spec.ExternalIPs {
		checkServedAddress(out, fmt.Sprintf("spec.externalIPs[%d]", i), ip)
	}
	return out.Problems
}

// headless: names lead to the endpoints themselves.
func headless(s *v1.ServiceSpec) bool { return s.ClusterIP == v1.ClusterIPNone }

func onNode(s *v1.ServiceSpec) bool {
	return s.Type == v1.ServiceTypeNodePort || s.Type == v1.ServiceTypeLoadBalancer
}

func checkServicePorts(out *findings.Collector, s *v1.ServiceSpec, allowed PortRange) {
	if len(s.Ports) == 0 && !headless(s) && s.Type != v1.ServiceTypeExternalName {
		out.Errorf("spec.ports", "a service needs at least one port, unless it is headless (clusterIP: None)")
	}
	names, ports, nodePorts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range s.Ports {
		p := &s.Ports[i]
		at := fmt.Sprintf("spec.ports[%d]", i)
		checkPortsName(out, at, p.Name, len(s.Ports) > 1)
		if p.Name != "" && names[p.Name] {
			out.Errorf(at+".name", "another port has the name %q", p.Name)
		}
		names[p.Name] = true
		checkPort(out, at+".port", p.Port)
		checkProtocol(out, at+".protocol", p.Protocol)
		if p.TargetPort != intstr.FromInt32(p.Port) { // which is its default
			checkTargetPort(out, at+".targetPort", p.TargetPort)
		}
		checkAppProtocol(out, at, p.AppProtocol)
		if key := fmt.Sprintf("%d/%s", p.Port, p.Protocol); ports[key] {
			out.Errorf(at+".port", "another port of the service is %s", key)
		} else {
			ports[key] = true
		}
		if p.NodePort == 0 {
			continue
		}
		checkNodePort(out, at+".nodePort", s, p.NodePort, allowed)
		if key := fmt.Sprintf("%d/%s", p.NodePort, p.Protocol); nodePorts[key] {
			out.Errorf(at+".nodePort", "another port of the service has the node port %s", key)
		} else {
			nodePorts[key] = true
		}
	}
}

func checkNodePort(out *findings.Collector, at string, s *v1.ServiceSpec, port int32, allowed PortRange) {
	checkPort(out, at, port)
	switch {
	case s.Type == v1.ServiceTypeExternalName:
		out.Warnf(at, "accepted without effect: the service is only a name")
	case !onNode(s):
		out.Errorf(at, "it goes with type NodePort or LoadBalancer, and the type is %s", s.Type)
	case allowed != (PortRange{}) && (port < allowed.Min || port > allowed.Max):
		out.Errorf(at, "node ports lie between %d and %d (serviceNodePortRange of the configuration), and this is %d", allowed.Min, allowed.Max, port)
	}
}

// checkPortsName checks the name of a port of a service or its endpoints.
func checkPortsName(out *findings.Collector, at, name string, required bool) {
	if name != "" {
		out.All(at+".name", name, validation.IsDNS1123Label(name))
	} else if required {
		out.Errorf(at+".name", "where there are several ports each one needs a name")
	}
}

func checkPort(out *findings.Collector, at string, port int32) {
	out.All(at, fmt.Sprint(port), validation.IsValidPortNum(int(port)))
}

func checkProtocol(out *findings.Collector, at string, p v1.Protocol) {
	findings.OneOf(out, at, p, v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP)
}

func checkTargetPort(out *findings.Collector, at string, port intstr.IntOrString) {
	if port.Type == intstr.Int {
		checkPort(out, at, port.IntVal)
		return
	}
	checkNamedPort(out, at, port.StrVal)
}

// checkNamedPort checks the name of a container's port, which is none of its number.
func checkNamedPort(out *findings.Collector, at, name string) {
	if name != "" && strings.Trim(name, "0123456789") == "" {
		out.Errorf(at, "%q is the name of a container's port; write the number %[1]s without quotes", name)
		return
	}
	out.All(at, name, validation.IsValidPortName(name))
}

func checkAppProtocol(out *findings.Collector, at string, protocol *string) {
	if protocol != nil {
		out.All(at+".appProtocol", *protocol, validation.IsQualifiedName(*protocol))
	}
}

func checkAffinity(out *findings.Collector, s *v1.ServiceSpec) {
	findings.OneOf(out, "spec.sessionAffinity", s.SessionAffinity, v1.ServiceAffinityNone, v1.ServiceAffinityClientIP)
	if s.SessionAffinityConfig == nil || s.SessionAffinityConfig.ClientIP == nil {
		return
	}
	if s.SessionAffinity == v1.ServiceAffinityNone { // the API server drops it without a word
		out.Warnf("spec.sessionAffinityConfig", "accepted without effect: sessionAffinity is None; write ClientIP there if clients should come back to their pod")
		return
	}
	if t := s.SessionAffinityConfig.ClientIP.TimeoutSeconds; t != nil && (*t < 1 || *t > maxAffinitySeconds) {
		out.Errorf("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "must lie between 1 and %d", maxAffinitySeconds)
	}
}

func checkTraffic(out *findings.Collector, s *v1.ServiceSpec) {
	if p := s.InternalTrafficPolicy; p != nil {
		findings.OneOf(out, "spec.internalTrafficPolicy", *p, v1.ServiceInternalTrafficPolicyCluster, v1.ServiceInternalTrafficPolicyLocal)
	}
	if d := s.TrafficDistribution; d != nil {
		findings.OneOf(out, "spec.trafficDistribution", *d, v1.ServiceTrafficDistributionPreferClose,
			v1.ServiceTrafficDistributionPreferSameZone, v1.ServiceTrafficDistributionPreferSameNode)
	}
	if s.ExternalTrafficPolicy == "" {
		return
	}
	findings.OneOf(out, "spec.externalTrafficPolicy", s.ExternalTrafficPolicy, v1.ServiceExternalTrafficPolicyCluster, v1.ServiceExternalTrafficPolicyLocal)
	if !onNode(s) && (s.Type != v1.ServiceTypeClusterIP || len(s.ExternalIPs) == 0) {
		out.Errorf("spec.externalTrafficPolicy", "it goes with type NodePort or LoadBalancer, or with externalIPs: nobody reaches this service from outside")
	}
}

func checkLoadBalancer(out *findings.Collector, s *v1.ServiceSpec) {
	balanced := s.Type == v1.ServiceTypeLoadBalancer
	only := func(field string, given bool) {
		if given && !balanced {
			out.Errorf("spec."+field, "it goes with type LoadBalancer, and the type is %s", s.Type)
		}
	}
	only("loadBalancerSourceRanges", len(s.LoadBalancerSourceRanges) > 0)
	only("allocateLoadBalancerNodePorts", s.AllocateLoadBalancerNodePorts != nil)
	only("loadBalancerClass", s.LoadBalancerClass != nil)
	only("loadBalancerIP", s.LoadBalancerIP != "")
	if s.LoadBalancerIP != "" {
		checkServedAddress(out, "spec.loadBalancerIP", s.LoadBalancerIP)
	}
	for i := range s.LoadBalancerSourceRanges {
		checkPrefix(out, fmt.Sprintf("spec.loadBalancerSourceRanges[%d]", i), &s.LoadBalancerSourceRanges[i])
	}
	if class := s.LoadBalancerClass; balanced && class != nil {
		out.All("spec.loadBalancerClass", *class, validation.IsQualifiedName(*class))
		out.Warnf("spec.loadBalancerClass", "another load balancer than Solopod's is to serve this; its ports are not answered on the addresses of this machine. "+
			"Remove the class if they should be")
	}
	if p := s.HealthCheckNodePort; p != 0 {
		checkPort(out, "spec.healthCheckNodePort", p)
		if !balanced || s.ExternalTrafficPolicy != v1.ServiceExternalTrafficPolicyLocal {
			out.Errorf("spec.healthCheckNodePort", "it goes with type LoadBalancer and externalTrafficPolicy Local")
		}
	}
}

func checkExternalName(out *findings.Collector, s *v1.ServiceSpec) {
	forbid := func(field string, given bool) {
		if given {
			out.Errorf("spec."+field, "a service of type ExternalName is only a name, and has none")
		}
	}
	forbid("clusterIP", s.ClusterIP != "")
	forbid("ipFamilies", len(s.IPFamilies) > 0)
	forbid("ipFamilyPolicy", s.IPFamilyPolicy != nil)
	if len(s.Selector) > 0 {
		out.Warnf("spec.selector", "accepted without effect: the service is only a name")
	}
	if len(s.ExternalIPs) > 0 {
		out.Warnf("spec.externalIPs", "accepted without effect: the service is only a name")
	}
	name := strings.TrimSuffix(s.ExternalName, ".")
	if name == "" {
		out.Errorf("spec.externalName", "a service of type ExternalName needs it")
		return
	}
	if _, err := netip.ParseAddr(name); err == nil {
		out.Warnf("spec.externalName", "%q is taken for a name, and not resolved; for an address use Endpoints beside a service without a selector", name)
	}
	if strings.Contains(name, ":") {
		out.Errorf("spec.externalName", "%q: it is a name of DNS alone, without a port or a scheme", name)
		return
	}
	out.All("spec.externalName", name, validation.IsDNS1123Subdomain(name))
}

// checkClusterIPs checks addresses and families, and whether they fit together.
func checkClusterIPs(out *findings.Collector, s *v1.ServiceSpec) {
	if s.ExternalName != "" {
		out.Warnf("spec.externalName", "accepted without effect: the type is %s", s.Type)
	}
	for i, f := range s.IPFamilies[:min(2, len(s.IPFamilies))] {
		findings.OneOf(out, fmt.Sprintf("spec.ipFamilies[%d]", i), f, v1.IPv4Protocol, v1.IPv6Protocol)
	}
	switch n := len(s.IPFamilies); {
	case n > 2:
		out.Errorf("spec.ipFamilies", "there are two, IPv4 and IPv6, and here are %d", n)
	case n == 2 && s.IPFamilies[0] == s.IPFamilies[1]:
		out.Errorf("spec.ipFamilies[1]", "%s stands there twice", s.IPFamilies[1])
	}
	if p := s.IPFamilyPolicy; p != nil {
		findings.OneOf(out, "spec.ipFamilyPolicy", *p, v1.IPFamilyPolicySingleStack, v1.IPFamilyPolicyPreferDualStack, v1.IPFamilyPolicyRequireDualStack)
		if *p == v1.IPFamilyPolicySingleStack && len(s.IPFamilies) > 1 {
			out.Errorf("spec.ipFamilyPolicy", "SingleStack has one family, and there are %d", len(s.IPFamilies))
		}
	}
	if len(s.ClusterIPs) > 0 && s.ClusterIP != s.ClusterIPs[0] {
		out.Errorf("spec.clusterIPs", "the first one must be clusterIP (%s)", s.ClusterIP)
	}
	if headless(s) {
		if len(s.ClusterIPs) > 1 {
			out.Errorf("spec.clusterIPs", "None must be the only value")
		}
		if onNode(s) {
			out.Errorf("spec.clusterIP", "a service of type %s has an address; None goes with ClusterIP", s.Type)
		}
		return
	}
	given := make([]netip.Addr, 0, len(s.ClusterIPs))
	for i, text := range s.ClusterIPs {
		at := fmt.Sprintf("spec.clusterIPs[%d]", i)
		if i == 0 && s.ClusterIP != "" {
			at = "spec.clusterIP"
		}
		if strings.EqualFold(text, v1.ClusterIPNone) {
			out.Errorf(at, "%q: write None, alone, for a headless service", text)
			continue
		}
		a, ok := checkServedAddress(out, at, text)
		if !ok {
			continue
		}
		if i < len(s.IPFamilies) && familyOf(a) != s.IPFamilies[i] {
			out.Errorf(at, "%s is %s, and ipFamilies[%d] says %s", a, familyOf(a), i, s.IPFamilies[i])
		}
		given = append(given, a)
	}
	if len(given) > 2 || len(given) == 2 && given[0].Is4() == given[1].Is4() {
		out.Errorf("spec.clusterIPs", "a service has one address of each family at most")
	}
}
