package objects

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/served"
)

// CountTraffic counts what the kernel has sent for each service, by namespace/name.
type CountTraffic func(context.Context) (map[string]served.Traffic, error)

func serviceName(s *v1.Service) []string {
	return []string{"namespace", s.Namespace, "service", s.Name, "uid", string(s.UID)}
}

// Names and labels are kube-state-metrics' (docs/metrics/service, docs/metrics/policy).
var serviceFamilies = []exposition.Row[v1.Service]{
	created[v1.Service]("kube_service"),
	several("kube_service_info", "Information about service", []string{"cluster_ip", "external_name", "external_traffic_policy", "load_balancer_ip"},
		func(s *v1.Service, to *exposition.Samples) {
			to.Add(1, s.Spec.ClusterIP, s.Spec.ExternalName, string(s.Spec.ExternalTrafficPolicy), s.Spec.LoadBalancerIP)
		}),
	several("kube_service_spec_type", "Type about service", []string{"type"}, func(s *v1.Service, to *exposition.Samples) {
		to.Add(1, string(s.Spec.Type))
	}),
	several("kube_service_spec_external_ip", "Service external ips. One series for each ip", []string{"external_ip"},
		func(s *v1.Service, to *exposition.Samples) {
			for _, ip := range s.Spec.ExternalIPs {
				to.Add(1, ip)
			}
		}),
	several("kube_service_status_load_balancer_ingress", "Service load balancer ingress status", []string{"ip", "hostname"},
		func(s *v1.Service, to *exposition.Samples) {
			for _, i := range s.Status.LoadBalancer.Ingress {
				to.Add(1, i.IP, i.Hostname)
			}
		}),
	several("kube_service_ports", "Details of the ports that a service has",
		[]string{"port_name", "port_protocol", "port_number", "port_target", "port_app_protocol", "port_node_number"},
		func(s *v1.Service, to *exposition.Samples) {
			for _, p := range s.Spec.Ports {
				to.Add(1, p.Name, string(p.Protocol), decimal(p.Port), p.TargetPort.String(), valueOf(p.AppProtocol), decimal(p.NodePort))
			}
		}),
}

var sliceFamilies = []exposition.Row[discoveryv1.EndpointSlice]{
	created[discoveryv1.EndpointSlice]("kube_endpointslice"),
	several("kube_endpointslice_info", "Information about endpointslice", []string{"addresstype"}, func(s *discoveryv1.EndpointSlice, to *exposition.Samples) {
		to.Add(1, string(s.AddressType))
	}),
	several("kube_endpointslice_ports", "Ports attached to the endpointslice", []string{"port_name", "port_protocol", "port_number"},
		func(s *discoveryv1.EndpointSlice, to *exposition.Samples) {
			for _, p := range s.Ports {
				number := ""
				if p.Port != nil {
					number = decimal(*p.Port)
				}
				to.Add(1, valueOf(p.Name), string(valueOf(p.Protocol)), number)
			}
		}),
	several("kube_endpointslice_endpoints", "Endpoints attached to the endpointslice",
		[]string{"address", "ready", "serving", "terminating", "hostname", "targetref_kind", "targetref_name", "targetref_namespace", "nodename", "endpoint_zone"},
		func(s *discoveryv1.EndpointSlice, to *exposition.Samples) {
			for _, e := range s.Endpoints {
				target := v1.ObjectReference{}
				if e.TargetRef != nil {
					target = *e.TargetRef
				}
				for _, address := range e.Addresses {
					to.Add(1, address, condition(e.Conditions.Ready), condition(e.Conditions.Serving), condition(e.Conditions.Terminating), valueOf(e.Hostname),
						target.Kind, target.Name, target.Namespace, valueOf(e.NodeName), valueOf(e.Zone))
				}
			}
		}),
}

var policyFamilies = []exposition.Row[networkingv1.NetworkPolicy]{
	created[networkingv1.NetworkPolicy]("kube_networkpolicy"),
	several("kube_networkpolicy_spec_ingress_rules", "Number of ingress rules on the networkpolicy", nil, func(p *networkingv1.NetworkPolicy, to *exposition.Samples) {
		to.Add(float64(len(p.Spec.Ingress)))
	}),
	several("kube_networkpolicy_spec_egress_rules", "Number of egress rules on the networkpolicy", nil, func(p *networkingv1.NetworkPolicy, to *exposition.Samples) {
		to.Add(float64(len(p.Spec.Egress)))
	}),
}

var (
	trafficLabels  = []string{"namespace", "service"}
	servicePackets = prometheus.NewDesc("solopod_service_packets_total", "Packets that were sent to a service and from it, since its rules were written first", trafficLabels, nil)
	serviceBytes   = prometheus.NewDesc("solopod_service_bytes_total", "Bytes that were sent to a service and from it, since its rules were written first", trafficLabels, nil)
)

// condition of an endpoint; one that is not known is empty.
func condition(is *bool) string {
	if is == nil {
		return ""
	}
	return strconv.FormatBool(*is)
}

// traffic collects the kernel's counters of Services.
type traffic struct {
	services func() []*v1.Service
	count    CountTraffic
	kernel   aside.Places
}

// NewTraffic makes the collector of the kernel's counters of Services. Without any it has no metric, and count is not called.
func NewTraffic(services func() []*v1.Service, count CountTraffic) prometheus.Collector {
	return &traffic{services: services, count: count}
}

// Describe implements prometheus.Collector.
func (s *traffic) Describe(ch chan<- *prometheus.Desc) {
	ch <- servicePackets
	ch <- serviceBytes
}

// Collect implements prometheus.Collector. Counters that the kernel does not tell in time are absent.
func (s *traffic) Collect(ch chan<- prometheus.Metric) {
	services := s.services()
	if len(services) == 0 {
		return
	}
	counted := s.counters()
	for _, o := range services {
		if t, ok := counted[o.Namespace+"/"+o.Name]; ok {
			ch <- prometheus.MustNewConstMetric(servicePackets, prometheus.CounterValue, float64(t.Packets), o.Namespace, o.Name)
			ch <- prometheus.MustNewConstMetric(serviceBytes, prometheus.CounterValue, float64(t.Bytes), o.Namespace, o.Name)
		}
	}
}

// limit is how long a scrape waits for the counters, which take the kernel a millisecond as a rule.
const limit = 500 * time.Millisecond

// counters asks the kernel, which may hold who asks: a scrape waits for a moment only, and those after it not at all.
func (s *traffic) counters() map[string]served.Traffic {
	counted, err := aside.Do(context.Background(), &s.kernel, "the kernel's counters", limit, func() (map[string]served.Traffic, error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return s.count(ctx)
	})
	if err != nil {
		slog.Debug("cannot read the counters of services", "err", err)
	}
	return counted
}
