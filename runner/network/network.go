// Package network gives a pod its network: an address from CNI or from Solopod's own bridge, host ports, and the files that
// name things (/etc/hosts, resolv.conf).
//
// Everything that it keeps lies in the state directory, which a reboot clears; what CNI plugins keep elsewhere is
// returned to them by Forget.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
)

// Port is a port of the host that leads to the pod.
type Port struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"` // TCP, UDP or SCTP
	HostIP        string `json:"hostIP,omitempty"`
}

// Pod is what the network needs to know of a pod.
type Pod struct {
	UID       string
	Namespace string
	Name      string
	Netns     string
	Ports     []Port
}

// Attachment is a pod's place in the network; it is kept by the caller.
type Attachment struct {
	IPs []string `json:"ips"`
	// ByCNI: the node's CNI configuration made it; ConfigList names the configuration.
	ByCNI bool `json:"byCNI,omitempty"`
	// Ports are those that Solopod itself forwards (CNI's portmap plugin did not).
	Ports []Port `json:"ports,omitempty"`
}

// Config says where the network's parts lie.
type Config struct {
	CNIBinDirs []string
	CNIConfDir string
	// CNICacheDir must survive a reboot: an address that a plugin gave out must be returned to it.
	CNICacheDir string
	// StateDir is cleared by a reboot, as the addresses of the own bridge are.
	StateDir string
	// Bridge is the name of the own bridge.
	Bridge string
	// PodCIDR is the subnet of the own bridge; empty means a free one.
	PodCIDR string
}

// Network attaches pods. It is safe for concurrent use.
type Network struct {
	config Config
	cni    *cni
	bridge *bridge
	mu     sync.Mutex
	ports  map[string]forward // by pod UID
	// stale: the kernel may have other rules than these.
	stale bool
	write func(bridge string, pods map[string]forward) error // writePortRules
}

type forward struct {
	ip    netip.Addr
	ports []Port
}

// New prepares the network; nothing is made before the first pod needs it.
func New(c Config) *Network {
	return &Network{config: c, cni: newCNI(c), bridge: newBridge(c), ports: map[string]forward{}, write: writePortRules}
}

// Adopt takes over attachments of an earlier run, by pod UID.
func (n *Network) Adopt(uid string, a Attachment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ip, err := firstIPv4(a.IPs)
	if err != nil {
		return
	}
	if !a.ByCNI {
		n.bridge.reserve(uid, ip)
	}
	if len(a.Ports) > 0 {
		n.ports[uid] = forward{ip, a.Ports}
	}
}

// Attach connects the pod's network namespace. It returns within addLimit, and within undoLimit and a moment after ctx has ended;
// what could not be given back then Detach gives back.
func (n *Network) Attach(ctx context.Context, p Pod) (a Attachment, err error) {
	list, err := n.cni.load()
	if err != nil {
		return Attachment{}, err
	}
	if list != nil {
		a, err = n.cni.add(ctx, list, p)
	} else {
		a, err = n.bridge.attach(ctx, p)
	}
	if err != nil {
		return Attachment{}, err
	}
	if len(a.Ports) == 0 {
		return a, nil
	}
	ip, err := firstIPv4(a.IPs)
	if err == nil {
		err = n.forward(p.UID, forward{ip, a.Ports})
	}
	if err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit) // ctx may have ended
		defer cancel()
		return Attachment{}, errors.Join(err, n.Detach(limited, p))
	}
	return a, nil
}

// Detach undoes Attach; it can be repeated, also after a reboot, when the namespace is gone. It returns within
// delLimit and undoLimit.
func (n *Network) Detach(ctx context.Context, p Pod) error {
	errs := []error{n.forward(p.UID, forward{})}
	if n.cni.knows(p.UID) {
		errs = append(errs, n.cni.del(ctx, p))
	}
	errs = append(errs, n.bridge.detach(p.UID))
	return errors.Join(errs...)
}

// forward sets or, with no ports, clears the host ports of a pod.
func (n *Network) forward(uid string, f forward) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, had := n.ports[uid]; !had && len(f.ports) == 0 && !n.stale {
		return nil
	}
	n.ports[uid] = f
	if len(f.ports) == 0 {
		delete(n.ports, uid)
	}
	err := n.write(n.config.Bridge, n.ports)
	if n.stale = err != nil; n.stale {
		return fmt.Errorf("cannot forward host ports (does the kernel have nf_tables?): %w", err)
	}
	if len(f.ports) > 0 {
		if err := allowLoopbackForwarding(n.config.Bridge); err != nil {
			slog.Debug("host ports cannot be reached through 127.0.0.1", "err", err)
		}
	}
	return nil
}

func firstIPv4(ips []string) (netip.Addr, error) {
	for _, s := range ips {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Is4() {
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("the pod has no IPv4 address (it has %v)", ips)
}

// Sweep removes the bridge of an earlier run when no adopted pod uses it.
func (n *Network) Sweep() error {
	n.bridge.mu.Lock()
	defer n.bridge.mu.Unlock()
	if len(n.bridge.taken) > 0 || !linkExists(n.bridge.name) {
		return nil
	}
	return n.bridge.remove()
}
