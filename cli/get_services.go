package cli

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The columns of these kinds are kubectl's.

func serviceTable(s *selection, list []*v1.Service) table {
	wide := s.output == "wide"
	t := table{header: []string{"NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"}}
	if wide {
		t.header = append(t.header, "SELECTOR")
	}
	for i := range list {
		o := list[i]
		row := []string{o.Name, string(o.Spec.Type), clusterIP(o), externalIP(o, wide), servicePorts(o.Spec.Ports), age(o.CreationTimestamp)}
		if wide {
			row = append(row, labels.FormatLabels(o.Spec.Selector))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func clusterIP(s *v1.Service) string {
	if len(s.Spec.ClusterIPs) > 0 {
		return s.Spec.ClusterIPs[0]
	}
	return "<none>"
}

// externalIP is how a service is reached from outside.
func externalIP(s *v1.Service, wide bool) string {
	switch s.Spec.Type {
	case v1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case v1.ServiceTypeLoadBalancer:
		balancer := balancerAddresses(s)
		if text := strings.Join(balancer, ","); !wide && len(text) > narrow {
			balancer = []string{text[:narrow-3] + "..."}
		}
		if all := slices.Concat(balancer, s.Spec.ExternalIPs); len(all) > 0 {
			return strings.Join(all, ",")
		}
		return "<pending>"
	default:
		return orNone(strings.Join(s.Spec.ExternalIPs, ","))
	}
}

// narrow is how many characters kubectl gives a load balancer's addresses, but with -o wide.
const narrow = 16

// balancerAddresses are those of a load balancer, without repetitions.
func balancerAddresses(s *v1.Service) []string {
	var out []string
	for _, i := range s.Status.LoadBalancer.Ingress {
		if i.IP != "" {
			out = append(out, i.IP)
		} else if i.Hostname != "" {
			out = append(out, i.Hostname)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func servicePorts(ports []v1.ServicePort) string {
	var out []string
	for _, p := range ports {
		text := strconv.Itoa(int(p.Port))
		if p.NodePort > 0 {
			text += ":" + strconv.Itoa(int(p.NodePort))
		}
		out = append(out, text+"/"+string(p.Protocol))
	}
	return orNone(strings.Join(out, ","))
}

func endpointSliceTable(_ *selection, list []*discoveryv1.EndpointSlice) table {
	t := table{header: []string{"NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"}}
	for i := range list {
		o := list[i]
		var ports, addresses []string
		for _, p := range o.Ports {
			ports = append(ports, slicePort(&p))
		}
		for _, e := range o.Endpoints {
			addresses = append(addresses, e.Addresses...)
		}
		t.rows = append(t.rows, []string{o.Name, string(o.AddressType), firstThree(ports), firstThree(addresses), age(o.CreationTimestamp)})
	}
	return t
}

// slicePort is a port's number; without one it means all ports, and may have a name.
func slicePort(p *discoveryv1.EndpointPort) string {
	switch {
	case p.Port != nil:
		return strconv.Itoa(int(*p.Port))
	case p.Name != nil:
		return *p.Name
	}
	return "*"
}

// firstThree of a list, and how many more there are.
func firstThree(list []string) string {
	const most = 3
	switch {
	case len(list) == 0:
		return "<unset>"
	case len(list) > most:
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:most], ","), len(list)-most)
	}
	return strings.Join(list, ",")
}

// endpointsTable shows the first addresses with their ports, as kubectl does.
func endpointsTable(_ *selection, list []*v1.Endpoints) table { //nolint:staticcheck // deprecated, and much asked for
	t := table{header: []string{"NAME", "ENDPOINTS", "AGE"}}
	for _, o := range list {
		var all []string
		for _, s := range o.Subsets {
			for _, a := range s.Addresses {
				if len(s.Ports) == 0 {
					all = append(all, a.IP)
				}
				for _, p := range s.Ports {
					all = append(all, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
				}
			}
		}
		text := "<none>"
		if len(all) > 0 {
			text = firstThree(all)
		}
		t.rows = append(t.rows, []string{o.Name, text, age(o.CreationTimestamp)})
	}
	return t
}

func networkPolicyTable(_ *selection, list []*networkingv1.NetworkPolicy) table {
	t := table{header: []string{"NAME", "POD-SELECTOR", "AGE"}}
	for i := range list {
		t.rows = append(t.rows, []string{list[i].Name, metav1.FormatLabelSelector(&list[i].Spec.PodSelector), age(list[i].CreationTimestamp)})
	}
	return t
}
