package runner

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/plan"
)

// adopt takes over what an earlier run left: running containers without a restart, endings that nobody saw, and, after
// a reboot, only the histories. What belongs to no pod is removed.
func (r *Runner) adopt(ctx context.Context) ([]manifests.Desired, error) {
	records, err := readRecords(r.config.Root)
	if err != nil {
		return nil, err
	}
	list, err := r.engine.List(ctx)
	if err != nil {
		return nil, err
	}
	byPod := map[string][]engine.Container{}
	for _, c := range list {
		if c.Labels[labelRoot] == r.config.Root {
			uid := c.Labels[labelPodUID]
			byPod[uid] = append(byPod[uid], c)
		}
	}
	var known []manifests.Desired
	var adopted []*worker
	for uid, rec := range records {
		w := makeWorker(r, rec.Pod, rec)
		w.adopt(ctx, byPod[uid])
		delete(byPod, uid)
		adopted = append(adopted, w)
		known = append(known, manifests.Desired{Pod: rec.Pod, File: rec.File})
	}
	r.sweep(ctx, records, byPod)
	r.config.Keeper.Only() // what the records name
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range adopted {
		w.publishLocked()
		r.workers[w.uid] = w
		r.wg.Go(func() { w.run(r.ctx) })
	}
	return known, nil
}

// sweep removes what no record names: containers, namespaces, mounts, cgroups and addresses of an interrupted start or
// end.
func (r *Runner) sweep(ctx context.Context, records map[string]*record, orphans map[string][]engine.Container) {
	uids := map[string]bool{}
	for uid := range orphans {
		uids[uid] = true
	}
	entries, err := os.ReadDir(filepath.Join(r.config.State, "pods"))
	if err == nil {
		for _, e := range entries {
			uids[e.Name()] = true
		}
	}
	for _, uid := range r.cgroups.Leftover() {
		uids[uid] = true
	}
	var wait sync.WaitGroup // each may have to wait for a shim to end
	for uid := range uids {
		if records[uid] != nil {
			continue
		}
		slog.Info("removing what is left of a pod that no manifest has named since", "uid", uid)
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: "unknown", Namespace: "unknown"}}
		w := makeWorker(r, pod, nil)
		wait.Go(func() {
			for _, c := range orphans[uid] {
				w.dispose(ctx, c.Labels[labelContainerName], c.ID, attemptOf(c), nil)
			}
			if err := w.removeAll(ctx); err != nil {
				slog.Error("cannot remove what is left of a pod", "uid", uid, "err", err)
			}
		})
	}
	wait.Wait()
	if err := r.network.Sweep(); err != nil {
		slog.Warn("cannot remove an unused bridge", "err", err)
	}
}

func attemptOf(c engine.Container) int {
	n, err := strconv.Atoi(c.Labels[labelAttempt])
	if err != nil {
		return 0
	}
	return n
}

// adopt compares the record with what exists. It runs before the worker's goroutine.
func (w *worker) adopt(ctx context.Context, found []engine.Container) {
	w.adoptShared(ctx)
	byID := map[string]engine.Container{}
	for _, c := range found {
		byID[c.ID] = c
	}
	for _, c := range found {
		w.claim(c)
	}
	for name, rec := range w.rec.Containers {
		c := byID[rec.ID]
		delete(byID, rec.ID)
		if rec.Running {
			w.adoptContainer(ctx, name, rec, c)
		}
	}
	for _, c := range byID {
		// The last attempt's container, whose clean-up was interrupted: its output may still have to be read.
		name, attempt := c.Labels[labelContainerName], attemptOf(c)
		old, fromLog := &containerRecord{Attempt: attempt}, false
		if rec := w.rec.Containers[name]; rec != nil {
			fromLog = rec.Ended != nil && rec.Ended.ID == c.ID && rec.Ended.FromLog
			old.Terminal, old.Stdin = rec.Terminal, rec.Stdin
		}
		pump, err := w.openPump(name, old)
		if err != nil {
			slog.Warn("cannot reopen the log of an ended container", "container", name, "err", err)
		}
		ctx := context.WithoutCancel(ctx)
		dispose := func() { w.dispose(ctx, name, c.ID, attempt, pump) }
		if c.State == engine.Stopped {
			dispose = func() { w.disposeEnded(ctx, name, c.ID, attempt, pump, fromLog) }
		}
		w.disposals = append(w.disposals, dispose)
	}
}

// adoptShared finds namespaces, network and cgroup, or after a reboot clears what was kept of them.
func (w *worker) adoptShared(ctx context.Context) {
	rec := w.rec
	w.anything = rec.SharedRevision != ""
	if rec.BootID == w.runner.boot {
		rec.followClock() // it may have been set meanwhile
	} else {
		w.newBoot()
	}
	w.keepLevel()
	if rec.BootID == w.runner.boot && rec.FirstID != 0 {
		if _, err := w.runner.users.claim(w.uid, rec.FirstID); err != nil {
			slog.Warn("cannot keep the user ids of a pod for it", "pod", manifests.Key(rec.Pod), "err", err)
		}
	}
	qos := cgroup.QOSClass(rec.Pod)
	w.cgroupPath = w.runner.cgroups.Pod(qos, w.uid)
	ns, pinned := namespace.Pinned(filepath.Join(w.runner.stateDir(w.uid), "ns"), w.share())
	if rec.BootID == w.runner.boot && pinned && rec.Network != nil {
		w.namespaces, w.setUp = ns, true
		w.watchStorage()
		if _, err := w.runner.devices.Claim(rec.Pod, rec.Devices); err != nil {
			slog.Warn("a pod that runs has devices that it could not get now", "pod", manifests.Key(rec.Pod), "err", err)
		}
		if err := w.runner.ports.claim(rec.Pod); err != nil {
			slog.Warn("two pods that run have the same port of the host", "pod", manifests.Key(rec.Pod), "err", err)
		}
		if !rec.Pod.Spec.HostNetwork {
			w.runner.network.Adopt(w.uid, *rec.Network)
		}
		if err := w.runner.cgroups.Adopt(w.uid, qos, w.podResources()); err != nil {
			slog.Warn("cannot take over a pod's cgroup", "pod", manifests.Key(rec.Pod), "err", err)
		}
		w.resources = hash(w.podResources()) // the record holds the pod as it was applied
		return
	}
	if rec.BootID == w.runner.boot {
		return // an interrupted set-up or tear-down; containers may still run, and are looked at first
	}
	if err := w.removeShared(ctx); err != nil {
		slog.Warn("cannot clear what a pod had before the reboot", "pod", manifests.Key(rec.Pod), "err", err)
	}
	rec.Network, rec.Conditions = nil, nil
}

// newBoot: the clock may have been another before, so no restart waits for a time that was set by it. A back-off begins
// anew, as after a restart of the kubelet.
func (w *worker) newBoot() {
	w.rec.ClockOffset = clock.Offset()
	for _, c := range w.rec.Containers {
		c.Backoff = plan.Backoff{}
	}
}

// claim recognizes a container that was started just before Solopod was killed, when the record had not been written
// yet.
func (w *worker) claim(c engine.Container) {
	name := c.Labels[labelContainerName]
	spec := containerOf(w.rec.Pod, name)
	rec := w.rec.Containers[name]
	if c.State != engine.Running || spec == nil || rec != nil && (rec.ID == c.ID || attemptOf(c) < rec.Attempt) {
		return
	}
	next := &containerRecord{StopSignal: stopSignal("")}
	if rec != nil {
		*next = *rec
		next.Last, next.Ended = rec.Ended, nil
		next.Backoff = rec.Backoff.Next(c.CreatedAt, c.CreatedAt)
	}
	next.ID, next.Attempt, next.Revision = c.ID, attemptOf(c), c.Labels[labelRevision]
	next.Running, next.Started, next.Ready, next.Replaced = true, false, false, false
	next.StartedAt, next.Terminal, next.Stdin, next.Image = c.CreatedAt, spec.TTY, spec.Stdin, spec.Image
	w.rec.Containers[name], w.live[name] = next, &liveContainer{}
}

// adoptContainer continues a container that was running when Solopod ended.
func (w *worker) adoptContainer(ctx context.Context, name string, rec *containerRecord, found engine.Container) {
	live := w.live[name]
	pump, err := w.openPump(name, rec)
	if err != nil {
		slog.Error("cannot reopen a container's log; its output waits", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
	} else {
		live.pump = pump
	}
	switch found.State {
	case engine.Running:
		w.runner.own(rec.ID, w)
		rec.Pid = found.Pid
		if kills, err := w.runner.config.OOM.Kills(w.containerCgroup(rec.ID)); err == nil {
			live.kills = kills
		}
		w.watchContainer(name)
		slog.Info("adopted a running container", "pod", manifests.Key(w.rec.Pod), "container", name, "attempt", rec.Attempt)
	case engine.Stopped:
		w.containerEnded(ctx, name, int32(found.ExitCode), found.ExitedAt)
	default:
		why := "Solopod and the container's shim were both gone"
		if w.rec.BootID != w.runner.boot {
			why = "the machine was restarted"
		}
		w.containerLost(ctx, name, why)
	}
}
