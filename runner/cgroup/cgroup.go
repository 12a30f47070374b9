// Package cgroup makes and removes the cgroups of pods and of QoS classes. Containers' own cgroups below them are made
// by the OCI runtime.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// Mountpoint is where cgroup file systems are mounted.
const Mountpoint = "/sys/fs/cgroup"

// Unified says whether the machine has cgroup v2 only; with v1 controllers beside an empty v2 tree (hybrid) it is v1.
func Unified() bool { return cgroups.Mode() == cgroups.Unified }

// PodPath is a pod's cgroup below root: <root>/<qos>/pod<uid>.
func PodPath(root string, qos v1.PodQOSClass, uid string) string {
	return path.Join("/", root, strings.ToLower(string(qos)), "pod"+uid)
}

// Manager keeps the cgroups of pods. It is safe for concurrent use.
type Manager struct {
	root string
	mu   sync.Mutex
	pods map[string]share // by pod UID
	// classes: the weight that each QoS class has been given.
	classes map[v1.PodQOSClass]uint64
}

type share struct {
	qos  v1.PodQOSClass
	cpus uint64
}

// NewManager keeps cgroups below root, a path like /solopod.
func NewManager(root string) *Manager {
	return &Manager{root: path.Join("/", root), pods: map[string]share{}, classes: map[v1.PodQOSClass]uint64{}}
}

// Create makes the pod's cgroup with its limits and gives its QoS class the CPU weight of all its pods.
func (m *Manager) Create(uid string, qos v1.PodQOSClass, r *specs.LinuxResources) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pods[uid] = share{qos, *r.CPU.Shares}
	if err := m.weighClass(qos); err != nil {
		return "", err
	}
	podPath := PodPath(m.root, qos, uid)
	if err := apply(podPath, r); err != nil {
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
	classPath := path.Join(m.root, strings.ToLower(string(qos)))
	if err := apply(classPath, &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}}); err != nil {
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

// Remove takes the pod's cgroup away, with those that killed containers left below it, and the empty ones above. All
// containers are deleted; their shim is waited for.
func (m *Manager) Remove(uid string) error {
	shimErr := m.endShim(uid) // without the lock: it may take a moment
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pods, uid)
	errs := []error{shimErr}
	for _, base := range hierarchies() {
		for _, qos := range []v1.PodQOSClass{v1.PodQOSGuaranteed, v1.PodQOSBurstable, v1.PodQOSBestEffort} {
			errs = append(errs, removeTree(filepath.Join(base, PodPath(m.root, qos, uid))))
			if os.Remove(filepath.Join(base, m.root, strings.ToLower(string(qos)))) == nil { // fails while pods are there
				delete(m.classes, qos)
			}
		}
		errs = append(errs, removeTree(filepath.Join(base, m.ShimPath(uid))))
		os.Remove(filepath.Join(base, m.root, shims)) //nolint:errcheck // fails while pods are there
		os.Remove(filepath.Join(base, m.root))        //nolint:errcheck // fails while pods are there
	}
	return errors.Join(errs...)
}

// Leftover lists the UIDs of pods that have a cgroup below the root.
func (m *Manager) Leftover() []string {
	seen := map[string]bool{}
	var uids []string
	for _, base := range hierarchies() {
		matches, err := filepath.Glob(filepath.Join(base, m.root, "*", "pod*"))
		if err != nil {
			continue
		}
		for _, match := range matches {
			if uid := strings.TrimPrefix(filepath.Base(match), "pod"); !seen[uid] {
				seen[uid] = true
				uids = append(uids, uid)
			}
		}
	}
	return uids
}

// apply makes a cgroup in every hierarchy, or changes the limits of one that exists.
func apply(cgroupPath string, r *specs.LinuxResources) error {
	if Unified() {
		_, err := cgroup2.NewManager(Mountpoint, cgroupPath, cgroup2.ToResources(r))
		return err
	}
	_, err := cgroup1.New(cgroup1.StaticPath(cgroupPath), r) // it also sets the limits of one that exists
	return err
}

// hierarchies lists the directories in which a cgroup path is found: one with v2, one per controller with v1.
func hierarchies() []string {
	if Unified() {
		return []string{Mountpoint}
	}
	entries, err := os.ReadDir(Mountpoint)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() { // not the links that name co-mounted controllers
			out = append(out, filepath.Join(Mountpoint, e.Name()))
		}
	}
	return out
}

// removeTree removes a cgroup and those below it, the deepest first. Files in it are the kernel's.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil //nolint:nilerr // it went meanwhile
	})
	if err != nil {
		return err
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := os.Remove(dirs[i]); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("cannot remove the cgroup: %w", err)
		}
	}
	return nil
}
