package cgroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/process"
)

// directories is the driver that makes directories in the cgroup file systems.
type directories struct{}

func (directories) apply(_ context.Context, cgroupPath string, r *specs.LinuxResources) error {
	if Unified() {
		if _, err := cgroup2.NewManager(Mountpoint, cgroupPath, cgroup2.ToResources(r)); err != nil {
			return err
		}
		err := lift(r, filepath.Join(Mountpoint, cgroupPath, "cpu.max"), filepath.Join(Mountpoint, cgroupPath, "memory.max"), "max")
		return errors.Join(err, keepMemory(cgroupPath, r))
	}
	if _, err := cgroup1.New(cgroup1.StaticPath(cgroupPath), r); err != nil { // it also sets the limits of one that exists
		return err
	}
	return lift(r, filepath.Join(Mountpoint, "cpu", cgroupPath, "cpu.cfs_quota_us"),
		filepath.Join(Mountpoint, "memory", cgroupPath, "memory.limit_in_bytes"), "-1")
}

// keepMemory writes what the cgroups' package does not know. What an earlier run has kept for a cgroup is given back.
func keepMemory(cgroupPath string, r *specs.LinuxResources) error {
	file := filepath.Join(Mountpoint, cgroupPath, memoryMin)
	want := cmp.Or(r.Unified[memoryMin], "0")
	has, err := foreign.ReadKernel(file)
	if errors.Is(err, os.ErrNotExist) && want == "0" || err == nil && strings.TrimSpace(string(has)) == want {
		return nil
	}
	if err := tell(file, want); err != nil {
		return fmt.Errorf("cannot keep memory for a cgroup: %w", err)
	}
	return nil
}

// checkHugepages says in plain words what the runtime would say darkly.
func checkHugepages(r *specs.LinuxResources) error {
	for _, h := range r.HugepageLimits {
		if !limitsHugepages(h.Pagesize) {
			return fmt.Errorf("this machine cannot limit huge pages of %s: the hugetlb controller or that page size is missing; remove the limit", h.Pagesize)
		}
	}
	return nil
}

func limitsHugepages(pagesize string) bool {
	if !Unified() {
		_, err := os.Stat(filepath.Join(Mountpoint, "hugetlb", "hugetlb."+pagesize+".limit_in_bytes"))
		return err == nil
	}
	controllers, err := foreign.ReadKernel(filepath.Join(Mountpoint, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(controllers)), "hugetlb") && hasPageSize(pagesize)
}

func hasPageSize(pagesize string) bool {
	dirs, err := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-*kB")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(dirs, func(dir string) bool {
		var kilobytes int64
		n, err := fmt.Sscanf(filepath.Base(dir), "hugepages-%dkB", &kilobytes)
		return n == 1 && err == nil && HugepageName(kilobytes<<10) == pagesize
	})
}

// tell writes a kernel file. It is not to be created: cgroup v2 forbids that, and does not say that the file is missing.
func tell(file, text string) error {
	return foreign.WriteKernel(file, text)
}

// lift takes away limits that the cgroup may have had before and shall no longer have.
func lift(r *specs.LinuxResources, cpu, memory, none string) error {
	for _, l := range []struct {
		wanted bool
		file   string
	}{{r.CPU != nil && r.CPU.Quota != nil, cpu}, {r.Memory != nil && r.Memory.Limit != nil, memory}} {
		if l.wanted {
			continue
		}
		if err := tell(l.file, none); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot lift a limit: %w", err)
		}
	}
	return nil
}

func (directories) remove(_ context.Context, cgroupPath string) error {
	var errs []error
	for _, base := range hierarchies() {
		errs = append(errs, removeTree(filepath.Join(base, cgroupPath)))
	}
	return errors.Join(errs...)
}

func (directories) removeEmpty(_ context.Context, cgroupPath string) bool {
	removed := false
	for _, base := range hierarchies() {
		removed = os.Remove(filepath.Join(base, cgroupPath)) == nil || removed // it fails while something is there
	}
	return removed
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

// subtree lists a cgroup's directory and those below it, parents first. Files in it are the kernel's.
func subtree(dir string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error { //nolint:forbidigo // cgroupfs has no links
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil //nolint:nilerr // it went meanwhile
	})
	return dirs, err
}

// removeTree removes a cgroup and those below it, the deepest first.
func removeTree(dir string) error {
	dirs, err := subtree(dir)
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

// killAll ends what a container left behind, in a cgroup and below it, and waits for it until the deadline. Normally there is
// nothing; it is not so when containerd has lost its memory of a container. What is frozen is thawed: it could not end.
func killAll(cgroupPath string, deadline time.Time) error {
	thaw(cgroupPath)
	var failed error
	for _, base := range hierarchies() {
		dirs, err := subtree(filepath.Join(base, cgroupPath))
		if err != nil {
			return err
		}
		var errs []error
		for _, dir := range dirs {
			errs = append(errs, killProcesses(dir, deadline))
		}
		if failed == nil { // those that did not end are in the other hierarchies as well
			failed = errors.Join(errs...)
		}
	}
	return failed
}

// thaw lets the processes of a cgroup and those below it go on (cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, cgroup.freeze). It
// is no error that they were not frozen, or are so by somebody else's cgroup.
func thaw(cgroupPath string) {
	base, name, text := filepath.Join(Mountpoint, "freezer"), "freezer.state", "THAWED"
	if Unified() {
		base, name, text = Mountpoint, "cgroup.freeze", "0"
	}
	dirs, err := subtree(filepath.Join(base, cgroupPath))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		tell(filepath.Join(dir, name), text) //nolint:errcheck // see above
	}
}

// killProcesses kills the processes of one cgroup until none is left, and waits for them until the deadline: a process may fork in
// between.
func killProcesses(dir string, deadline time.Time) error {
	for {
		pids, err := processes(dir)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if pid == 0 {
				return fmt.Errorf("a process of another pid namespace is in %s", dir)
			}
			if err := process.SendKill(pid); err != nil {
				return err
			}
		}
		for _, pid := range pids {
			ended, err := process.Await(pid, deadline)
			if err != nil {
				return err
			}
			if !ended {
				return fmt.Errorf("process %d in %s does not end, though it was killed", pid, dir)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("new processes appear in %s faster than they are killed", dir)
		}
	}
}
