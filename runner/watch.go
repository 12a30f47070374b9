package runner

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/probe"
)

// watchContainer starts what looks after a running container: its probes and the watch for kills.
func (w *worker) watchContainer(name string) {
	rec, live := w.rec.Containers[name], w.live[name]
	id := rec.ID
	stop, err := w.runner.config.OOM.Watch(w.containerCgroup(id), func(kills uint64) {
		w.send(oomKilled{id, kills, time.Now()})
	})
	if err != nil {
		slog.Warn("cannot watch a container for kills; they are still counted at its end", "container", name, "err", err)
	} else {
		live.stopOOM = stop
	}
	c := containerOf(w.rec.Pod, name)
	if c == nil {
		return // the manifest no longer names it; it is being stopped
	}
	if !rec.Hooked && c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		w.beginPostStart(name, c)
		return
	}
	w.beginProbes(name, c)
}

// beginProbes: the container has started as far as its postStart hook goes.
func (w *worker) beginProbes(name string, c *v1.Container) {
	if c.StartupProbe == nil {
		w.rec.Containers[name].Started = true
	}
	w.startProbes(name)
}

// startProbes runs the startup probe alone, and after its success the two others.
func (w *worker) startProbes(name string) {
	rec, live := w.rec.Containers[name], w.live[name]
	c := containerOf(w.rec.Pod, name)
	if live.stopProbes != nil {
		live.stopProbes()
		live.stopProbes = nil
	}
	probes := map[probe.Kind]*v1.Probe{probe.Liveness: c.LivenessProbe, probe.Readiness: c.ReadinessProbe}
	if !rec.Started {
		probes = map[probe.Kind]*v1.Probe{probe.Startup: c.StartupProbe}
	} else if c.ReadinessProbe == nil {
		rec.Ready = true
	}
	ctx, cancel := context.WithCancel(w.runner.ctx)
	id, pod := rec.ID, w.rec.Pod
	for kind, p := range probes {
		if p == nil {
			continue
		}
		worker := &probe.Worker{
			Kind: kind, Container: name, Probe: p, Started: rec.StartedAt, Target: w.probeTarget(c, rec),
			Report: func(r probe.Result) { w.send(probed{id, r}) },
			Answered: func(took time.Duration, err error) {
				w.runner.telemetry.Probe(string(kind), pod.Namespace, pod.Name, w.uid, name, took, err)
			},
		}
		w.runner.wg.Go(func() { worker.Run(ctx) })
	}
	live.stopProbes = cancel
}

func (w *worker) probeTarget(c *v1.Container, rec *containerRecord) probe.Target {
	host := "127.0.0.1"
	if !w.rec.Pod.Spec.HostNetwork && w.rec.Network != nil && len(w.rec.Network.IPs) > 0 {
		host = w.rec.Network.IPs[0]
	} else if w.rec.Pod.Spec.HostNetwork {
		host = w.runner.hostIP // as the kubelet: a host-network pod's address is the machine's
	}
	id, name, attempt := rec.ID, c.Name, rec.Attempt
	dir := filepath.Join(w.containerDir(name, attempt), "exec")
	return probe.Target{Host: host, Ports: c.Ports, Exec: func(ctx context.Context, command []string) (uint32, []byte, error) {
		return w.runner.probe(ctx, id, dir, command)
	}}
}

func (w *worker) logPath(name string, attempt int) string {
	return w.runner.logFile(w.rec.Pod, name, attempt)
}

// linkLog makes the link in /var/log/containers that log shippers follow, and removes the last attempt's.
func (w *worker) linkLog(name string) {
	pod, rec := w.rec.Pod, w.rec.Containers[name]
	links := logs.Links{Root: w.runner.linkRoot()}
	if err := links.Link(pod.Name, pod.Namespace, name, rec.ID, w.logPath(name, rec.Attempt)); err != nil {
		slog.Warn("cannot link a container's log", "pod", pod.Name, "container", name, "err", err)
	}
}

func (w *worker) removeLogLinks() {
	pod := w.rec.Pod
	err := errors.Join(logs.Links{Root: w.runner.linkRoot()}.UnlinkPod(pod.Name, pod.Namespace), w.runner.spool.Forget(w.runner.logDir(pod)))
	if err != nil {
		slog.Warn("cannot remove the links to a pod's logs", "pod", pod.Name, "err", err)
	}
}
