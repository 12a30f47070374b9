// Package isolate enforces NetworkPolicies: which packets may come to a pod, and which may leave it.
//
// Policies are compiled into Rules, purely. Rules become three tables of nftables: one of IP, one of IPv6, in which the packets of isolated
// pods are judged behind all translation of addresses, and one for frames, which has pods keep to their own addresses. What a packet costs
// does not depend on how many policies and pods there are, but on the rules of the policies that select its two pods.
//
// A connection is judged with each packet of who began it, so that a policy counts for connections that were there before it; answers pass.
// What the machine itself sends to a pod is not judged, as in a cluster: probes are its own.
package isolate

import (
	"cmp"
	"net"
	"net/netip"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/solopod/solopod/manifests"
)

// Policies is all that decides.
type Policies struct {
	Policies []*networkingv1.NetworkPolicy
	// Namespaces are the labels of namespaces, by name. kubernetes.io/metadata.name need not be among them.
	Namespaces map[string]map[string]string
	// Pods are those with an address of their own; pods with the machine's network count as the machine.
	Pods []Pod
	// DNS are the addresses of the servers that pods ask for names. They count as a pod with the labels that a cluster's has: k8s-app is
	// kube-dns, in the namespace kube-system, with the ports dns and dns-tcp.
	DNS []netip.Addr
}

// Pod is what policies need to know of a pod.
type Pod struct {
	UID       string
	Namespace string
	Name      string
	Labels    map[string]string
	// Ports are those with a name.
	Ports []Port
	// Addrs and Place are the network's own affair: it knows them of all pods that it has attached, and they need not be given.
	Addrs []netip.Addr
	Place Place
}

// Port is a container's port.
type Port struct {
	Name     string
	Protocol v1.Protocol
	Port     uint16
}

// Place is where a pod's packets enter the machine. The zero value means that it is not known.
type Place struct {
	// Interface is the machine's end of the pod's connection.
	Interface string
	// Bridged: the interface is a port of a bridge.
	Bridged bool
	// Hardware is the pod's own hardware address.
	Hardware net.HardwareAddr
}

// PodOf is what policies need to know of a pod. Ports are those of containers, and of init containers that go on beside them.
func PodOf(pod *v1.Pod) Pod {
	p := Pod{UID: string(pod.UID), Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels}
	add := func(c *v1.Container) {
		for _, port := range c.Ports {
			if port.Name != "" {
				p.Ports = append(p.Ports, Port{Name: port.Name, Protocol: cmp.Or(port.Protocol, v1.ProtocolTCP), Port: uint16(port.ContainerPort)})
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; manifests.IsSidecar(c) {
			add(c)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return p
}

// dnsPod stands for the servers that pods ask for names.
func dnsPod(addrs []netip.Addr) Pod {
	return Pod{
		Namespace: "kube-system", Name: "kube-dns", Labels: map[string]string{"k8s-app": "kube-dns"}, Addrs: addrs,
		Ports: []Port{{"dns", v1.ProtocolUDP, 53}, {"dns-tcp", v1.ProtocolTCP, 53}},
	}
}
