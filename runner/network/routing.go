package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/network/bridge"
	"github.com/solopod/solopod/runner/network/firewall"
	"github.com/solopod/solopod/runner/network/routed"
)

// routing is whether pods' packets for each other pass the machine's IP stack (package routed).
type routing struct {
	own *bridge.Bridge
	mu  sync.Mutex
	// wanted is who wants it; nothing is written while nobody does.
	wanted map[string]bool
	// byCNI are the addresses of pods that CNI has attached, by UID.
	byCNI map[string][]netip.Addr
	// written is what the kernel has; mark tells it from what others write, stale says that it may have something else.
	written routed.Plan
	mark    string
	stale   bool
	// returns are the ports of bridges of CNI's that send frames back.
	returns map[string]bool
	// begun says that somebody has said what he wants; beside is what firewalls were asked to let pass.
	begun  bool
	beside asked[firewall.Beside]
	// lacks says that the kernel has no such tables; it is not asked again.
	lacks bool
}

// Who wants pods' packets routed.
const (
	forServices = "services"
	forPolicies = "policies"
)

// want has pods' packets for each other pass the machine's IP stack for a purpose, or no longer. With routed.ErrUnsupported they
// cannot: packets between pods of one bridge are seen by no rule then, unless the machine has br_netfilter.
func (r *routing) want(purpose string, wanted bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true
	if wanted && r.wanted == nil {
		r.wanted = map[string]bool{}
	}
	if wanted {
		r.wanted[purpose] = true
	} else {
		delete(r.wanted, purpose)
	}
	if len(r.wanted) == 0 && r.written.Empty() && !r.stale {
		mark, err := routed.Look(r.own.Name)
		if r.stale = mark != ""; err != nil { // an earlier daemon's
			return err
		}
	}
	return r.write()
}

// note keeps the addresses that CNI has given to a pod, or with none that it has gone.
func (r *routing) note(uid string, ips []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(ips) == 0 {
		delete(r.byCNI, uid)
		return
	}
	if r.byCNI == nil {
		r.byCNI = map[string][]netip.Addr{}
	}
	r.byCNI[uid] = ips
}

// follow has what is written follow pods that came and went; it does nothing while nobody wants it. A kernel that cannot is no reason
// to keep a pod from starting: who wants it has been told.
func (r *routing) follow() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wanted) == 0 {
		return nil
	}
	if err := r.write(); !errors.Is(err, routed.ErrUnsupported) {
		return err
	}
	return nil
}

// write writes what is not there yet. r.mu is held.
func (r *routing) write() error {
	var p routed.Plan
	if len(r.wanted) > 0 {
		if err := r.returnFrames(); err != nil {
			slog.Warn("a pod that CNI has attached may not reach itself through a service", "err", err)
		}
		if r.lacks {
			return routed.ErrUnsupported
		}
		var err error
		if p, err = r.plan(); err != nil {
			return err
		}
	}
	if !r.stale && p.Equal(&r.written) {
		return nil
	}
	r.stale, r.mark = true, ""
	if err := r.silenceRedirects(p); err != nil {
		slog.Debug("pods are told of shorter ways to each other, which the machine's limit of such messages pays for", "err", err)
	}
	if err := routed.Write(r.own.Name, p); err != nil {
		r.lacks = errors.Is(err, routed.ErrUnsupported)
		return fmt.Errorf("cannot have pods' packets pass the machine's rules: %w", err)
	}
	r.stale, r.written = false, p
	if p.Empty() {
		return nil
	}
	var err error
	r.mark, err = routed.Look(r.own.Name)
	return err
}

// silenceRedirects has the machine not tell pods that the pod to which they send is beside them (RFC 792). Nobody would hear it, but the
// kernel has one limit for all messages of ICMP to a sender: that a port is refused would not be told any more. The setting of an interface
// counts only where that of all is off; other interfaces have their own, which is on by default.
func (r *routing) silenceRedirects(p routed.Plan) error {
	if p.Empty() {
		return nil
	}
	names := []string{"all"}
	if len(p.Subnets) > 0 {
		names = append(names, r.own.Name)
	}
	bridges, err := r.bridges()
	for _, b := range bridges {
		names = append(names, b.name)
	}
	for _, name := range names {
		err = errors.Join(err, foreign.WriteKernel("/proc/sys/net/ipv4/conf/"+name+"/send_redirects", "0"))
	}
	return err
}

// returnFrames has bridges of CNI's send a frame back to where it came from. With br_netfilter the kernel takes what is led elsewhere on the
// same bridge straight there (br_nf_pre_routing_finish), and a pod that reaches itself is behind the same port.
func (r *routing) returnFrames() error {
	filtered := false
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		value, err := foreign.ReadKernel("/proc/sys/net/bridge/" + name)
		filtered = filtered || err == nil && strings.TrimSpace(string(value)) != "0"
	}
	if !filtered {
		return nil
	}
	bridges, err := r.bridges()
	before := r.returns
	r.returns = map[string]bool{}
	for _, b := range bridges {
		for _, port := range b.ports {
			if r.returns[port] = true; before[port] {
				continue
			}
			link, err2 := netlink.LinkByName(port)
			if err2 != nil || link.Type() != "veth" {
				continue // it has gone, or is no pod's
			}
			err = errors.Join(err, netlink.LinkSetHairpin(link, true))
		}
	}
	return err
}

// mend writes the table again if others have changed it.
func (r *routing) mend(anew bool) (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wanted) == 0 && !r.stale || r.lacks {
		return false, nil
	}
	if !r.written.Empty() {
		mark, err := routed.Look(r.own.Name)
		if err != nil {
			return false, err
		}
		changed = mark == "" || mark != r.mark // it may have gone again before it was marked
	}
	r.stale = r.stale || changed || anew
	return changed, r.write() // the bridges' ports and hardware addresses may be others, too
}

// plan looks where pods are. r.mu is held.
func (r *routing) plan() (p routed.Plan, err error) {
	own := r.own.Place()
	p = routed.Plan{Ports: map[string]net.HardwareAddr{}, Subnets: own.Subnets}
	for _, port := range own.Ports {
		p.Ports[port] = own.Hardware
	}
	bridges, err := r.bridges()
	for _, b := range bridges {
		p.Pods = append(p.Pods, b.pods...)
		for _, port := range b.ports {
			p.Ports[port] = b.hardware
		}
	}
	slices.SortFunc(p.Pods, netip.Addr.Compare)
	return p, err
}

// subnets are those of all bridges with pods.
func (r *routing) subnets() ([]netip.Prefix, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.own.Place().Subnets
	bridges, err := r.bridges()
	for _, b := range bridges {
		out = append(out, b.subnets...)
	}
	return out, err
}

// namesOfBridges are the names of those with pods that CNI has attached.
func (r *routing) namesOfBridges() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bridges, err := r.bridges()
	if err != nil {
		slog.Debug("it cannot be seen on which bridges pods are", "err", err)
	}
	for _, b := range bridges {
		names = append(names, b.name)
	}
	return names
}

// bridges are those with pods that CNI has attached. r.mu is held.
func (r *routing) bridges() (out []*bridged, err error) {
	if len(r.byCNI) == 0 {
		return nil, nil
	}
	all, err := lookBridges()
	for _, b := range all {
		for _, ips := range r.byCNI {
			for _, ip := range ips {
				if b.has(ip) {
					b.pods = append(b.pods, ip)
				}
			}
		}
		if len(b.pods) > 0 {
			out = append(out, b)
		}
	}
	return out, err
}

// bridged is a bridge of the machine.
type bridged struct {
	name     string
	hardware net.HardwareAddr
	ports    []string
	subnets  []netip.Prefix
	pods     []netip.Addr
}

func (b *bridged) has(ip netip.Addr) bool {
	return slices.ContainsFunc(b.subnets, func(s netip.Prefix) bool { return s.Contains(ip) })
}

// lookTries is how often a list is asked for that changes while it is made.
const lookTries = 20

// lookBridges lists the machine's bridges that have addresses.
func lookBridges() ([]*bridged, error) {
	links, err := netlinks.Whole(lookTries, netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("cannot list the machine's interfaces: %w", err)
	}
	addresses, err := netlinks.Whole(lookTries, func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("cannot list the machine's addresses: %w", err)
	}
	byIndex := map[int]*bridged{}
	var out []*bridged
	for _, l := range links {
		if l.Type() == "bridge" {
			b := &bridged{name: l.Attrs().Name, hardware: l.Attrs().HardwareAddr}
			byIndex[l.Attrs().Index] = b
			out = append(out, b)
		}
	}
	for _, l := range links {
		if b := byIndex[l.Attrs().MasterIndex]; b != nil {
			b.ports = append(b.ports, l.Attrs().Name)
		}
	}
	for _, a := range addresses {
		b, ip := byIndex[a.LinkIndex], a.IP
		if b == nil || ip.IsLinkLocalUnicast() {
			continue
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			ones, _ := a.Mask.Size()
			b.subnets = append(b.subnets, netip.PrefixFrom(addr.Unmap(), ones))
		}
	}
	return out, nil
}
