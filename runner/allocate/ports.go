package allocate

import (
	"errors"
	"fmt"
	"maps"
	"slices"

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
		if err := apart(ports, h.ports, h.pod); err != nil {
			return err
		}
	}
	return nil
}

// Future is a pod as it is to be.
type Future struct {
	Pod *v1.Pod
	// Waits: it is an edit that has not been taken; Stuck: it will not be for now, whatever others do.
	Waits, Stuck bool
}

// Keeps says which of the host ports that an edit of a pod wants, and the pod does not have, another pod has and will not give up: one
// that goes on as it is, or whose own edit waits for something. Pods whose edits wait for each other's ports alone may all be edited.
func (c *Claims) Keeps(pod *v1.Pod, futures map[string]Future) error {
	futures = maps.Collect(maps.All(futures))
	futures[string(pod.UID)] = Future{Pod: pod, Waits: true}
	c.mu.Lock()
	held := map[string]holding{}
	for uid, h := range c.pods {
		if _, ok := futures[uid]; ok {
			held[uid] = holding{pod: h.pod, ports: h.ports}
		}
	}
	c.mu.Unlock()
	for changed := true; changed; { // each round finds one more that is stuck, or is the last
		changed = false
		for uid, f := range futures {
			if f.Waits && !f.Stuck && taken(f.Pod, uid, held, futures) != nil {
				f.Stuck, changed = true, true
				futures[uid] = f
			}
		}
	}
	return taken(pod, string(pod.UID), held, futures)
}

// taken says which port that a pod wants and does not have another one keeps.
func taken(pod *v1.Pod, uid string, held map[string]holding, futures map[string]Future) error {
	ports := slices.DeleteFunc(wantedPorts(pod), func(p network.Port) bool { return apart([]network.Port{p}, held[uid].ports, "") != nil })
	for other, h := range held {
		if other == uid {
			continue
		}
		keeps, f := h.ports, futures[other]
		if !f.Stuck {
			names := wantedPorts(f.Pod)
			keeps = slices.DeleteFunc(slices.Clone(keeps), func(p network.Port) bool { return apart([]network.Port{p}, names, "") == nil })
		}
		if err := apart(ports, keeps, h.pod); err != nil {
			return err
		}
	}
	return nil
}

// apart says which of the ports is among those of another pod.
func apart(ports, theirs []network.Port, other string) error {
	for _, q := range theirs {
		for _, p := range ports {
			if p.HostPort == q.HostPort && p.Protocol == q.Protocol && sameAddress(p.HostIP, q.HostIP) {
				return fmt.Errorf("%w: %d/%s belongs to pod %s; change one of them, or remove that pod", ErrPortTaken, p.HostPort, p.Protocol, other)
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
