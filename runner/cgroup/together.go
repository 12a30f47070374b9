package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/reserve"
)

// Together is what holds for all pods at once. It is set before the first operation.
type Together struct {
	// Bound is what all pods may use together: cpu (as a weight), memory, pid. What it does not name is not bounded.
	Bound v1.ResourceList
	// Memory is MemoryQoS, for the classes of pods and all of them.
	Memory MemoryQoS
	// Tell is told of what is amiss with the bound; nil for nobody.
	Tell func(reason, message string)
}

// defaultShares is what the kernel gives a new cgroup.
const defaultShares = 1024

// resources are those of the root of all pods' cgroups, of which so much memory is kept.
func (t *Together) resources(kept int64) *specs.LinuxResources {
	shares := uint64(defaultShares)
	if cpu, ok := t.Bound[v1.ResourceCPU]; ok {
		shares = sharesOf(&cpu)
	}
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}}
	if memory, ok := t.Bound[v1.ResourceMemory]; ok {
		bytes := amount.Whole(memory)
		out.Memory = &specs.LinuxMemory{Limit: &bytes}
	}
	if processes, ok := t.Bound[reserve.PIDs]; ok {
		most := amount.Whole(processes)
		out.Pids = &specs.LinuxPids{Limit: &most}
	}
	if t.Memory.on() {
		protect(out, kept)
	}
	return out
}

// PodResources is what a pod's cgroup gets, with the memory that is kept for it.
func (t *Together) PodResources(pod *v1.Pod, pids int64) *specs.LinuxResources {
	out := PodResources(pod, pids)
	t.Memory.Pod(pod, out)
	return out
}

// boundAll gives the root of all pods' cgroups its limits, where they have changed; what an earlier run has given and is not wanted any
// more is taken away. That it fails is told, and tried again with the next pod: pods run without it.
func (m *Manager) boundAll(ctx context.Context) {
	want := m.resources(m.kept(qosClasses...))
	key := fmt.Sprint(*want.CPU.Shares, m.Bound, want.Unified)
	if m.given == key {
		return
	}
	if len(m.Bound) == 0 && want.Unified == nil && !m.limited() {
		m.given = key
		return
	}
	above := m.above(want)
	bound := fmt.Sprint(m.Bound)
	if above != "" && Unified() {
		m.warn("PodsAboveReserve", bound, above+": the kernel takes it back, and ends processes where it cannot; reserve less, or run fewer pods")
	}
	err := errors.Join(m.keeper.apply(ctx, m.Root(), want), m.liftPids(want))
	switch {
	case err == nil:
		m.given = key
		delete(m.amiss, notEnforced)
	case above != "" && !Unified():
		m.warn(notEnforced, bound, fmt.Sprintf("%s, and cgroup v1 takes no limit below that: there is none until a pod begins while they use less; reserve less, or run fewer pods (%v)", above, err))
	default:
		m.warn(notEnforced, bound, fmt.Sprintf("what pods use together cannot be bounded: %v; it is tried again with the next pod", err))
	}
}

// notEnforced is the reason of an event.
const notEnforced = "ReserveNotEnforced"

// warn tells of something that is amiss with a bound, once.
func (m *Manager) warn(reason, bound, message string) {
	if m.Tell == nil || m.amiss[reason] == bound {
		return
	}
	if m.amiss == nil {
		m.amiss = map[string]string{}
	}
	m.amiss[reason] = bound
	m.Tell(reason, message)
}

// above says that pods use more than they may from now on; empty: they do not. The kubelet bounds them all the same (cgroup v1 refuses that).
func (m *Manager) above(want *specs.LinuxResources) string {
	if want.Memory == nil || want.Memory.Limit == nil {
		return ""
	}
	used, err := MemoryUsage(m.Root())
	if err != nil || used <= *want.Memory.Limit {
		return ""
	}
	return fmt.Sprintf("pods use %dMi of memory together, more than the %dMi that systemReserved and kubeReserved leave them", used>>20, *want.Memory.Limit>>20)
}

// limited says whether an earlier run has bounded all pods.
func (m *Manager) limited() bool {
	memory, processes := filepath.Join(Mountpoint, m.Root(), "memory.max"), filepath.Join(Mountpoint, m.Root(), "pids.max")
	weight, usual := filepath.Join(Mountpoint, m.Root(), "cpu.weight"), "100"
	if !Unified() {
		memory, processes = filepath.Join(Mountpoint, "memory", m.Root(), "memory.limit_in_bytes"), filepath.Join(Mountpoint, "pids", m.Root(), "pids.max")
		weight, usual = filepath.Join(Mountpoint, "cpu", m.Root(), "cpu.shares"), "1024"
	}
	const unlimited = 19 // digits of cgroup v1's number for no limit, PAGE_COUNTER_MAX in bytes
	for file, isUsual := range map[string]func(string) bool{
		memory:    func(s string) bool { return s == "max" || len(s) >= unlimited },
		processes: func(s string) bool { return s == "max" },
		weight:    func(s string) bool { return s == usual },
		filepath.Join(Mountpoint, m.Root(), memoryMin): func(s string) bool { return s == "0" },
	} {
		if text, err := foreign.ReadKernel(file); err == nil && !isUsual(strings.TrimSpace(string(text))) {
			return true
		}
	}
	return false
}

// liftPids takes a bound of processes away that is not wanted. Slices have none then anyway.
func (m *Manager) liftPids(want *specs.LinuxResources) error {
	if want.Pids != nil || m.driver == Systemd {
		return nil
	}
	base := Mountpoint
	if !Unified() {
		base = filepath.Join(Mountpoint, "pids")
	}
	err := tell(filepath.Join(base, m.Root(), "pids.max"), "max")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// kept is the memory that is kept for the pods of classes.
func (m *Manager) kept(classes ...v1.PodQOSClass) (bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.pods {
		for _, class := range classes {
			if s.qos == class {
				bytes = amount.Sum(bytes, s.memory)
			}
		}
	}
	return bytes
}
