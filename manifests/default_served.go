package manifests

import (
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// SetServiceDefaults fills in what the API server would (Kubernetes, pkg/apis/core/v1/defaults.go), but for addresses and node ports,
// which are given out later, families, which depend on the machine's pods, and what is dropped because it has no effect, which is told first.
func SetServiceDefaults(s *v1.Service) {
	SetNamespace(s)
	setUID(&s.ObjectMeta, "service")
	s.Status = v1.ServiceStatus{}
	spec := &s.Spec
	setDefault(&spec.Type, v1.ServiceTypeClusterIP)
	setDefault(&spec.SessionAffinity, v1.ServiceAffinityNone)
	if spec.SessionAffinity == v1.ServiceAffinityClientIP {
		if c := spec.SessionAffinityConfig; c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			spec.SessionAffinityConfig = &v1.SessionAffinityConfig{ClientIP: &v1.ClientIPConfig{TimeoutSeconds: ptr.To(v1.DefaultClientIPServiceAffinitySeconds)}}
		}
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		setDefault(&p.Protocol, v1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if fromOutside(spec) {
		setDefault(&spec.ExternalTrafficPolicy, v1.ServiceExternalTrafficPolicyCluster)
	}
	if spec.Type != v1.ServiceTypeExternalName {
		setDefaultPtr(&spec.InternalTrafficPolicy, v1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.Type == v1.ServiceTypeLoadBalancer {
		setDefaultPtr(&spec.AllocateLoadBalancerNodePorts, true)
		defaultSourceRanges(s)
	}
	defaultClusterIPs(spec)
	defaultFamilies(spec)
}

// setUID gives an object a UID that stays the same over edits and reboots.
func setUID(meta *metav1.ObjectMeta, kind string) {
	if meta.UID == "" {
		meta.UID = DeriveUID(meta.Namespace, ownerName(kind, meta.Name))
	}
}

// defaultSourceRanges takes the ranges of an annotation that was there before the field, and brings them into its form: blanks around
// them are allowed.
func defaultSourceRanges(s *v1.Service) {
	ranges := &s.Spec.LoadBalancerSourceRanges
	if given := strings.TrimSpace(s.Annotations[v1.AnnotationLoadBalancerSourceRangesKey]); len(*ranges) == 0 && given != "" {
		*ranges = strings.Split(given, ",")
	}
	for i, text := range *ranges {
		(*ranges)[i] = strings.TrimSpace(text)
	}
}

// fromOutside: others than pods and this machine reach the service.
func fromOutside(s *v1.ServiceSpec) bool {
	return s.Type == v1.ServiceTypeNodePort || s.Type == v1.ServiceTypeLoadBalancer || s.Type == v1.ServiceTypeClusterIP && len(s.ExternalIPs) > 0
}

// defaultClusterIPs has clusterIP and clusterIPs say the same where only one of them says something (Kubernetes,
// pkg/registry/core/service, normalizeClusterIPs).
func defaultClusterIPs(s *v1.ServiceSpec) {
	switch {
	case s.ClusterIP != "" && len(s.ClusterIPs) == 0:
		s.ClusterIPs = []string{s.ClusterIP}
	case s.ClusterIP == "" && len(s.ClusterIPs) > 0:
		s.ClusterIP = s.ClusterIPs[0]
	}
}

// defaultFamilies names the families that the given addresses have, and has two of them mean that both are needed (Kubernetes,
// pkg/registry/core/service/storage/alloc.go, initIPFamilyFields).
func defaultFamilies(s *v1.ServiceSpec) {
	if s.Type == v1.ServiceTypeExternalName {
		return
	}
	for i := len(s.IPFamilies); i < len(s.ClusterIPs); i++ {
		a, err := netip.ParseAddr(s.ClusterIPs[i])
		if err != nil {
			break // None, or what validation finds
		}
		if a.Is4() {
			s.IPFamilies = append(s.IPFamilies, v1.IPv4Protocol)
		} else {
			s.IPFamilies = append(s.IPFamilies, v1.IPv6Protocol)
		}
	}
	if len(s.IPFamilies) > 1 || len(s.ClusterIPs) > 1 {
		setDefaultPtr(&s.IPFamilyPolicy, v1.IPFamilyPolicyRequireDualStack)
	}
}

// SetEndpointsDefaults fills in what the API server would.
func SetEndpointsDefaults(e *v1.Endpoints) { //nolint:staticcheck // deprecated, and much used
	SetNamespace(e)
	setUID(&e.ObjectMeta, "endpoints")
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			setDefault(&e.Subsets[i].Ports[j].Protocol, v1.ProtocolTCP)
		}
	}
}

// SetEndpointSliceDefaults fills in what the API server would (Kubernetes, pkg/apis/discovery/v1/defaults.go).
func SetEndpointSliceDefaults(s *discoveryv1.EndpointSlice) {
	SetNamespace(s)
	setUID(&s.ObjectMeta, "endpointslice")
	for i := range s.Ports {
		setDefaultPtr(&s.Ports[i].Name, "")
		setDefaultPtr(&s.Ports[i].Protocol, v1.ProtocolTCP)
	}
}

// SetNetworkPolicyDefaults fills in what the API server would (Kubernetes, pkg/apis/networking/v1/defaults.go).
func SetNetworkPolicyDefaults(p *networkingv1.NetworkPolicy) {
	SetNamespace(p)
	setUID(&p.ObjectMeta, "networkpolicy")
	for _, r := range p.Spec.Ingress {
		defaultPolicyPorts(r.Ports)
	}
	for _, r := range p.Spec.Egress {
		defaultPolicyPorts(r.Ports)
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		setDefaultPtr(&ports[i].Protocol, v1.ProtocolTCP)
	}
}

// SetNamespaceDefaults gives a Namespace the label that each one has in a cluster.
func SetNamespaceDefaults(ns *v1.Namespace) {
	if ns.UID == "" {
		ns.UID = DeriveUID("", ownerName("namespace", ns.Name)) // whatever namespace it says it lies in
	}
	ns.Status = v1.NamespaceStatus{}
	ns.Labels = namespaceLabels(ns.Labels, ns.Name)
}

// NamespaceLabels are those of a namespace, whether an object declares it or not.
func (s *Snapshot) NamespaceLabels(name string) map[string]string {
	if ns := s.Namespaces[name]; ns != nil {
		return ns.Labels
	}
	return namespaceLabels(nil, name)
}

func namespaceLabels(labels map[string]string, name string) map[string]string {
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1.LabelMetadataName] = name
	return labels
}
