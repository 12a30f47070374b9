package cgroup

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/solopod/solopod/runner/foreign"
)

// MemoryUsage is what a cgroup uses of memory now, in bytes, without the page cache that the kernel would give up at once.
func MemoryUsage(cgroupPath string) (int64, error) {
	dir, usage, inactive := filepath.Join(Mountpoint, cgroupPath), "memory.current", "inactive_file"
	if !Unified() {
		dir, usage, inactive = filepath.Join(Mountpoint, "memory", cgroupPath), "memory.usage_in_bytes", "total_inactive_file"
	}
	text, err := foreign.ReadKernel(filepath.Join(dir, usage))
	if err != nil {
		return 0, err
	}
	used, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", usage, err)
	}
	stat, err := foreign.ReadKernel(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(stat)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == inactive {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				used -= n
			}
		}
	}
	return max(used, 0), nil
}
