// Package rank says which pods are evicted before others, as the kubelet does (pkg/kubelet/eviction/helpers.go; "Pod selection for kubelet
// eviction" in Kubernetes' documentation). It is pure.
package rank

import (
	"cmp"
	"slices"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/eviction/threshold"
)

// Pod is one with what it takes up of the resource that is short.
type Pod struct {
	UID, Name string
	Priority  int32
	// Usage and Request are of memory or disk in bytes, of files, or of processes. Requests are of memory and disk alone.
	Usage, Request uint64
	// Unknown: the usage could not be measured. More: there is more of it than could be counted in time.
	Unknown, More bool
}

// Critical says that the pod is evicted when nothing else is left. The kubelet never evicts such; here what else could is left to the kernel,
// which does not ask.
func (p Pod) Critical() bool { return p.Priority >= manifests.SystemCritical }

// least is what must be had by the eviction of a pod: one that takes up less does not help, and others would be next.
func least(s threshold.Signal) uint64 {
	switch s.Resource() {
	case "pids":
		return 1
	case "inodes":
		return 100
	default:
		return 1 << 20
	}
}

// Order is the pods in the order of their eviction for a signal, without those that take up next to nothing of it.
func Order(s threshold.Signal, pods []Pod) []Pod {
	out := slices.Clone(pods)
	out = slices.DeleteFunc(out, func(p Pod) bool { return !p.Unknown && !p.More && p.Usage < least(s) })
	slices.SortFunc(out, func(a, b Pod) int {
		return cmp.Or(
			first(b.Critical(), a.Critical()),
			first(a.exceeds(s), b.exceeds(s)),
			cmp.Compare(a.Priority, b.Priority),
			first(b.hidden(), a.hidden()),
			first(a.More, b.More),
			cmp.Compare(b.over(), a.over()),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.UID, b.UID),
		)
	})
	return out
}

// exceeds says that the pod takes up more than it has asked for. Of files and processes none can be asked for.
func (p Pod) exceeds(s threshold.Signal) bool {
	return s == threshold.Processes || p.Unknown || p.More || p.Usage > p.Request
}

// hidden: nothing tells whether the pod takes up much.
func (p Pod) hidden() bool { return p.Unknown && !p.More }

// over is how much more that is; less than nothing where it takes up less.
func (p Pod) over() int64 { return int64(p.Usage) - int64(p.Request) } //nolint:gosec // sizes of what there is

// first orders those for which something holds before others.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}
