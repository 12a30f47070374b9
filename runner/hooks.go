package runner

import (
	"context"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/runner/plan"
	"github.com/solopod/solopod/runner/probe"
)

// hookEnded: a lifecycle hook of a running container has ended.
type hookEnded struct {
	id      string // of the container
	preStop bool
	err     error
}

func (m hookEnded) take(ctx context.Context, w *worker) {
	name := w.nameOf(m.id)
	if name == "" || !w.rec.Containers[name].Running || w.live[name].stopping != m.preStop {
		return // it ended meanwhile, or its stop has begun
	}
	live := w.live[name]
	live.hook = nil
	if m.preStop {
		if m.err != nil {
			w.warn(name, "FailedPreStopHook", "PreStopHook failed: %v", m.err)
		}
		w.endPreStop(ctx, name)
		return
	}
	if m.err != nil {
		w.warn(name, "FailedPostStartHook", "PostStartHook failed: %v", m.err)
		live.unhealthy = "its postStart hook failed"
		return
	}
	w.rec.Containers[name].Hooked = true
	if c := containerOf(w.rec.Pod, name); c != nil {
		w.beginProbes(name, c)
	}
}

// beginPostStart runs the hook beside the container. Until it has ended the container is not started as far as probes and
// the next init container are concerned; a hook that Solopod's end interrupted is run again ("at least once", as
// Kubernetes promises).
func (w *worker) beginPostStart(name string, c *v1.Container) {
	w.beginHook(w.runner.ctx, name, c.Lifecycle.PostStart, c.Ports, false)
}

func (w *worker) beginPreStop(ctx context.Context, name string) {
	w.live[name].preStop = true
	w.beginHook(ctx, name, w.rec.Containers[name].PreStop, nil, true)
}

func (w *worker) beginHook(ctx context.Context, name string, h *v1.LifecycleHandler, ports []v1.ContainerPort, preStop bool) {
	rec := w.rec.Containers[name]
	target := w.probeTarget(&v1.Container{Name: name, Ports: ports}, rec)
	ctx, cancel := context.WithCancel(ctx)
	w.live[name].hook = cancel
	id := rec.ID
	w.background.Go(func() {
		defer cancel()
		err := probe.Hook(ctx, h, target)
		if ctx.Err() == nil {
			w.send(hookEnded{id, preStop, err})
		}
	})
}

// endPreStop sends the stop signal after the hook; a moment is left for it in any case.
func (w *worker) endPreStop(ctx context.Context, name string) {
	live := w.live[name]
	live.preStop = false
	if least := time.Now().Add(plan.MinimumGrace); live.killAt.Before(least) {
		live.killAt = least
	}
	w.signal(ctx, name, uint32(w.rec.Containers[name].StopSignal))
}

// abandonHook: the grace period is over while the preStop hook still runs.
func (w *worker) abandonHook(ctx context.Context, name string) {
	live := w.live[name]
	if live.hook != nil {
		live.hook()
		live.hook = nil
	}
	w.warn(name, "FailedPreStopHook", "PreStopHook did not end within the grace period and is abandoned")
	w.endPreStop(ctx, name)
}

// preStopOf is the hook as it is kept for the container's end: the manifest may have changed until then, so names of ports
// are resolved now.
func preStopOf(c *v1.Container) *v1.LifecycleHandler {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return nil
	}
	h := c.Lifecycle.PreStop.DeepCopy()
	resolve := func(p *intstr.IntOrString) {
		if number, err := probe.PortNumber(*p, c.Ports); err == nil {
			if n, err := strconv.Atoi(number); err == nil {
				*p = intstr.FromInt(n)
			}
		}
	}
	if h.HTTPGet != nil {
		resolve(&h.HTTPGet.Port)
	}
	if h.TCPSocket != nil {
		resolve(&h.TCPSocket.Port)
	}
	return h
}

// failPod notes that the pod as a whole has failed.
func (w *worker) failPod(a plan.FailPod) {
	w.rec.Failed = &failure{Reason: a.Reason, Message: a.Message}
	w.warn("", a.Reason, "%s", a.Message)
}

// beginAnew lets all containers run again, in place.
func (w *worker) beginAnew(a plan.BeginAnew) {
	w.rec.Initialized = false
	w.endBy = time.Time{}
	for name, c := range w.rec.Containers {
		c.Replaced = c.Ended != nil
		if name == a.Trigger {
			c.Backoff = a.Backoff
			c.Backoff.Set = c.Backoff.Set.Round(0)
		}
	}
	w.normal("", "RestartingAllContainers", "container %s has ended with an exit code for which its rules restart all containers", a.Trigger)
}
