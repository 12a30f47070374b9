package runner

import (
	"net/netip"

	"github.com/solopod/solopod/runner/resolver"
)

// Naming tells pods where names of services are answered.
type Naming struct {
	machine *machine
	domain  string // of the cluster
}

// ServeNames says at which addresses names of services are answered from now on, in the order of the pods' families; with none nobody
// answers. Pods whose dnsPolicy is ClusterFirst ask there, those that run too: their /etc/resolv.conf changes in place. It is called after
// Start and before Apply of manifests with other services, so that no pod begins without, and waits for nothing but a file in memory. An
// error says that a later start may not know it; it is so all the same.
func (n *Naming) ServeNames(servers []netip.Addr) error {
	changed, err := n.machine.resolver.Serve(resolver.Cluster{Servers: servers, Domain: n.domain})
	if changed {
		n.machine.resolverChanged()
	}
	return err
}
