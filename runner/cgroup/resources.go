package cgroup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Bounds and periods of the kernel's CPU controller, as the kubelet uses them (pkg/kubelet/cm/helpers_linux.go).
const (
	MinShares     = 2
	maxShares     = 262144
	sharesPerCPU  = 1024
	quotaPeriod   = 100_000 // microseconds
	minimalQuota  = 1_000   // microseconds
	milliPerCPU   = 1000
	guaranteedAdj = -997
	bestEffortAdj = 1000
)

// QOSClass computes the pod's QoS class from cpu and memory, as the API defines it.
func QOSClass(pod *v1.Pod) v1.PodQOSClass {
	anything, guaranteed := false, true
	for _, c := range pod.Spec.Containers {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
			if !request.IsZero() || !limit.IsZero() {
				anything = true
			}
			if limit.IsZero() || request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	switch {
	case !anything:
		return v1.PodQOSBestEffort
	case guaranteed:
		return v1.PodQOSGuaranteed
	default:
		return v1.PodQOSBurstable
	}
}

// ContainerResources turns requests and limits into what the kernel is told.
func ContainerResources(r v1.ResourceRequirements) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	shares := sharesOf(r.Requests.Cpu())
	out.CPU.Shares = &shares
	if limit := r.Limits.Cpu(); !limit.IsZero() {
		setQuota(out.CPU, limit.MilliValue())
	}
	if limit := r.Limits.Memory(); !limit.IsZero() {
		bytes := limit.Value()
		out.Memory = &specs.LinuxMemory{Limit: &bytes}
	}
	return out
}

// PodResources adds the containers up: the weight of all requests, and a limit where every container has one.
func PodResources(pod *v1.Pod) *specs.LinuxResources {
	var cpu, cpuLimit, memoryLimit resource.Quantity
	cpuLimited, memoryLimited := true, true
	for _, c := range pod.Spec.Containers {
		cpu.Add(*c.Resources.Requests.Cpu())
		cpuLimit.Add(*c.Resources.Limits.Cpu())
		memoryLimit.Add(*c.Resources.Limits.Memory())
		cpuLimited = cpuLimited && !c.Resources.Limits.Cpu().IsZero()
		memoryLimited = memoryLimited && !c.Resources.Limits.Memory().IsZero()
	}
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	shares := sharesOf(&cpu)
	out.CPU.Shares = &shares
	if cpuLimited {
		setQuota(out.CPU, cpuLimit.MilliValue())
	}
	if memoryLimited {
		bytes := memoryLimit.Value()
		out.Memory = &specs.LinuxMemory{Limit: &bytes}
	}
	return out
}

func sharesOf(cpu *resource.Quantity) uint64 {
	shares := cpu.MilliValue() * sharesPerCPU / milliPerCPU
	return uint64(min(max(shares, MinShares), maxShares))
}

func setQuota(cpu *specs.LinuxCPU, milli int64) {
	period := uint64(quotaPeriod)
	quota := max(milli*quotaPeriod/milliPerCPU, minimalQuota)
	cpu.Period, cpu.Quota = &period, &quota
}

// systemNodeCriticalPriority is where the API's priority class system-node-critical begins.
const systemNodeCriticalPriority = 2_000_001_000

// OOMScoreAdj tells the kernel whom to kill first, as the kubelet computes it (pkg/kubelet/qos/policy.go): guaranteed
// and node-critical pods last, best-effort pods first, and the rest by the share of the machine's memory they asked for.
func OOMScoreAdj(pod *v1.Pod, c *v1.Container, machineMemory int64) int {
	critical := pod.Spec.PriorityClassName == "system-node-critical" ||
		pod.Spec.Priority != nil && *pod.Spec.Priority >= systemNodeCriticalPriority
	qos := QOSClass(pod)
	switch {
	case critical, qos == v1.PodQOSGuaranteed:
		return guaranteedAdj
	case qos == v1.PodQOSBestEffort:
		return bestEffortAdj
	}
	adj := 1000 - int(1000*c.Resources.Requests.Memory().Value()/max(machineMemory, 1))
	// A burstable pod must be killed before a guaranteed one and after a best-effort one.
	return min(max(adj, 1000+guaranteedAdj), bestEffortAdj-1)
}
