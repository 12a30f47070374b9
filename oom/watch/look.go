package watch

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/solopod/solopod/oom/kernel"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/total"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/foreign"
)

// Totals are the kills that were counted, until now.
func (w *Watcher) Totals() total.Totals {
	w.lookAbove()
	there := w.join.subjects.Pods()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.join.totals.Keep(there, time.Since(w.begun) > idle)
	out := w.join.totals.Clone()
	out.Early = w.early()
	return out
}

// early says whether lines of the kernel's log from before Solopod was here first are still to be counted. w.mu is held.
func (w *Watcher) early() bool {
	w.first = w.first && (w.join.behind || slices.ContainsFunc(w.join.loose, func(l loose) bool { return l.record.Time.Before(w.begun) }))
	return w.first
}

// lookAbove reads how many kills the machine has counted, and the cgroups of these pods.
func (w *Watcher) lookAbove(pods ...string) {
	now, more := time.Now(), false
	for _, p := range pods {
		more = w.lookAtPod(p, now) || more
	}
	if count, ok := w.machine(); ok {
		w.mu.Lock()
		more = w.join.machineCounted(count, now) || more
		w.mu.Unlock()
	}
	w.rouse(more)
}

// lookAtPod reads the counter of a pod's cgroup, where it has one.
func (w *Watcher) lookAtPod(cgroupPath string, now time.Time) (more bool) {
	uid := w.podOf(cgroupPath)
	if uid == "" || w.counter == nil {
		return false
	}
	before := w.cgroupID(cgroupPath)
	count, err := w.counter.Kills(cgroupPath)
	if err != nil || before == 0 || w.cgroupID(cgroupPath) != before {
		return false // it is gone, or another has its name
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	more = w.join.podCounted(uid, count, before, now)
	placed(&w.join, podKey(uid), cgroupPath)
	return more
}

// podOf is the UID of the pod whose cgroup that is; empty for others, and where pods' cgroups count none but their own processes (cgroup v1).
func (w *Watcher) podOf(cgroupPath string) string {
	if !w.join.nested {
		return ""
	}
	if p := placesOf(w.join.root, cgroupPath); len(p) > 0 && p[0].level == record.Pod && kernel.Below(cgroupPath, w.join.root) {
		return p[0].uid
	}
	return ""
}

// watchPod follows the counter of a pod's cgroup until leave is called, which reads it once more. Where it cannot be watched it is read when
// something else is told of the pod.
func (w *Watcher) watchPod(cgroupPath string) (leave func()) {
	if w.podOf(cgroupPath) == "" {
		return func() {}
	}
	w.lookAbove(cgroupPath) // so that it is known to be another one
	stop, err := w.counter.Watch(cgroupPath, func(uint64) { w.lookAbove(cgroupPath) })
	return func() {
		if err == nil {
			stop()
		}
		w.lookAbove(cgroupPath)
	}
}

// podsOf are the cgroups of the pods that reports are of.
func podsOf(root string, reports []kernel.Report, seen []beside) (out []string) {
	for i, r := range reports {
		below, ok := strings.CutPrefix(cmp.Or(r.TaskCgroup, seen[i].cgroup, r.GroupCgroup), strings.TrimSuffix(root, "/")+"/")
		if parts := strings.Split(below, "/"); ok && len(parts) > 1 {
			out = append(out, filepath.Join(root, parts[0], parts[1]))
		}
	}
	return out
}

// cgroupInode tells a cgroup from others that have had its name, with cgroup v2; zero when it is gone.
func cgroupInode(cgroupPath string) uint64 {
	info, err := os.Stat(filepath.Join(cgroup.Mountpoint, cgroupPath))
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return stat.Ino
}

// machineKills is how many processes the kernel has killed for memory since the boot, wherever they were (Documentation/filesystems/proc.rst,
// vmstat; since Linux 4.13).
func machineKills() (uint64, bool) {
	text, err := foreign.ReadKernel("/proc/vmstat")
	if err != nil {
		return 0, false
	}
	return parseVMStat(string(text))
}

func parseVMStat(text string) (kills uint64, ok bool) {
	for line := range strings.Lines(text) {
		if number, found := strings.CutPrefix(line, "oom_kill "); found {
			kills, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
			return kills, err == nil
		}
	}
	return 0, false
}
