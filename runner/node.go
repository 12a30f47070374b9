package runner

import (
	"context"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Node describes this machine as a cluster would. version is Solopod's own.
func (r *Runner) Node(ctx context.Context, version string) *v1.Node {
	ready := v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "SolopodReady", Message: "Solopod makes progress"}
	if err := r.Stuck(ctx, StuckAfter); err != nil {
		ready.Status, ready.Reason, ready.Message = v1.ConditionFalse, "SolopodNotReady", err.Error()
	} else if !r.Ready() {
		ready.Status, ready.Reason, ready.Message = v1.ConditionFalse, "SolopodNotReady", "the manifests have not been read yet"
	}
	var system unix.Utsname
	_ = unix.Uname(&system)
	return &v1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{
			Name: r.config.Node, CreationTimestamp: metav1.NewTime(booted()),
			Labels: map[string]string{v1.LabelHostname: r.config.Node, v1.LabelOSStable: runtime.GOOS, v1.LabelArchStable: runtime.GOARCH},
		},
		Status: v1.NodeStatus{
			Capacity: r.node, Allocatable: r.node, Conditions: []v1.NodeCondition{ready},
			Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: r.hostIP}, {Type: v1.NodeHostName, Address: r.config.Node}},
			NodeInfo: v1.NodeSystemInfo{
				MachineID: line("/etc/machine-id"), SystemUUID: line("/sys/class/dmi/id/product_uuid"), BootID: r.boot,
				KernelVersion: unix.ByteSliceToString(system.Release[:]), OSImage: osImage(), ContainerRuntimeVersion: "containerd://" + r.engine.Version(),
				KubeletVersion: "solopod-" + version, OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH,
			},
		},
	}
}

// booted is when the machine was.
func booted() time.Time {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(info.Uptime) * time.Second)
}

// line is the content of a small file, or empty.
func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// osImage is what the system calls itself (os-release(5)).
func osImage() string {
	for l := range strings.Lines(line("/etc/os-release")) {
		if name, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return runtime.GOOS
}
