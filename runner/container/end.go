package container

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/reader"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/sandbox"
)

// Signal sends a signal to a container's main process. Where that has ended by itself, and its exit event is on its way, or was
// lost with its shim, the answer says how.
func (c *Containers) Signal(ctx context.Context, w plan.Signal) state.SignalSent {
	out := state.SignalSent{Signal: w.Signal}
	err := c.Engine.Kill(ctx, w.ID, uint32(w.Signal), false)
	switch {
	case err == nil:
		return out
	case errors.Is(err, engine.ErrUnanswered) && (w.Signal == int(unix.SIGKILL) || !c.Cgroups.Holds(string(w.Pod.UID), w.ID)):
		return killWithoutShim(c.Cgroups, c.cgroupOf(w.Target), w, err)
	case !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrNotRunning):
		out.Problem = problem("FailedKillContainer", err)
		return out
	}
	unsent := err
	found, err := c.Engine.Get(ctx, w.ID)
	switch {
	case err == nil && found.State == engine.Running:
		// Its shim has it, and the OCI runtime has lost its own note of it, or it ends in this moment.
		if w.Signal != int(unix.SIGKILL) {
			out.Problem = problem("FailedKillContainer", unsent)
		} else if err := c.Cgroups.KillLeftover(c.cgroupOf(w.Target)); err != nil {
			out.Problem = problem("FailedKillContainer", err)
		}
	case errors.Is(err, engine.ErrNotFound):
		out.Found = &state.Found{ID: w.ID, Status: state.FoundUnknown}
	case err != nil:
		out.Problem = problem("FailedKillContainer", err)
	default:
		f := Found(found)
		out.Found = &f
	}
	return out
}

// Found is what containerd has of a container, in the state's terms.
func Found(c engine.Container) state.Found {
	status := map[string]state.FoundStatus{
		engine.Created: state.FoundCreated, engine.Running: state.FoundRunning, engine.Stopped: state.FoundStopped,
		engine.Unknown: state.FoundUnknown, engine.Unanswered: state.FoundUnanswered,
	}
	return state.Found{
		ID: c.ID, Name: c.Labels[LabelContainerName], Attempt: attemptOf(c.Labels[LabelAttempt]), Revision: c.Labels[LabelRevision],
		CreatedAt: c.CreatedAt, Pid: c.Pid, Status: status[c.State], ExitCode: int32(c.ExitCode), ExitedAt: c.ExitedAt,
	}
}

// Examine looks at what an ended container has left. Its cgroup's counter is the truth about kills for memory, and is gone with
// the process record.
func (c *Containers) Examine(ctx context.Context, w plan.Examine) state.Examined {
	if w.Lost {
		// Its shim is gone or silent, or containerd has forgotten it: what may be left of it would run beside the next attempt.
		err := c.Cgroups.KillLeftover(c.cgroupOf(w.Target))
		if err = errors.Join(err, endSilentShim(ctx, c.Engine, c.Cgroups, w.Target)); err != nil {
			slog.Warn("cannot end what is left of a container", "pod", manifests.Key(w.Pod), "container", w.Name, "err", err)
		}
		return state.Examined{}
	}
	kills, err := c.Kills.Kills(c.cgroupOf(w.Target))
	if err != nil {
		kills = c.Kills.Gone(ctx, c.cgroupOf(w.Target), w.Killed)
	}
	return state.Examined{Kills: kills, Group: groupOf(w.Pod, c.SingleProcessOOMKill), Message: message(c.Dirs, w.Target)}
}

// maxMessage is how much of a termination message is kept, as by the kubelet.
const maxMessage = 4096

// message is what a container has left in its termination message. One that an earlier version started has it in another place.
func message(dirs layout.Dirs, t plan.Target) string {
	uid := string(t.Pod.UID)
	return cmp.Or(readMessage(dirs.TerminationFile(uid, t.Name, t.Attempt)), readMessage(dirs.OldTerminationFile(uid, t.Name, t.Attempt)))
}

func readMessage(path string) string {
	f, err := foreign.Open(path)
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

// lastWords is how long an ended container's output is waited for.
const lastWords = 10 * time.Second

// What the log gives for a message, as the kubelet takes it (FallbackToLogsOnError).
const (
	maxLogLines   = 80
	maxLogMessage = 2048
)

// Drain completes the log of an ended container; with Text its end is read.
func (c *Containers) Drain(ctx context.Context, w plan.Drain) state.LogComplete {
	var out state.LogComplete
	limited, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	pump, err := c.outputs.open(limited, w.Target, w.Terminal, w.Stdin) // an earlier run may have had it
	if err == nil {
		err = pump.Drain(limited)
	}
	if err != nil {
		out.Problem = problem("LogIncomplete", err)
	}
	if w.Text {
		text, err := reader.Tail(ctx, c.Dirs.LogFile(w.Pod, w.Name, w.Attempt), maxLogLines, maxLogMessage)
		if err != nil {
			slog.Warn("cannot read a container's last words", "pod", manifests.Key(w.Pod), "container", w.Name, "err", err)
		}
		out.Text = text
	}
	return out
}

// Delete removes an ended container, in whatever state, and lets its log go.
func (c *Containers) Delete(ctx context.Context, w plan.Delete) state.LeftoverGone {
	if err := c.Engine.Delete(ctx, w.ID); err != nil {
		if errors.Is(err, engine.ErrUnanswered) || ctx.Err() != nil {
			err = errors.Join(err, endSilentShim(ctx, c.Engine, c.Cgroups, w.Target))
		}
		if sandbox.Unknown(w.Pod) { // it has no events
			slog.Warn("cannot remove a container that is left of a pod; it is tried again", "uid", w.Pod.UID, "id", w.ID, "err", err)
		}
		return state.LeftoverGone{Problem: problem("FailedRemoveContainer", err)}
	}
	var errs []error
	if pump := c.outputs.take(w.ID); pump != nil {
		errs = append(errs, pump.Finish(ctx))
	}
	if !w.KeepFiles {
		uid := string(w.Pod.UID)
		errs = append(errs, foreign.RemoveAll(c.Dirs.ContainerDir(uid, w.Name, w.Attempt)),
			foreign.RemoveAll(c.Dirs.TerminationFile(uid, w.Name, w.Attempt)), c.Volumes.RemoveImageDirs(uid, w.Name, w.Attempt))
	}
	errs = append(errs, logfile.PruneAttempts(filepath.Dir(c.Dirs.LogFile(w.Pod, w.Name, w.Attempt)), w.Attempt))
	if err := errors.Join(errs...); err != nil {
		slog.Warn("cannot complete the log of an ended container", "pod", manifests.Key(w.Pod), "container", w.Name, "err", err)
	}
	c.LogComplete() // those who follow the log see it
	return state.LeftoverGone{}
}

func attemptOf(label string) int {
	n, err := strconv.Atoi(label)
	if err != nil {
		return 0
	}
	return n
}
