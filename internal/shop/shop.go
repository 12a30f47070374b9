// Package shop has the Services of a small shop, their endpoints and NetworkPolicies, in the state in which they are shown: for tests of
// what shows them.
package shop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/broadcast"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services"
)

// Created is when all of the shop's objects were.
var Created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Shop is a source of objects as the services' Controller is one. It is safe for concurrent use.
type Shop struct {
	mu       sync.Mutex
	services []*v1.Service
	slices   []*discoveryv1.EndpointSlice
	policies []*networkingv1.NetworkPolicy
	selected map[string][]services.Selected
	traffic  map[string]served.Traffic
	changes  broadcast.Changes
	// asked is how often the counters were read.
	asked int
}

// New makes a shop in which all is served, but far/api, whose pods are not ready.
func New() *Shop {
	return &Shop{
		services: shopServices(), slices: shopSlices(), policies: shopPolicies(),
		selected: map[string][]services.Selected{
			"default/web": {
				{Pod: "web-0", Addresses: []string{"10.85.0.5", "fd00::5"}, Serves: true}, {Pod: "web-1", Addresses: []string{"10.85.0.6"}, Serves: true},
				{Pod: "web-2", Addresses: []string{"10.85.0.7"}, Why: "it is not ready: the readiness probe failed: connection refused"},
			},
			"far/api": {{Pod: "api-0", Why: "it has no address yet"}},
		},
		traffic: map[string]served.Traffic{"default/web": {Packets: 12, Bytes: 3456}, "far/api": {}},
	}
}

// Services implements objects.Source.
func (s *Shop) Services() []*v1.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services
}

// EndpointSlices implements objects.Source.
func (s *Shop) EndpointSlices() []*discoveryv1.EndpointSlice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slices
}

// NetworkPolicies implements objects.Source.
func (s *Shop) NetworkPolicies() []*networkingv1.NetworkPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policies
}

// Selected implements objects.Source.
func (s *Shop) Selected(namespace, name string) ([]services.Selected, error) {
	for _, o := range s.Services() {
		if o.Namespace == namespace && o.Name == name {
			return s.selected[namespace+"/"+name], nil
		}
	}
	return nil, fmt.Errorf("there is no service %s/%s", namespace, name)
}

// Subscribe implements objects.Source.
func (s *Shop) Subscribe() (changes <-chan struct{}, cancel func()) {
	return s.changes.Subscribe()
}

// Listeners is how many have subscribed.
func (s *Shop) Listeners() int {
	return s.changes.Len()
}

// SetServices replaces the services, and tells.
func (s *Shop) SetServices(list ...*v1.Service) {
	s.mu.Lock()
	s.services = list
	s.mu.Unlock()
	s.changes.Notify()
}

// Empty takes everything away.
func (s *Shop) Empty() {
	s.mu.Lock()
	s.slices, s.policies = nil, nil
	s.mu.Unlock()
	s.SetServices()
}

// LoseCounters has Traffic fail from now on.
func (s *Shop) LoseCounters() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traffic = nil
}

// Traffic counts what was sent.
func (s *Shop) Traffic(context.Context) (map[string]served.Traffic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.traffic == nil {
		return nil, errors.New("the kernel has no such table")
	}
	return s.traffic, nil
}

// Asked is how often Traffic was.
func (s *Shop) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func meta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "-" + name), Labels: labels, CreationTimestamp: metav1.NewTime(Created)}
}

func shopServices() []*v1.Service {
	web := &v1.Service{ObjectMeta: meta("default", "web", map[string]string{"app.kubernetes.io/name": "web", "tier": "front"}), Spec: v1.ServiceSpec{
		Type: v1.ServiceTypeClusterIP, ClusterIP: "10.96.0.20", ClusterIPs: []string{"10.96.0.20", "fd00:96::20"},
		IPFamilies: []v1.IPFamily{v1.IPv4Protocol, v1.IPv6Protocol}, IPFamilyPolicy: ptr.To(v1.IPFamilyPolicyPreferDualStack),
		Selector: map[string]string{"app": "web", "a": "b"}, InternalTrafficPolicy: ptr.To(v1.ServiceInternalTrafficPolicyCluster),
		SessionAffinity: v1.ServiceAffinityClientIP, SessionAffinityConfig: &v1.SessionAffinityConfig{ClientIP: &v1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](600)}},
		Ports: []v1.ServicePort{
			{Name: "http", Protocol: v1.ProtocolTCP, Port: 80, TargetPort: intstr.FromString("http")},
			{Name: "metrics", Protocol: v1.ProtocolTCP, Port: 9090, TargetPort: intstr.FromInt32(9100)},
		},
	}}
	web.Annotations = map[string]string{"solopod.io/manifest": "shop.yaml"}
	return []*v1.Service{
		{ObjectMeta: meta("default", "db", nil), Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeClusterIP, ClusterIP: v1.ClusterIPNone, ClusterIPs: []string{v1.ClusterIPNone}, IPFamilies: []v1.IPFamily{v1.IPv4Protocol},
			IPFamilyPolicy: ptr.To(v1.IPFamilyPolicySingleStack), Selector: map[string]string{"app": "db"}, SessionAffinity: v1.ServiceAffinityNone,
			Ports: []v1.ServicePort{{Protocol: v1.ProtocolTCP, Port: 5432, TargetPort: intstr.FromInt32(5432)}},
		}},
		{ObjectMeta: meta("default", "dns", nil), Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeNodePort, ClusterIP: "10.96.0.21", ClusterIPs: []string{"10.96.0.21"}, ExternalIPs: []string{"192.0.2.9"},
			IPFamilies: []v1.IPFamily{v1.IPv4Protocol}, SessionAffinity: v1.ServiceAffinityNone, ExternalTrafficPolicy: v1.ServiceExternalTrafficPolicyCluster,
			PublishNotReadyAddresses: true,
			Ports:                    []v1.ServicePort{{Name: "dns", Protocol: v1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(5353), NodePort: 30053}},
		}},
		{ObjectMeta: meta("default", "public", nil), Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.22", ClusterIPs: []string{"10.96.0.22"}, IPFamilies: []v1.IPFamily{v1.IPv4Protocol},
			Selector: map[string]string{"app": "web"}, SessionAffinity: v1.ServiceAffinityNone, ExternalTrafficPolicy: v1.ServiceExternalTrafficPolicyLocal,
			LoadBalancerSourceRanges: []string{"192.0.2.0/24"}, HealthCheckNodePort: 30999,
			Ports: []v1.ServicePort{{Name: "http", Protocol: v1.ProtocolTCP, Port: 8080, TargetPort: intstr.FromString("http"), NodePort: 30080}},
		}, Status: v1.ServiceStatus{LoadBalancer: v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{{IP: "192.0.2.7"}}}}},
		web,
		{ObjectMeta: meta("default", "world", nil), Spec: v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "www.example.com", SessionAffinity: v1.ServiceAffinityNone}},
		{ObjectMeta: meta("far", "api", nil), Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeClusterIP, ClusterIP: "10.96.0.23", ClusterIPs: []string{"10.96.0.23"}, IPFamilies: []v1.IPFamily{v1.IPv4Protocol},
			Selector: map[string]string{"app": "api"}, SessionAffinity: v1.ServiceAffinityNone,
			Ports: []v1.ServicePort{{Protocol: v1.ProtocolSCTP, Port: 7, TargetPort: intstr.FromInt32(7)}},
		}},
	}
}

// endpoint is that of a pod.
func endpoint(namespace, pod string, ready bool, addresses ...string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: ptr.To(false)},
		TargetRef: &v1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod}, NodeName: ptr.To("box"),
	}
}

func shopSlices() []*discoveryv1.EndpointSlice {
	of := func(namespace, service, name string, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: meta(namespace, name, map[string]string{discoveryv1.LabelServiceName: service}), AddressType: family, Ports: ports, Endpoints: endpoints,
		}
	}
	port := func(name string, protocol v1.Protocol, n int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &n}
	}
	web := []discoveryv1.EndpointPort{port("http", v1.ProtocolTCP, 8080), port("metrics", v1.ProtocolTCP, 9100)}
	db := endpoint("default", "db-0", true, "10.85.0.9")
	db.Hostname = ptr.To("db-0")
	return []*discoveryv1.EndpointSlice{
		of("default", "db", "db-ipv4", discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{port("", v1.ProtocolTCP, 5432)}, db),
		of("default", "web", "web-ipv4", discoveryv1.AddressTypeIPv4, web, endpoint("default", "web-0", true, "10.85.0.5"),
			endpoint("default", "web-1", true, "10.85.0.6"), endpoint("default", "web-2", false, "10.85.0.7")),
		of("default", "web", "web-ipv6", discoveryv1.AddressTypeIPv6, web, endpoint("default", "web-0", true, "fd00::5")),
		of("far", "api", "api-ipv4", discoveryv1.AddressTypeIPv4, nil),
	}
}

func shopPolicies() []*networkingv1.NetworkPolicy {
	pods := func(labels map[string]string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: labels}
	}
	tcp, http, high := v1.ProtocolTCP, intstr.FromString("http"), intstr.FromInt32(8000)
	return []*networkingv1.NetworkPolicy{
		{ObjectMeta: meta("default", "deny", nil), Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}},
		{ObjectMeta: meta("default", "web", map[string]string{"tier": "front"}), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *pods(map[string]string{"app": "web"}), PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{
					Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &http}, {Protocol: &tcp, Port: &high, EndPort: ptr.To[int32](8100)}},
					From: []networkingv1.NetworkPolicyPeer{
						{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24", Except: []string{"192.0.2.7/32"}}},
						{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: pods(map[string]string{"app": "proxy"})},
					},
				},
				{From: []networkingv1.NetworkPolicyPeer{{PodSelector: pods(map[string]string{"app": "web"})}}},
			},
		}},
	}
}
