package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/device"
	"github.com/solopod/solopod/runner/network"
)

// errPortTaken says that another pod of this machine has a port of the host.
var errPortTaken = errors.New("host port is already taken")

// hostPorts knows which pod has which ports of the host, be they forwarded or, with the host's network, its own.
type hostPorts struct {
	mu   sync.Mutex
	pods map[string]portClaim // by UID
}

type portClaim struct {
	pod   string // namespace/name
	ports []network.Port
}

// claim takes the pod's host ports, or says who has one of them.
func (h *hostPorts) claim(pod *v1.Pod) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := wantedPorts(pod)
	for uid, other := range h.pods {
		if uid == string(pod.UID) {
			continue
		}
		for _, theirs := range other.ports {
			for _, p := range mine {
				if p.HostPort == theirs.HostPort && p.Protocol == theirs.Protocol && sameAddress(p.HostIP, theirs.HostIP) {
					return fmt.Errorf("%w: %d/%s belongs to pod %s; change one of them, or remove that pod", errPortTaken, p.HostPort, p.Protocol, other.pod)
				}
			}
		}
	}
	if len(mine) > 0 {
		h.pods[string(pod.UID)] = portClaim{manifests.Key(pod), mine}
	}
	return nil
}

// release gives the pod's ports back and says whether it had any.
func (h *hostPorts) release(uid string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, had := h.pods[uid]
	delete(h.pods, uid)
	return had
}

func sameAddress(a, b string) bool {
	anyAddress := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a == b || anyAddress(a) || anyAddress(b)
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

// releaseClaims gives back what only one pod can have, ports of the host and devices, and lets the pods know that wait for some.
func (w *worker) releaseClaims() {
	ports, devices := w.runner.ports.release(w.uid), w.runner.devices.Release(w.uid)
	if !ports && !devices {
		return
	}
	w.runner.mu.Lock()
	defer w.runner.mu.Unlock()
	for _, other := range w.runner.workers {
		if other != w {
			other.send(claimsFree{})
		}
	}
}

// claimsFree: some pod has given ports of the host or devices back.
type claimsFree struct{}

func (claimsFree) take(_ context.Context, w *worker) {
	if errors.Is(w.waitsFor, errPortTaken) || errors.Is(w.waitsFor, device.ErrTaken) {
		w.setUpRetry, w.setUpFailures = time.Time{}, 0
	}
}
