package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/names"
	"github.com/solopod/solopod/runner/names/server"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/network/servicelink"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services"
	"github.com/solopod/solopod/services/machine"
)

// serving serves pods by name and address.
type serving struct {
	control *services.Controller
	of      runner.Serving
	// others are the servers that pods are to ask instead of ours; none means ours.
	others []netip.Addr
	names  *names.Names
	// at are the addresses that answer for names.
	at atomic.Pointer[[]netip.Addr]
}

// newServing wires together what serves pods. Nothing is served before the manifests are read.
func newServing(c config, r *runner.Runner) (*serving, error) {
	set, err := c.services()
	if err != nil {
		return nil, err
	}
	program, err := companion("solopod-names")
	if err != nil {
		program = "" // what follows is told when there are names
	}
	s := &serving{of: runner.Serving{Runner: r}, others: set.Servers}
	s.names = names.New(names.Config{
		Domain: set.Domain, ResolvConf: c.ResolvConf, Stubs: set.Stubs, Keeper: s.of.Keeper(), Program: program, State: c.State,
		Addresses: func() []netip.Addr {
			if at := s.at.Load(); at != nil {
				return *at
			}
			return nil
		},
		Observe: func(a server.Answered) {
			r.Telemetry().DNS(a.Protocol, a.Family, a.Type, a.Code, string(a.Source), a.Took, a.Failures)
		},
		Warn: func(reason, message string) { r.Events().Node(v1.EventTypeWarning, reason, message) },
	})
	bridge := network.BridgeName(network.Instance(c.State))
	s.control = services.New(services.Config{
		Pods: r, Machine: &machine.Machine{Bridge: bridge, Link: servicelink.Name(bridge)}, Settings: set, Node: c.NodeName,
		Path: filepath.Join(c.Root, "services.json"), Report: r.Events().Object, Families: s.of.Families, NodeIPs: s.of.NodeIPs,
		Serve: func(ctx context.Context, to services.Serving) error {
			return s.of.Network().Serve(ctx, network.Serving{Table: to.Table, CIDRs: to.CIDRs, Names: to.Names})
		},
		Publish: s.publish, Isolate: s.isolate,
	})
	s.of.Use(s.control)
	return s, nil
}

// begin has pods ask the servers that the configuration gives them, whatever becomes of Services. It is called before pods are applied.
func (s *serving) begin() {
	if len(s.others) == 0 {
		return
	}
	if err := s.of.ServeNames(s.others); err != nil {
		slog.Warn("the servers of clusterDNS could not be noted", "err", err)
	}
}

// publish has names answered at the addresses, and pods ask there. Nobody asks before somebody answers, nor when nobody does any more.
func (s *serving) publish(ctx context.Context, t *served.Table, at []netip.Addr) error {
	s.at.Store(&at)
	ask := at
	if len(s.others) > 0 {
		ask = s.others
	}
	if len(ask) == 0 {
		return errors.Join(s.of.ServeNames(nil), s.names.Publish(ctx, t))
	}
	if err := s.names.Publish(ctx, t); err != nil {
		return err
	}
	return s.of.ServeNames(ask)
}

// isolate has the kernel keep to policies.
func (s *serving) isolate(ctx context.Context, p services.Policies) error {
	to := isolate.Policies{Policies: p.Policies, Namespaces: p.Namespaces, DNS: p.Names}
	for _, pod := range p.Pods {
		if !pod.Spec.HostNetwork {
			to.Pods = append(to.Pods, isolate.PodOf(pod))
		}
	}
	return s.of.Network().Isolate(ctx, to)
}
