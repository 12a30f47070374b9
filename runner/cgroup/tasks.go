package cgroup

import (
	"path/filepath"

	"github.com/solopod/solopod/runner/foreign"
)

// Processes is how many processes, threads counted, a cgroup and those below it have.
func Processes(cgroupPath string) (int64, error) {
	dir := filepath.Join(Mountpoint, cgroupPath)
	if !Unified() {
		dir = filepath.Join(Mountpoint, "pids", cgroupPath)
	}
	return foreign.ReadNumber(filepath.Join(dir, "pids.current"))
}
