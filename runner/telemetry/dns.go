package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dns counts what the DNS server of the pods answers. Series begin with the first answer of their kind.
type dns struct {
	requests, responses *prometheus.CounterVec
	times               *prometheus.HistogramVec
	failures            prometheus.Counter
}

func newDNS() dns {
	return dns{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "solopod_dns_requests_total", Help: "DNS queries of pods and of the machine, by transport, address family and the type of record that was asked for",
		}, []string{"protocol", "family", "type"}),
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "solopod_dns_responses_total", Help: "DNS answers by result, and by where they are from: names of the cluster, other servers, or what those have answered before",
		}, []string{"rcode", "source"}),
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "solopod_dns_request_duration_seconds", Help: "From a DNS query to its answer, by where the answer is from",
			// From 0.1 ms, which names of the cluster take, to what clients wait for at most.
			Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5},
		}, []string{"source"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "solopod_dns_forward_failures_total", Help: "Other DNS servers that were asked in vain: they were silent, or failed",
		}),
	}
}

func (d *dns) collectors() []prometheus.Collector {
	return []prometheus.Collector{d.requests, d.responses, d.times, d.failures}
}

// DNS counts an answer of the DNS server; failures are the other servers that were asked in vain for it. The texts become labels: they must
// be from short lists, whatever clients ask for.
func (t *Telemetry) DNS(protocol, family, kind, rcode, source string, took time.Duration, failures int) {
	t.dns.requests.WithLabelValues(protocol, family, kind).Inc()
	t.dns.responses.WithLabelValues(rcode, source).Inc()
	t.dns.times.WithLabelValues(source).Observe(took.Seconds())
	t.dns.failures.Add(float64(failures))
}
