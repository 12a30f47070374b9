package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/plan"
	"github.com/solopod/solopod/runner/spec"
)

// Labels of containers, beside Kubernetes' own.
const (
	labelRoot     = "io.solopod.root" // which of several daemons it belongs to
	labelRevision = "io.solopod.revision"
	labelAttempt  = "io.solopod.attempt"

	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
)

// startContainer makes the next attempt of a container and starts it.
func (w *worker) startContainer(ctx context.Context, name string, backoff plan.Backoff) {
	c := containerOf(w.rec.Pod, name)
	rec, live := w.rec.Containers[name], w.live[name]
	if rec == nil {
		rec, live = &containerRecord{}, &liveContainer{}
		w.rec.Containers[name], w.live[name] = rec, live
	}
	img, ok := w.imageFor(ctx, name, c)
	if !ok {
		return
	}
	w.endBy = time.Time{} // an end that had begun does not go on
	next := *rec
	backoff.Set = backoff.Set.Round(0)
	next.Revision, next.Backoff, next.Replaced = w.revisionOf(c), backoff, false
	next.Ready, next.Started = false, false
	if rec.Ended != nil {
		next.Attempt++
		next.Last, next.Ended = rec.Ended, nil
	}
	next.ID, next.Resources = newID(), resourceRevision(c)
	next.Image, next.ImageID = img.Name, img.Name[:indexOrEnd(img.Name)]+"@"+img.Digest
	next.Terminal, next.Stdin = c.TTY, c.Stdin
	next.StopSignal = stopSignal(img.Config.StopSignal)
	next.PreStop, next.Hooked = preStopOf(c), c.Lifecycle == nil || c.Lifecycle.PostStart == nil
	if l := c.Lifecycle; l != nil && l.StopSignal != nil {
		next.StopSignal = stopSignal(string(*l.StopSignal))
	}

	release := w.slot(ctx)
	defer release()
	began := time.Now()
	w.adjustResources()
	started, reason, err := w.launch(ctx, c, img, &next)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		w.containerFailed(name, reason, err)
		return
	}
	next.StartedAt, next.Running = started, true
	*rec = next
	*live = liveContainer{pump: live.pump}
	if missing := spec.MissingCapabilities(c); len(missing) > 0 {
		w.warn(name, "MissingCapabilities", "this machine has no %s to give; the container runs without", strings.Join(missing, ", "))
	}
	w.normal(name, "Pulled", "Container image %q already present on machine", c.Image)
	w.normal(name, "Created", "Created container %s", name)
	w.runner.telemetry.ContainerStart.Observe(time.Since(began).Seconds())
	w.noteStarted()
	w.warnWithoutSELinux(c)
	w.normal(name, "Started", "Started container %s (attempt %d)", name, next.Attempt)
	w.watchContainer(name)
	w.linkLog(name)
}

// noteStarted measures a pod's start, when the last of its containers runs.
func (w *worker) noteStarted() {
	if w.startSince.IsZero() {
		return
	}
	for _, c := range w.rec.Pod.Spec.Containers {
		if rec := w.rec.Containers[c.Name]; rec == nil || !rec.Running {
			return
		}
	}
	w.runner.telemetry.PodStart.Observe(time.Since(w.startSince).Seconds())
	w.startSince = time.Time{}
}

func indexOrEnd(name string) int {
	for i := len(name) - 1; i >= 0 && name[i] != '/'; i-- {
		if name[i] == ':' {
			return i
		}
	}
	return len(name)
}

// newID makes a container id in the form that tools expect: 64 hex digits.
func newID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// launch creates and starts the container. reason is the kubelet's word for what failed.
func (w *worker) launch(ctx context.Context, c *v1.Container, img engine.Image, next *containerRecord) (started time.Time, reason string, err error) {
	ctx = context.WithoutCancel(ctx) // a container that is half made is worse than a stop that takes a moment
	pump, err := w.openPump(c.Name, next)
	if err != nil {
		return time.Time{}, "CreateContainerError", err
	}
	fail := func(reason string, err error) (time.Time, string, error) {
		return time.Time{}, reason, errors.Join(err, finishPump(pump))
	}
	defer w.releaseBinds(c.Name) // the container has what was bound for it by then
	if w.namespaces.PID != "" && namespace.FirstProcess(filepath.Join(w.runner.stateDir(w.uid), "ns")) == 0 {
		return fail("CreateContainerError", w.networkFailed(ctx, errors.New("the first process of the pod's shared process namespace was killed")))
	}
	ociSpec, err := w.buildSpec(ctx, c, img, next)
	if err != nil {
		return fail("CreateContainerConfigError", err)
	}
	w.runner.own(next.ID, w)
	paths := pump.Paths()
	w.shim.Lock()
	next.Pid, err = w.runner.engine.Create(ctx, engine.CreateRequest{
		ID: next.ID, Image: img, Labels: w.labels(c.Name, next), Spec: ociSpec,
		IO:         engine.IO{Stdin: paths.Stdin, Stdout: paths.Stdout, Stderr: paths.Stderr, Terminal: c.TTY},
		ShimCgroup: w.runner.cgroups.Shim(w.uid), Runtime: w.runner.config.RuntimeClasses[runtimeClass(w.rec.Pod)], IDs: w.idMapping(),
	})
	w.shim.Unlock()
	if err != nil {
		w.runner.own(next.ID, nil)
		return fail("CreateContainerError", err)
	}
	undo := func(reason string, err error) (time.Time, string, error) {
		w.runner.own(next.ID, nil)
		err = errors.Join(err, w.runner.engine.Delete(ctx, next.ID))
		return fail(reason, err)
	}
	if err := w.attached(); err != nil {
		return undo("CreateContainerError", w.networkFailed(ctx, err))
	}
	if err := w.runner.engine.Start(ctx, next.ID); err != nil {
		return undo("RunContainerError", err)
	}
	w.live[c.Name].pump = pump
	return wallNow(), "", nil
}

// networkFailed makes the whole pod be set up again.
func (w *worker) networkFailed(ctx context.Context, err error) error {
	w.setUpFailed(ctx, err)
	return err
}

// containerFailed remembers why a container could not be pulled, created or started, and when to try again.
func (w *worker) containerFailed(name, reason string, err error) {
	live := w.live[name]
	live.failures++
	delay := plan.Retry(live.failures)
	live.retry = time.Now().Add(delay)
	live.waitingReason, live.waitingMessage = reason, err.Error()
	if !w.setUp {
		return // the pod's own event has said it
	}
	w.warn(name, "Failed", "%s: %v; next try in %s", reason, err, delay)
}

func (w *worker) labels(name string, rec *containerRecord) map[string]string {
	return map[string]string{
		labelPodName: w.rec.Pod.Name, labelPodNamespace: w.rec.Pod.Namespace, labelPodUID: w.uid,
		labelContainerName: name, labelRevision: rec.Revision, labelAttempt: strconv.Itoa(rec.Attempt),
		labelRoot: w.runner.config.Root,
	}
}

// containerDir holds the FIFOs and files of one attempt.
func (w *worker) containerDir(name string, attempt int) string {
	return filepath.Join(w.runner.stateDir(w.uid), "containers", name, strconv.Itoa(attempt))
}

func (w *worker) openPump(name string, rec *containerRecord) (*logs.Pump, error) {
	file := logs.NewFile(w.logPath(name, rec.Attempt), w.runner.config.Limits)
	return logs.Open(filepath.Join(w.containerDir(name, rec.Attempt), "io"), file, logs.Streams{
		Stdin: rec.Stdin, Terminal: rec.Terminal, Keeper: w.runner.config.Keeper, Spool: w.runner.spool,
	})
}

func (w *worker) terminationFile(name string, attempt int) string {
	return filepath.Join(w.containerDir(name, attempt), "termination-log")
}

// stopContainer sends the stop signal.
func (w *worker) stopContainer(ctx context.Context, a plan.StopContainer) {
	rec, live := w.rec.Containers[a.Name], w.live[a.Name]
	live.stopping, live.replaced = true, a.Replace
	live.killAt = time.Now().Add(a.Grace)
	if live.stopProbes != nil {
		live.stopProbes()
		live.stopProbes = nil
	}
	if live.hook != nil { // postStart's
		live.hook()
		live.hook = nil
	}
	if a.EndsPod && w.endBy.IsZero() {
		w.endBy = live.killAt
	}
	rec.Ready = false
	w.normal(a.Name, "Killing", "Stopping container %s: %s", a.Name, a.Reason)
	if rec.PreStop != nil && a.Grace > 0 {
		w.beginPreStop(ctx, a.Name)
		return
	}
	w.signal(ctx, a.Name, uint32(rec.StopSignal))
}

func (w *worker) killContainer(ctx context.Context, name string) {
	w.live[name].killed = true
	w.warn(name, "Killing", "Container %s did not end within its grace period and is killed", name)
	w.signal(ctx, name, 9)
}

func (w *worker) signal(ctx context.Context, name string, signal uint32) {
	rec := w.rec.Containers[name]
	err := w.runner.engine.Kill(context.WithoutCancel(ctx), rec.ID, signal, false)
	if err == nil {
		return
	}
	if !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrNotRunning) {
		slog.Warn("cannot signal a container", "container", name, "signal", signal, "err", err)
		return
	}
	// It has ended by itself, and its exit event is on its way, or was lost with its shim.
	switch found, err := w.runner.engine.Get(ctx, rec.ID); {
	case err == nil && found.State == engine.Stopped:
		w.containerEnded(ctx, name, int32(found.ExitCode), found.ExitedAt)
	case err == nil && found.State == engine.Unknown, errors.Is(err, engine.ErrNotFound):
		w.containerLost(ctx, name, "containerd no longer knows its process")
	}
}
