package services

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/services/allocate"
	"github.com/solopod/solopod/services/endpoints"
	"github.com/solopod/solopod/services/machine"
)

// familiesOf are those of which services can be: those of pods' addresses, which the own bridge's are known to be. Where plugins give these it
// is seen by the pods themselves, and what was seen once counts for good.
func familiesOf(own, seen []v1.IPFamily, pods []endpoints.Pod) []v1.IPFamily {
	if len(own) > 0 {
		return own
	}
	out := slices.Clone(seen)
	for i := range pods {
		if pods[i].Spec.HostNetwork {
			continue
		}
		for _, ip := range pods[i].Addrs {
			if f := allocate.FamilyOf(ip); !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	if len(out) == 0 {
		return []v1.IPFamily{v1.IPv4Protocol}
	}
	return out
}

// cidrs are the subnets of the families, in their order.
func (r *record) cidrs(families []v1.IPFamily) (out []netip.Prefix) {
	for _, f := range families {
		if p, ok := r.of(f); ok {
			out = append(out, p)
		}
	}
	return out
}

func (c *Controller) addressesOfNames() []netip.Addr {
	return allocate.OfNames(c.record.cidrs(c.families))
}

// decide gives services their addresses and ports anew, and writes them down.
func (c *Controller) decide(ctx context.Context, given *manifests.Snapshot, pods []endpoints.Pod) {
	network, err := c.Machine.Look(ctx)
	if err != nil {
		slog.Warn("addresses of Services may be such as the machine has", "err", err)
		if network = c.network; network == nil {
			network = &machine.Network{}
		}
	}
	c.network = network
	before := c.record
	if len(c.objects.services) > 0 {
		c.chooseCIDRs()
	}
	now, notes := allocate.Allocate(c.objects.services, c.record.Given, allocate.Terms{
		CIDRs: c.record.cidrs(c.families), NodePorts: c.Settings.NodePorts, Taken: c.addressTaken(pods), PortTaken: c.portTaken(ctx, pods),
	})
	kept := maps.Clone(now)
	if given != nil && !complete(given) || given == nil {
		keepGone(kept, c.record.Given) // a file that cannot be read may have it
	}
	c.record.Given = kept
	if len(c.own) == 0 {
		c.record.Families = c.families
	}
	if given != nil {
		c.record.Files = given.Served()
		c.record.Since = c.objects.since(c.record.Since, !complete(given), time.Now())
	}
	if given != nil || !same(before, c.record) {
		c.disk.put(ctx, c.record, 0)
	}
	c.teller.announce(&c.teller.given, notes)
	out := make(map[string]endpoints.Decided, len(now))
	for key, g := range now {
		out[key] = endpoints.Decided{Given: g}
	}
	c.setView(&view{objects: c.objects.dated(c.record.Since), decided: out, own: network.Has})
	c.ports.listen(ctx, c.shown(), c.addressesOfNames())
}

func same(a, b record) bool {
	return slices.Equal(a.CIDRs, b.CIDRs) && slices.Equal(a.Families, b.Families) &&
		maps.EqualFunc(a.Given, b.Given, func(x, y allocate.Given) bool {
			return slices.Equal(x.Families, y.Families) && slices.Equal(x.ClusterIPs, y.ClusterIPs) && maps.Equal(x.NodePorts, y.NodePorts)
		})
}

// Subnets of Services, of which the first is taken that nothing of the machine overlaps.
const (
	firstCIDR = 96
	lastCIDR  = 111
)

// chooseCIDRs chooses the subnets of the families that have none. One on record stays.
func (c *Controller) chooseCIDRs() {
	if len(c.Settings.CIDRs) > 0 {
		c.record.CIDRs = c.Settings.CIDRs
		return
	}
	for _, f := range c.families {
		if _, ok := c.record.of(f); ok {
			continue
		}
		chosen := c.Machine.Private()
		if f == v1.IPv4Protocol {
			chosen = free(c.network)
		}
		c.record.CIDRs = append(slices.Clone(c.record.CIDRs), chosen)
	}
}

func free(n *machine.Network) netip.Prefix {
	var first netip.Prefix
	for second := firstCIDR; second <= lastCIDR; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(second)}), 16)
		if !first.IsValid() {
			first = p
		}
		if !slices.ContainsFunc(n.Routes, p.Overlaps) && !slices.ContainsFunc(n.Addresses, p.Overlaps) {
			return p
		}
	}
	return first // all are taken: single addresses that the machine has are left out
}

// addressTaken says who has an address, beside services.
func (c *Controller) addressTaken(pods []endpoints.Pod) func(netip.Addr) string {
	inside := c.addressInside(pods)
	return func(ip netip.Addr) string {
		switch {
		case ip.IsLoopback(), ip.IsMulticast(), ip.IsLinkLocalUnicast(), ip.IsUnspecified():
			return "an address with a meaning of its own"
		case c.network.Has(ip):
			return "an address of the machine"
		case slices.Contains(c.network.Gateways, ip):
			return "a gateway of the machine, which would lose its way out"
		}
		return inside(ip)
	}
}

// addressInside says who has an address among pods and those who answer for names.
func (c *Controller) addressInside(pods []endpoints.Pod) func(netip.Addr) string {
	names := c.addressesOfNames()
	if len(c.Settings.Servers) > 0 {
		names = nil
	}
	ofPods := map[netip.Addr]string{}
	for i := range pods {
		for _, ip := range pods[i].Addrs {
			ofPods[ip] = manifests.Key(pods[i].Pod)
		}
	}
	return func(ip netip.Addr) string {
		switch {
		case slices.Contains(names, ip):
			return "the address that answers for names"
		case slices.ContainsFunc(c.network.Pods, func(p netip.Prefix) bool { return p.Contains(ip) }):
			return "one of the subnet of pods"
		case ofPods[ip] != "":
			return "the address of pod " + ofPods[ip]
		}
		return ""
	}
}

// addressHeld says who has an address that a service may not name beside its own: whoever wrote it would take what is sent to others. The
// machine's addresses may be named.
func (c *Controller) addressHeld(pods []endpoints.Pod, v *view) func(key string, ip netip.Addr) string {
	inside, ofServices := c.addressInside(pods), map[netip.Addr]string{}
	for key := range v.services {
		for _, ip := range v.decided[key].ClusterIPs {
			ofServices[ip] = key
		}
	}
	return func(key string, ip netip.Addr) string {
		if other := ofServices[ip]; other != "" && other != key {
			return "the address of service " + other
		}
		if v.own(ip) {
			return ""
		}
		return inside(ip)
	}
}

// portTaken says who has a port of the machine that a service may be given.
func (c *Controller) portTaken(ctx context.Context, pods []endpoints.Pod) func(uint16, v1.Protocol) string {
	hostPorts := portsOfPods(pods)
	return func(port uint16, protocol v1.Protocol) string {
		p := listener.Port{Number: port, Protocol: string(protocol)}
		if pod := hostPorts[p]; pod != "" {
			return "pod " + pod
		}
		if found, err := c.Machine.Listening(ctx, []listener.Port{p}, c.addressesOfNames()); err == nil && found[p] != nil {
			return found[p].By
		}
		return ""
	}
}
