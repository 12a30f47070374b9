package bridge

import (
	"net"
	"net/netip"
	"slices"
)

// Place is where pods of the bridge are.
type Place struct {
	Hardware net.HardwareAddr
	// Ports are the interfaces of pods on the machine, sorted.
	Ports   []string
	Subnets []netip.Prefix
}

// Place returns it; nothing while no pod uses the bridge.
func (b *Bridge) Place() (p Place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.taken) == 0 {
		return Place{}
	}
	p = Place{Hardware: hardware(b.Name), Subnets: slices.Clone(b.subnets)}
	for uid := range b.taken {
		p.Ports = append(p.Ports, b.hostInterface(uid))
	}
	slices.Sort(p.Ports)
	return p
}
