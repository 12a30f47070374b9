package services

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/network"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/services/allocate"
	"github.com/solopod/solopod/services/settings"
)

// record is what outlives restarts and reboots.
type record struct {
	// CIDRs are those that were chosen, one of a family at most.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// Families are those that pods have had, where plugins give addresses.
	Families []v1.IPFamily `json:"families,omitempty"`
	// Given is what services have, by namespace/name.
	Given map[string]allocate.Given `json:"given,omitempty"`
	// Files are what the manifest files had of Services, of what belongs to them, and of policies: what a file that has become bad has
	// said before goes on over a restart, as its pods do.
	Files map[string]manifests.Contents `json:"files,omitempty"`
	// Since says when objects were seen first, by kind/namespace/name.
	Since map[string]time.Time `json:"since,omitempty"`
}

func (r *record) empty() bool { return len(r.Given)+len(r.Files) == 0 }

// maxRecord is the longest record, in bytes, that is read.
const maxRecord = 16 << 20

// loadRecord reads the record. What is none is set aside: addresses that follow from names stay the same. damaged says so: then nobody knows
// what an earlier run has served.
func loadRecord(path string) (r record, damaged bool) {
	r, told := durable.ReadJSON[record](path, maxRecord, nil)
	if told != "" {
		slog.Error("the record of Services is damaged; those whose addresses follow from their names keep them", "file", path, "done", told)
		return record{}, true
	}
	r.dropUnusable()
	return r, false
}

// dropUnusable leaves out what a damaged file may have lost a part of.
func (r *record) dropUnusable() {
	r.CIDRs = slices.DeleteFunc(r.CIDRs, func(p netip.Prefix) bool { return !settings.Usable(p) })
	r.Families = slices.DeleteFunc(r.Families, func(f v1.IPFamily) bool { return f != v1.IPv4Protocol && f != v1.IPv6Protocol })
	for file, c := range r.Files {
		c.Services = usable(c.Services, manifests.SetServiceDefaults, func(s *v1.Service) manifests.Problems { return network.Service(s, network.PortRange{}) })
		c.Endpoints = usable(c.Endpoints, manifests.SetEndpointsDefaults, network.Endpoints)
		c.EndpointSlices = usable(c.EndpointSlices, manifests.SetEndpointSliceDefaults, network.EndpointSlice)
		c.NetworkPolicies = usable(c.NetworkPolicies, manifests.SetNetworkPolicyDefaults, network.Policy)
		c.Namespaces = usable(c.Namespaces, manifests.SetNamespaceDefaults, network.Namespace)
		r.Files[file] = c
	}
	for key, g := range r.Given {
		for _, ip := range g.ClusterIPs {
			if !ip.IsValid() {
				delete(r.Given, key)
			}
		}
	}
}

// usable keeps the objects that could stand in a manifest: all others of the daemon rely on what validation has let through.
func usable[T any](list []*T, defaults func(*T), validate func(*T) manifests.Problems) []*T {
	return slices.DeleteFunc(list, func(o *T) bool {
		if o == nil {
			return true
		}
		defaults(o)
		return len(validate(o).Errors()) > 0
	})
}

// of finds the subnet of a family.
func (r *record) of(f v1.IPFamily) (netip.Prefix, bool) {
	for _, p := range r.CIDRs {
		if allocate.FamilyOf(p.Addr()) == f {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// writeRecord replaces the file at path, unless it has what is to be written.
func writeRecord(path string) func(context.Context, record) error {
	var last [sha256.Size]byte
	if data, err := durable.ReadFile(path, maxRecord); err == nil {
		last = sha256.Sum256(data)
	}
	return func(_ context.Context, r record) error {
		data, err := json.Marshal(r)
		if err == nil && len(data) > maxRecord { // of very many endpoints; addresses matter more
			r.Files = nil
			data, err = json.Marshal(r)
		}
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if sum == last {
			return nil
		}
		if err := durable.WriteFile(path, data, 0o600); err != nil {
			return err
		}
		last = sum
		return nil
	}
}
