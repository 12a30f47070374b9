package runner

import (
	"context"
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// systemCritical is where the API's priority class system-cluster-critical begins; system-node-critical is above it.
const systemCritical = 2_000_000_000

// critical pods are stopped last, as by the kubelet (graceful node shutdown).
func critical(pod *v1.Pod) bool {
	switch pod.Spec.PriorityClassName {
	case "system-cluster-critical", "system-node-critical":
		return true
	}
	return pod.Spec.Priority != nil && *pod.Spec.Priority >= systemCritical
}

// Drain stops all pods because the machine goes down, critical ones last, and keeps their histories. total bounds the
// whole, and lastPart is the part of it that is kept for critical pods. A pod's own grace period holds where it is shorter. No
// pod starts any more in this process. It returns earlier with ctx.
func (r *Runner) Drain(ctx context.Context, total, lastPart time.Duration) {
	begin := time.Now()
	r.drainThose(ctx, begin.Add(total-lastPart), func(p *v1.Pod) bool { return !critical(p) })
	r.drainThose(ctx, begin.Add(total), critical)
}

// drainSlack is what a pod may take beyond its time: its processes are killed then, and its mounts and network go.
const drainSlack = 10 * time.Second

func (r *Runner) drainThose(ctx context.Context, stopBy time.Time, which func(*v1.Pod) bool) {
	ctx, cancel := context.WithDeadline(ctx, stopBy.Add(drainSlack))
	defer cancel()
	var waiting []*worker
	r.mu.Lock()
	r.draining = true
	for _, w := range r.workers {
		if pod := w.published.Load(); pod == nil || !which(pod) {
			continue
		}
		w.send(drained{stopBy})
		waiting = append(waiting, w)
	}
	r.mu.Unlock()
	for _, w := range waiting {
		select {
		case <-w.suspended:
		case <-ctx.Done():
			slog.Warn("a pod has not ended in time", "pod", manifests.Key(w.published.Load()))
		}
	}
}

// drained: the machine goes down; the pod must have ended by then.
type drained struct{ stopBy time.Time }

func (m drained) take(_ context.Context, w *worker) {
	if w.stopBy.IsZero() || m.stopBy.Before(w.stopBy) {
		w.stopBy = m.stopBy
	}
}

// noteSuspended tells Drain that the pod has ended, once.
func (w *worker) noteSuspended() {
	if w.stopBy.IsZero() || w.setUp || w.isSuspended {
		return
	}
	for _, c := range w.rec.Containers {
		if c.Running {
			return
		}
	}
	w.isSuspended = true
	close(w.suspended)
}

// suspendPod lets go of what the containers share; the record stays as it is for the next start.
func (w *worker) suspendPod(ctx context.Context) {
	w.flushDisposals()
	w.background.Wait()
	if err := w.removeShared(ctx); err != nil {
		slog.Warn("cannot let go of everything of a pod; the next start clears it", "pod", manifests.Key(w.rec.Pod), "err", err)
	}
	w.setUp = false
	if !w.stopBy.IsZero() {
		// At the next start they begin anew. What has ended for good goes on showing what it had.
		w.rec.Network, w.rec.Conditions = nil, nil
	}
}
