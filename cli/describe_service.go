package cli

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/services"
)

// describeService writes what kubectl's command does, and which of the selected pods serve, and why the others do not.
func describeService(ctx context.Context, c *api.Client, d *describer, s *v1.Service) error {
	list, err := api.EndpointSliceKind.List(ctx, c)
	if err != nil {
		return err
	}
	selected, err := api.SelectedBy(ctx, c, s.Namespace, s.Name)
	if err != nil {
		return err
	}
	events, err := c.Events(ctx)
	if err != nil {
		return err
	}
	traffic := "unknown"
	if counted, err := api.TrafficOf(ctx, c); err == nil {
		t := counted[s.Namespace+"/"+s.Name]
		traffic = fmt.Sprintf("%d packets, %s", t.Packets, size(int64(t.Bytes)))
	}
	d.width = 27
	d.service(s, endpointsOf(s, list))
	if s.Spec.Type != v1.ServiceTypeExternalName {
		if s.Spec.ClusterIP != v1.ClusterIPNone { // the kernel does nothing for headless ones
			d.line("Traffic", "%s", traffic)
		}
		d.selected(s, selected)
	}
	d.events(events, func(of *v1.ObjectReference) bool {
		return of.Kind == "Service" && of.Namespace == s.Namespace && of.Name == s.Name
	})
	return nil
}

// heading writes what all objects have.
func (d *describer) heading(m *metav1.ObjectMeta) {
	d.line("Name", "%s", m.Name)
	d.line("Namespace", "%s", m.Namespace)
	var annotations []string
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
		if key != v1.LastAppliedConfigAnnotation { // a second copy of it all
			annotations = append(annotations, key+": "+m.Annotations[key])
		}
	}
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		lines = append(lines, key+"="+m.Labels[key])
	}
	d.line("Labels", "%s", orNone(strings.Join(lines, "\n")))
	d.line("Annotations", "%s", orNone(strings.Join(annotations, "\n")))
}

// service writes a service's lines in kubectl's order. endpoints are those of a port, by its name.
func (d *describer) service(s *v1.Service, endpoints map[string][]string) {
	d.heading(&s.ObjectMeta)
	spec := &s.Spec
	d.line("Selector", "%s", labels.FormatLabels(spec.Selector))
	d.line("Type", "%s", spec.Type)
	if spec.IPFamilyPolicy != nil {
		d.line("IP Family Policy", "%s", *spec.IPFamilyPolicy)
	}
	families := make([]string, len(spec.IPFamilies))
	for i, f := range spec.IPFamilies {
		families[i] = string(f)
	}
	d.line("IP Families", "%s", orNone(strings.Join(families, ",")))
	d.line("IP", "%s", orNone(spec.ClusterIP))
	d.line("IPs", "%s", orNone(strings.Join(spec.ClusterIPs, ",")))
	d.line("External IPs", "%s", strings.Join(spec.ExternalIPs, ","))
	d.line("External Name", "%s", spec.ExternalName)
	d.line("LoadBalancer Ingress", "%s", strings.Join(balancerAddresses(s), ", "))
	for i := range spec.Ports {
		d.port(&spec.Ports[i], endpoints[spec.Ports[i].Name])
	}
	affinity := string(spec.SessionAffinity)
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		affinity += fmt.Sprintf(" for %s", time.Duration(*c.ClientIP.TimeoutSeconds)*time.Second)
	}
	d.line("Session Affinity", "%s", affinity)
	d.line("External Traffic Policy", "%s", spec.ExternalTrafficPolicy)
	if spec.InternalTrafficPolicy != nil {
		d.line("Internal Traffic Policy", "%s", *spec.InternalTrafficPolicy)
	}
	if spec.HealthCheckNodePort > 0 {
		d.line("HealthCheck NodePort", "%d", spec.HealthCheckNodePort)
	}
	d.line("LoadBalancer Source Ranges", "%s", strings.Join(spec.LoadBalancerSourceRanges, ","))
	if spec.PublishNotReadyAddresses {
		d.line("Not Ready Addresses", "Published")
	}
}

func (d *describer) port(p *v1.ServicePort, endpoints []string) {
	name := p.Name
	if name == "" {
		name = "<unset>"
	}
	d.line("Port", "%s  %d/%s", name, p.Port, p.Protocol)
	d.line("TargetPort", "%s/%s", p.TargetPort.String(), p.Protocol)
	if p.NodePort != 0 {
		d.line("NodePort", "%s  %d/%s", name, p.NodePort, p.Protocol)
	}
	shown := "<none>"
	if len(endpoints) > 0 {
		shown = firstThree(endpoints)
	}
	d.line("Endpoints", "%s", shown)
}

// endpointsOf are the addresses and ports that are ready behind each port of a service, by the port's name. No condition counts as ready
// (discovery/v1).
func endpointsOf(s *v1.Service, list []discoveryv1.EndpointSlice) map[string][]string {
	out := map[string][]string{}
	for _, slice := range list {
		if slice.Namespace != s.Namespace || slice.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		for _, p := range slice.Ports {
			name := ""
			if p.Name != nil {
				name = *p.Name
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				for _, address := range e.Addresses {
					if p.Port != nil {
						address = net.JoinHostPort(address, strconv.Itoa(int(*p.Port)))
					}
					out[name] = append(out[name], address)
				}
			}
		}
	}
	return out
}

// selected writes a row for each pod that a service selects.
func (d *describer) selected(s *v1.Service, selected []services.Selected) {
	switch {
	case len(s.Spec.Selector) == 0:
		d.b.WriteString("Pods: <none> (it has no selector: its Endpoints or EndpointSlices say what serves)\n")
	case len(selected) == 0:
		d.b.WriteString("Pods: <none> (no pod of the namespace has the selector's labels)\n")
	default:
		t := table{header: []string{"  NAME", "SERVES", "ADDRESSES", "WHY NOT"}}
		for _, p := range selected {
			serves := "no"
			if p.Serves {
				serves = "yes"
			}
			t.rows = append(t.rows, []string{"  " + p.Pod, serves, orNone(strings.Join(p.Addresses, ",")), p.Why})
		}
		d.b.WriteString("Pods:\n")
		t.write(&d.b) //nolint:errcheck // a strings.Builder never fails
	}
}
