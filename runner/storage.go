package runner

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/containerd/continuity/fs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/plan"
)

// storageInterval is the kubelet's (eviction manager, monitoring interval). The kernel has no event for the size of a
// directory, so pods that limit theirs are measured; the others are not.
const storageInterval = 10 * time.Second

// limitsStorage says whether the pod limits what it writes to the disk.
func limitsStorage(pod *v1.Pod) bool {
	for _, c := range manifests.AllContainers(pod) {
		if !c.Resources.Limits.StorageEphemeral().IsZero() {
			return true
		}
	}
	for i := range pod.Spec.Volumes {
		if sizeLimit(&pod.Spec.Volumes[i]) > 0 {
			return true
		}
	}
	return false
}

// sizeLimit is what an emptyDir on the disk may hold, in bytes; zero means no limit.
func sizeLimit(v *v1.Volume) int64 {
	if e := v.EmptyDir; e != nil && e.Medium == v1.StorageMediumDefault && e.SizeLimit != nil {
		return e.SizeLimit.Value()
	}
	return 0
}

// watchStorage measures the pod until its shared part is torn down, if it limits what it writes.
func (w *worker) watchStorage() {
	if w.stopStorage != nil || !limitsStorage(w.rec.Pod) {
		return
	}
	ctx, cancel := context.WithCancel(w.runner.ctx)
	w.stopStorage = cancel
	w.runner.wg.Go(func() {
		ticker := time.NewTicker(storageInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				w.send(measureStorage{})
			}
		}
	})
}

func (w *worker) unwatchStorage() {
	if w.stopStorage != nil {
		w.stopStorage()
		w.stopStorage = nil
	}
}

// measureStorage: it is time to look at what the pod has written.
type measureStorage struct{}

func (measureStorage) take(ctx context.Context, w *worker) {
	if !w.setUp || w.rec.Failed != nil || w.desired == nil {
		return
	}
	over, err := w.storageExceeded(ctx)
	if err != nil {
		slog.Warn("cannot measure what a pod has written", "pod", manifests.Key(w.rec.Pod), "err", err)
	}
	if over != "" {
		w.evict(over)
	}
}

// storageExceeded says which limit is exceeded, in the kubelet's words (eviction manager, localStorageEviction); "" when
// none is.
func (w *worker) storageExceeded(ctx context.Context) (string, error) {
	pod, volumes := w.rec.Pod, w.runner.volumes.Find(w.rec.Pod)
	var total, limits int64
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.Medium != v1.StorageMediumDefault {
			continue
		}
		used, err := diskUsage(ctx, volumes[v.Name])
		if err != nil {
			return "", err
		}
		total += used
		if limit := sizeLimit(v); limit > 0 && used > limit {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q.", v.Name, v.EmptyDir.SizeLimit), nil
		}
	}
	for _, c := range manifests.AllContainers(pod) {
		rec := w.rec.Containers[c.Name]
		if rec == nil || !rec.Running {
			continue
		}
		used, err := w.runner.engine.Usage(ctx, rec.ID)
		if err != nil {
			return "", err
		}
		logs, err := diskUsage(ctx, path.Dir(w.logPath(c.Name, rec.Attempt)))
		if err != nil {
			return "", err
		}
		used += logs
		total += used
		limit := c.Resources.Limits.StorageEphemeral()
		limits += limit.Value()
		if !limit.IsZero() && used > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q.", c.Name, limit), nil
		}
	}
	if limits > 0 && total > limits {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s.", resource.NewQuantity(limits, resource.BinarySI)), nil
	}
	return "", nil
}

func diskUsage(ctx context.Context, dir string) (int64, error) {
	usage, err := fs.DiskUsage(ctx, dir)
	return usage.Size, err
}

// calm is how long a pod must have run for its next eviction to count as the first.
const calm = 2 * plan.MaxBackoff

// evict ends the pod and takes away what it has written. A kubelet would leave a static pod at that until somebody comes; on a
// box where nobody does, a pod that is to be restarted begins anew, with a back-off.
func (w *worker) evict(why string) {
	w.rec.Failed = &failure{Reason: "Evicted", Message: why}
	if w.rec.Pod.Spec.RestartPolicy != v1.RestartPolicyNever {
		if time.Since(w.rec.StartTime) > calm {
			w.rec.Evictions = 0
		}
		w.rec.Evictions++
		w.rec.Failed.Revive = wallNow().Add(plan.Retry(w.rec.Evictions))
	}
	w.runner.telemetry.Evictions.Inc()
	w.warn("", "Evicted", "%s", why)
}
