package runner

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// report makes an event, and counts, of what happens to a pod.
func (r *Runner) report(pod *v1.Pod, report state.Report) {
	switch report.Reason {
	case state.PodStarted:
		r.telemetry.PodStart.Observe(report.Took.Seconds())
		return
	case "Started":
		r.telemetry.ContainerStart.Observe(report.Took.Seconds())
	case "OOMKilling":
		r.telemetry.OOMKills.Add(float64(report.Count))
	case "Evicted":
		r.telemetry.Evictions.Inc()
	case "EffectLeftBehind", "EffectReturned":
		r.telemetry.EffectsLeft.Add(float64(report.Count))
	case "Removed":
		r.telemetry.Forget(pod.Namespace, pod.Name, string(pod.UID))
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
