package runner

import (
	"cmp"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// report makes an event, and counts, of what happens to a pod.
func (r *Runner) report(pod *v1.Pod, report state.Report) {
	switch report.Reason {
	case state.PodStarted:
		r.telemetry.PodStarted(report.Took)
		return
	case "Started":
		r.telemetry.ContainerStart.Observe(report.Took.Seconds())
	case state.OOMKilling:
		r.events.PodTotal(pod, report.Container, v1.EventTypeWarning, report.Reason, report.Message, report.Count)
		return
	case "Evicted":
		r.telemetry.Evicted(cmp.Or(report.Signal, evictionSignal(report.Message)))
	case "EffectLeftBehind", "EffectReturned":
		r.telemetry.EffectsLeft.Add(float64(report.Count))
	case "Removed":
		r.telemetry.Forget(pod.Namespace, pod.Name, string(pod.UID))
		r.events.Anew(pod)
	}
	kind := v1.EventTypeNormal
	if report.Warning {
		kind = v1.EventTypeWarning
	}
	r.events.Pod(pod, report.Container, kind, report.Reason, "%s", report.Message)
}

func (r *Runner) probeAnswered(kind string, pod *v1.Pod, container string, took time.Duration, err error) {
	r.telemetry.Probe(kind, pod.Namespace, pod.Name, string(pod.UID), container, took, err)
}
