package bridge

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/netlinks"
)

// None is a subnet's setting that means: no addresses of that family.
const None = "none"

// defaultRange is where the own bridge looks for a free subnet of 254 addresses.
var defaultRange = netip.MustParsePrefix("10.166.0.0/16")

// chooseSubnets are the bridge's: while pods are there, those that it had; those that it has; and of a family that is wanted and has
// none, a new one. IPv4 comes first.
func (b *Bridge) chooseSubnets(link netlink.Link) (out []netip.Prefix, err error) {
	addresses, err := addressesOf(link)
	if err != nil {
		return nil, err
	}
	var has []netip.Prefix
	if len(b.taken) > 0 {
		has = append(has, b.subnets...)
	}
	for ip, subnet := range addresses {
		if ip == nth(subnet, 1) && ip != ofLink(hardware(b.Name)) {
			has = append(has, subnet)
		}
	}
	if len(b.taken) > 0 {
		has = append(has, b.ofPods()...)
	}
	for _, is4 := range []bool{true, false} {
		subnet, found := first(has, is4)
		if !found && b.wants(is4) {
			if subnet, err = b.chooseSubnet(is4); err != nil {
				return nil, err
			}
			found = true
		}
		if found {
			out = append(out, subnet)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("pods get addresses of neither family: podCIDR is none, and podCIDR6 is none or IPv6 is switched off")
	}
	return out, nil
}

func first(list []netip.Prefix, is4 bool) (netip.Prefix, bool) {
	for _, p := range list {
		if p.Addr().Is4() == is4 {
			return p.Masked(), true
		}
	}
	return netip.Prefix{}, false
}

func (c Config) wants(is4 bool) bool {
	if is4 {
		return c.PodCIDR != None
	}
	return c.PodCIDR6 != None && hasIPv6()
}

// ofPods are the subnets of pods' addresses, of which no bridge and no file tells any more.
func (b *Bridge) ofPods() (out []netip.Prefix) {
	for _, ips := range b.taken {
		for _, ip := range ips {
			bits := 64
			if ip.Is4() {
				bits = 24
			}
			p := netip.PrefixFrom(ip, bits).Masked()
			for _, setting := range []string{b.PodCIDR, b.PodCIDR6} {
				if set, err := netip.ParsePrefix(setting); err == nil && set.Contains(ip) {
					p = set.Masked()
				}
			}
			out = append(out, p)
		}
	}
	return out
}

// chooseSubnet takes the configured subnet; of IPv4 else the first of the range that no route of the machine touches, of IPv6 the
// machine's own.
func (b *Bridge) chooseSubnet(is4 bool) (netip.Prefix, error) {
	setting, family := b.PodCIDR, netlink.FAMILY_V4
	if !is4 {
		setting, family = b.PodCIDR6, netlink.FAMILY_V6
	}
	if setting == "" && !is4 {
		if !b.private.IsValid() {
			b.private = ownSubnet(machineID(), b.Name)
		}
		return b.private, nil
	}
	routes, err := whole(func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
	if err != nil {
		return netip.Prefix{}, err
	}
	if setting != "" {
		p, err := parseSubnet(setting, is4)
		if r, taken := inTheWay(p, routes, b.Name); err == nil && taken {
			err = fmt.Errorf("the subnet %s of the configuration is the machine's own network (its route to %s, interface %s), which pods would cut off; "+
				"set podCIDR and podCIDR6 to subnets that nobody has, or leave them out", p, r.Dst, linkName(r.LinkIndex))
		}
		return p, err
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
		if to, ok := netlinks.Prefix(r.Dst); ok && to.Bits() > 0 && p.Overlaps(to) {
			return true
		}
	}
	return false
}

// inTheWay finds a route of the machine that a configured subnet would take away: to a network that an interface is in, or to a part of the
// subnet. One to a larger network that lies behind a router leaves the subnet to whoever has chosen it.
func inTheWay(p netip.Prefix, routes []netlink.Route, bridge string) (netlink.Route, bool) {
	for _, r := range routes {
		to, ok := netlinks.Prefix(r.Dst)
		if !ok || to.Bits() == 0 || !p.Overlaps(to) || r.Type != unix.RTN_UNICAST || linkName(r.LinkIndex) == bridge {
			continue
		}
		if to.Bits() >= p.Bits() || r.Gw == nil && len(r.MultiPath) == 0 {
			return r, true
		}
	}
	return netlink.Route{}, false
}

func linkName(index int) string {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Sprint(index)
	}
	return link.Attrs().Name
}

// reserved are addresses that no pod can have: of the machine itself, of one link, of groups, and of nobody (RFC 6890, RFC 5771, RFC 4291).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

func overlapsReserved(p netip.Prefix) bool { return slices.ContainsFunc(reserved, p.Overlaps) }

// parseSubnet reads a setting that is not empty and not None.
func parseSubnet(setting string, is4 bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(setting)
	if is4 && (err != nil || !p.Addr().Is4() || p.Bits() > 30) {
		return netip.Prefix{}, fmt.Errorf("podCIDR %q is not an IPv4 subnet like 10.166.0.0/24, nor none", setting)
	}
	if err == nil && overlapsReserved(p) {
		return netip.Prefix{}, fmt.Errorf("the subnet %s has addresses that no pod can have (of loopback, of a link alone, of groups, or all there are); set podCIDR to one like 10.166.0.0/24, and podCIDR6 to one like fd00:10:166::/64", p)
	}
	if !is4 && (err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() > 126) {
		return netip.Prefix{}, fmt.Errorf("podCIDR6 %q is not an IPv6 subnet like fd00:10:166::/64, nor none", setting)
	}
	return p.Masked(), nil
}

// CheckSubnets says what is wrong with the settings of the bridge's subnets.
func CheckSubnets(podCIDR, podCIDR6 string) error {
	var errs []error
	for i, setting := range []string{podCIDR, podCIDR6} {
		if setting != "" && setting != None {
			_, err := parseSubnet(setting, i == 0)
			errs = append(errs, err)
		}
	}
	if podCIDR == None && podCIDR6 == None {
		errs = append(errs, errors.New("podCIDR and podCIDR6 are both none: pods would have no addresses"))
	}
	return errors.Join(errs...)
}

// machineID is the machine's (machine-id(5)), which images of machines lack, and it is made at the first boot.
func machineID() string {
	id, err := foreign.ReadFollowing("/etc/machine-id", 128)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// ownSubnet is a private /64 (RFC 4193) that follows from what machine and bridge are called: it is always the same, and hardly that of
// anybody else. A machine without a name gets a random one.
func ownSubnet(machine, bridge string) netip.Prefix {
	sum := sha256.Sum256([]byte(machine + "\n" + bridge))
	if machine == "" || machine == "uninitialized" {
		rand.Read(sum[:])
	}
	bytes := [16]byte{0xfd}
	copy(bytes[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(bytes), 64)
}

// Private is a /64 of the machine's own (RFC 4193) for what is called name, which is always the same.
func Private(name string) netip.Prefix { return ownSubnet(machineID(), name) }

// Families says of which families pods get addresses.
func (c Config) Families() (is4, is6 bool) { return c.wants(true), c.wants(false) }
