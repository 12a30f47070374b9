package cgroup

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/process"
)

// shimHierarchies are where the shims' cgroups are made: with v1 one is enough to find them, memory where it exists.
func shimHierarchies() []string {
	all := hierarchies()
	if Unified() {
		return all
	}
	for _, controller := range []string{"memory", "pids", "cpu"} {
		dir := filepath.Join(Mountpoint, controller)
		if _, err := os.Stat(dir); err == nil {
			return []string{dir}
		}
	}
	return all
}

func (m *Manager) makeShimCgroup(uid string) error {
	for _, base := range shimHierarchies() {
		if err := os.MkdirAll(filepath.Join(base, m.Shim(uid)), 0o755); err != nil {
			return fmt.Errorf("cannot make the cgroup of the pod's shim: %w", err)
		}
	}
	return nil
}

// endShim waits for the end of a pod's shim, and of what else belongs to the pod as a whole, and kills what does not end.
func (m *Manager) endShim(uid string) error {
	var errs []error
	deadline := time.Now().Add(shimPatience)
	for _, base := range shimHierarchies() {
		dir := filepath.Join(base, m.Shim(uid))
		pids, err := processes(dir)
		errs = append(errs, err)
		for _, pid := range pids {
			if ended, err := process.Await(pid, deadline); err == nil && !ended {
				slog.Warn("a process that has nothing left to do does not end, and is killed", "pid", pid)
			}
		}
		errs = append(errs, killProcesses(dir, time.Now().Add(killLimit)))
	}
	return errors.Join(errs...)
}

// shimName is how the kernel names a shim's process: the first 15 bytes of its program's name.
const shimName = "containerd-shim"

// KillShims ends a pod's shims, which do not answer and have nothing left to look after. Other processes that belong to the pod as a
// whole go on. The kernel has them end when they can.
func (m *Manager) KillShims(uid string) error {
	var errs []error
	for _, base := range shimHierarchies() {
		pids, err := processes(filepath.Join(base, m.Shim(uid)))
		errs = append(errs, err)
		for _, pid := range pids {
			name, err := foreign.ReadKernel(fmt.Sprintf("/proc/%d/comm", pid))
			if err != nil || strings.TrimSpace(string(name)) != shimName { // it may have ended
				continue
			}
			slog.Warn("a shim that has nothing left to look after does not answer, and is killed", "pid", pid)
			errs = append(errs, process.SendKill(pid))
		}
	}
	return errors.Join(errs...)
}

func processes(dir string) ([]int, error) {
	text, err := foreign.ReadKernel(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// JoinShims puts a process that belongs to the pod as a whole beside the pod's shim.
func (m *Manager) JoinShims(uid string, pid int) error {
	for _, base := range shimHierarchies() {
		file := filepath.Join(base, m.Shim(uid), "cgroup.procs")
		if err := tell(file, strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("cannot put a process into the cgroup of the pod's shim: %w", err)
		}
	}
	return nil
}
