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
	used, err := foreign.ReadNumber(filepath.Join(dir, usage))
	if err != nil {
		return 0, err
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

// unlimited is what a cgroup of v1 has as its limit where there is none, or more: all that can be counted, rounded to pages
// (include/linux/page_counter.h).
const unlimited = 1 << 62

// MemoryLimit is what a cgroup may use of memory at most, in bytes; zero is no bound.
func MemoryLimit(cgroupPath string) (int64, error) {
	file := filepath.Join(Mountpoint, cgroupPath, "memory.max")
	if !Unified() {
		file = filepath.Join(Mountpoint, "memory", cgroupPath, "memory.limit_in_bytes")
	}
	text, err := foreign.ReadKernel(file)
	if err != nil {
		return 0, err
	}
	limit := strings.TrimSpace(string(text))
	if limit == "max" {
		return 0, nil
	}
	n, err := strconv.ParseInt(limit, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	if n >= unlimited {
		return 0, nil
	}
	return n, nil
}
