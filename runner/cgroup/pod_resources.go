package cgroup

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
)

// PodResources is what the pod's cgroup gets: the weight of its requests, and a limit where the pod or every container has
// one, with the runtime's overhead on top. pids bounds the number of the pod's processes; zero means no bound.
func PodResources(pod *v1.Pod, pids int64) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	cpu, _ := manifests.Demand(pod, v1.ResourceCPU, requests)
	shares := sharesOf(&cpu)
	out.CPU.Shares = &shares
	if limit, limited := manifests.Demand(pod, v1.ResourceCPU, limits); limited {
		setQuota(out.CPU, amount.Milli(limit))
	}
	if limit, limited := manifests.Demand(pod, v1.ResourceMemory, limits); limited {
		bytes := amount.Whole(limit)
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
				huge[name], _ = manifests.Demand(pod, name, limits)
			}
		}
	}
	return huge
}
