package cli

import (
	"math"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/monitor"
	killmetrics "github.com/solopod/solopod/monitor/kills"
	objectmetrics "github.com/solopod/solopod/monitor/objects"
	"github.com/solopod/solopod/monitor/room"
	diskusage "github.com/solopod/solopod/monitor/usage"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/workload"
)

// newMetrics makes what stands behind the metrics' paths; own is the registry behind /metrics.
func newMetrics(
	c config, r *runner.Runner, w *workload.Controller, from wanted, u *diskusage.Meter, v api.Version, trail trail,
) (metrics api.Metrics, own *prometheus.Registry) {
	s := from.served
	own, probes := prometheus.NewRegistry(), prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "solopod_build_info", Help: "The running version; the value is 1",
		ConstLabels: prometheus.Labels{"version": v.Version, "commit": v.Commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	own.MustRegister(info, monitor.NewStates(r, c.NodeName), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	own.MustRegister(r.Telemetry().Own()...)
	own.MustRegister(room.Metrics(r.Room)...)
	own.MustRegister(trail.lost(), u.ClaimMetrics(), objectmetrics.NewTraffic(s.control.Services, s.of.Network().Traffic),
		killmetrics.New(killmetrics.Source{Totals: from.killed.Totals, Records: from.killed.timed, Pods: r.Pods}))
	probes.MustRegister(r.Telemetry().Probes()...)
	state := objectmetrics.New(objectmetrics.Sources{
		Pods: r.Pods, Node: func() *v1.Node { return r.Node(v.Version) }, Services: s.control,
		Workloads: func() objectmetrics.Workloads {
			o := w.Objects()
			return objectmetrics.Workloads{
				Deployments: o.Deployments, ReplicaSets: o.ReplicaSets, StatefulSets: o.StatefulSets, DaemonSets: o.DaemonSets,
				Jobs: o.Jobs, CronJobs: o.CronJobs, Claims: o.Claims, Namespaces: o.Namespaces,
			}
		},
	})
	return api.Metrics{
		Own: own, Probes: probes, State: state.Write, Monitor: monitor.New(r, c.cgroups().Root(), []string{c.Root, c.LogDir, "/"}, u), Node: c.NodeName,
	}, own
}

// certificateTime is how long the TLS port's certificate holds; without such a port for ever, as the kubelet has it
// (pkg/kubelet/certificate/kubelet.go).
func certificateTime(ends func() time.Time) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubelet_certificate_manager_server_ttl_seconds", Help: "How long the certificate of the TLS port holds, in seconds; +Inf without such a port",
	}, func() float64 {
		if at := ends(); !at.IsZero() {
			return time.Until(at).Seconds()
		}
		return math.Inf(1)
	})
}
