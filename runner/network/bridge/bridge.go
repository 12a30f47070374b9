// Package bridge is Solopod's own network for machines without a CNI configuration: a bridge with a private subnet of each family, made
// with the first pod and removed with the last. An attach costs a few netlink messages instead of CNI's processes.
package bridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/network/announce"
	"github.com/solopod/solopod/runner/network/firewall"
	"github.com/solopod/solopod/runner/thread"
)

// Config says what a bridge is called and which addresses it gives.
type Config struct {
	Name string
	// StateDir keeps what the next daemon must know; a reboot clears it, as it clears the bridge. Empty means that nothing is kept.
	StateDir string
	// PodCIDR is the subnet; empty means a free one, None that pods have no addresses of IPv4.
	PodCIDR string
	// PodCIDR6 is the same for IPv6; empty means a private one of the machine's own, where IPv6 is not switched off.
	PodCIDR6 string
}

// Bridge is safe for concurrent use.
type Bridge struct {
	Config
	mu sync.Mutex
	addresses
	ready bool // the bridge was made, or taken over, by this process
	// left: there may be something of a bridge that no pod uses.
	left bool
	// mark tells the rules that were written; "" when they are not known.
	mark string
	// changed and writing are of the file of addresses.
	changed, writing bool
}

// New makes nothing yet.
func New(c Config) *Bridge { return &Bridge{Config: c, addresses: loadAddresses(c.StateDir)} }

// Reserve takes over the addresses that a pod already has.
func (b *Bridge) Reserve(uid string, ips []netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken[uid] = ips
}

func linkExists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// Attach connects a pod's network namespace, a file, and returns its addresses: IPv4 first.
func (b *Bridge) Attach(ctx context.Context, uid, space string) ([]netip.Addr, error) {
	ips, err := b.join(ctx, uid, space)
	if err != nil {
		return nil, err
	}
	b.keep()
	if err := b.awaitForwarding(ctx, uid); err != nil {
		return nil, err
	}
	b.mu.Lock()
	gateways := b.gateways()
	b.mu.Unlock()
	if err := errors.Join(awaitGroups(ctx, b.Name, gateways), introduce(ctx, space, ips)); err != nil {
		slog.Warn("a pod's address cannot be announced; who knew it with another pod may not reach it at first", "uid", uid, "err", err)
	}
	return slices.Clone(ips), nil
}

// join gives the pod addresses and an interface. The lock is held for questions to the kernel that cannot wait, and not while other
// daemons are waited for.
func (b *Bridge) join(ctx context.Context, uid, space string) ([]netip.Addr, error) {
	b.mu.Lock()
	if !b.exists() {
		b.mu.Unlock()
		unlock, err := lockMachine(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot make the bridge %s: %w", b.Name, err)
		}
		defer unlock()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if !b.exists() {
		if err := b.ensure(); err != nil && !errors.As(err, new(lameError)) {
			return nil, fmt.Errorf("cannot make the bridge %s: %w", b.Name, err)
		}
	}
	ips, err := b.allocate(uid, sinceBoot())
	if err != nil {
		return nil, err
	}
	if err := b.connect(uid, space, ips); err != nil {
		b.release(uid, sinceBoot())
		b.left = len(b.taken) == 0 // the pod's detachment takes it away
		return nil, fmt.Errorf("cannot connect the pod to the bridge %s: %w", b.Name, err)
	}
	return ips, nil
}

// Detach returns the pod's addresses, and says whether the bridge went with it. The interface goes with its namespace; it is removed
// here as well because the namespace lives on for a moment.
func (b *Bridge) Detach(uid string) (last bool, err error) {
	had, last, err := b.leave(uid)
	if had {
		b.keep()
	}
	return last, err
}

func (b *Bridge) leave(uid string) (had, last bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if link, err := netlink.LinkByName(b.hostInterface(uid)); err == nil {
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return false, false, fmt.Errorf("cannot remove the pod's interface: %w", err)
		}
	}
	had = b.release(uid, sinceBoot())
	if len(b.taken) > 0 || !had && !b.left {
		return had, false, nil
	}
	err = b.remove()
	b.left = err != nil // the next try takes it away
	return true, true, err
}

// Sweep removes the bridge of an earlier daemon when no pod uses it.
func (b *Bridge) Sweep() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.taken) > 0 || !linkExists(b.Name) {
		return nil
	}
	return b.remove()
}

// remove takes the bridge and its rules away.
func (b *Bridge) remove() error {
	b.subnets, b.ready, b.lame, b.mark = nil, false, false, ""
	if err := firewall.DeleteBridge(b.Name); err != nil {
		return fmt.Errorf("cannot remove the rules of bridge %s: %w", b.Name, err)
	}
	link, err := netlink.LinkByName(b.Name)
	if err != nil || link.Type() != "bridge" {
		return nil //nolint:nilerr // it is gone, or somebody else's
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("cannot remove the bridge %s: %w", b.Name, err)
	}
	return nil
}

// exists says whether the bridge was made, and nobody has taken it away.
func (b *Bridge) exists() bool { return b.ready && linkExists(b.Name) }

// hardware is the bridge's address, which must not change: without one of its own a bridge takes the lowest of its ports, so that with
// each pod that comes or goes the others would lose their gateway until they ask for it again.
func hardware(bridge string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("bridge " + bridge))
	return net.HardwareAddr{0x0e, sum[0], sum[1], sum[2], sum[3], sum[4]} // locally administered
}

// podHardware is the address of a pod's interface: the same whenever a pod has the same address, so that who remembers one has the
// right one.
func podHardware(ip netip.Addr) net.HardwareAddr {
	end := ip.AsSlice()[ip.BitLen()/8-4:]
	return append(net.HardwareAddr{0x0a, 0x73}, end...) // locally administered; never a bridge's
}

// ensure makes the bridge, its addresses, routes and rules, and the pods' places on it, whatever of it there is already. While there
// are no subnets yet the machine's lock is held.
func (b *Bridge) ensure() error {
	link, err := netlink.LinkByName(b.Name)
	if err != nil {
		made := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: b.Name, MTU: 1500}}
		if err := netlink.LinkAdd(made); err != nil {
			return err
		}
		link = made
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("there is an interface %s that is no bridge; remove or rename it (ip link delete %[1]s)", b.Name)
	}
	// Only where it is needed: the kernel tells of each setting, and what cannot be mended would be tried again at once.
	if link.Attrs().HardwareAddr.String() != hardware(b.Name).String() {
		if err := netlink.LinkSetHardwareAddr(link, hardware(b.Name)); err != nil {
			return err
		}
	}
	subnets, err := b.chooseSubnets(link)
	if err != nil {
		return err
	}
	lame := b.use(link, subnets)
	if lame != nil && len(subnets) == 2 && (b.PodCIDR6 == "" || b.havePodsOf6()) { // nobody has asked for both, or IPv4 at least goes on
		if err := b.use(link, subnets[:1]); err != nil {
			return errors.Join(lame, err)
		}
		// Pods that have addresses of IPv6 get them back as soon as that is possible.
		if !b.havePodsOf6() {
			slog.Warn("pods get addresses of IPv4 only; with podCIDR6: none in the configuration file nothing else is tried", "err", lame)
			subnets, lame = subnets[:1], nil
		}
	} else if lame != nil {
		return lame
	}
	b.subnets, b.ready, b.lame = subnets, true, lame != nil
	for uid := range b.taken {
		if err := b.reconnect(link, uid); err != nil {
			return err
		}
	}
	if err := announce.Send(link.Attrs().Index, hardware(b.Name), true, b.gateways()...); err != nil {
		slog.Debug("the bridge's addresses cannot be announced", "err", err) // they did not change, as a rule
	}
	if lame != nil {
		return lameError{lame}
	}
	return nil
}

// gateways are the bridge's addresses that pods send to what is elsewhere.
func (b *Bridge) gateways() (out []netip.Addr) {
	for _, s := range b.subnets {
		out = append(out, nth(s, 1))
	}
	return out
}

// lameError says that pods' addresses of IPv6 lead nowhere, while those of IPv4 do.
type lameError struct{ error }

func (e lameError) Error() string { return "pods' addresses of IPv6 lead nowhere: " + e.error.Error() }

func (e lameError) Unwrap() error { return e.error }

func (b *Bridge) havePodsOf6() bool {
	for _, ips := range b.taken {
		for _, ip := range ips {
			if ip.Is6() {
				return true
			}
		}
	}
	return false
}

// use has the link, the machine and its rules serve the subnets. Rules are written only if they are others: the kernel tells of that, too.
func (b *Bridge) use(link netlink.Link, subnets []netip.Prefix) error {
	if err := b.setUp(link, subnets); err != nil {
		return err
	}
	if b.mark != "" {
		if mark, err := firewall.LookBridge(b.Name, subnets); err == nil && mark == b.mark {
			return nil
		}
	}
	if err := firewall.WriteBridge(b.Name, subnets); err != nil {
		return fmt.Errorf("cannot set the rules for traffic that leaves the machine (does the kernel have nf_tables?): %w", err)
	}
	var err error
	b.mark, err = firewall.LookBridge(b.Name, subnets)
	return err
}

// setUp gives the link its addresses and routes, and has the machine forward.
func (b *Bridge) setUp(link netlink.Link, subnets []netip.Prefix) error {
	has, err := addressesOf(link)
	if err != nil {
		return err
	}
	for _, a := range b.wanted(subnets) {
		if a.Addr().Is6() {
			setIPv6Of(b.Name)
		}
		if _, there := has[a.Addr()]; there {
			continue
		}
		if err := netlink.AddrAdd(link, netlinks.Address(a)); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, s := range subnets {
		if err := b.setRoute(link, s); err != nil {
			return err
		}
		if err := setForwarding(s.Addr().Is4()); err != nil {
			return err
		}
		if s.Addr().Is4() { // the machine's setting is that of all interfaces, but of new ones if somebody has decided otherwise
			if err := setSysctl(forwardsOn(b.Name), "1"); err != nil {
				return err
			}
		}
	}
	return nil
}

// wanted are the bridge's addresses, with the length of their subnets.
func (b *Bridge) wanted(subnets []netip.Prefix) (out []netip.Prefix) {
	for _, s := range subnets {
		out = append(out, netip.PrefixFrom(nth(s, 1), s.Bits()))
		if s.Addr().Is6() {
			out = append(out, netip.PrefixFrom(ofLink(hardware(b.Name)), 64))
		}
	}
	return out
}

// setRoute makes the route that the kernel makes with an address, where somebody has removed it.
func (b *Bridge) setRoute(link netlink.Link, subnet netip.Prefix) error {
	has, err := hasRoute(link, subnet)
	if err != nil || has {
		return err
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: netlinks.IPNet(subnet), Protocol: unix.RTPROT_KERNEL}
	if subnet.Addr().Is4() {
		r.Scope, r.Src = netlink.SCOPE_LINK, nth(subnet, 1).AsSlice()
	} else {
		r.Priority = 256 // IP6_RT_PRIO_ADDRCONF
	}
	return netlink.RouteReplace(r)
}

func hasRoute(link netlink.Link, subnet netip.Prefix) (bool, error) {
	routes, err := whole(func() ([]netlink.Route, error) { return netlink.RouteList(link, familyOf(subnet.Addr())) })
	if err != nil {
		return false, err
	}
	for _, r := range routes {
		if p, ok := netlinks.Prefix(r.Dst); ok && p == subnet {
			return true, nil
		}
	}
	return false, nil
}

// reconnect puts a pod's interface on the bridge, if it is not there.
func (b *Bridge) reconnect(master netlink.Link, uid string) error {
	link, err := netlink.LinkByName(b.hostInterface(uid))
	if err != nil || onBridge(master, link) {
		return nil //nolint:nilerr // a pod's own affair: the interface went with its namespace
	}
	if err := netlink.LinkSetMasterByIndex(link, master.Attrs().Index); err != nil {
		return err
	}
	if err := netlink.LinkSetHairpin(link, true); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func onBridge(master, link netlink.Link) bool {
	return link.Attrs().MasterIndex == master.Attrs().Index && link.Attrs().Flags&net.FlagUp != 0
}

// missing names what is not as ensure makes it; nothing while no pod needs the bridge.
func (b *Bridge) missing() (out []string, err error) {
	if len(b.taken) == 0 {
		return nil, nil
	}
	link, err := netlink.LinkByName(b.Name)
	if err != nil {
		return []string{"the bridge " + b.Name}, nil //nolint:nilerr // it is gone
	}
	if link.Attrs().Flags&net.FlagUp == 0 || link.Attrs().HardwareAddr.String() != hardware(b.Name).String() {
		out = append(out, "the state of the bridge "+b.Name)
	}
	has, err := addressesOf(link)
	if err != nil {
		return nil, err
	}
	for _, a := range b.wanted(b.subnets) {
		if _, there := has[a.Addr()]; !there {
			out = append(out, "the address "+a.Addr().String())
		}
	}
	for _, s := range b.subnets {
		if ok, err := hasRoute(link, s); err != nil {
			return nil, err
		} else if !ok {
			out = append(out, "the route to "+s.String())
		}
		if !forwarding(s.Addr().Is4()) || s.Addr().Is4() && sysctl(forwardsOn(b.Name)) != "1" {
			if s.Addr().Is4() {
				out = append(out, "the machine's forwarding of packets")
			} else {
				out = append(out, "the machine's forwarding of packets of IPv6")
			}
		}
	}
	for uid := range b.taken {
		if port, err := netlink.LinkByName(b.hostInterface(uid)); err == nil && !onBridge(link, port) {
			out = append(out, "a pod's place on the bridge "+b.Name)
			break
		}
	}
	mark, err := firewall.LookBridge(b.Name, b.subnets)
	if err == nil && (mark == "" || b.mark != "" && mark != b.mark) { // nothing is known of those of an earlier daemon but their number
		out = append(out, "the rules for what leaves the machine")
	}
	return out, err
}

// Mend makes again what somebody has taken away, and says what that was. With anew all is made.
func (b *Bridge) Mend(ctx context.Context, anew bool) (found []string, err error) {
	b.mu.Lock()
	if len(b.taken) > 0 && !b.exists() {
		b.mu.Unlock()
		unlock, err := lockMachine(ctx)
		if err != nil {
			return nil, err
		}
		defer unlock()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if len(b.taken) == 0 {
		return nil, nil
	}
	if len(b.subnets) > 0 { // an earlier daemon may not have noted them
		found, err = b.missing()
	}
	if err != nil || len(found) == 0 && !anew {
		return nil, err
	}
	return found, b.ensure()
}

// InUse says whether pods are on the bridge.
func (b *Bridge) InUse() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.taken) > 0
}

// hostInterface names the pod's end on the host; interface names have at most 15 bytes.
func (b *Bridge) hostInterface(uid string) string {
	return fmt.Sprintf("sp%08x", Hash(b.Name+"/"+uid))
}

// connect makes a pair of interfaces: one end in the pod's namespace, the other on the bridge.
func (b *Bridge) connect(uid, space string, ips []netip.Addr) error {
	master, err := netlink.LinkByName(b.Name)
	if err != nil {
		return err
	}
	ns, err := foreign.OpenKernel(space, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close() //nolint:errcheck // only referred to
	name := b.hostInterface(uid)
	if stale, err := netlink.LinkByName(name); err == nil {
		netlink.LinkDel(stale) //nolint:errcheck // the add would fail and say so
	}
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MTU: 1500, MasterIndex: master.Attrs().Index},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(int(ns.Fd())), PeerHardwareAddr: podHardware(ips[0]),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetHairpin(link, true); err != nil { // a pod that reaches itself through a host port
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return b.configurePodEnd(ns, ips)
}

func (b *Bridge) configurePodEnd(ns *os.File, ips []netip.Addr) error {
	inside, err := handleAt(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, ip := range ips {
		if err := inside.AddrAdd(eth0, netlinks.Address(netip.PrefixFrom(ip, b.subnetOf(ip).Bits()))); err != nil {
			return err
		}
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return err
	}
	for _, ip := range ips {
		gateway := nth(b.subnetOf(ip), 1)
		if err := inside.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bridge) subnetOf(ip netip.Addr) netip.Prefix {
	for _, s := range b.subnets {
		if s.Contains(ip) {
			return s
		}
	}
	return netip.Prefix{}
}

// awaitForwarding returns when the bridge passes on what the pod sends: it learns of a link that has come up by the kernel's deferred
// work, and what is sent before is lost. The operational state is set in the same breath.
func (b *Bridge) awaitForwarding(ctx context.Context, uid string) error {
	err := await(ctx, func() (bool, error) {
		link, err := netlink.LinkByName(b.hostInterface(uid))
		if err != nil {
			return false, fmt.Errorf("the pod's interface is gone again: %w", err)
		}
		return link.Attrs().OperState == netlink.OperUp, nil
	})
	if errors.Is(err, errDeferred) {
		return nil // somebody has taken it down, maybe; that is mended when it is seen
	}
	return err
}

// introduce announces the pod's addresses to the bridge and to the other pods, when the pod answers those who ask for them.
func introduce(ctx context.Context, space string, ips []netip.Addr) error {
	ns, err := foreign.OpenKernel(space, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close() //nolint:errcheck // only referred to
	return thread.Own(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		setIPv6Of("eth0")
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		err = awaitGroups(ctx, "eth0", ips)
		return errors.Join(err, announce.Send(eth0.Attrs().Index, eth0.Attrs().HardwareAddr, false, ips...))
	})
}
