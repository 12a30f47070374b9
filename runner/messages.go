package runner

import (
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/probe"
	"github.com/solopod/solopod/runner/reference"
)

// desiredChanged: the manifests name the pod, in this version, or (nil) no longer do.
type desiredChanged struct {
	desired *manifests.Desired
	objects reference.Objects // those that it refers to
}

func (m desiredChanged) take(_ context.Context, w *worker) {
	w.decided = true
	w.desired = m.desired
	if m.desired == nil {
		w.deletedAt = wallNow()
		return
	}
	changed := hash(m.desired.Pod.Spec) != hash(w.rec.Pod.Spec)
	if (changed || !w.setUp) && w.startSince.IsZero() {
		w.startSince = time.Now()
	}
	if changed {
		if w.rec.Failed != nil { // an edit makes it another pod, as for a kubelet
			w.rec.Failed.Revive = wallNow()
		}
		w.setUpRetry, w.setUpFailures = time.Time{}, 0 // the edit may have mended it
		for name, live := range w.live {
			c, old := containerOf(m.desired.Pod, name), containerOf(w.rec.Pod, name)
			if c != nil && old != nil && containerRevision(c) != containerRevision(old) {
				live.retry, live.failures = time.Time{}, 0
			}
		}
	}
	if hash(m.objects) != hash(w.objects) { // what was missing may be there
		w.setUpRetry, w.setUpFailures = time.Time{}, 0
		for _, live := range w.live {
			if live.waitingReason == "CreateContainerConfigError" {
				live.retry, live.failures = time.Time{}, 0
			}
		}
	}
	resized := hash([]any{m.desired.Pod.Spec.Resources, m.desired.Pod.Spec.Overhead}) != hash([]any{w.rec.Pod.Spec.Resources, w.rec.Pod.Spec.Overhead})
	// What needs no restart holds from now on; until the containers are replaced their records keep their revisions.
	w.rec.Pod, w.rec.File = m.desired.Pod, m.desired.File
	w.objects = m.objects
	w.content = w.wantedContent()
	if w.setUp && resized {
		w.adjustResources()
	}
	w.unwatchStorage() // a limit may have come or gone
	if w.setUp {
		w.watchStorage()
	}
}

// exited: a container's main process ended.
type exited struct{ exit engine.Exit }

func (m exited) take(ctx context.Context, w *worker) {
	if name := w.nameOf(m.exit.ID); name != "" {
		w.containerEnded(ctx, name, int32(m.exit.Code), m.exit.At)
	}
}

// resynced: the connection to containerd was lost for a while; this is what exists.
type resynced struct {
	found map[string]engine.Container
	at    time.Time
}

func (m resynced) take(ctx context.Context, w *worker) {
	for name, c := range w.rec.Containers {
		if !c.Running || c.StartedAt.After(m.at) {
			continue
		}
		switch found := m.found[c.ID]; found.State {
		case engine.Stopped:
			w.containerEnded(ctx, name, int32(found.ExitCode), found.ExitedAt)
		case engine.Unknown, "":
			w.containerLost(ctx, name, "containerd no longer knows its process")
		}
	}
}

// imagesReady: images were imported or pulled.
type imagesReady struct{ names []string }

func (m imagesReady) take(_ context.Context, w *worker) {
	if w.usesImage(m.names) {
		w.setUpRetry = time.Time{}
	}
	for name, live := range w.live {
		if c := containerOf(w.rec.Pod, name); c != nil {
			if full, err := image.Normalize(c.Image); err == nil && slices.Contains(m.names, full) {
				live.retry, live.failures = time.Time{}, 0
			}
		}
	}
}

// pulled: a pull in the background ended.
type pulled struct {
	container string
	err       error
}

func (m pulled) take(_ context.Context, w *worker) {
	live := w.live[m.container]
	if live == nil {
		return
	}
	live.pulling = nil
	if m.err != nil {
		w.containerFailed(m.container, "ErrImagePull", m.err)
		return
	}
	live.retry, live.failures = time.Time{}, 0
}

// probed: a probe has something to say.
type probed struct {
	id     string // of the container
	result probe.Result
}

func (m probed) take(_ context.Context, w *worker) {
	c := w.rec.Containers[m.result.Container]
	if c == nil || c.ID != m.id || !c.Running {
		return
	}
	r := m.result
	if r.Message != "" {
		w.warn(r.Container, "Unhealthy", "%s probe failed: %s", r.Kind, r.Message)
	}
	if !r.Decided {
		return
	}
	switch r.Kind {
	case probe.Readiness:
		c.Ready = r.Healthy
	case probe.Startup:
		c.Started = r.Healthy
		if r.Healthy {
			w.startProbes(r.Container)
		} else {
			w.unhealthy(r, "it failed its startup probe")
		}
	case probe.Liveness:
		if !r.Healthy {
			w.unhealthy(r, "it failed its liveness probe")
		}
	}
}

// unhealthy has the container stopped, with the probe's own grace period where it has one.
func (w *worker) unhealthy(r probe.Result, why string) {
	live := w.live[r.Container]
	live.unhealthy, live.unhealthyGrace = why, nil
	c := containerOf(w.rec.Pod, r.Container)
	if c == nil {
		return
	}
	p := c.LivenessProbe
	if r.Kind == probe.Startup {
		p = c.StartupProbe
	}
	if p != nil && p.TerminationGracePeriodSeconds != nil {
		live.unhealthyGrace = ptr.To(time.Duration(*p.TerminationGracePeriodSeconds) * time.Second)
	}
}

// oomKilled: the kernel killed a process of a container; the container may live on.
type oomKilled struct {
	id    string
	kills uint64
	at    time.Time
}

func (m oomKilled) take(_ context.Context, w *worker) {
	if name := w.nameOf(m.id); name != "" {
		w.noteKills(name, m.kills, m.at)
	}
}

// noteKills makes an event of kills that were not known yet.
func (w *worker) noteKills(name string, kills uint64, at time.Time) {
	live := w.live[name]
	if kills <= live.kills {
		return
	}
	n := kills - live.kills
	w.runner.telemetry.OOMKills.Add(float64(n))
	live.kills, live.killedAt = kills, at
	w.event(name, v1.EventTypeWarning, "OOMKilling", "the kernel killed %d process(es) of the container for memory; %d so far in this attempt", n, kills)
}

func (w *worker) nameOf(id string) string {
	for name, c := range w.rec.Containers {
		if c.ID == id && id != "" {
			return name
		}
	}
	return ""
}
