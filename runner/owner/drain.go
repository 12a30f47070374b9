package owner

import (
	"context"
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
)

// critical pods are stopped last, as by the kubelet (graceful node shutdown).
func critical(p *v1.Pod) bool { return manifests.Priority(p) >= manifests.SystemCritical }

// Drain stops all pods because the machine goes down, critical ones last, and keeps their histories. total bounds the
// whole, and lastPart is the part of it that is kept for critical pods. A pod's own grace period holds where it is shorter. No
// pod starts any more in this process. It returns earlier with ctx.
func (o *Owner) Drain(ctx context.Context, total, lastPart time.Duration) {
	begin := time.Now()
	o.drainThose(ctx, begin.Add(total-lastPart), func(p *v1.Pod) bool { return !critical(p) })
	o.drainThose(ctx, begin.Add(total), critical)
}

// drainSlack is what a pod may take beyond its time: its processes are killed then, and its mounts and network go.
const drainSlack = 10 * time.Second

func (o *Owner) drainThose(ctx context.Context, stopBy time.Time, which func(*v1.Pod) bool) {
	ctx, cancel := context.WithDeadline(ctx, stopBy.Add(drainSlack))
	defer cancel()
	o.mu.Lock()
	o.draining = true
	o.mu.Unlock()
	var waiting []*pod.Worker
	for _, w := range o.all() {
		if which(w.Snapshot().Pod) {
			w.Send(state.Drained{StopBy: stopBy})
			waiting = append(waiting, w)
		}
	}
	for _, w := range waiting {
		select {
		case <-w.Suspended():
		case <-w.Ended():
		case <-ctx.Done():
			slog.Warn("a pod has not ended in time", "pod", manifests.Key(w.Snapshot().Pod))
		}
	}
}
