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
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/network/bridge"
	"github.com/solopod/solopod/runner/network/firewall"
	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/turn"
)

// Port is a port of the host that leads to the pod.
type Port = firewall.Port

// AnyIP says whether a port's address of the host means all that it has.
func AnyIP(ip string) bool { return firewall.AnyIP(ip) }

// Pod is what the network needs to know of a pod.
type Pod struct {
	UID       string
	Namespace string
	Name      string
	Netns     string
	Ports     []Port
	// Labels, and Named, the containers' ports that have a name, are for NetworkPolicies.
	Labels map[string]string
	Named  []isolate.Port
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
	// PodCIDR is the subnet of the own bridge; empty means a free one, bridge.None that pods have no addresses of IPv4.
	PodCIDR string
	// PodCIDR6 is the same for IPv6; empty means a private one of the machine's own, where IPv6 is not switched off.
	PodCIDR6 string
	// IPv6First says whether a pod's address of IPv6 comes first; nil means no.
	IPv6First func() bool
}

// turnLimit is how long somebody waits to write something of the kernel's. Whoever does takes milliseconds, or seconds where he looks through
// very many flows, or through iptables-legacy's rules.
const turnLimit = 10 * time.Second

// newTurn makes a turn of who writes something. Others wait, but not for ever: a kernel that does not answer one must not hold pods that
// come, and whoever asks for counters.
func newTurn(what string) turn.Turn {
	return turn.New(turnLimit, fmt.Errorf("cannot use %s: the kernel does not answer whoever writes them at this moment", what))
}

// Network attaches pods. It is safe for concurrent use.
type Network struct {
	config Config
	cni    *cni
	bridge *bridge.Bridge
	mu     sync.Mutex
	ports  map[string]forward // by pod UID
	// stale: the kernel may have other rules than these.
	stale bool
	// mark tells the rules that were written for the ports; "" when they are not known.
	mark  string
	write func(bridge string, pods map[string]forward) error // firewall.WritePorts
	watch watch
	// changing is of who looks through the machine's firewalls: two at the same time would both add our rules.
	changing turn.Turn
	routing  *routing
	policies *policies
	serving  *serving
	// servesLoopback: ports of services are reached through 127.0.0.1.
	servesLoopback bool
}

type forward = firewall.Forward

// New prepares the network; nothing is made before the first pod needs it.
func New(c Config) *Network {
	n := &Network{config: c, cni: newCNI(c), bridge: bridge.New(bridge.Config{Name: c.Bridge, StateDir: c.StateDir, PodCIDR: c.PodCIDR, PodCIDR6: c.PodCIDR6}), ports: map[string]forward{}, write: firewall.WritePorts, changing: newTurn("the rules of firewalls")}
	n.routing = &routing{own: n.bridge}
	n.serving = &serving{own: n.bridge, routing: n.routing, loopback: n.serveLoopback, trouble: n.trouble, turn: newTurn("the rules of services")}
	n.policies = newPolicies(n.config.Bridge, n.routing, n.trouble)
	return n
}

// Adopt takes over attachments of an earlier run, by pod UID.
func (n *Network) Adopt(uid string, a Attachment) {
	ips := parseIPs(a.IPs)
	if len(ips) == 0 {
		return
	}
	if !a.ByCNI {
		n.bridge.Reserve(uid, ips)
	} else {
		n.routing.note(uid, ips)
	}
	n.policies.adopt(uid, ips)
	if len(a.Ports) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[uid] = forward{IPs: ips, Ports: a.Ports}
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
		a, err = n.attachToBridge(ctx, p)
	}
	if err != nil {
		return Attachment{}, err
	}
	if err := n.admit(ctx, p, a); err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit) // ctx may have ended
		defer cancel()
		return Attachment{}, errors.Join(err, n.Detach(limited, p))
	}
	return a, nil
}

// admit has the machine's rules know the pod, before anything runs there.
func (n *Network) admit(ctx context.Context, p Pod, a Attachment) error {
	ips := parseIPs(a.IPs)
	if a.ByCNI {
		n.routing.note(p.UID, ips)
	}
	if err := n.routing.follow(); err != nil {
		return err
	}
	n.serving.follow(ctx)
	if err := n.policies.guard(ctx, p, ips); err != nil {
		return err
	}
	if len(a.Ports) == 0 {
		return nil
	}
	if len(ips) == 0 {
		return fmt.Errorf("the pod has no address (it has %v)", a.IPs)
	}
	return n.forward(p.UID, forward{IPs: ips, Ports: a.Ports})
}

func (n *Network) attachToBridge(ctx context.Context, p Pod) (Attachment, error) {
	ips, err := n.bridge.Attach(ctx, p.UID, p.Netns)
	if err != nil {
		return Attachment{}, err
	}
	n.open(ctx)
	if n.config.IPv6First != nil && n.config.IPv6First() {
		slices.Reverse(ips)
	}
	a := Attachment{Ports: p.Ports}
	for _, ip := range ips {
		a.IPs = append(a.IPs, ip.String())
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
	last, err := n.bridge.Detach(p.UID)
	if last {
		n.close(ctx)
	}
	n.policies.unguard(ctx, p.UID)
	n.routing.note(p.UID, nil)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	n.serving.follow(limited)
	return errors.Join(append(errs, err, n.routing.follow())...)
}

// forward sets or, with no ports, clears the host ports of a pod.
func (n *Network) forward(uid string, f forward) error {
	had, err := n.setPorts(uid, f)
	if err != nil {
		return fmt.Errorf("cannot forward host ports (does the kernel have nf_tables?): %w", err)
	}
	for _, f := range []forward{had, f} {
		if err := firewall.ForgetUDP(f); err != nil {
			slog.Warn("senders of UDP that sent to a host port before may not reach its pod as long as they go on to send", "err", err)
		}
	}
	return nil
}

// setPorts writes the rules, and returns what the pod had before.
func (n *Network) setPorts(uid string, f forward) (had forward, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	had, known := n.ports[uid]
	if !known && len(f.Ports) == 0 && !n.stale {
		return had, nil
	}
	n.ports[uid] = f
	if len(f.Ports) == 0 {
		delete(n.ports, uid)
	}
	return had, n.writePorts()
}

// writePorts writes the rules of all pods. n.mu is held.
func (n *Network) writePorts() error {
	if !firewall.ThroughLoopback(n.ports) {
		n.routeLoopback() // no longer, before the rules go that guard it
	}
	err := n.write(n.config.Bridge, n.ports)
	if n.stale = err != nil; n.stale {
		n.mark = ""
		return err
	}
	if n.mark, err = firewall.LookPorts(n.config.Bridge, n.ports); err != nil {
		slog.Debug("the rules of host ports cannot be read", "err", err)
	}
	n.routeLoopback()
	return nil
}

// routeLoopback has the kernel route packets from 127.0.0.1 to the bridge if host ports need it. n.mu is held.
func (n *Network) routeLoopback() {
	let := firewall.ThroughLoopback(n.ports) || n.servesLoopback
	if err := firewall.RouteLoopback(n.config.Bridge, let); err != nil && (let || !errors.Is(err, fs.ErrNotExist)) {
		slog.Debug("what comes from 127.0.0.1 cannot be let to host ports, or kept from the bridge", "let", let, "err", err)
	}
}

// serveLoopback is for ports of services what routeLoopback is for host ports. The rules that guard it must be there while it is let.
func (n *Network) serveLoopback(let bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servesLoopback = let
	n.routeLoopback()
}

func parseIPs(list []string) (ips []netip.Addr) {
	for _, s := range list {
		if ip, err := netip.ParseAddr(s); err == nil {
			ips = append(ips, ip.Unmap())
		}
	}
	return ips
}

// Sweep removes the bridge of an earlier run when no adopted pod uses it.
func (n *Network) Sweep() error {
	n.close(context.Background()) // bounded by itself
	return n.bridge.Sweep()
}
