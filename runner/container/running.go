package container

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/probe"
	"github.com/solopod/solopod/runner/session"
)

// cgroupOf is the path of a container's cgroup.
func (c *Containers) cgroupOf(t plan.Target) string {
	return c.Cgroups.Container(c.Sandboxes.Cgroup(t.Pod), t.ID)
}

// ReadOutput takes over the output of a container that an earlier run started.
func (c *Containers) ReadOutput(ctx context.Context, w plan.ReadOutput) state.OutputRead {
	if _, err := c.outputs.open(ctx, w.Target, w.Terminal, w.Stdin); err != nil {
		return state.OutputRead{Problem: problem("OutputNotRead", err)}
	}
	kills, err := c.Kills.Kills(c.cgroupOf(w.Target))
	if err != nil {
		kills = 0 // it is read again
	}
	slog.Info("adopted a running container", "pod", manifests.Key(w.Pod), "container", w.Name, "attempt", w.Attempt)
	return state.OutputRead{Kills: kills, Group: groupOf(w.Pod, c.SingleProcessOOMKill)}
}

// WatchKills tells of kills for memory until ctx ends; log shippers find the container's log from here on.
func (c *Containers) WatchKills(ctx context.Context, w plan.WatchKills, say func(state.Result)) state.WatchEnded {
	group := groupOf(w.Pod, c.SingleProcessOOMKill)
	stop, err := c.Kills.Watch(c.cgroupOf(w.Target), func(kills uint64) { say(state.KillsSeen{Kills: kills, Group: group}) })
	if err != nil {
		slog.Warn("cannot watch a container for kills; they are still counted at its end", "pod", manifests.Key(w.Pod), "container", w.Name, "err", err)
	} else {
		defer stop()
	}
	links := logs.Links{Root: c.Dirs.LinkRoot()}
	if err := links.Link(w.Pod.Name, w.Pod.Namespace, w.Name, w.ID, c.Dirs.LogFile(w.Pod, w.Name, w.Attempt)); err != nil {
		slog.Warn("cannot link a container's log", "pod", manifests.Key(w.Pod), "container", w.Name, "err", err)
	}
	<-ctx.Done()
	return state.WatchEnded{}
}

// Probe asks a container how it is until ctx ends.
func (c *Containers) Probe(ctx context.Context, w plan.Probe, say func(state.Result)) state.WatchEnded {
	worker := &probe.Worker{
		Probe: state.ProbeOf(w.Spec, w.Kind), Liveness: w.Kind == state.Liveness, Started: w.Started, Target: c.probeTarget(w.Target, w.Host, w.Spec.Ports),
		Answered: func(took time.Duration, err error) {
			answer := state.Probed{Kind: w.Kind}
			if warning := (*probe.Warning)(nil); errors.As(err, &warning) {
				answer.Warning, err = warning.Error(), nil
			}
			c.Answered(string(w.Kind), w.Pod, w.Name, took, err)
			if noRoom := (*session.NoRoomError)(nil); errors.As(err, &noRoom) { // as with a kubelet, a probe that could not be run says nothing
				c.Sandboxes.Warn(w.Pod, "ProbeNotRun", fmt.Sprintf("%s probe of container %s cannot be run, and does not count: %v", w.Kind, w.Name, err))
				return
			}
			if err != nil {
				answer.Failure = err.Error()
			}
			say(answer)
		},
	}
	worker.Run(ctx)
	return state.WatchEnded{}
}

func (c *Containers) probeTarget(t plan.Target, host string, ports []v1.ContainerPort) probe.Target {
	dir := c.Dirs.ExecDir(string(t.Pod.UID), t.Name, t.Attempt)
	return probe.Target{Host: host, HostNetwork: t.Pod.Spec.HostNetwork, Ports: ports, Exec: func(ctx context.Context, command []string) (uint32, []byte, error) {
		return session.Output(ctx, c.Changer, t.ID, dir, command)
	}}
}

// Hook runs a lifecycle hook.
func (c *Containers) Hook(ctx context.Context, w plan.Hook) state.HookEnded {
	out := state.HookEnded{PreStop: w.PreStop}
	notice, err := probe.Hook(ctx, w.Handler, c.probeTarget(w.Target, w.Host, w.Ports))
	if err != nil {
		out.Failure = err.Error()
	}
	if notice != "" {
		slog.Warn("a lifecycle hook fell back to HTTP", "pod", manifests.Key(w.Pod), "container", w.Name, "why", notice)
		out.FellBack = notice
	}
	return out
}

// Resize gives a running container what an edit changed, without a restart.
func (c *Containers) Resize(ctx context.Context, w plan.Resize) state.Resized {
	limits, err := c.resize(ctx, w)
	if err != nil {
		return state.Resized{Limits: limits, Problem: problem("ResizeDeferred", err)}
	}
	return state.Resized{Resources: w.Resources, Limits: limits}
}

func (c *Containers) resize(ctx context.Context, w plan.Resize) (limits string, err error) {
	if limit := w.Spec.Resources.Limits.Memory(); !limit.IsZero() {
		// The kernel would kill it (v2), or refuse (v1).
		if used, err := cgroup.MemoryUsage(c.cgroupOf(w.Target)); err == nil && used > amount.Whole(*limit) {
			return "", fmt.Errorf("it uses %d bytes of memory, more than the new limit of %d", used, amount.Whole(*limit))
		}
	}
	// A part must not have more than the whole: with more for both the pod comes first, with less the container. The first
	// try may fail for that, and the second then does not.
	limits, err = c.Sandboxes.Limit(ctx, w.Pod)
	if err != nil {
		slog.Debug("the pod's limits come after the container's", "pod", manifests.Key(w.Pod), "err", err)
	}
	if err := c.Changer.Update(ctx, w.ID, cgroup.ContainerResources(w.Spec.Resources, nil)); err != nil {
		return limits, err
	}
	if err := c.Cgroups.Memory.Apply(c.cgroupOf(w.Target), w.Spec.Resources); err != nil {
		return limits, err
	}
	return c.Sandboxes.Limit(ctx, w.Pod)
}
