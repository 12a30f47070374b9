// Package room tells what pods may have of the machine, and what they ask for, as metrics.
package room

import (
	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
)

// Room is what pods have of the machine.
type Room interface {
	// Allocatable is what pods may request together, Requested what those that have begun do.
	Allocatable() v1.ResourceList
	Requested() v1.ResourceList
}

// Metrics are those of what pods may have of the machine, and what they ask for.
func Metrics(r Room) (all []prometheus.Collector) {
	for name, unit := range map[v1.ResourceName]string{v1.ResourceMemory: "byte", v1.ResourceCPU: "core", v1.ResourceEphemeralStorage: "byte"} {
		for family, of := range map[string]struct {
			help string
			list func() v1.ResourceList
		}{
			"solopod_node_allocatable": {"What pods may request of the machine together, in cores or bytes", r.Allocatable},
			"solopod_node_requested":   {"What the pods that have begun request together, in cores or bytes", r.Requested},
		} {
			all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: family, Help: of.help, ConstLabels: prometheus.Labels{"resource": string(name), "unit": unit},
			}, func() float64 {
				q := of.list()[name]
				return q.AsApproximateFloat64()
			}))
		}
	}
	return all
}
