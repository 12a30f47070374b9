package cgroup

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/solopod/solopod/runner/foreign"
)

// shared are the kernel's options of that kind (kernel/cgroup/cgroup.c, apply_cgroup_root_flags; /sys/kernel/cgroup/features).
var shared = []string{"nsdelegate", "favordynmods", "memory_localevents", "memory_recursiveprot", "memory_hugetlb_accounting", "pids_localevents"}

// SharedOptions are those of the machine's mount of cgroup v2 that the kernel has once, not for each mount: whoever mounts it again in the
// machine's cgroup namespace must name them, or takes them away (cgroup-v2.rst, "Mounting").
func SharedOptions() []string {
	mounts, err := foreign.ReadKernel("/proc/self/mountinfo")
	if err != nil {
		return nil // as without cgroup v2
	}
	return sharedOptions(bytes.NewReader(mounts), Mountpoint)
}

// sharedOptions finds them in mountinfo: of several mounts on one point the last is seen.
func sharedOptions(mounts io.Reader, mountpoint string) []string {
	found, err := mountinfo.GetMountsFromReader(mounts, func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != mountpoint, false })
	if err != nil || len(found) == 0 || found[len(found)-1].FSType != "cgroup2" {
		return nil
	}
	all := strings.Split(found[len(found)-1].VFSOptions, ",")
	return slices.DeleteFunc(all, func(o string) bool { return !slices.Contains(shared, o) })
}
