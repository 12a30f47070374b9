package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// defaultRange is where the own bridge looks for a free subnet of 254 addresses.
var defaultRange = netip.MustParsePrefix("10.166.0.0/16")

// bridge is Solopod's own network for nodes without a CNI configuration: a bridge with a private subnet, made with the
// first pod and removed with the last. An attach costs a few netlink messages instead of CNI's processes.
type bridge struct {
	name   string
	fixed  string
	mu     sync.Mutex
	subnet netip.Prefix          // valid while the bridge exists
	taken  map[string]netip.Addr // by pod UID
}

func newBridge(c Config) *bridge {
	return &bridge{name: c.Bridge, fixed: c.PodCIDR, taken: map[string]netip.Addr{}}
}

// reserve takes over an address that a pod already has.
func (b *bridge) reserve(uid string, ip netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken[uid] = ip
}

func linkExists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// attach connects a pod. The lock is held for questions to the kernel that cannot wait, and not while other daemons are waited for.
func (b *bridge) attach(ctx context.Context, p Pod) (Attachment, error) {
	b.mu.Lock()
	if !b.exists() {
		b.mu.Unlock()
		unlock, err := lockMachine(ctx)
		if err != nil {
			return Attachment{}, fmt.Errorf("cannot make the bridge %s: %w", b.name, err)
		}
		defer unlock()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if !b.exists() {
		if err := b.ensure(); err != nil {
			return Attachment{}, fmt.Errorf("cannot make the bridge %s: %w", b.name, err)
		}
	}
	ip, err := b.allocate(p.UID)
	if err != nil {
		return Attachment{}, err
	}
	if err := b.connect(p, ip); err != nil {
		delete(b.taken, p.UID)
		return Attachment{}, fmt.Errorf("cannot connect the pod to the bridge %s: %w", b.name, err)
	}
	return Attachment{IPs: []string{ip.String()}, Ports: p.Ports}, nil
}

// detach returns the pod's address. The interface goes with its namespace; it is removed here as well because the
// namespace lives on for a moment.
func (b *bridge) detach(uid string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if link, err := netlink.LinkByName(b.hostInterface(uid)); err == nil {
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("cannot remove the pod's interface: %w", err)
		}
	}
	if _, had := b.taken[uid]; !had {
		return nil
	}
	delete(b.taken, uid)
	if len(b.taken) > 0 {
		return nil
	}
	return b.remove()
}

// remove takes the bridge and its rules away.
func (b *bridge) remove() error {
	b.subnet = netip.Prefix{}
	if err := deleteRules(b.name); err != nil {
		return fmt.Errorf("cannot remove the rules of bridge %s: %w", b.name, err)
	}
	link, err := netlink.LinkByName(b.name)
	if err != nil {
		return nil //nolint:nilerr // it is gone
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("cannot remove the bridge %s: %w", b.name, err)
	}
	return nil
}

// exists says whether the bridge was made, and nobody has taken it away.
func (b *bridge) exists() bool { return b.subnet.IsValid() && linkExists(b.name) }

// ensure makes the bridge, its address and its rules, or adopts those of an earlier run. The machine's lock is held.
func (b *bridge) ensure() error {
	link, err := netlink.LinkByName(b.name)
	if err != nil {
		link = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: b.name, MTU: 1500}}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
	}
	subnet, err := b.existingSubnet(link)
	if err != nil {
		return err
	}
	if !subnet.IsValid() {
		if subnet, err = b.chooseSubnet(); err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(subnet.Addr().Next(), subnet.Bits())}); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	if err := foreign.WriteKernel("/proc/sys/net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if err := writeBridgeRules(b.name, subnet); err != nil {
		return fmt.Errorf("cannot set the rules for traffic that leaves the machine (does the kernel have nf_tables?): %w", err)
	}
	b.subnet = subnet
	return nil
}

// whole asks the kernel for a list until nothing has changed while it was made: a list with a gap may hide just what is looked for
// (netlink(7), NLM_F_DUMP_INTR).
func whole[T any](ask func() ([]T, error)) (list []T, err error) {
	const tries = 20 // on a machine whose network changes all the time
	for range tries {
		if list, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

func (b *bridge) existingSubnet(link netlink.Link) (netip.Prefix, error) {
	addrs, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_V4) })
	if err != nil || len(addrs) == 0 {
		return netip.Prefix{}, err
	}
	ip, _ := netip.AddrFromSlice(addrs[0].IP.To4())
	ones, _ := addrs[0].Mask.Size()
	return netip.PrefixFrom(ip, ones).Masked(), nil
}

// chooseSubnet takes the configured subnet, or the first of the range that no route of the machine touches.
func (b *bridge) chooseSubnet() (netip.Prefix, error) {
	if b.fixed != "" {
		p, err := netip.ParsePrefix(b.fixed)
		if err != nil || !p.Addr().Is4() || p.Bits() > 30 {
			return netip.Prefix{}, fmt.Errorf("podCIDR %q is not an IPv4 subnet like 10.166.0.0/24", b.fixed)
		}
		return p.Masked(), nil
	}
	routes, err := whole(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Prefix{}, err
	}
	for third := range 256 {
		bytes := defaultRange.Addr().As4()
		bytes[2] = byte(third)
		candidate := netip.PrefixFrom(netip.AddrFrom4(bytes), 24)
		if !overlaps(candidate, routes) {
			return candidate, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no free subnet in %s; set podCIDR in the configuration file", defaultRange)
}

func overlaps(p netip.Prefix, routes []netlink.Route) bool {
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ip, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		ones, _ := r.Dst.Mask.Size()
		if ok && ones > 0 && p.Overlaps(netip.PrefixFrom(ip, ones)) {
			return true
		}
	}
	return false
}

func (b *bridge) allocate(uid string) (netip.Addr, error) {
	if ip, ok := b.taken[uid]; ok && b.subnet.Contains(ip) {
		return ip, nil
	}
	used := map[netip.Addr]bool{b.subnet.Addr(): true, b.subnet.Addr().Next(): true}
	for _, ip := range b.taken {
		used[ip] = true
	}
	for ip := b.subnet.Addr(); b.subnet.Contains(ip); ip = ip.Next() {
		if !used[ip] && b.subnet.Contains(ip.Next()) { // the last one is the broadcast address
			b.taken[uid] = ip
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are taken; set a larger podCIDR in the configuration file", b.subnet)
}

// hostInterface names the pod's end on the host; interface names have at most 15 bytes.
func (b *bridge) hostInterface(uid string) string {
	return fmt.Sprintf("sp%08x", hash32(b.name+"/"+uid))
}

// connect makes a pair of interfaces: one end in the pod's namespace, the other on the bridge.
func (b *bridge) connect(p Pod, ip netip.Addr) error {
	master, err := netlink.LinkByName(b.name)
	if err != nil {
		return err
	}
	ns, err := foreign.OpenKernel(p.Netns, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close() //nolint:errcheck // only referred to
	name := b.hostInterface(p.UID)
	if stale, err := netlink.LinkByName(name); err == nil {
		netlink.LinkDel(stale) //nolint:errcheck // the add would fail and say so
	}
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MTU: 1500, MasterIndex: master.Attrs().Index},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(int(ns.Fd())),
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
	return b.configurePodEnd(ns, ip)
}

func (b *bridge) configurePodEnd(ns *os.File, ip netip.Addr) error {
	inside, err := handleAt(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := inside.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(ip, b.subnet.Bits())}); err != nil {
		return err
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return err
	}
	gateway := net.IP(b.subnet.Addr().Next().AsSlice())
	return inside.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway})
}

func ipNet(ip netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, 32)}
}
