package objects

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/internal/shop"
	"github.com/solopod/solopod/runner/served"
)

// scrape parses what is told of the objects of a source, a line for each sample, without empty labels, which are none.
func scrape(t *testing.T, from Sources) []string {
	t.Helper()
	var out bytes.Buffer
	if err := New(from).Write(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&out)
	if err != nil {
		t.Fatal(err)
	}
	return samples(slices.SortedFunc(maps.Values(families), func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) }))
}

// scrapeCounters gathers what a collector tells.
func scrapeCounters(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(samples(families), "\n")
}

func samples(families []*dto.MetricFamily) (out []string) {
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetValue() != "" {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
			}
			slices.Sort(labels)
			value := m.GetGauge().GetValue()
			if f.GetType() == dto.MetricType_COUNTER {
				value = m.GetCounter().GetValue()
			}
			out = append(out, fmt.Sprintf("%s{%s} %g", f.GetName(), strings.Join(labels, ","), value))
		}
	}
	return out
}

// nothing is a box without objects, but for its node.
func nothing() Sources {
	return Sources{
		Pods: func() []*v1.Pod { return nil }, Node: func() *v1.Node { return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "box"}} },
		Workloads: func() Workloads { return Workloads{} }, Services: &shop.Shop{},
	}
}

// serving is a box that has only what is served.
func serving(s *shop.Shop) Sources {
	from := nothing()
	from.Services = s
	return from
}

// Services, endpoints and policies have kube-state-metrics' families, and services the kernel's counters.
func TestServiceMetrics(t *testing.T) {
	from := shop.New()
	got := append(scrape(t, serving(from)), strings.Split(scrapeCounters(t, NewTraffic(from.Services, from.Traffic)), "\n")...)
	for _, want := range strings.Split(strings.TrimSpace(`
kube_service_info{cluster_ip="10.96.0.20",namespace="default",service="web",uid="default-web"} 1
kube_service_info{cluster_ip="None",namespace="default",service="db",uid="default-db"} 1
kube_service_info{external_name="www.example.com",namespace="default",service="world",uid="default-world"} 1
kube_service_info{cluster_ip="10.96.0.22",external_traffic_policy="Local",namespace="default",service="public",uid="default-public"} 1
kube_service_created{namespace="far",service="api",uid="far-api"} 1.767323045e+09
kube_service_spec_type{namespace="default",service="public",type="LoadBalancer",uid="default-public"} 1
kube_service_spec_external_ip{external_ip="192.0.2.9",namespace="default",service="dns",uid="default-dns"} 1
kube_service_status_load_balancer_ingress{ip="192.0.2.7",namespace="default",service="public",uid="default-public"} 1
kube_service_labels{label_app_kubernetes_io_name="web",label_tier="front",namespace="default",service="web",uid="default-web"} 1
kube_service_labels{namespace="default",service="db",uid="default-db"} 1
kube_service_ports{namespace="default",port_name="http",port_node_number="30080",port_number="8080",port_protocol="TCP",port_target="http",service="public",uid="default-public"} 1
kube_endpointslice_created{endpointslice="web-ipv4",namespace="default"} 1.767323045e+09
kube_endpointslice_info{addresstype="IPv6",endpointslice="web-ipv6",namespace="default"} 1
kube_endpointslice_labels{endpointslice="web-ipv6",label_kubernetes_io_service_name="web",namespace="default"} 1
kube_endpointslice_ports{endpointslice="web-ipv4",namespace="default",port_name="metrics",port_number="9100",port_protocol="TCP"} 1
kube_endpointslice_endpoints{address="10.85.0.7",endpointslice="web-ipv4",namespace="default",nodename="box",ready="false",serving="false",targetref_kind="Pod",targetref_name="web-2",targetref_namespace="default",terminating="false"} 1
kube_endpointslice_endpoints{address="10.85.0.9",endpointslice="db-ipv4",hostname="db-0",namespace="default",nodename="box",ready="true",serving="true",targetref_kind="Pod",targetref_name="db-0",targetref_namespace="default",terminating="false"} 1
kube_networkpolicy_created{namespace="default",networkpolicy="deny"} 1.767323045e+09
kube_networkpolicy_labels{label_tier="front",namespace="default",networkpolicy="web"} 1
kube_networkpolicy_spec_ingress_rules{namespace="default",networkpolicy="web"} 2
kube_networkpolicy_spec_egress_rules{namespace="default",networkpolicy="deny"} 0
solopod_service_packets_total{namespace="default",service="web"} 12
solopod_service_bytes_total{namespace="default",service="web"} 3456
solopod_service_bytes_total{namespace="far",service="api"} 0
`), "\n") {
		if !slices.Contains(got, want) {
			t.Errorf("there is no\n%s", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(got, "\n"))
	}
	for name, want := range map[string]int{"kube_service_info": 6, "kube_service_ports": 6, "kube_endpointslice_endpoints": 5, "kube_networkpolicy_created": 2, "solopod_service_packets_total": 2} {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(l string) bool { return !strings.HasPrefix(l, name+"{") })); n != want {
			t.Errorf("%s has %d series, not %d", name, n, want)
		}
	}
}

// Without a service nothing is told, and the kernel is not asked.
func TestNoServiceMetrics(t *testing.T) {
	from := shop.New()
	from.Empty()
	counted := scrapeCounters(t, NewTraffic(from.Services, from.Traffic))
	if got := strings.Join(scrape(t, serving(from)), "\n"); strings.Contains(got, "service") || counted != "" || from.Asked() > 0 {
		t.Errorf("told are\n%s\nand %q, and the kernel was asked %d times", got, counted, from.Asked())
	}
}

// What a manifest says twice is told once: a sample twice spoils a whole scrape. Labels that differ between services do no harm.
func TestRepeatedSamples(t *testing.T) {
	from := shop.New()
	all := from.Services()
	twice := all[1].DeepCopy()
	twice.Spec.ExternalIPs = append(twice.Spec.ExternalIPs, twice.Spec.ExternalIPs...)
	twice.Labels = map[string]string{"a.b": "1", "a-b": "2", "a_b_conflict1": "3", "partOf": "4"}
	from.SetServices(all[0], twice, all[3])
	slice := from.EndpointSlices()[1]
	slice.Endpoints = append(slice.Endpoints, slice.Endpoints...)
	slice.Ports = append(slice.Ports, slice.Ports...)
	got := strings.Join(scrape(t, serving(from)), "\n")
	for want, n := range map[string]int{"kube_service_spec_external_ip{": 1, "kube_endpointslice_endpoints{": 5, "kube_endpointslice_ports{": 5, `label_part_of="4"`: 1} {
		if strings.Count(got, want) != n {
			t.Errorf("%s is not there %d times:\n%s", want, n, got)
		}
	}
}

// Counters that cannot be read are absent, and those that are not read in time keep no scrape.
func TestServiceCounters(t *testing.T) {
	from := shop.New()
	from.LoseCounters()
	if got := scrapeCounters(t, NewTraffic(from.Services, from.Traffic)); got != "" {
		t.Errorf("without counters there is\n%s", got)
	}
	synctest.Test(t, func(t *testing.T) {
		from := shop.New()
		answer := make(chan struct{})
		c := NewTraffic(from.Services, func(ctx context.Context) (map[string]served.Traffic, error) {
			<-answer // as the kernel does, which does not know of contexts
			return from.Traffic(ctx)
		})
		for n, most := range []time.Duration{limit + 2*time.Second, 0} { // with what runner/aside gives it to heed the end
			begun := time.Now()
			got := scrapeCounters(t, c)
			if took := time.Since(begun); took != most || got != "" {
				t.Errorf("scrape %d takes %s:\n%s", n, took, got)
			}
		}
		close(answer)
		synctest.Wait()
		if got := scrapeCounters(t, c); !strings.Contains(got, `solopod_service_packets_total{namespace="default",service="web"} 12`) {
			t.Errorf("then there is\n%s", got)
		}
	})
}

func TestObjectLabels(t *testing.T) {
	for _, c := range []struct {
		of   map[string]string
		want map[string]string
	}{
		{nil, map[string]string{}},
		{map[string]string{"app": "a", "app.kubernetes.io/partOf": "b"}, map[string]string{"label_app": "a", "label_app_kubernetes_io_part_of": "b"}},
		{map[string]string{"a.b": "1", "a-b": "2"}, map[string]string{"label_a_b_conflict1": "2", "label_a_b_conflict2": "1"}},
		{map[string]string{"a.b": "1", "a-b": "2", "a_b_conflict1": "3"},
			map[string]string{"label_a_b_conflict1": "2", "label_a_b_conflict2": "1", "label_a_b_conflict1_conflict1": "3"}},
	} {
		names, values := objectLabels(c.of)
		got := map[string]string{}
		for i, n := range names {
			got[n] = values[i]
		}
		if !maps.Equal(got, c.want) || len(names) != len(c.of) {
			t.Errorf("%v is %v", c.of, got)
		}
	}
}

// A scrape of 100 services with an endpoint each.
func BenchmarkServices(b *testing.B) {
	from := shop.New()
	web := from.Services()[3]
	var many []*v1.Service
	for n := range 100 {
		s := web.DeepCopy()
		s.Name = fmt.Sprint("web-", n)
		many = append(many, s)
	}
	from.SetServices(many...)
	state := New(serving(from))
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := state.Write(b.Context(), &out); err != nil {
			b.Fatal(err)
		}
	}
}
