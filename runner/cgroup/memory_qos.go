package cgroup

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
)

// Files of cgroup v2 (cgroup-v2.rst): what the kernel does not take away, and from where on it slows a cgroup down and reclaims.
const (
	memoryMin  = "memory.min"
	memoryHigh = "memory.high"
)

// MemoryQoS protects what pods ask for of memory, and slows a container down before it reaches its limit, as the kubelet's feature of
// that name. The zero value does nothing; so does a machine with cgroup v1.
type MemoryQoS struct {
	// Factor is how much of what lies between request and limit a container may use at full speed: the kubelet's memoryThrottlingFactor.
	Factor float64
	// Allocatable is what pods may have of the machine's memory, in bytes; it stands for the limit of who has none.
	Allocatable int64
}

func (q MemoryQoS) on() bool { return q.Factor > 0 && Unified() }

// Container is what a container's cgroup gets; nil without MemoryQoS.
func (q MemoryQoS) Container(r v1.ResourceRequirements) map[string]string {
	if !q.on() {
		return nil
	}
	return q.files(amount.Whole(*r.Requests.Memory()), amount.Whole(*r.Limits.Memory()), int64(os.Getpagesize()))
}

// files are values by file (KEP-2570; pkg/kubelet/kuberuntime/kuberuntime_container_linux.go).
func (q MemoryQoS) files(request, limit, page int64) map[string]string {
	out := map[string]string{memoryMin: strconv.FormatInt(request, 10), memoryHigh: "max"}
	if high := q.high(request, limit, page); high > request {
		out[memoryHigh] = strconv.FormatInt(high, 10)
	}
	return out
}

// high is where a container is slowed down; 0 where it is not, as with a request that is its limit.
func (q MemoryQoS) high(request, limit, page int64) int64 {
	if request == limit && limit != 0 {
		return 0
	}
	if limit == 0 {
		limit = q.Allocatable
	}
	high := math.Floor((float64(request)+q.Factor*float64(limit-request))/float64(page)) * float64(page)
	return int64(max(high, 0))
}

// Apply gives them to a container that runs.
func (q MemoryQoS) Apply(cgroupPath string, r v1.ResourceRequirements) error {
	for file, value := range q.Container(r) {
		if err := tell(filepath.Join(Mountpoint, cgroupPath, file), value); err != nil {
			return fmt.Errorf("cannot set %s: %w", file, err)
		}
	}
	return nil
}

// Pod adds what a pod's cgroup gets.
func (q MemoryQoS) Pod(pod *v1.Pod, r *specs.LinuxResources) {
	if !q.on() {
		return
	}
	request, _ := manifests.Demand(pod, v1.ResourceMemory, requests)
	protect(r, amount.Whole(request))
}

// protect keeps memory for a cgroup. The controller is switched on for it.
func protect(r *specs.LinuxResources, bytes int64) {
	if r.Memory == nil {
		r.Memory = &specs.LinuxMemory{}
	}
	r.Unified = map[string]string{memoryMin: strconv.FormatInt(bytes, 10)}
}

// protected is what is kept for a cgroup, by its resources.
func protected(r *specs.LinuxResources) int64 {
	bytes, err := strconv.ParseInt(r.Unified[memoryMin], 10, 64)
	if err != nil {
		return 0
	}
	return bytes
}
