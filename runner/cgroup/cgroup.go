// Package cgroup makes and removes the cgroups of pods and of QoS classes. Containers' own cgroups below them are made
// by the OCI runtime.
package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/containerd/cgroups/v3"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// Mountpoint is where cgroup file systems are mounted.
const Mountpoint = "/sys/fs/cgroup"

// Unified says whether the machine has cgroup v2 only; with v1 controllers beside an empty v2 tree (hybrid) it is v1.
func Unified() bool { return cgroups.Mode() == cgroups.Unified }

// Manager keeps the cgroups of pods. It is safe for concurrent use.
type Manager struct {
	Layout
	// Service is the systemd unit of the daemon, which scopes outlive at a shutdown; empty when it is none.
	Service string
	keeper  cgroupKeeper
	mu      sync.Mutex
	pods    map[string]share // by pod UID
	// classes: the weight that each QoS class has been given.
	classes map[v1.PodQOSClass]uint64
}

// cgroupKeeper makes cgroups in the driver's way.
type cgroupKeeper interface {
	// apply makes a cgroup, or changes the limits of one that exists.
	apply(cgroupPath string, r *specs.LinuxResources) error
	// remove takes a cgroup away with those below it; no process is left there.
	remove(cgroupPath string) error
	// removeEmpty takes a cgroup away if there is nothing below it, and says whether it did.
	removeEmpty(cgroupPath string) bool
}

type share struct {
	qos  v1.PodQOSClass
	cpus uint64
}

// NewManager keeps cgroups in the given layout. With systemd it must be there.
func NewManager(l Layout) *Manager {
	m := &Manager{Layout: l, keeper: directories{}, pods: map[string]share{}, classes: map[v1.PodQOSClass]uint64{}}
	if l.driver == Systemd {
		m.keeper = &units{}
	}
	return m
}

// Create makes the pod's cgroup with its limits and gives its QoS class the CPU weight of all its pods.
func (m *Manager) Create(uid string, qos v1.PodQOSClass, r *specs.LinuxResources) (string, error) {
	if err := checkHugepages(r); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pods[uid] = share{qos, *r.CPU.Shares}
	if err := m.weighClass(qos); err != nil {
		return "", err
	}
	podPath := m.Pod(qos, uid)
	if err := m.keeper.apply(podPath, r); err != nil {
		return "", fmt.Errorf("cannot make the cgroup %s: %w", podPath, err)
	}
	return podPath, m.makeShimCgroup(uid)
}

// Adopt tells the manager of a pod whose cgroup an earlier run made.
func (m *Manager) Adopt(uid string, qos v1.PodQOSClass, r *specs.LinuxResources) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pods[uid] = share{qos, *r.CPU.Shares}
	return m.makeShimCgroup(uid)
}

// weighClass makes a QoS class's cgroup, and gives it its weight when that has changed.
func (m *Manager) weighClass(qos v1.PodQOSClass) error {
	shares := m.classShares(qos)
	if m.classes[qos] == shares {
		return nil
	}
	classPath := m.Class(qos)
	if err := m.keeper.apply(classPath, &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}}); err != nil {
		return fmt.Errorf("cannot make the cgroup %s: %w", classPath, err)
	}
	m.classes[qos] = shares
	return nil
}

// classShares: best-effort pods share the smallest weight; the other classes weigh as much as their pods together
// (as the kubelet: pkg/kubelet/cm/qos_container_manager_linux.go).
func (m *Manager) classShares(qos v1.PodQOSClass) uint64 {
	shares := uint64(0)
	for _, s := range m.pods {
		if s.qos == qos {
			shares += s.cpus
		}
	}
	if qos == v1.PodQOSBestEffort {
		shares = MinShares
	}
	return max(shares, MinShares)
}

// classes of pods, which are also the names of their cgroups.
var qosClasses = []v1.PodQOSClass{v1.PodQOSGuaranteed, v1.PodQOSBurstable, v1.PodQOSBestEffort}

// Remove takes the pod's cgroup away, with what killed containers left in it, and the empty ones above. All containers
// are deleted; their shim is waited for.
func (m *Manager) Remove(uid string) error {
	shimErr := m.endShim(uid) // without the lock: it may take a moment
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pods, uid)
	errs := []error{shimErr}
	for _, qos := range qosClasses {
		errs = append(errs, killAll(m.Pod(qos, uid)), m.keeper.remove(m.Pod(qos, uid)))
		if m.keeper.removeEmpty(m.Class(qos)) {
			delete(m.classes, qos)
		}
	}
	errs = append(errs, directories{}.remove(m.Shim(uid)))
	m.keeper.removeEmpty(m.shims())
	m.keeper.removeEmpty(m.Root())
	return errors.Join(errs...)
}

// KillLeftover ends the processes of a container that nobody else will end.
func (m *Manager) KillLeftover(cgroupPath string) error { return killAll(cgroupPath) }

// Leftover lists the UIDs of pods that have a cgroup below the root.
func (m *Manager) Leftover() []string {
	seen := map[string]bool{}
	var uids []string
	for _, base := range hierarchies() {
		matches, err := filepath.Glob(filepath.Join(base, m.podPattern()))
		if err != nil {
			continue
		}
		for _, match := range matches {
			if uid := m.uidOf(match); !seen[uid] {
				seen[uid] = true
				uids = append(uids, uid)
			}
		}
	}
	return uids
}
