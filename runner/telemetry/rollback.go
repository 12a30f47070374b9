package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// newRollbacks counts from zero on for every kind.
func newRollbacks() *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "solopod_rollbacks_total", Help: "Versions of pods and of Deployments and the like that did not become ready in time, and gave way to the last one that was",
	}, []string{"kind"})
	for _, kind := range []string{"pod", "deployment", "statefulset", "daemonset"} {
		c.WithLabelValues(kind)
	}
	return c
}

// RolledBack counts a version of an object of a kind, as Deployment, that gave way to the last good one.
func (t *Telemetry) RolledBack(kind string) { t.rollbacks.WithLabelValues(strings.ToLower(kind)).Inc() }
