package telemetry

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Answers are counted by what was asked and by what came of it, by many goroutines at once; before the first one there is no series of a
// label, and afterwards one for each.
func TestDNS(t *testing.T) {
	counters := New()
	r := prometheus.NewRegistry()
	r.MustRegister(counters.Own()...)
	gather := func() map[string]float64 {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				key := f.GetName()
				for _, l := range m.Label {
					key += " " + l.GetValue()
				}
				out[key] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
		return out
	}
	before := gather()
	if n, ok := before["solopod_dns_forward_failures_total"]; !ok || n != 0 {
		t.Errorf("before the first answer there are %v failures, %v", n, ok)
	}
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			for range 100 {
				counters.DNS("udp", "ipv4", "A", "NOERROR", "cluster", 50*time.Microsecond, 0)
				counters.DNS("tcp", "ipv6", "AAAA", "SERVFAIL", "upstream", 4*time.Second, 2)
			}
		})
	}
	asking.Wait()
	after := gather()
	for key, want := range map[string]float64{
		"solopod_dns_requests_total ipv4 udp A": 1000, "solopod_dns_requests_total ipv6 tcp AAAA": 1000,
		"solopod_dns_responses_total NOERROR cluster": 1000, "solopod_dns_responses_total SERVFAIL upstream": 1000,
		"solopod_dns_request_duration_seconds cluster": 1000, "solopod_dns_request_duration_seconds upstream": 1000,
		"solopod_dns_forward_failures_total": 2000,
	} {
		if after[key] != want {
			t.Errorf("%s is %v, not %v", key, after[key], want)
		}
		delete(after, key)
	}
	for key := range before {
		delete(after, key)
	}
	if len(after) > 0 {
		t.Errorf("there are series beside these: %s", fmt.Sprint(after))
	}
}

func BenchmarkDNS(b *testing.B) {
	counters := New()
	b.ReportAllocs()
	for b.Loop() {
		counters.DNS("udp", "ipv4", "A", "NOERROR", "cluster", 50*time.Microsecond, 0)
	}
}
