package runner

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/plan"
)

// Restart ends a container of a pod, with its grace period, and starts it anew; an empty name means all of them, sidecars too.
// What has ended, or waits for its next try, starts at once. Init containers do not run again. Restart returns when the end of
// what runs has begun.
func (r *Runner) Restart(ctx context.Context, ns, name, container string) error {
	pod, err := r.Pod(ns, name)
	if err != nil {
		return err
	}
	if container != "" && !restartable(pod, container) {
		return fmt.Errorf("pod %s/%s has no container %q that can be restarted: %w", ns, name, container, ErrNotFound)
	}
	r.mu.Lock()
	w := r.workers[string(pod.UID)]
	r.mu.Unlock()
	if w == nil || pod.DeletionTimestamp != nil {
		return fmt.Errorf("pod %s/%s is going away: %w", ns, name, ErrNotRunning)
	}
	begun := make(chan struct{})
	w.send(restartAsked{container, begun})
	select {
	case <-begun:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// restartable: init containers that run to their end are not.
func restartable(pod *v1.Pod, container string) bool {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == container {
			return manifests.IsSidecar(c)
		}
	}
	return containerOf(pod, container) != nil
}

// restartAsked: somebody wants a container, or all of the pod, to begin anew.
type restartAsked struct {
	container string
	begun     chan struct{}
}

func (m restartAsked) take(_ context.Context, w *worker) {
	for name, rec := range w.rec.Containers {
		if m.container != "" && name != m.container || !restartable(w.rec.Pod, name) {
			continue
		}
		rec.Revision = "" // of no version of the manifest: it is replaced, as after an edit
		rec.Backoff = plan.Backoff{}
		w.live[name].retry, w.live[name].failures = time.Time{}, 0
	}
	w.answers = append(w.answers, m.begun)
	w.normal(m.container, "RestartRequested", "a restart was asked for")
}

func (w *worker) answer() {
	for _, a := range w.answers {
		close(a)
	}
	w.answers = nil
}
