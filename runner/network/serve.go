package network

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/solopod/solopod/runner/network/balance"
	"github.com/solopod/solopod/runner/network/bridge"
	"github.com/solopod/solopod/runner/network/firewall"
	"github.com/solopod/solopod/runner/network/routed"
	"github.com/solopod/solopod/runner/network/servicelink"
	"github.com/solopod/solopod/runner/rescue"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/runner/turn"
)

// Serving is all that the machine is to serve by address.
type Serving struct {
	// Table is what is served; nil, or an empty one, takes everything away. It is not changed any more.
	Table *served.Table
	// CIDRs are the subnets of cluster IPs, one of a family at most.
	CIDRs []netip.Prefix
	// Names are the addresses of the DNS server, on a link of their own; none where it is not ours.
	Names []netip.Addr
}

func (s *Serving) empty() bool { return s.Table == nil || s.Table.Empty() }

// serving is what is served now.
type serving struct {
	own     *bridge.Bridge
	routing *routing
	// loopback has the kernel route from 127.0.0.1, or no longer.
	loopback func(let bool)
	// trouble tells of what is wrong, once.
	trouble func(reason, message string)

	// turn is of who writes, or reads what the kernel has; what follows is his.
	turn turn.Turn
	// now was asked for last; begun says that anything was ever asked for.
	now   Serving
	begun bool
	// writer is nil until then.
	writer *balance.Writer
	// stale: what was asked for last could not be written.
	stale bool
	names asked[firewall.Names]
	// onBridge: pods were on the own bridge at the last write.
	onBridge bool
}

// Serve has the kernel's tables, a link and routes serve what s says, and writes the difference to what was written last. It can be repeated
// and is called by one at a time. It returns an error when ctx has ended before it began.
func (n *Network) Serve(ctx context.Context, s Serving) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := rescue.Do("write what services need", func() error { return n.serving.serve(ctx, s) })
	if err == nil {
		n.openAsked(ctx, true)
	}
	return err
}

// Traffic returns what each service has sent and received, by Service.Key.
func (n *Network) Traffic(ctx context.Context) (map[string]served.Traffic, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out, v := map[string]served.Traffic{}, n.serving
	err := v.turn.Do(ctx, func() (err error) {
		if v.writer != nil {
			out, err = v.writer.Traffic()
		}
		return err
	})
	return out, err
}

func (v *serving) serve(ctx context.Context, s Serving) error {
	return v.turn.Do(ctx, func() error {
		v.now, v.begun = s, true
		_, err := v.write(ctx)
		v.stale = err != nil
		return err
	})
}

// write writes what is not there yet, and says what it had to make of the link. The turn is the caller's.
func (v *serving) write(ctx context.Context) (made []string, err error) {
	if v.writer == nil {
		v.writer = balance.NewWriter(v.own.Name)
	}
	m := balance.Machine{Names: v.now.Names, Loopback: v.own.InUse(), Bridge: v.own.Name}
	if m.Unrouted, err = v.route(balance.Needed(v.now.Table)); err != nil {
		return nil, err
	}
	layout := balance.Plan(v.now.Table, m)
	if !layout.ThroughLoopback() { // no longer, before the rules go that guard it
		v.loopback(false)
	}
	made, lame := servicelink.Ensure(v.own.Name, v.now.link()) // without the link pods go on, and by one family both
	flows, err := v.writer.Write(layout)
	if err != nil {
		return made, errors.Join(lame, err)
	}
	v.onBridge = m.Loopback
	if layout.ThroughLoopback() {
		v.loopback(true)
	}
	forget(ctx, flows)
	return made, lame
}

// route has pods' packets for each other pass the machine's rules, and returns the subnets of bridges where that cannot be.
func (v *serving) route(needed bool) (unrouted []netip.Prefix, err error) {
	err = v.routing.want(forServices, needed)
	if !errors.Is(err, routed.ErrUnsupported) {
		v.trouble(Unrouted, "")
		return nil, err
	}
	v.trouble(Unrouted, "a pod that reaches a pod beside it through a service is seen there with the machine's address: "+err.Error())
	return v.routing.subnets()
}

// forget has the kernel forget flows that lead elsewhere now.
func forget(ctx context.Context, flows balance.Flows) {
	if flows.Empty() {
		return
	}
	local, err := firewall.LocalAddresses()
	if err == nil {
		err = flows.Forget(ctx, func(ip netip.Addr) bool { return ip.IsLoopback() || local[ip] })
	}
	if err != nil {
		slog.Warn("senders of UDP that sent to a service before may not reach its pods as long as they go on to send", "err", err)
	}
}

// link is what the link for services has: routes to the subnets, and to addresses outside of them.
func (s *Serving) link() (w servicelink.Wanted) {
	if s.empty() {
		return w
	}
	w.Addresses, w.Routes = s.Names, slices.Clone(s.CIDRs)
	for i := range s.Table.Services {
		for _, ip := range s.Table.Services[i].ClusterIPs {
			if !slices.ContainsFunc(s.CIDRs, func(p netip.Prefix) bool { return p.Contains(ip) }) {
				w.Routes = append(w.Routes, netip.PrefixFrom(ip, ip.BitLen()))
			}
		}
	}
	for i := range w.Routes {
		w.Routes[i] = w.Routes[i].Masked()
	}
	return w
}

// mend writes again what others have taken away of what services need.
func (v *serving) mend(ctx context.Context) (found []string, err error) {
	err = v.turn.Do(ctx, func() error {
		if !v.begun || v.now.empty() && !v.stale {
			return nil
		}
		changed, err := v.writer.Changed()
		if err != nil {
			return err
		}
		v.lookForKubeProxy()
		found, err = v.write(ctx)
		if changed {
			found = append(found, "the rules of services")
		}
		v.stale = err != nil
		return err
	})
	if ctx.Err() != nil {
		return nil, nil
	}
	return found, err
}

// follow writes again what depends on whether pods are on the own bridge. What fails is tried again by mend, and keeps no pod from running.
func (v *serving) follow(ctx context.Context) {
	err := v.turn.Do(ctx, func() error {
		if v.now.empty() || v.onBridge == v.own.InUse() {
			return nil
		}
		_, err := v.write(ctx)
		v.stale = err != nil
		return err
	})
	if err != nil {
		slog.Warn("what services need is not all there", "err", err)
	}
}

// lookForKubeProxy tells of it once: its rules and ours do not know of each other.
func (v *serving) lookForKubeProxy() {
	where, err := firewall.KubeProxy()
	if err != nil {
		slog.Debug("it cannot be seen whether kube-proxy runs on this machine", "err", err)
		return
	}
	message := ""
	if where != "" {
		message = "kube-proxy, or what stands for it, has rules on this machine (" + where + "); they are left alone. Services of both work as long as no two have " +
			"the same address: set serviceCIDR to a subnet that the cluster does not use"
	}
	v.trouble(KubeProxyFound, message)
}
