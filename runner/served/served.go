// Package served says what is served to pods by name and address: Services with their ports and endpoints. It is what the tables of the
// kernel and the names are made of, and holds no logic of its own but order and equality.
package served

import (
	"net/netip"
	"time"
)

// Table is all that is served at one moment. Its lists are in an order that does not change, so that equal tables are deeply equal. It is
// not changed once it was handed on.
type Table struct {
	// Services are by namespace and name.
	Services []Service `json:"services,omitempty"`
	// Pods are the pods that have an address and have not ended, by namespace and name: for names by address and by hostname.
	Pods []Pod `json:"pods,omitempty"`
}

// Empty says whether nothing is served; then there is no table of the kernel, no listener, no link.
func (t *Table) Empty() bool { return len(t.Services) == 0 }

// Service is one, with what was decided for it.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// ExternalName is the name that stands for the service; nothing else is set then.
	ExternalName string `json:"externalName,omitempty"`
	// Headless: names lead to the endpoints themselves, and there are no ClusterIPs.
	Headless bool `json:"headless,omitempty"`
	// ClusterIPs, one of a family at most, the first family first.
	ClusterIPs []netip.Addr `json:"clusterIPs,omitempty"`
	// ExternalIPs are further addresses on which Ports are answered, wherever they are routed to this machine.
	ExternalIPs []netip.Addr `json:"externalIPs,omitempty"`
	// OnNode: Ports are answered on the machine's own addresses too, as by a LoadBalancer.
	OnNode bool `json:"onNode,omitempty"`
	// SourceRanges bound who reaches the service by the machine's addresses; none means everybody.
	SourceRanges []netip.Prefix `json:"sourceRanges,omitempty"`
	// LocalOnly: externalTrafficPolicy is Local, the client's address must be kept. InternalLocal: internalTrafficPolicy is. What runs on
	// other machines does not count then.
	LocalOnly     bool `json:"localOnly,omitempty"`
	InternalLocal bool `json:"internalLocal,omitempty"`
	// Affinity is for how long a client stays with its endpoint; zero means that there is none.
	Affinity time.Duration `json:"affinity,omitempty"`
	Ports    []Port        `json:"ports,omitempty"`
	// Endpoints are those that are in the names of a headless service: ready, or publishNotReadyAddresses.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
}

// Key names the service as users do: namespace/name.
func (s *Service) Key() string { return s.Namespace + "/" + s.Name }

// Port is one of a service.
type Port struct {
	Name     string   `json:"name,omitempty"`
	Protocol Protocol `json:"protocol"`
	Port     uint16   `json:"port"`
	// NodePort is the port of the machine's addresses; zero means none.
	NodePort uint16 `json:"nodePort,omitempty"`
	// NotOnNode: the machine's addresses do not answer the port in spite of OnNode, as somebody else has it there.
	NotOnNode bool `json:"notOnNode,omitempty"`
	// Targets get the connections: of both families, those that are ready, or where none is, those that still serve while they terminate
	// (KEP-1669). None: the port is refused.
	Targets []Target `json:"targets,omitempty"`
}

// Target is where a connection goes to.
type Target struct {
	Addr netip.Addr `json:"addr"`
	Port uint16     `json:"port"`
	// Outside: it is neither a pod nor the machine itself, so that answers come back here only if they are asked for from here.
	Outside bool `json:"outside,omitempty"`
}

// Endpoint is a name behind a headless service.
type Endpoint struct {
	// Hostname is the endpoint's own name below the service's; empty where it has none.
	Hostname string       `json:"hostname,omitempty"`
	Addrs    []netip.Addr `json:"addrs"`
	// Ports are those of the service as this endpoint has them: named ports differ between pods.
	Ports []Port `json:"ports,omitempty"`
}

// Pod is one that has addresses.
type Pod struct {
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	Addrs     []netip.Addr `json:"addrs"`
	// Hostname and Subdomain are the pod's; empty where it has none.
	Hostname    string `json:"hostname,omitempty"`
	Subdomain   string `json:"subdomain,omitempty"`
	HostNetwork bool   `json:"hostNetwork,omitempty"`
}

// Traffic counts what was sent to a service and from it, in both directions, since its rules were written first.
type Traffic struct {
	Packets, Bytes uint64
}
