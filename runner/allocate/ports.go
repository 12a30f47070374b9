package allocate

import (
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/network"
)

// ErrPortTaken says that another pod of this machine has a port of the host, be it forwarded or, with the host's network, its own.
var ErrPortTaken = errors.New("host port is already taken")

// portsFree says who else has one of the ports.
func (c *Claims) portsFree(uid string, ports []network.Port) error {
	for other, h := range c.pods {
		if other == uid {
			continue
		}
		for _, theirs := range h.ports {
			for _, p := range ports {
				if p.HostPort == theirs.HostPort && p.Protocol == theirs.Protocol && sameAddress(p.HostIP, theirs.HostIP) {
					return fmt.Errorf("%w: %d/%s belongs to pod %s; change one of them, or remove that pod", ErrPortTaken, p.HostPort, p.Protocol, h.pod)
				}
			}
		}
	}
	return nil
}

func sameAddress(a, b string) bool {
	return a == b || network.AnyIP(a) || network.AnyIP(b)
}

// wantedPorts are all ports of the host that the pod's containers name.
func wantedPorts(pod *v1.Pod) []network.Port {
	var out []network.Port
	for _, c := range manifests.AllContainers(pod) {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				out = append(out, network.Port{
					HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: string(p.Protocol), HostIP: p.HostIP,
				})
			}
		}
	}
	return out
}
