package cgroup

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
)

// PodResources is what the pod's cgroup gets: the weight of its requests, and a limit where the pod or every container has
// one, with the runtime's overhead on top. pids bounds the number of the pod's processes; zero means no bound.
func PodResources(pod *v1.Pod, pids int64) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	cpu, _ := demand(pod, v1.ResourceCPU, requests)
	shares := sharesOf(&cpu)
	out.CPU.Shares = &shares
	if limit, limited := demand(pod, v1.ResourceCPU, limits); limited {
		setQuota(out.CPU, limit.MilliValue())
	}
	if limit, limited := demand(pod, v1.ResourceMemory, limits); limited {
		bytes := limit.Value()
		out.Memory = &specs.LinuxMemory{Limit: &bytes}
	}
	out.HugepageLimits = hugepages(hugeDemand(pod))
	if pids > 0 {
		out.Pids = &specs.LinuxPids{Limit: &pids}
	}
	return out
}

func requests(r *v1.ResourceRequirements) v1.ResourceList { return r.Requests }
func limits(r *v1.ResourceRequirements) v1.ResourceList   { return r.Limits }

func hugeDemand(pod *v1.Pod) v1.ResourceList {
	huge := v1.ResourceList{}
	for _, r := range manifests.Requirements(pod) {
		for name := range r.Limits {
			if strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix) {
				huge[name], _ = demand(pod, name, limits)
			}
		}
	}
	return huge
}

// demand is what the pod as a whole asks for of a resource (component-helpers, resource.PodRequests): the pod's own word, or
// else the larger one of what the containers and sidecars take together, and what each init container takes beside
// the sidecars that were started before it. complete: every container says something.
func demand(pod *v1.Pod, name v1.ResourceName, of func(*v1.ResourceRequirements) v1.ResourceList) (total resource.Quantity, complete bool) {
	complete = true
	take := func(r *v1.ResourceRequirements) resource.Quantity {
		q := of(r)[name]
		complete = complete && !q.IsZero()
		return q.DeepCopy()
	}
	var sidecars, peak resource.Quantity
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		q := take(&c.Resources)
		if manifests.IsSidecar(c) {
			sidecars.Add(q)
			q = sidecars.DeepCopy()
		} else {
			q.Add(sidecars)
		}
		if q.Cmp(peak) > 0 {
			peak = q
		}
	}
	total = sidecars
	for i := range pod.Spec.Containers {
		total.Add(take(&pod.Spec.Containers[i].Resources))
	}
	if peak.Cmp(total) > 0 {
		total = peak
	}
	if pod.Spec.Resources != nil {
		if q, ok := of(pod.Spec.Resources)[name]; ok {
			total, complete = q.DeepCopy(), !q.IsZero()
		}
	}
	if q, ok := pod.Spec.Overhead[name]; ok && !total.IsZero() {
		total.Add(q)
	}
	return total, complete
}
