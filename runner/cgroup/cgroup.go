// Package cgroup makes and removes the cgroups of pods and of QoS classes. Containers' own cgroups below them are made
// by the OCI runtime.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/cgroups/v3"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/turn"
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
	// Told is told how long an operation took, create or destroy; nil for nobody. It is set before the first one.
	Told func(operation string, took time.Duration)
	Together
	keeper cgroupKeeper

	mu   sync.Mutex
	pods map[string]share // by pod UID

	// turn is had by who makes or removes what pods have in common; classes and given are its: what each QoS class has been given, and all
	// of them together; amiss is what was told of that, by reason.
	turn    turn.Turn
	classes map[v1.PodQOSClass]weight
	given   string
	amiss   map[string]string
}

// What the cgroups are waited for. Making and removing directories, and writing limits, is the kernel's and does not wait.
const (
	// killLimit is for killed processes to end; one that sleeps in the kernel, or is frozen by others, does not.
	killLimit = 5 * time.Second
	// shimPatience is how long a shim may take to end after its last container was deleted; it takes milliseconds.
	shimPatience = 2 * time.Second
	// answerTime is for systemd to answer one request, and to finish the job that it asks for.
	answerTime = 15 * time.Second
	// turnLimit is for others to have made or removed what pods have in common: with systemd that takes requests.
	turnLimit = 2 * answerTime
)

// cgroupKeeper makes cgroups in the driver's way.
type cgroupKeeper interface {
	// apply makes a cgroup, or changes the limits of one that exists.
	apply(ctx context.Context, cgroupPath string, r *specs.LinuxResources) error
	// remove takes a cgroup away with those below it; no process is left there.
	remove(ctx context.Context, cgroupPath string) error
	// removeEmpty takes a cgroup away if there is nothing below it, and says whether it did.
	removeEmpty(ctx context.Context, cgroupPath string) bool
}

// share is what a pod adds to its class: CPU shares, and memory that is kept for it.
type share struct {
	qos    v1.PodQOSClass
	cpus   uint64
	memory int64
}

// weight is what a class has been given.
type weight struct {
	shares uint64
	memory int64
}

func shareOf(qos v1.PodQOSClass, r *specs.LinuxResources) share {
	return share{qos, *r.CPU.Shares, protected(r)}
}

// NewManager keeps cgroups in the given layout. With systemd it must be there.
func NewManager(l Layout) *Manager {
	m := &Manager{Layout: l, keeper: directories{}, pods: map[string]share{}, classes: map[v1.PodQOSClass]weight{}}
	m.turn = turn.New(turnLimit, fmt.Errorf("the cgroups of %s are being changed for more than %s", m.Root(), turnLimit))
	if l.driver == Systemd {
		m.keeper = &units{}
	}
	return m
}

// Create makes the pod's cgroup with its limits and gives its QoS class the CPU weight of all its pods. It waits for
// systemd, and for other pods, no longer than ctx.
func (m *Manager) Create(ctx context.Context, uid string, qos v1.PodQOSClass, r *specs.LinuxResources) (string, error) {
	defer m.told("create", time.Now())
	if err := checkHugepages(r); err != nil {
		return "", err
	}
	m.note(uid, shareOf(qos, r)) // from here on the class stays
	err := m.turn.Do(ctx, func() error {
		m.boundAll(ctx)
		return errors.Join(m.weighClass(ctx, qos), m.makeShimCgroup(uid))
	})
	if err != nil {
		return "", err
	}
	podPath := m.Pod(qos, uid)
	if err := m.keeper.apply(ctx, podPath, r); err != nil {
		return "", fmt.Errorf("cannot make the cgroup %s: %w", podPath, err)
	}
	return podPath, nil
}

// told tells how long an operation took.
func (m *Manager) told(operation string, begun time.Time) {
	if m.Told != nil {
		m.Told(operation, time.Since(begun))
	}
}

// Adopt tells the manager of a pod whose cgroup an earlier run made.
func (m *Manager) Adopt(ctx context.Context, uid string, qos v1.PodQOSClass, r *specs.LinuxResources) error {
	m.note(uid, shareOf(qos, r))
	return m.turn.Do(ctx, func() error {
		m.boundAll(ctx)
		return m.makeShimCgroup(uid)
	})
}

func (m *Manager) note(uid string, s share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pods[uid] = s
}

// weighClass makes a QoS class's cgroup, and gives it its weight when that has changed.
func (m *Manager) weighClass(ctx context.Context, qos v1.PodQOSClass) error {
	w := weight{shares: m.classShares(qos), memory: m.kept(qos)}
	if m.classes[qos] == w {
		return nil
	}
	classPath, r := m.Class(qos), &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &w.shares}}
	if m.Memory.on() {
		protect(r, w.memory)
	}
	if err := m.keeper.apply(ctx, classPath, r); err != nil {
		return fmt.Errorf("cannot make the cgroup %s: %w", classPath, err)
	}
	m.classes[qos] = w
	return nil
}

// classShares: best-effort pods share the smallest weight; the other classes weigh as much as their pods together
// (as the kubelet: pkg/kubelet/cm/qos_container_manager_linux.go).
func (m *Manager) classShares(qos v1.PodQOSClass) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
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
// are deleted; their shim is waited for. What does not end is told after killLimit; systemd is waited for no longer
// than ctx. Remove can be repeated.
func (m *Manager) Remove(ctx context.Context, uid string) error {
	defer m.told("destroy", time.Now())
	errs := []error{m.endShim(uid)}
	for _, qos := range qosClasses {
		errs = append(errs, killAll(m.Pod(qos, uid), time.Now().Add(killLimit)), m.keeper.remove(ctx, m.Pod(qos, uid)))
	}
	errs = append(errs, directories{}.remove(ctx, m.Shim(uid)))
	m.mu.Lock()
	delete(m.pods, uid)
	m.mu.Unlock()
	errs = append(errs, m.turn.Do(ctx, func() error {
		m.removeUnused(ctx)
		return nil
	}))
	return errors.Join(errs...)
}

// removeUnused takes away what pods have in common, where no pod has it.
func (m *Manager) removeUnused(ctx context.Context) {
	m.mu.Lock()
	used := map[v1.PodQOSClass]bool{}
	for _, s := range m.pods {
		used[s.qos] = true
	}
	m.mu.Unlock()
	for _, qos := range qosClasses {
		if !used[qos] && m.keeper.removeEmpty(ctx, m.Class(qos)) {
			delete(m.classes, qos)
		}
	}
	if len(used) == 0 {
		m.keeper.removeEmpty(ctx, m.shims())
		if m.keeper.removeEmpty(ctx, m.Root()) {
			m.given = ""
		}
	}
}

// KillLeftover ends the processes of a container that nobody else will end. It returns within killLimit.
func (m *Manager) KillLeftover(cgroupPath string) error {
	return killAll(cgroupPath, time.Now().Add(killLimit))
}

// Holds says whether a pod's container, or with an empty id the pod, has a process. What cannot be read may have one.
func (m *Manager) Holds(uid, id string) bool {
	for _, qos := range qosClasses {
		cgroupPath := m.Pod(qos, uid)
		if id != "" {
			cgroupPath = m.Container(cgroupPath, id)
		}
		for _, base := range hierarchies() {
			dirs, err := subtree(filepath.Join(base, cgroupPath))
			if err != nil {
				return true
			}
			for _, dir := range dirs {
				if pids, err := processes(dir); err != nil || len(pids) > 0 {
					return true
				}
			}
		}
	}
	return false
}

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
