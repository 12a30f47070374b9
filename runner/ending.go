package runner

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/plan"
)

// Reasons of ended containers, as the kubelet gives them.
const (
	reasonCompleted = "Completed"
	reasonError     = "Error"
	reasonOOM       = "OOMKilled"
	reasonUnknown   = "ContainerStatusUnknown"
)

// exitOfKill is the exit code of a process that was killed with SIGKILL.
const exitOfKill = 137

// killWindow is how long before a container's end a kill for memory counts as its cause. The main process dies with the
// kill; a kill of a child some time before is another story.
const killWindow = 2 * time.Second

// containerEnded records how a container ended and cleans up behind it. It can be called twice for one ending.
func (w *worker) containerEnded(ctx context.Context, name string, code int32, at time.Time) {
	rec, live := w.rec.Containers[name], w.live[name]
	if !rec.Running {
		return
	}
	// The shim's time is by the clock as it was then, which may have been set since.
	if now := wallNow(); at.IsZero() || at.Before(rec.StartedAt) || at.After(now) {
		at = now
	}
	w.stopWatching(live)
	// The cgroup's own counter is the truth, and it is gone with the process record (memory cgroup, oom_kill).
	if kills, err := w.runner.config.OOM.Kills(w.containerCgroup(rec.ID)); err == nil {
		w.noteKills(name, kills, at)
	}
	e := &ending{
		ID: rec.ID, ExitCode: code, StartedAt: rec.StartedAt, FinishedAt: at, Reason: reasonError,
		Message: readMessage(w.terminationFile(name, rec.Attempt)),
	}
	if c := containerOf(w.rec.Pod, name); c != nil && e.Message == "" && code != 0 {
		e.FromLog = c.TerminationMessagePolicy == v1.TerminationMessageFallbackToLogsOnError
	}
	switch {
	case code == 0:
		e.Reason = reasonCompleted
	case code == exitOfKill && !live.killed && live.kills > 0 && at.Sub(live.killedAt) < killWindow:
		e.Reason = reasonOOM
	}
	byItself := !live.replaced && !live.stopping
	w.conclude(ctx, name, e)
	w.reportEnd(name, rec, byItself)
}

// reportEnd says how a container ended that nobody stopped, and, also after a failed probe, that its restart has to wait.
func (w *worker) reportEnd(name string, rec *containerRecord, byItself bool) {
	if byItself {
		report := w.warn
		if rec.Ended.Reason == reasonCompleted {
			report = w.normal
		}
		report(name, "Exited", "Container %s ended: %s, exit code %d", name, rec.Ended.Reason, rec.Ended.ExitCode)
	}
	if w.desired != nil && w.restartWait(name, w.planned(), w.observed()) != nil {
		w.warn(name, "BackOff", "Back-off restarting failed container %s: it waits %s", name, rec.Backoff.Delay)
	}
}

// containerLost records the end of a container whose exit code cannot be learned: after a reboot, or when its shim died
// while nobody looked.
func (w *worker) containerLost(ctx context.Context, name, why string) {
	rec := w.rec.Containers[name]
	if !rec.Running {
		return
	}
	w.stopWatching(w.live[name])
	// Its shim is gone, or containerd has forgotten it: what may be left of it would run beside the next attempt.
	if err := w.runner.cgroups.KillLeftover(w.containerCgroup(rec.ID)); err != nil {
		slog.Warn("cannot end what is left of a container", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
	}
	w.conclude(ctx, name, &ending{
		ID: rec.ID, ExitCode: exitOfKill, Reason: reasonUnknown, Message: why, StartedAt: rec.StartedAt, FinishedAt: wallNow(),
	})
	rec.Backoff = plan.Backoff{}
	w.warn(name, reasonUnknown, "The end of container %s was not seen: %s", name, why)
}

// conclude writes the ending down. The container is disposed of later, by flushDisposals.
func (w *worker) conclude(ctx context.Context, name string, e *ending) {
	rec, live := w.rec.Containers[name], w.live[name]
	rec.Running, rec.Ended, rec.Ready, rec.Started = false, e, false, false
	rec.Replaced = live.replaced
	rec.OOMKills += live.kills
	id, pump, attempt := rec.ID, live.pump, rec.Attempt
	rec.ID = ""
	*live = liveContainer{}
	w.runner.own(id, nil)
	fromLog := e.FromLog
	w.disposals = append(w.disposals, func() { w.disposeEnded(context.WithoutCancel(ctx), name, id, attempt, pump, fromLog) })
}

// flushDisposals starts the clean-up of ended containers. It is called when the worker has done what it can: a restarted
// container is created before the old one is deleted, which is faster, and keeps the pod's shim, which ends with its
// last container.
func (w *worker) flushDisposals() {
	if len(w.disposals) == 0 {
		return
	}
	w.save() // how they ended must be on the disk before the containers, which could tell it again, are gone
	for _, dispose := range w.disposals {
		w.background.Go(dispose)
	}
	w.disposals = nil
}

// lastWords is how long an ended container's output is waited for.
const lastWords = 10 * time.Second

// disposeEnded completes the log of an ended container and deletes it. With fromLog the log's end becomes its message.
func (w *worker) disposeEnded(ctx context.Context, name, id string, attempt int, pump *logs.Pump, fromLog bool) {
	if pump != nil {
		drain, cancel := context.WithTimeout(ctx, lastWords)
		defer cancel()
		if err := pump.Drain(drain); err != nil {
			slog.Warn("the last output of a container may be missing from its log", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
		}
	}
	if fromLog {
		text, err := logs.Tail(ctx, w.logPath(name, attempt), maxLogLines, maxLogMessage)
		if err != nil {
			slog.Warn("cannot read a container's last words", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
		}
		w.send(lastLog{name, id, text})
	}
	w.dispose(ctx, name, id, attempt, pump)
}

// What the log gives for a message, as the kubelet takes it (FallbackToLogsOnError).
const (
	maxLogLines   = 80
	maxLogMessage = 2048
)

// lastLog is the end of an ended container's log, which becomes its message.
type lastLog struct{ name, id, text string }

func (m lastLog) take(_ context.Context, w *worker) {
	rec := w.rec.Containers[m.name]
	if rec == nil {
		return
	}
	for _, e := range []*ending{rec.Ended, rec.Last} {
		if e != nil && e.ID == m.id && e.FromLog {
			e.Message, e.FromLog = m.text, false
		}
	}
}

// finishPump lets a container's log go within a limit.
func finishPump(pump *logs.Pump) error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	return pump.Finish(ctx)
}

// dispose deletes a container, in whatever state, and lets its log go. pump is nil when nobody wants its output.
func (w *worker) dispose(ctx context.Context, name, id string, attempt int, pump *logs.Pump) {
	w.shim.Lock()
	defer w.shim.Unlock()
	if err := w.runner.engine.Delete(ctx, id); err != nil {
		slog.Warn("cannot delete an ended container; the next start tries again", "pod", manifests.Key(w.rec.Pod), "container", name, "err", err)
	}
	var errs []error
	if pump != nil {
		errs = append(errs, finishPump(pump))
	}
	errs = append(errs, os.RemoveAll(w.containerDir(name, attempt)), logs.PruneAttempts(path.Dir(w.logPath(name, attempt)), attempt))
	if err := errors.Join(errs...); err != nil {
		slog.Warn("cannot complete the log of an ended container", "container", name, "err", err)
	}
	w.runner.notify() // those who follow the log see that it is complete
}

// maxMessage is how much of a termination message is kept, as by the kubelet.
const maxMessage = 4096

func readMessage(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read from
	b, err := io.ReadAll(io.LimitReader(f, maxMessage))
	if err != nil {
		return ""
	}
	return string(b)
}

func (w *worker) containerCgroup(id string) string {
	return w.runner.cgroups.Container(w.cgroupPath, id)
}
