package endpoints

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/services/allocate"
)

// EndpointSlices are those of manifests, and those that are made of pods, by namespace and name. node is the machine's name.
func (w *World) EndpointSlices(node string) []*discoveryv1.EndpointSlice {
	l := w.look()
	var out []*discoveryv1.EndpointSlice
	names := map[string]bool{}
	for _, s := range w.Slices {
		out, names[s.Namespace+"/"+s.Name] = append(out, s), true
	}
	for _, key := range slices.Sorted(maps.Keys(w.Services)) {
		s := w.Services[key]
		if len(s.Spec.Selector) > 0 && s.Spec.Type != v1.ServiceTypeExternalName {
			out = append(out, l.slicesOf(s, key, node, names)...)
		}
	}
	slices.SortFunc(out, func(a, b *discoveryv1.EndpointSlice) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}

// slicesOf makes the slices of a service: one for each family, and for each set of ports, as named ports differ between pods. names
// are those of slices that there are.
func (l *lookup) slicesOf(s *v1.Service, key, node string, names map[string]bool) (out []*discoveryv1.EndpointSlice) {
	all := l.find(s, key, l.Decided[key].Families)
	for _, family := range l.Decided[key].Families {
		made := map[string]*discoveryv1.EndpointSlice{}
		for _, f := range all {
			if f.pod == nil {
				continue
			}
			addrs := of([]v1.IPFamily{family}, f.addrs)
			if len(addrs) == 0 {
				continue
			}
			ports := fmt.Sprint(f.ports)
			if made[ports] == nil {
				made[ports] = newSlice(s, family, f.ports, names)
			}
			made[ports].Endpoints = append(made[ports].Endpoints, f.shown(addrs, node))
		}
		if len(made) == 0 {
			made[""] = newSlice(s, family, nil, names)
		}
		for _, ports := range slices.Sorted(maps.Keys(made)) {
			out = append(out, made[ports])
		}
	}
	return out
}

func newSlice(s *v1.Service, family v1.IPFamily, ports []uint16, names map[string]bool) *discoveryv1.EndpointSlice {
	sum := sha256.Sum256(fmt.Append(nil, s.Name, family, ports))
	name, rest := s.Name+"-", hex.EncodeToString(sum[:])
	for name, rest = name+rest[:5], rest[5:]; names[s.Namespace+"/"+name] && rest != ""; { // a manifest's has it
		name, rest = name+rest[:1], rest[1:]
	}
	names[s.Namespace+"/"+name] = true
	out := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: name, CreationTimestamp: s.CreationTimestamp,
			Labels: map[string]string{discoveryv1.LabelServiceName: s.Name, discoveryv1.LabelManagedBy: manifests.SliceAuthor},
		},
		AddressType: discoveryv1.AddressType(family), Endpoints: []discoveryv1.Endpoint{}, Ports: []discoveryv1.EndpointPort{},
	}
	maps.Copy(out.Labels, s.Labels)
	out.Labels[discoveryv1.LabelServiceName], out.Labels[discoveryv1.LabelManagedBy] = s.Name, manifests.SliceAuthor
	if allocate.Headless(s) {
		out.Labels[v1.IsHeadlessService] = ""
	}
	for i, n := range ports {
		if n != 0 {
			p := &s.Spec.Ports[i]
			out.Ports = append(out.Ports, discoveryv1.EndpointPort{
				Name: ptr.To(p.Name), Protocol: ptr.To(protocol(p.Protocol)), Port: ptr.To(int32(n)), AppProtocol: p.AppProtocol,
			})
		}
	}
	return out
}

func (f *found) shown(addrs []netip.Addr, node string) discoveryv1.Endpoint {
	pod := f.pod
	e := discoveryv1.Endpoint{
		Conditions: discoveryv1.EndpointConditions{
			Ready: ptr.To(f.state == ready), Serving: ptr.To(pod.Ready || f.state == ready), Terminating: ptr.To(pod.Terminating),
		},
		NodeName:  ptr.To(node),
		TargetRef: &v1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if f.hostname != "" {
		e.Hostname = ptr.To(f.hostname)
	}
	for _, ip := range addrs {
		e.Addresses = append(e.Addresses, ip.String())
	}
	return e
}

// Selection is a pod that a service selects, with why connections do not go to it.
type Selection struct {
	Pod *Pod
	Why string
}

// Selection lists the pods that a service selects.
func (w *World) Selection(key string) (out []Selection) {
	s := w.Services[key]
	if s == nil {
		return nil
	}
	anyReady := false
	for i := range w.Pods {
		p := &w.Pods[i]
		if Matches(s, p.Pod) {
			anyReady = anyReady || stateOf(s, p) == ready && len(of(w.Decided[key].Families, p.Addrs)) > 0
			out = append(out, Selection{Pod: p})
		}
	}
	for i := range out {
		out[i].Why = Why(s, w.Decided[key].Families, out[i].Pod, anyReady)
	}
	return out
}

// Shown is a service as a cluster would show it: with what it was given. nodes are the machine's addresses.
func Shown(s *v1.Service, d Decided, nodes []netip.Addr) *v1.Service {
	out := s.DeepCopy()
	out.APIVersion, out.Kind = "v1", "Service"
	if out.UID == "" {
		out.UID = manifests.DeriveUID(s.Namespace, "service/"+s.Name)
	}
	spec := &out.Spec
	if spec.Type == v1.ServiceTypeExternalName {
		return out
	}
	spec.IPFamilies = slices.Clone(d.Families)
	if spec.IPFamilyPolicy == nil {
		spec.IPFamilyPolicy = ptr.To(v1.IPFamilyPolicySingleStack)
	}
	if allocate.Headless(s) {
		spec.ClusterIPs = []string{v1.ClusterIPNone}
		return out
	}
	spec.ClusterIP, spec.ClusterIPs = "", nil
	for _, ip := range d.ClusterIPs {
		spec.ClusterIPs = append(spec.ClusterIPs, ip.String())
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	for i := range spec.Ports {
		spec.Ports[i].NodePort = int32(d.NodePorts[allocate.PortKey(&s.Spec.Ports[i])])
	}
	if spec.Type == v1.ServiceTypeLoadBalancer && spec.LoadBalancerClass == nil {
		out.Status.LoadBalancer.Ingress = ingress(s, d, nodes)
	}
	return out
}

// ingress says where others reach a load balancer.
func ingress(s *v1.Service, d Decided, nodes []netip.Addr) (out []v1.LoadBalancerIngress) {
	var ports []v1.PortStatus
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		status := v1.PortStatus{Port: p.Port, Protocol: protocol(p.Protocol)}
		if d.NotOnNode[allocate.PortKey(p)] {
			status.Error = ptr.To(allocate.PortTaken)
		}
		ports = append(ports, status)
	}
	where := d.ExternalIPs
	if OnNode(s) {
		where = of(d.Families, nodes)
	}
	for _, ip := range where {
		out = append(out, v1.LoadBalancerIngress{IP: ip.String(), IPMode: ptr.To(v1.LoadBalancerIPModeVIP), Ports: ports})
	}
	return out
}

// Hopeful says whether there is anything that could be an endpoint of a service: a pod that it selects, or a slice.
func (w *World) Hopeful(key string) bool {
	s := w.Services[key]
	for i := range w.Pods {
		if !w.Pods[i].Ended && Matches(s, w.Pods[i].Pod) {
			return true
		}
	}
	for _, slice := range w.Slices {
		if slice.Namespace == s.Namespace && slice.Labels[discoveryv1.LabelServiceName] == s.Name && len(slice.Endpoints) > 0 {
			return true
		}
	}
	return false
}
