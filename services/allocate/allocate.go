// Package allocate gives Services their addresses and node ports: those of the manifest, else those that they had, else such as follow from
// their names. It is pure: what is taken by others, and what was given out before, is handed in.
package allocate

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/services/settings"
)

// Reasons of events.
const (
	AddressTaken   = "AddressTaken"
	PortTaken      = "PortTaken"
	NoSuchFamily   = "IPFamilyUnavailable"
	NoneFree       = "NothingFree"
	PortOutOfRange = "PortOutOfRange"
)

// Given is what a service has.
type Given struct {
	// Families are those of its addresses, or of a headless one's endpoints, the first one first.
	Families []v1.IPFamily `json:"families,omitempty"`
	// ClusterIPs, one of a family at most, in the order of Families; a family may be missing.
	ClusterIPs []netip.Addr `json:"clusterIPs,omitempty"`
	// NodePorts, by PortKey.
	NodePorts map[string]uint16 `json:"nodePorts,omitempty"`
}

// PortKey names a port of a service, as 80/TCP.
func PortKey(p *v1.ServicePort) string { return fmt.Sprintf("%d/%s", p.Port, protocol(p.Protocol)) }

func protocol(p v1.Protocol) v1.Protocol { return cmp.Or(p, v1.ProtocolTCP) }

// Note says of a service what could not be given to it.
type Note struct{ Namespace, Name, Reason, Message string }

// Terms are what there is to give.
type Terms struct {
	// CIDRs have the addresses, one of a family, those of the pods' first family first. A family without one is not there.
	CIDRs     []netip.Prefix
	NodePorts settings.Range
	// Taken says who has an address, beside Services; empty when nobody does.
	Taken func(netip.Addr) string
	// PortTaken says who has a port of the machine, beside Services; empty when nobody does. A port that a service has already is not asked for.
	PortTaken func(port uint16, protocol v1.Protocol) string
}

// Allocate decides for all services, by namespace/name; had is what they have had. What it returns depends on nothing else: not on the order
// in which services came, but for what is on record.
func Allocate(services map[string]*v1.Service, had map[string]Given, t Terms) (map[string]Given, []Note) {
	a := &allocation{terms: t, had: had, given: make(map[string]*Given, len(services)), services: services}
	a.keys = slices.Sorted(maps.Keys(services))
	for _, key := range a.keys {
		a.families(key)
	}
	a.addresses()
	a.nodePorts()
	out := make(map[string]Given, len(a.given))
	for key, g := range a.given {
		out[key] = *g
	}
	return out, a.notes
}

type allocation struct {
	terms    Terms
	services map[string]*v1.Service
	keys     []string
	had      map[string]Given
	given    map[string]*Given
	notes    []Note
}

func (a *allocation) note(key, reason, format string, args ...any) {
	s := a.services[key]
	a.notes = append(a.notes, Note{s.Namespace, s.Name, reason, fmt.Sprintf(format, args...)})
}

// FamilyOf is an address's.
func FamilyOf(ip netip.Addr) v1.IPFamily {
	if ip.Is4() {
		return v1.IPv4Protocol
	}
	return v1.IPv6Protocol
}

func (a *allocation) cidr(f v1.IPFamily) (netip.Prefix, bool) {
	for _, p := range a.terms.CIDRs {
		if FamilyOf(p.Addr()) == f {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Headless says whether names lead to the endpoints of a service themselves.
func Headless(s *v1.Service) bool {
	return s.Spec.Type != v1.ServiceTypeExternalName && s.Spec.ClusterIP == v1.ClusterIPNone
}

// families decides of which families a service is. With one family it stays with that which it had: what is the machine's first one may
// change.
func (a *allocation) families(key string) {
	s := a.services[key]
	g := &Given{}
	a.given[key] = g
	if s.Spec.Type == v1.ServiceTypeExternalName {
		return
	}
	wanted := slices.Clone(s.Spec.IPFamilies)
	if len(wanted) == 0 {
		for _, text := range wantedAddresses(s) {
			wanted = append(wanted, FamilyOf(text))
		}
	}
	if len(wanted) == 0 {
		wanted = a.hadFamilies(key)
	}
	for _, p := range a.terms.CIDRs { // the rest, in the machine's order
		if f := FamilyOf(p.Addr()); !slices.Contains(wanted, f) {
			wanted = append(wanted, f)
		}
	}
	dual := s.Spec.IPFamilyPolicy != nil && *s.Spec.IPFamilyPolicy != v1.IPFamilyPolicySingleStack
	if !dual {
		wanted = wanted[:min(1, len(wanted))]
	}
	for _, f := range wanted {
		if _, ok := a.cidr(f); ok && !slices.Contains(g.Families, f) {
			g.Families = append(g.Families, f)
		}
	}
	switch required := dual && *s.Spec.IPFamilyPolicy == v1.IPFamilyPolicyRequireDualStack; {
	case len(g.Families) == 0 && len(wanted) > 0:
		a.note(key, NoSuchFamily, "the service is of %s, and pods have no addresses of that family; it gets none", wanted[0])
	case required && len(g.Families) == 1:
		a.note(key, NoSuchFamily, "the service requires addresses of both families, and pods have those of %s only; it gets one of it", g.Families[0])
	}
}

// hadFamilies are those on record, as far as they are there.
func (a *allocation) hadFamilies(key string) (out []v1.IPFamily) {
	for _, f := range a.had[key].Families {
		if _, ok := a.cidr(f); ok {
			out = append(out, f)
		}
	}
	return out
}

// wantedAddresses are the addresses that a manifest names.
func wantedAddresses(s *v1.Service) (out []netip.Addr) {
	texts := s.Spec.ClusterIPs
	if len(texts) == 0 && s.Spec.ClusterIP != "" {
		texts = []string{s.Spec.ClusterIP}
	}
	for _, text := range texts {
		if ip, err := netip.ParseAddr(text); err == nil {
			out = append(out, ip.Unmap())
		}
	}
	return out
}

func ofFamily(list []netip.Addr, f v1.IPFamily) netip.Addr {
	for _, ip := range list {
		if FamilyOf(ip) == f {
			return ip
		}
	}
	return netip.Addr{}
}
