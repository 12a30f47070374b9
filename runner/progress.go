package runner

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/solopod/solopod/manifests"
)

// progress says since when a worker has been busy with one step.
type progress struct{ since atomic.Pointer[time.Time] }

// step begins a step; idle says that the worker waits, for an event or for others.
func (p *progress) step() { p.since.Store(new(time.Now())) }
func (p *progress) idle() { p.since.Store(nil) }

// StuckAfter is how long one step of a pod may take for the daemon to count as healthy; the slowest take seconds.
const StuckAfter = 3 * time.Minute

// Stuck returns an error when the runner makes no progress: a worker has been at one step for longer than limit, or
// containerd does not answer. Who supervises the daemon may end it then; the pods run on.
func (r *Runner) Stuck(ctx context.Context, limit time.Duration) error {
	if err := r.engine.Answers(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		if since := w.progress.since.Load(); since != nil && time.Since(*since) > limit {
			return fmt.Errorf("pod %s has been at one step for %s", manifests.Key(w.published.Load()), time.Since(*since).Round(time.Second))
		}
	}
	return nil
}

// Busy says how many workers there are, and how long the one has been busy that is longest at one step.
func (r *Runner) Busy() (workers int, longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		if since := w.progress.since.Load(); since != nil {
			longest = max(longest, time.Since(*since))
		}
	}
	return len(r.workers), longest
}

// beginning counts the pods of the first manifests until each was looked at once.
type beginning struct {
	pods sync.WaitGroup
	done chan struct{}
}

// Reconciled is closed when the manifests have been read and each of their pods was looked at once: what can be started
// without waiting for an image has been started.
func (r *Runner) Reconciled() <-chan struct{} { return r.beginning.done }

// begin is called once, when the first desired state was handed to the workers. r.mu is held.
func (r *Runner) begin() {
	for _, w := range r.workers {
		r.beginning.pods.Add(1)
		w.send(begun{})
	}
	go func() {
		r.beginning.pods.Wait()
		close(r.beginning.done)
	}()
}

// begun is answered after the reconciliation that follows the first desired state, or when the worker ends.
type begun struct{}

func (begun) take(_ context.Context, w *worker) { w.begun = true }

func (w *worker) noteBegun() {
	if w.begun {
		w.begun = false
		w.runner.beginning.pods.Done()
	}
}
