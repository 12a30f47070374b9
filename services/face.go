// Package services decides what is served to pods: it gives Services their addresses and node ports, finds their endpoints among the pods,
// and tells the kernel, the names and who asks.
package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/services/endpoints"
	"github.com/solopod/solopod/services/environment"
)

// Selected is a pod that a service's selector finds.
type Selected struct {
	Pod       string   `json:"pod"`
	Addresses []string `json:"addresses,omitempty"`
	// Serves: connections go to it.
	Serves bool `json:"serves"`
	// Why says why not; empty when they do.
	Why string `json:"why,omitempty"`
}

func (c *Controller) shown() *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

func (c *Controller) setView(v *view) {
	c.mu.Lock()
	c.view = v
	c.mu.Unlock()
	c.changes.Notify()
}

// Known is what files have said in an earlier run of what counts here. It is called before Run.
func (c *Controller) Known() map[string]manifests.Contents { return c.record.Files }

// Services are those of the manifests, by namespace and name, with what was decided for them.
func (c *Controller) Services() []*v1.Service {
	v, nodes := c.shown(), c.NodeIPs()
	out := make([]*v1.Service, 0, len(v.services))
	for _, key := range slices.Sorted(maps.Keys(v.services)) {
		out = append(out, endpoints.Shown(v.services[key], v.decided[key], nodes))
	}
	return out
}

// EndpointSlices are those of the manifests, and those of the pods that services select.
func (c *Controller) EndpointSlices() []*discoveryv1.EndpointSlice {
	v := c.shown()
	if len(v.services)+len(v.slices) == 0 {
		return nil
	}
	return v.world(look(c.Pods.Pods())).EndpointSlices(c.Node)
}

// NetworkPolicies are those of the manifests.
func (c *Controller) NetworkPolicies() []*networkingv1.NetworkPolicy {
	v := c.shown()
	out := make([]*networkingv1.NetworkPolicy, 0, len(v.policies))
	for _, key := range slices.Sorted(maps.Keys(v.policies)) {
		out = append(out, v.policies[key])
	}
	return out
}

// Selected are the pods that a service selects, by name. The error says that there is no such service.
func (c *Controller) Selected(namespace, name string) ([]Selected, error) {
	v := c.shown()
	key := namespace + "/" + name
	if v.services[key] == nil {
		return nil, fmt.Errorf("service %s is not there", key)
	}
	var out []Selected
	for _, s := range v.world(look(c.Pods.Pods())).Selection(key) {
		row := Selected{Pod: s.Pod.Name, Serves: s.Why == "", Why: s.Why}
		for _, ip := range s.Pod.Addrs {
			row.Addresses = append(row.Addresses, ip.String())
		}
		out = append(out, row)
	}
	return out, nil
}

// Subscribe returns a channel that gets a token whenever what is shown has changed; several changes may share one.
func (c *Controller) Subscribe() (changes <-chan struct{}, cancel func()) {
	return c.changes.Subscribe()
}

// Variables are those that tell a container of a pod where the services of its namespace are (enableServiceLinks), as name=value. It waits
// for what was applied before, within a limit.
func (c *Controller) Variables(ctx context.Context, pod *v1.Pod) []string {
	if pod.Spec.EnableServiceLinks != nil && !*pod.Spec.EnableServiceLinks {
		return nil
	}
	c.progress.await(ctx, decided)
	v := c.shown()
	var found []environment.Service
	for key, s := range v.services {
		if ips := v.decided[key].ClusterIPs; s.Namespace == pod.Namespace && len(ips) > 0 {
			found = append(found, environment.Service{Name: s.Name, IP: ips[0], Ports: s.Spec.Ports})
		}
	}
	return environment.Variables(found)
}

// Written waits, within a limit, until the kernel and the names were told what was applied before: what a pod does first may be to call
// another.
func (c *Controller) Written(ctx context.Context) { c.progress.await(ctx, written) }

// ErrNotIsolated says that NetworkPolicies could not be put into force.
var ErrNotIsolated = errors.New("the kernel does not keep to the NetworkPolicies yet (solopod's log says why); the pod waits for that")

// Isolated waits, within a limit, until the kernel keeps to the policies that were applied before. A pod must not begin sooner.
func (c *Controller) Isolated(ctx context.Context) error {
	if !c.progress.await(ctx, isolated) {
		return ErrNotIsolated
	}
	return nil
}
