package network

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
	"github.com/solopod/solopod/runner/network/firewall"
	"github.com/solopod/solopod/runner/rescue"
)

// Times of Watch.
const (
	// settle is how long a change is left to become complete: a firewall that is loaded anew makes many.
	settle = 100 * time.Millisecond
	// breather is between two looks on a machine whose network changes all the time; longBreather where each look finds something: somebody
	// undoes what is mended, or mending is what changes it.
	breather, longBreather = 400 * time.Millisecond, 10 * time.Second
	// patience is for how many looks that find something the breather stays as it is: some seconds.
	patience = 10
	// firstRetry and lastRetry are before the next try to mend what could not be mended, or to hear the kernel.
	firstRetry, lastRetry = time.Second, time.Minute
)

// watch is what Watch tells and has told.
type watch struct {
	mu   sync.Mutex
	tell func(reason, message string)
	// untold is what there was to tell before anybody listened.
	untold [][2]string
	// troubles are the errors that were told last, by reason: each is told once, until it is another.
	troubles map[string]string
}

// mostUntold bounds what is kept for Watch to tell: it begins with the daemon, a moment before or after the first pods are attached.
const mostUntold = 20

// Reasons of what Watch tells.
const (
	// Restored: something was made again that somebody had taken away.
	Restored = "NetworkRestored"
	// Broken: it could not be.
	Broken = "NetworkBroken"
	// Blocked: a firewall forbids to forward packets.
	Blocked = "ForwardingBlocked"
	// BesideBlocked: a firewall forbids to forward packets between pods of one bridge of others.
	BesideBlocked = "PodsBesideBlocked"
	// NamesBlocked: a firewall forbids pods to ask the machine for names.
	NamesBlocked = "NamesBlocked"
	// Unrouted: pods of one bridge reach each other past the machine's rules.
	Unrouted = "PodsUnrouted"
	// KubeProxyFound: kube-proxy serves on this machine as well.
	KubeProxyFound = "KubeProxyFound"
)

// Watch makes at once, and again whenever the kernel tells of a change, what pods' connections need and somebody else has taken away: the
// rules, the bridge, its addresses and routes. It tells of it. It returns when ctx has ended.
func (n *Network) Watch(ctx context.Context, tell func(reason, message string)) {
	n.watch.mu.Lock()
	n.watch.tell = tell
	untold := n.watch.untold
	n.watch.untold = nil
	n.watch.mu.Unlock()
	for _, u := range untold {
		tell(u[0], u[1])
	}
	changes := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, s := range sources {
		wg.Go(func() { s.listen(ctx, changes) })
	}
	retry, inVain := firstRetry, 0
	for anew := true; ; anew = false {
		var again <-chan time.Time
		changed, err := n.mend(ctx, anew)
		if err != nil {
			again = time.After(retry)
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		if inVain++; !changed && err == nil {
			inVain = 0
		}
		if !pause(ctx, breathe(inVain)) {
			return
		}
		select {
		case <-changes:
			if !pause(ctx, settle) {
				return
			}
		case <-again:
		case <-ctx.Done():
			return
		}
		select { // what came meanwhile is seen now
		case <-changes:
		default:
		}
	}
}

// breathe is how long nothing is looked at after so many looks in a row that found something.
func breathe(inVain int) time.Duration {
	d := breather
	for range min(inVain, 20) - patience {
		d = min(2*d, longBreather)
	}
	return d
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// source is a kind of changes that the kernel tells of.
type source struct {
	what     string
	protocol int
	groups   []uint
	matters  func(h syscall.NlMsghdr) bool
}

var sources = []source{
	{"rules", unix.NETLINK_NETFILTER, []uint{unix.NFNLGRP_NFTABLES}, func(h syscall.NlMsghdr) bool {
		return h.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN // one for each transaction
	}},
	{"links, addresses and routes", unix.NETLINK_ROUTE, []uint{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_NETCONF,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_NETCONF,
	}, func(h syscall.NlMsghdr) bool {
		// A new route takes nothing away, but in another's place. A new address may be the only sign that IPv6 is there again.
		return h.Type != unix.RTM_NEWROUTE || h.Flags&unix.NLM_F_REPLACE != 0
	}},
}

// listen passes on that something has changed until ctx ends.
func (s source) listen(ctx context.Context, changes chan<- struct{}) {
	told := ""
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		begun := time.Now()
		if err := s.receive(ctx, changes); ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			slog.Warn("the kernel cannot be heard; what others change in the machine's network is not mended at once", "what", s.what, "err", err)
		}
		if time.Since(begun) > lastRetry { // it was heard in between
			told, retry = "", firstRetry
		}
		if !pause(ctx, retry) {
			return
		}
		netlinks.Signal(changes) // of what was missed
	}
}

func (s source) receive(ctx context.Context, changes chan<- struct{}) error {
	socket, err := netlinks.Subscribe(s.protocol, s.groups...)
	if err != nil {
		return err
	}
	return netlinks.Listen(ctx, socket, func(m syscall.NetlinkMessage) bool { return s.matters(m.Header) }, changes)
}

// mend makes again what somebody has taken away, and tells of it; with anew it makes all.
func (n *Network) mend(ctx context.Context, anew bool) (changed bool, err error) {
	found, err := n.bridge.Mend(ctx, anew)
	ports, err2 := n.mendPorts(anew)
	if ports {
		found = append(found, "the rules of host ports")
	}
	routes, err3 := n.routing.mend(anew)
	if routes {
		found = append(found, "the rules that have pods' packets routed")
	}
	services, err4 := n.serving.mend(ctx)
	found = append(found, services...)
	policies, err5 := n.policies.mend(ctx)
	if policies {
		found = append(found, "the rules of NetworkPolicies")
	}
	if err = errors.Join(err, err2, err3, err4, err5); err != nil {
		n.trouble(Broken, "what pods' connections need was changed, and cannot be made again: "+err.Error())
		return true, err
	}
	n.trouble(Broken, "")
	if len(found) > 0 {
		n.say(Restored, "somebody took away or changed "+strings.Join(found, ", ")+"; it was made again")
	}
	opened := n.open(ctx)
	asked := n.openAsked(ctx, false)
	return opened || asked || len(found) > 0, nil
}

// mendPorts writes the rules of the host ports again if others have changed them, or with anew.
func (n *Network) mendPorts(anew bool) (changed bool, err error) {
	n.mu.Lock()
	none := len(n.ports) == 0 && !n.stale
	if none && !anew {
		n.mu.Unlock()
		return false, nil
	}
	mark, err := firewall.LookPorts(n.config.Bridge, n.ports)
	changed = err == nil && (mark == "" || n.mark != "" && mark != n.mark)
	if err != nil || !changed && (none || !anew) {
		if err == nil {
			n.routeLoopback() // a bridge that was made again does not
		}
		n.mu.Unlock()
		if none {
			err = nil // a kernel without nf_tables, or the like
		}
		return false, err
	}
	if none { // an earlier daemon was killed before it had noted for whom it had written these rules
		changed = false
	}
	err = n.writePorts()
	all := make([]forward, 0, len(n.ports))
	for _, f := range n.ports {
		all = append(all, f)
	}
	n.mu.Unlock()
	if err != nil || !changed {
		return false, err
	}
	for _, f := range all {
		err = errors.Join(err, firewall.ForgetUDP(f))
	}
	return true, err
}

// change does something with the machine's firewalls, alone.
func (n *Network) change(ctx context.Context, do func()) {
	err := n.changing.Do(ctx, func() error {
		return rescue.Do("change the machine's firewalls", func() error { // pods go on without
			do()
			return nil
		})
	})
	if err != nil && ctx.Err() == nil {
		slog.Warn("the machine's firewalls stay as they are", "err", err)
	}
}

// open has the bridge's traffic pass the machine's firewalls, as far as that is possible.
func (n *Network) open(ctx context.Context) (changed bool) {
	if !n.bridge.InUse() {
		return false
	}
	n.change(ctx, func() {
		told, err := firewall.Open(n.config.Bridge)
		told2, err2 := firewall.OpenLegacy(ctx, n.config.Bridge)
		if !n.bridge.InUse() { // the last pod has gone meanwhile, and took away what was there before
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
			defer cancel()
			n.unopen(limited)
			return
		}
		for _, message := range append(told, told2...) {
			n.say(Blocked, message)
			changed = true
		}
		message := ""
		if err = errors.Join(err, err2); err != nil && ctx.Err() == nil {
			message = "pods may not reach other machines, nor be reached by host ports: " + err.Error()
		}
		n.trouble(Blocked, message)
	})
	return changed
}

// close takes back what open did, if no pod needs it: also when ctx has ended, for nobody comes back for it before the next start.
func (n *Network) close(ctx context.Context) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	n.change(limited, func() {
		if !n.bridge.InUse() {
			n.unopen(limited)
		}
	})
}

func (n *Network) unopen(ctx context.Context) {
	if err := errors.Join(firewall.Close(n.config.Bridge), firewall.CloseLegacy(ctx, n.config.Bridge)); err != nil {
		slog.Warn("rules for the pods' bridge are left behind in a firewall", "err", err)
	}
}

// trouble tells of what is wrong, once; "" means that nothing is any more.
func (n *Network) trouble(reason, message string) {
	n.watch.mu.Lock()
	if n.watch.troubles == nil {
		n.watch.troubles = map[string]string{}
	}
	known := n.watch.troubles[reason] == message
	n.watch.troubles[reason] = message
	n.watch.mu.Unlock()
	if message != "" && !known {
		n.say(reason, message)
	}
}

// Unusable says why pods that begin cannot have a network; nil means that they can, as far as that is known. It reads the CNI
// configuration, whose disk may not answer.
func (n *Network) Unusable() error {
	if _, err := n.cni.load(); err != nil {
		return err
	}
	n.watch.mu.Lock()
	defer n.watch.mu.Unlock()
	if broken := n.watch.troubles[Broken]; broken != "" {
		return errors.New(broken)
	}
	return nil
}

func (n *Network) say(reason, message string) {
	n.watch.mu.Lock()
	tell := n.watch.tell
	if tell == nil && len(n.watch.untold) < mostUntold {
		n.watch.untold = append(n.watch.untold, [2]string{reason, message})
	}
	n.watch.mu.Unlock()
	if tell != nil {
		tell(reason, message)
	}
}
