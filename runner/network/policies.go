package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/network/routed"
	"github.com/solopod/solopod/runner/turn"
)

// NotEnforced is the reason of what Watch tells of pods that a NetworkPolicy selects in vain.
const NotEnforced = "PolicyNotEnforced"

// policies are the NetworkPolicies, and what was written of them.
type policies struct {
	// bridge names the tables; trouble tells once of what is wrong.
	bridge  string
	routing *routing
	trouble func(reason, message string)
	// turn is of who writes; what stands before mu is his.
	turn turn.Turn
	// written is what the kernel has; nil when that is not known.
	written *isolate.Rules
	mark    string
	// places are those that were looked for, by UID.
	places map[string]located
	// lost are isolated pods that no rule sees, by UID, with the reason.
	lost map[string]string

	mu sync.Mutex
	// given: policies have come, maybe none. Before, what an earlier daemon has written stays.
	given bool
	// wanted has no pods; those are here, by UID: all that are attached.
	wanted isolate.Policies
	pods   map[string]*member
}

// member is an attached pod.
type member struct {
	isolate.Pod
	netns string
	// since counts attachments: of two pods with one address the later has it.
	since int
}

// located is where an attached pod is.
type located struct {
	since int
	place isolate.Place
	// unseen says why none of the machine's rules sees the pod's packets.
	unseen string
	// failed: it is looked for again.
	failed bool
}

func newPolicies(bridge string, r *routing, trouble func(reason, message string)) *policies {
	return &policies{
		bridge: bridge, routing: r, trouble: trouble,
		turn: newTurn("the rules of NetworkPolicies"), pods: map[string]*member{}, places: map[string]located{},
	}
}

// Isolate enforces NetworkPolicies. When it returns without an error the kernel has the rules for all pods that are attached, and each that is
// attached later has them before Attach returns: who makes pods calls it with what is new before their containers run. Of p.Pods the labels
// and ports count, for pods that are attached; others are taken as Attach was told, and addresses are the network's own affair. It waits for
// others that write for some seconds at most, and can be called again with the same.
func (n *Network) Isolate(ctx context.Context, p isolate.Policies) error {
	return n.policies.turn.Do(ctx, func() error {
		n.policies.take(p)
		return n.policies.write(ctx, nil)
	})
}

// Know notes what policies need to know of a pod of an earlier run, behind Adopt.
func (n *Network) Know(p Pod) {
	n.policies.mu.Lock()
	defer n.policies.mu.Unlock()
	if m := n.policies.pods[p.UID]; m != nil {
		m.describe(p)
	}
}

func (m *member) describe(p Pod) {
	m.UID, m.Namespace, m.Name, m.Labels, m.Ports, m.netns = p.UID, p.Namespace, p.Name, maps.Clone(p.Labels), slices.Clone(p.Named), p.Netns
}

// join notes a pod with its addresses.
func (ps *policies) join(p Pod, ips []netip.Addr) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	m := &member{since: 1}
	m.describe(p)
	m.Addrs = ips
	for _, other := range ps.pods {
		m.since = max(m.since, other.since+1)
	}
	ps.pods[p.UID] = m
}

// adopt notes the addresses of a pod of an earlier run. What is known of it stays.
func (ps *policies) adopt(uid string, ips []netip.Addr) {
	ps.mu.Lock()
	m := ps.pods[uid]
	if m != nil {
		m.Addrs = ips
	}
	ps.mu.Unlock()
	if m == nil {
		ps.join(Pod{UID: uid}, ips)
	}
}

// leave notes that a pod has gone, and says whether it was known.
func (ps *policies) leave(uid string) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	_, known := ps.pods[uid]
	delete(ps.pods, uid)
	return known
}

// take notes what is wanted from now on.
func (ps *policies) take(p isolate.Policies) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, pod := range p.Pods {
		if m := ps.pods[pod.UID]; m != nil {
			m.Namespace, m.Name, m.Labels, m.Ports = pod.Namespace, pod.Name, maps.Clone(pod.Labels), slices.Clone(pod.Ports)
		}
	}
	ps.wanted = p
	ps.wanted.Pods = nil
	ps.given = true
}

// now is what is to be written, and the pods in the same order. An address is the later pod's.
func (ps *policies) now() (p isolate.Policies, members []member, given bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, m := range ps.pods {
		members = append(members, *m)
	}
	slices.SortFunc(members, func(a, b member) int { return b.since - a.since })
	p, taken := ps.wanted, map[netip.Addr]bool{}
	for _, m := range members {
		pod := m.Pod
		pod.Addrs = nil
		for _, ip := range m.Addrs {
			if !taken[ip] {
				taken[ip] = true
				pod.Addrs = append(pod.Addrs, ip)
			}
		}
		p.Pods = append(p.Pods, pod)
	}
	return p, members, ps.given
}

// guard has the rules of policies know a pod before anything runs there.
func (ps *policies) guard(ctx context.Context, p Pod, ips []netip.Addr) error {
	ps.join(p, ips)
	return ps.turn.Do(ctx, func() error {
		if err := ps.write(ctx, ips); err != nil {
			return err
		}
		if why := ps.lost[p.UID]; why != "" {
			return fmt.Errorf("cannot enforce the NetworkPolicies of the pod: %s; give it another network, or have no NetworkPolicy select it", why)
		}
		return nil
	})
}

// unguard has the rules forget a pod that has no connection any more. What cannot be written is written with the next pod, or mended.
func (ps *policies) unguard(ctx context.Context, uid string) {
	if !ps.leave(uid) {
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if err := ps.turn.Do(limited, func() error { return ps.write(limited, nil) }); err != nil {
		slog.Warn("the rules of NetworkPolicies still name a pod that has gone", "uid", uid, "err", err)
	}
}

// write writes what the kernel has not. fresh are addresses of a pod that is just attached. The turn is the caller's.
func (ps *policies) write(ctx context.Context, fresh []netip.Addr) error {
	wanted, members, given := ps.now()
	if !given {
		return nil // an earlier daemon's rules go on
	}
	if len(wanted.Policies) > 0 {
		ps.look(wanted.Pods, members)
	}
	rules, err := isolate.Compile(wanted)
	if err != nil {
		return err
	}
	ps.lost = map[string]string{}
	for i, m := range members {
		if why := ps.places[m.UID].unseen; why != "" && slices.ContainsFunc(wanted.Pods[i].Addrs, rules.Isolated) {
			ps.lost[m.UID] = why
		}
	}
	ps.tellLost(wanted.Pods)
	former := ps.written
	if former == nil || !reflect.DeepEqual(former, rules) {
		if err := ps.replace(former, rules); err != nil {
			return fmt.Errorf("cannot enforce NetworkPolicies: %w", err)
		}
	}
	if rules.Empty() || len(fresh) == 0 && former != nil && !rules.Narrower(former) {
		return nil
	}
	if err := isolate.ForgetForbidden(ctx, rules, fresh); err != nil {
		slog.Warn("connections that NetworkPolicies allow no longer may go on as long as they are used", "err", err)
	}
	return nil
}

// replace writes rules in place of others.
func (ps *policies) replace(former, rules *isolate.Rules) error {
	if !rules.Empty() {
		err := ps.routing.want(forPolicies, true)
		if errors.Is(err, routed.ErrUnsupported) && !rules.OnBridges() {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	ps.written, ps.mark = nil, ""
	err := isolate.Write(ps.bridge, former, rules)
	if err != nil && former != nil { // others may have taken away what the difference is to
		err = isolate.Write(ps.bridge, nil, rules)
	}
	if err != nil {
		return err
	}
	if ps.mark, err = isolate.Look(ps.bridge, rules); err != nil {
		return err
	}
	ps.written = rules
	if rules.Empty() {
		return ps.routing.want(forPolicies, false)
	}
	return nil
}

// look fills in where pods' packets enter the machine. The turn is the caller's.
func (ps *policies) look(pods []isolate.Pod, members []member) {
	known := ps.places
	ps.places = map[string]located{}
	for i, m := range members {
		l, ok := known[m.UID]
		if !ok || l.failed || l.since != m.since {
			place, unseen, err := isolate.LookPlace(m.netns)
			if err != nil && !l.failed {
				slog.Warn("cannot find a pod's interface; it could send with addresses of others", "uid", m.UID, "err", err)
			}
			l = located{m.since, place, unseen, err != nil}
		}
		ps.places[m.UID], pods[i].Place = l, l.place
	}
}

// tellLost tells of the pods that no rule sees.
func (ps *policies) tellLost(pods []isolate.Pod) {
	var lost []string
	for _, p := range pods {
		if why := ps.lost[p.UID]; why != "" {
			lost = append(lost, fmt.Sprintf("%s/%s (%s)", p.Namespace, p.Name, why))
		}
	}
	message := ""
	if len(lost) > 0 {
		slices.Sort(lost)
		message = "NetworkPolicies are not enforced for " + strings.Join(lost, ", ")
	}
	ps.trouble(NotEnforced, message)
}

// mend writes the rules again if others have changed them, or if they could not be written.
func (ps *policies) mend(ctx context.Context) (changed bool, err error) {
	err = ps.turn.Do(ctx, func() error {
		if _, _, given := ps.now(); !given {
			return nil
		}
		if ps.written != nil {
			if ps.written.Empty() {
				return nil
			}
			mark, err := isolate.Look(ps.bridge, ps.written)
			if err != nil {
				return err
			}
			if mark == ps.mark {
				return nil
			}
			ps.written, changed = nil, true
		}
		return ps.write(ctx, nil)
	})
	if ctx.Err() != nil {
		return false, nil
	}
	return changed, err
}
