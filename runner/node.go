package runner

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/pressure"
)

// Node describes this machine as a cluster would. version is Solopod's own.
func (r *Runner) Node(version string) *v1.Node {
	ready := v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "SolopodReady", Message: "Solopod makes progress"}
	if err := r.Stuck(StuckAfter); err != nil {
		ready.Status, ready.Reason, ready.Message = v1.ConditionFalse, "SolopodNotReady", err.Error()
	} else if !r.Ready() {
		ready.Status, ready.Reason, ready.Message = v1.ConditionFalse, "SolopodNotReady", "the manifests have not been read yet"
	}
	addresses := []v1.NodeAddress{}
	for _, ip := range r.machine.ips() {
		addresses = append(addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: ip})
	}
	addresses = append(addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: r.config.Node})
	conditions := append(slices.Clone(r.conditions.Get()), r.readiness.note(ready))
	var system unix.Utsname
	_ = unix.Uname(&system)
	return &v1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{
			Name: r.config.Node, CreationTimestamp: metav1.NewTime(host.Booted()),
			Labels: map[string]string{v1.LabelHostname: r.config.Node, v1.LabelOSStable: runtime.GOOS, v1.LabelArchStable: runtime.GOARCH},
		},
		Status: v1.NodeStatus{
			Capacity: r.host.Capacity, Allocatable: r.Room.Allocatable(), Conditions: conditions,
			Addresses: addresses,
			NodeInfo: v1.NodeSystemInfo{
				MachineID: host.ID(), SystemUUID: host.SystemUUID(), BootID: r.host.BootID,
				KernelVersion: unix.ByteSliceToString(system.Release[:]), OSImage: host.OSImage(), ContainerRuntimeVersion: "containerd://" + r.engine.Version(),
				KubeletVersion: "solopod-" + version, OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH,
			},
		},
	}
}

// thisMachine is what the node's conditions are measured of.
type thisMachine struct {
	pressure.Linux
	network *network.Network
}

// Network implements pressure.Machine.
func (m thisMachine) Network() error { return m.network.Unusable() }

// readiness knows since when the node is ready, or not.
type readiness struct {
	mu    sync.Mutex
	known v1.ConditionStatus
	since metav1.Time
}

// note gives the condition its times.
func (r *readiness) note(c v1.NodeCondition) v1.NodeCondition {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	if r.known != c.Status {
		r.known, r.since = c.Status, now
	}
	c.LastHeartbeatTime, c.LastTransitionTime = now, r.since
	return c
}
