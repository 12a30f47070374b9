package eviction

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/eviction/threshold"
)

// message is the kubelet's of an eviction (evictionMessage in pkg/kubelet/eviction/helpers.go).
func message(c threshold.Crossed, p *Pod, used Used) string {
	resource := c.Signal.Resource()
	var b strings.Builder
	fmt.Fprintf(&b, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ", resource,
		c.Signal.Format(c.Least.Of(c.Level.Capacity)), c.Signal.Format(c.Level.Available))
	for _, name := range slices.Sorted(maps.Keys(used.Containers)) {
		request := p.Requests[name][v1.ResourceName(resource)]
		if n := used.Containers[name]; n > bytes(amount.Whole(request)) {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %s. ", name, c.Signal.Format(n), request.String(), resource)
		}
	}
	return b.String()
}

// requested is what the pod has asked for of what a signal is of.
func requested(s threshold.Signal, p *Pod) uint64 {
	q := p.Request[v1.ResourceName(s.Resource())]
	return bytes(amount.Whole(q))
}

func bytes(n int64) uint64 { return uint64(max(n, 0)) } //nolint:gosec // not negative
