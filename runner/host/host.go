// Package host tells what the machine is: its names, its size, its addresses, and since when it runs.
package host

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/runner/foreign"
)

// Memory is the machine's in bytes; 0 when the kernel does not tell.
func Memory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// Capacity is what the machine has: CPUs, memory, and room on the disk of root.
func Capacity(root string) v1.ResourceList {
	out := v1.ResourceList{
		v1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(Memory(), resource.BinarySI),
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(root, &disk); err == nil {
		out[v1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(disk.Blocks)*disk.Bsize, resource.BinarySI)
	}
	return out
}

// Booted is when the machine was, to the second. It is the same each time, until somebody sets the clock.
func Booted() time.Time {
	var since unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &since) != nil {
		return time.Now()
	}
	return time.Now().Add(-time.Duration(since.Nano())).Truncate(time.Second)
}

// BootID identifies this boot of the machine (random(4)).
func BootID() (string, error) {
	b, err := foreign.ReadKernel("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}

// ID is the machine's own (machine-id(5)), SystemUUID that of its hardware; either may be empty.
func ID() string { return Line("/etc/machine-id") }

// SystemUUID identifies the hardware; it may be empty.
func SystemUUID() string { return Line("/sys/class/dmi/id/product_uuid") }

// OSImage is what the system calls itself (os-release(5)).
func OSImage() string {
	for l := range strings.Lines(Line("/etc/os-release")) {
		if name, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return runtime.GOOS
}

// maxLine bounds what Line reads, in bytes.
const maxLine = 64 << 10

// Line is the content of a small file without the blanks around it, or empty.
func Line(path string) string {
	b, err := foreign.ReadFollowing(path, maxLine)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
