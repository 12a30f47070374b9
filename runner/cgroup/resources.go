package cgroup

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
)

// Bounds and periods of the kernel's CPU controller, as the kubelet uses them (pkg/kubelet/cm/helpers_linux.go).
const (
	MinShares     = 2
	maxShares     = 262144
	sharesPerCPU  = 1024
	quotaPeriod   = 100_000 // microseconds
	minimalQuota  = 1_000   // microseconds
	maximalQuota  = 1 << 40 // microseconds; the kernel takes less than 1<<44 (kernel/sched, MAX_BW)
	milliPerCPU   = 1000
	guaranteedAdj = -997
	bestEffortAdj = 1000
)

// ContainerResources turns requests and limits into what the kernel is told. unified holds files of cgroup v2 and their
// values; it is nil on a machine without.
func ContainerResources(r v1.ResourceRequirements, unified map[string]string) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	shares := sharesOf(r.Requests.Cpu())
	out.CPU.Shares = &shares
	if limit := r.Limits.Cpu(); !limit.IsZero() {
		setQuota(out.CPU, amount.Milli(*limit))
	}
	if limit := r.Limits.Memory(); !limit.IsZero() {
		bytes := amount.Whole(*limit)
		out.Memory = &specs.LinuxMemory{Limit: &bytes}
	}
	out.HugepageLimits = hugepages(r.Limits)
	out.Unified = unified
	// Said openly: systemd would bound a scope by its own default. The pod's bound holds for all its containers.
	unbounded := int64(-1)
	out.Pids = &specs.LinuxPids{Limit: &unbounded}
	return out
}

// hugepages: Kubernetes names the resource hugepages-2Mi, the kernel its files hugetlb.2MB.
func hugepages(limits v1.ResourceList) []specs.LinuxHugepageLimit {
	var out []specs.LinuxHugepageLimit
	for name, limit := range limits {
		size, ok := strings.CutPrefix(string(name), v1.ResourceHugePagesPrefix)
		if !ok {
			continue
		}
		if q, err := resource.ParseQuantity(size); err == nil {
			out = append(out, specs.LinuxHugepageLimit{Pagesize: HugepageName(amount.Whole(q)), Limit: uint64(amount.Whole(limit))})
		}
	}
	slices.SortFunc(out, func(a, b specs.LinuxHugepageLimit) int { return strings.Compare(a.Pagesize, b.Pagesize) })
	return out
}

// HugepageName is how the kernel's cgroup files write a page size in bytes: 2MB, 1GB (mm/hugetlb_cgroup.c, mem_fmt).
func HugepageName(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%dGB", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("%dMB", bytes>>20)
	default:
		return fmt.Sprintf("%dKB", bytes>>10)
	}
}

func sharesOf(cpu *resource.Quantity) uint64 {
	shares := min(amount.Milli(*cpu), maxShares) * sharesPerCPU / milliPerCPU // a thousandth of a CPU is more than a share
	return uint64(min(max(shares, MinShares), maxShares))
}

func setQuota(cpu *specs.LinuxCPU, milli int64) {
	period := uint64(quotaPeriod)
	quota := max(min(milli, maximalQuota/quotaPeriod*milliPerCPU)*quotaPeriod/milliPerCPU, minimalQuota)
	cpu.Period, cpu.Quota = &period, &quota
}

// systemNodeCriticalPriority is where the API's priority class system-node-critical begins.
const systemNodeCriticalPriority = 2_000_001_000

// OOMScoreAdj tells the kernel whom to kill first, as the kubelet computes it (pkg/kubelet/qos/policy.go): guaranteed
// and node-critical pods last, best-effort pods first, and the rest by the share of the machine's memory they asked for.
func OOMScoreAdj(pod *v1.Pod, c *v1.Container, machineMemory int64) int {
	critical := pod.Spec.PriorityClassName == "system-node-critical" ||
		pod.Spec.Priority != nil && *pod.Spec.Priority >= systemNodeCriticalPriority
	qos := manifests.QOSClass(pod)
	switch {
	case critical, qos == v1.PodQOSGuaranteed:
		return guaranteedAdj
	case qos == v1.PodQOSBestEffort:
		return bestEffortAdj
	}
	machineMemory = max(machineMemory, 1)
	adj := 1000 - int(1000*min(amount.Whole(*c.Resources.Requests.Memory()), machineMemory)/machineMemory)
	// A burstable pod must be killed before a guaranteed one and after a best-effort one.
	return min(max(adj, 1000+guaranteedAdj), bestEffortAdj-1)
}
