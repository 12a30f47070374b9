package endpoints

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services/allocate"
)

// pod makes one of words: a name, addresses, and ready, terminating, ended, failed, app=x, port names like http:8080 or dns:53/UDP, in the
// sidecar with a + before, init with a -; h:name is its hostname, sub:name its subdomain, ns:name its namespace.
func pod(words string) Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Labels: map[string]string{}}}
	p.Spec.Containers = []v1.Container{{Name: "main"}}
	p.Spec.InitContainers = []v1.Container{{Name: "car", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}, {Name: "init"}}
	status := v1.ConditionFalse
	for i, w := range strings.Fields(words) {
		ip, err := netip.ParseAddr(w)
		key, value, label := strings.Cut(w, "=")
		name, rest, colon := strings.Cut(w, ":")
		switch {
		case i == 0:
			p.Name = w
		case w == "ready":
			status = v1.ConditionTrue
		case w == "terminating":
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		case w == "ended":
			p.Status.Phase = v1.PodSucceeded
		case w == "failed":
			p.Status.Phase = v1.PodFailed
		case err == nil:
			p.Status.PodIPs = append(p.Status.PodIPs, v1.PodIP{IP: ip.String()})
		case label:
			p.Labels[key] = value
		case name == "h":
			p.Spec.Hostname = rest
		case name == "sub":
			p.Spec.Subdomain = rest
		case name == "ns":
			p.Namespace = rest
		case colon:
			c := &p.Spec.Containers[0]
			switch name[0] {
			case '+':
				c, name = &p.Spec.InitContainers[0], name[1:]
			case '-':
				c, name = &p.Spec.InitContainers[1], name[1:]
			}
			port := v1.ContainerPort{Name: name, Protocol: v1.ProtocolTCP}
			if n, proto, ok := strings.Cut(rest, "/"); ok {
				rest, port.Protocol = n, v1.Protocol(proto)
			}
			fmt.Sscan(rest, &port.ContainerPort) //nolint:errcheck // the test's own
			c.Ports = append(c.Ports, port)
		}
	}
	p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: status, Message: "containers with unready status: [main]"}}
	return Look(p)
}

// service makes one of words: port:target of ports, with u before it for UDP; headless, all (publishNotReadyAddresses), none (no selector).
func service(words string) *v1.Service {
	s := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web"},
		Spec:       v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, Selector: map[string]string{"app": "web"}},
	}
	for _, w := range strings.Fields(words) {
		switch w {
		case "headless":
			s.Spec.ClusterIP = v1.ClusterIPNone
		case "all":
			s.Spec.PublishNotReadyAddresses = true
		case "none":
			s.Spec.Selector = nil
		default:
			w, udp := strings.CutPrefix(w, "u")
			port, target, _ := strings.Cut(w, ":")
			p := v1.ServicePort{Protocol: v1.ProtocolTCP}
			if udp {
				p.Protocol = v1.ProtocolUDP
			}
			fmt.Sscan(port, &p.Port) //nolint:errcheck // the test's own
			p.TargetPort = intstr.Parse(target)
			if target == "" {
				p.TargetPort = intstr.IntOrString{}
			}
			if len(s.Spec.Ports) > 0 {
				p.Name = fmt.Sprint("p", len(s.Spec.Ports))
			}
			s.Spec.Ports = append(s.Spec.Ports, p)
		}
	}
	return s
}

// slice makes one of words: ports name:number, addresses with unready:, serving: or out: before; the label mirror.
func slice(words string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}}
	for _, w := range strings.Fields(words) {
		kind, rest, _ := strings.Cut(w, "@")
		var e discoveryv1.Endpoint
		switch kind {
		case "mirror":
			s.Labels[discoveryv1.LabelManagedBy] = ManagedByMirror
			continue
		case "port":
			name, number, _ := strings.Cut(rest, "=")
			p := discoveryv1.EndpointPort{Name: ptr.To(name), Protocol: ptr.To(v1.ProtocolTCP), Port: new(int32)}
			fmt.Sscan(number, p.Port) //nolint:errcheck // the test's own
			s.Ports = append(s.Ports, p)
			continue
		case "unready":
			e.Conditions.Ready = ptr.To(false)
		case "serving":
			e.Conditions = discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)}
		case "named":
			name, ip, _ := strings.Cut(rest, "=")
			e.Hostname, rest = ptr.To(name), ip
		default:
			rest = w
		}
		e.Addresses = []string{rest}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func show(t *served.Table) string {
	out := ""
	for _, s := range t.Services {
		for _, p := range s.Ports {
			out += fmt.Sprintf("%d/%s", p.Port, p.Protocol)
			for _, to := range p.Targets {
				out += fmt.Sprintf(" %s", netip.AddrPortFrom(to.Addr, to.Port))
				if to.Outside {
					out += "!"
				}
			}
			out += "; "
		}
		for _, e := range s.Endpoints {
			out += fmt.Sprintf("%q %v", e.Hostname, e.Addrs)
			for _, p := range e.Ports {
				out += fmt.Sprintf(" %s:%d/%s", p.Name, p.Port, p.Protocol)
			}
			out += "; "
		}
	}
	return strings.TrimSuffix(out, "; ")
}

// TestTable: where a service leads, from pods and slices.
func TestTable(t *testing.T) {
	four, both := []v1.IPFamily{"IPv4"}, []v1.IPFamily{"IPv4", "IPv6"}
	for name, c := range map[string]struct {
		service  string
		families []v1.IPFamily
		pods     []string
		slice    string
		want     string
	}{
		"no pod":                     {"80:", four, nil, "", "80/TCP"},
		"one":                        {"80:", four, []string{"a app=web ready 10.0.0.2"}, "", "80/TCP 10.0.0.2:80"},
		"another target":             {"80:8080", four, []string{"a app=web ready 10.0.0.2"}, "", "80/TCP 10.0.0.2:8080"},
		"several":                    {"80:", four, []string{"a app=web ready 10.0.0.2", "b app=web ready 10.0.0.3"}, "", "80/TCP 10.0.0.2:80 10.0.0.3:80"},
		"other labels":               {"80:", four, []string{"a app=api ready 10.0.0.2", "b ready 10.0.0.3"}, "", "80/TCP"},
		"more labels":                {"80:", four, []string{"a app=web tier=x ready 10.0.0.2"}, "", "80/TCP 10.0.0.2:80"},
		"another namespace":          {"80:", four, []string{"a ns:e app=web ready 10.0.0.2"}, "", "80/TCP"},
		"not ready":                  {"80:", four, []string{"a app=web 10.0.0.2"}, "", "80/TCP"},
		"ready and not":              {"80:", four, []string{"a app=web 10.0.0.2", "b app=web ready 10.0.0.3"}, "", "80/TCP 10.0.0.3:80"},
		"not ready, published":       {"80: all", four, []string{"a app=web 10.0.0.2", "b app=web ready 10.0.0.3"}, "", "80/TCP 10.0.0.2:80 10.0.0.3:80"},
		"terminates beside another":  {"80:", four, []string{"a app=web ready terminating 10.0.0.2", "b app=web ready 10.0.0.3"}, "", "80/TCP 10.0.0.3:80"},
		"all terminate":              {"80:", four, []string{"a app=web ready terminating 10.0.0.2", "b app=web terminating 10.0.0.3"}, "", "80/TCP 10.0.0.2:80"},
		"terminates, published":      {"80: all", four, []string{"a app=web terminating 10.0.0.2"}, "", "80/TCP 10.0.0.2:80"},
		"has ended":                  {"80: all", four, []string{"a app=web ended ready 10.0.0.2", "b app=web failed ready 10.0.0.3"}, "", "80/TCP"},
		"has no address":             {"80: all", four, []string{"a app=web ready"}, "", "80/TCP"},
		"one family of two":          {"80:", four, []string{"a app=web ready 10.0.0.2 fd00::2"}, "", "80/TCP 10.0.0.2:80"},
		"both families":              {"80:", both, []string{"a app=web ready fd00::2 10.0.0.2"}, "", "80/TCP 10.0.0.2:80 [fd00::2]:80"},
		"IPv6 of a pod without":      {"80:", []v1.IPFamily{"IPv6"}, []string{"a app=web ready 10.0.0.2"}, "", "80/TCP"},
		"no family":                  {"80:", nil, []string{"a app=web ready 10.0.0.2"}, "", "80/TCP"},
		"a named port":               {"80:http", four, []string{"a app=web ready 10.0.0.2 http:8080"}, "", "80/TCP 10.0.0.2:8080"},
		"named, other numbers":       {"80:http", four, []string{"a app=web ready 10.0.0.2 http:8080", "b app=web ready 10.0.0.3 http:9090"}, "", "80/TCP 10.0.0.2:8080 10.0.0.3:9090"},
		"named, one lacks it":        {"80:http", four, []string{"a app=web ready 10.0.0.2 http:8080", "b app=web ready 10.0.0.3 api:9090"}, "", "80/TCP 10.0.0.2:8080"},
		"named, another protocol":    {"80:http", four, []string{"a app=web ready 10.0.0.2 http:8080/UDP"}, "", "80/TCP"},
		"named, both protocols":      {"53:dns u53:dns", four, []string{"a app=web ready 10.0.0.2 dns:5300 dns:5301/UDP"}, "", "53/TCP 10.0.0.2:5300; 53/UDP 10.0.0.2:5301"},
		"named, of a sidecar":        {"80:http", four, []string{"a app=web ready 10.0.0.2 +http:15001"}, "", "80/TCP 10.0.0.2:15001"},
		"named, of an init one":      {"80:http", four, []string{"a app=web ready 10.0.0.2 -http:15001"}, "", "80/TCP"},
		"two ports, one lacks":       {"80:http 443:https", four, []string{"a app=web ready 10.0.0.2 http:8080"}, "", "80/TCP 10.0.0.2:8080; 443/TCP"},
		"one ready lacks the port":   {"80:http", four, []string{"a app=web ready 10.0.0.2", "b app=web ready terminating 10.0.0.3 http:81"}, "", "80/TCP 10.0.0.3:81"},
		"headless":                   {"headless 80:http", four, []string{"a app=web ready 10.0.0.2 http:8080"}, "", `80/TCP; "" [10.0.0.2] :8080/TCP`},
		"headless, no ports":         {"headless", four, []string{"a app=web ready 10.0.0.2"}, "", `"" [10.0.0.2]`},
		"headless, not ready":        {"headless 80:", four, []string{"a app=web 10.0.0.2"}, "", "80/TCP"},
		"headless, published":        {"headless all 80:", four, []string{"a app=web 10.0.0.2"}, "", `80/TCP; "" [10.0.0.2] :80/TCP`},
		"headless, all terminate":    {"headless 80:", four, []string{"a app=web ready terminating 10.0.0.2"}, "", "80/TCP"},
		"headless, hostnames":        {"headless 80:", both, []string{"a app=web ready 10.0.0.2 fd00::2 h:a sub:web", "b app=web ready 10.0.0.3 h:b sub:other"}, "", `80/TCP; "a" [10.0.0.2 fd00::2] :80/TCP; "" [10.0.0.3] :80/TCP`},
		"a hostname, not headless":   {"80:", four, []string{"a app=web ready 10.0.0.2 h:a sub:web"}, "", `80/TCP 10.0.0.2:80; "a" [10.0.0.2] :80/TCP`},
		"headless, two ports":        {"headless 80:http 443:https", four, []string{"a app=web ready 10.0.0.2 http:8080 https:8443"}, "", `80/TCP; 443/TCP; "" [10.0.0.2] :8080/TCP p1:8443/TCP`},
		"headless, a port is lacked": {"headless 80:http 443:https", four, []string{"a app=web ready 10.0.0.2 https:8443"}, "", `80/TCP; 443/TCP; "" [10.0.0.2] p1:8443/TCP`},
		"a slice":                    {"none 80:", four, nil, "port@=8080 192.0.2.9 192.0.2.8", "80/TCP 192.0.2.9:8080! 192.0.2.8:8080!"},
		"a slice, named ports":       {"none 80: 443:", four, nil, "port@p1=8443 192.0.2.9", "80/TCP; 443/TCP 192.0.2.9:8443!"},
		"a slice, states":            {"none 80:", four, nil, "port@=8080 192.0.2.9 unready@192.0.2.8 serving@192.0.2.7", "80/TCP 192.0.2.9:8080!"},
		"a slice, none ready":        {"none 80:", four, nil, "port@=8080 unready@192.0.2.8 serving@192.0.2.7", "80/TCP 192.0.2.7:8080!"},
		"a slice, published":         {"none all 80:", four, nil, "port@=8080 unready@192.0.2.8", "80/TCP"},
		"a slice with the machine":   {"none 80:", four, nil, "port@=8080 192.0.2.1", "80/TCP 192.0.2.1:8080"},
		"a slice with a pod":         {"none 80:", four, []string{"a ready 10.0.0.2"}, "port@=8080 10.0.0.2", "80/TCP 10.0.0.2:8080"},
		"a slice of IPv6":            {"none 80:", four, nil, "port@=8080 2001:db8::1", "80/TCP"},
		"a slice of a name":          {"none 80:", four, nil, "port@=8080 db.example", "80/TCP"},
		"a slice, headless":          {"none headless 80:", four, nil, "port@=8080 named@db=192.0.2.9", `80/TCP; "db" [192.0.2.9] :8080/TCP`},
		"a slice beside pods":        {"80:", four, []string{"a app=web ready 10.0.0.2"}, "port@=8080 192.0.2.9", "80/TCP 10.0.0.2:80 192.0.2.9:8080!"},
		"Endpoints beside pods":      {"80:", four, []string{"a app=web ready 10.0.0.2"}, "mirror port@=8080 192.0.2.9", "80/TCP 10.0.0.2:80"},
		"Endpoints":                  {"none 80:", four, nil, "mirror port@=8080 192.0.2.9", "80/TCP 192.0.2.9:8080!"},
		"a slice without ports":      {"none 80:", four, nil, "192.0.2.9", "80/TCP"},
		"one address twice":          {"none 80:", four, nil, "port@=8080 192.0.2.9 192.0.2.9", "80/TCP 192.0.2.9:8080!"},
	} {
		w := world(c.service, c.families)
		for _, p := range c.pods {
			w.Pods = append(w.Pods, pod(p))
		}
		if c.slice != "" {
			w.Slices = map[string]*discoveryv1.EndpointSlice{"d/web-1": slice(c.slice)}
		}
		if got := show(w.Table()); got != c.want {
			t.Errorf("%s: %s\nnot %s", name, got, c.want)
		}
	}
}

func world(words string, families []v1.IPFamily) *World {
	return &World{
		Services: map[string]*v1.Service{"d/web": service(words)},
		Decided:  map[string]Decided{"d/web": {Given: allocate.Given{Families: families}}},
		Own:      func(ip netip.Addr) bool { return ip.String() == "192.0.2.1" },
	}
}

// TestService: what a manifest says of a service as a whole.
func TestService(t *testing.T) {
	given := allocate.Given{Families: []v1.IPFamily{"IPv4"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.5")}, NodePorts: map[string]uint16{"80/TCP": 30080, "443/TCP": 30443}}
	external := []netip.Addr{netip.MustParseAddr("203.0.113.5")}
	for name, c := range map[string]struct {
		change  func(*v1.Service)
		decided Decided
		want    string
	}{
		"plain":         {func(*v1.Service) {}, Decided{Given: given}, "[10.96.0.5] [] onNode=false src=[] local=false,false 0s; 80>30080 443>30443"},
		"load balancer": {func(s *v1.Service) { s.Spec.Type = "LoadBalancer" }, Decided{Given: given}, "[10.96.0.5] [] onNode=true src=[] local=false,false 0s; 80>30080 443>30443"},
		"of others": {func(s *v1.Service) {
			s.Spec.Type, s.Spec.LoadBalancerClass = "LoadBalancer", ptr.To("x/y")
		}, Decided{Given: given}, "[10.96.0.5] [] onNode=false src=[] local=false,false 0s; 80>30080 443>30443"},
		"on an address": {func(s *v1.Service) { s.Spec.Type, s.Spec.ExternalIPs = "LoadBalancer", []string{"203.0.113.5"} },
			Decided{Given: given, ExternalIPs: external}, "[10.96.0.5] [203.0.113.5] onNode=false src=[] local=false,false 0s; 80>30080 443>30443"},
		"its address": {func(s *v1.Service) { s.Spec.Type, s.Spec.LoadBalancerIP = "LoadBalancer", "203.0.113.5" },
			Decided{Given: given, ExternalIPs: external}, "[10.96.0.5] [203.0.113.5] onNode=false src=[] local=false,false 0s; 80>30080 443>30443"},
		"sources": {func(s *v1.Service) {
			s.Spec.Type, s.Spec.LoadBalancerSourceRanges = "LoadBalancer", []string{"192.0.2.7/24", " 2001:db8::/32", "x"}
		}, Decided{Given: given}, "[10.96.0.5] [] onNode=true src=[192.0.2.0/24 2001:db8::/32] local=false,false 0s; 80>30080 443>30443"},
		"local": {func(s *v1.Service) {
			s.Spec.ExternalTrafficPolicy, s.Spec.InternalTrafficPolicy = "Local", ptr.To(v1.ServiceInternalTrafficPolicyLocal)
		}, Decided{Given: given}, "[10.96.0.5] [] onNode=false src=[] local=true,true 0s; 80>30080 443>30443"},
		"affinity": {func(s *v1.Service) { s.Spec.SessionAffinity = "ClientIP" }, Decided{Given: given}, "[10.96.0.5] [] onNode=false src=[] local=false,false 3h0m0s; 80>30080 443>30443"},
		"affinity, a time": {func(s *v1.Service) {
			s.Spec.SessionAffinity = "ClientIP"
			s.Spec.SessionAffinityConfig = &v1.SessionAffinityConfig{ClientIP: &v1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](7)}}
		}, Decided{Given: given}, "[10.96.0.5] [] onNode=false src=[] local=false,false 7s; 80>30080 443>30443"},
		"a node port is taken": {func(*v1.Service) {}, Decided{Given: given, NoNodePort: map[string]bool{"80/TCP": true}}, "[10.96.0.5] [] onNode=false src=[] local=false,false 0s; 80>0 443>30443"},
		"a port is taken": {func(s *v1.Service) { s.Spec.Type = "LoadBalancer" }, Decided{Given: given, NotOnNode: map[string]bool{"443/TCP": true}},
			"[10.96.0.5] [] onNode=true src=[] local=false,false 0s; 80>30080 443>30443-"},
		"headless": {func(s *v1.Service) { s.Spec.ClusterIP, s.Spec.SessionAffinity = "None", "ClientIP" }, Decided{Given: given}, "[] [] onNode=false src=[] local=false,false 0s; 80>0 443>0"},
		"a name":   {func(s *v1.Service) { s.Spec.Type, s.Spec.ExternalName = "ExternalName", "db.example.com." }, Decided{}, "db.example.com"},
	} {
		w := world("80: 443:", nil)
		c.change(w.Services["d/web"])
		w.Decided["d/web"] = c.decided
		s := w.Table().Services[0]
		got := s.ExternalName
		if got == "" {
			got = fmt.Sprintf("%v %v onNode=%t src=%v local=%t,%t %s;", s.ClusterIPs, s.ExternalIPs, s.OnNode, s.SourceRanges, s.LocalOnly, s.InternalLocal, s.Affinity)
			for _, p := range s.Ports {
				got += fmt.Sprintf(" %d>%d", p.Port, p.NodePort)
				if p.NotOnNode {
					got += "-"
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %s\nnot %s", name, got, c.want)
		}
	}
}

// TestSelection: why connections do not go to a pod.
func TestSelection(t *testing.T) {
	w := world("80:http", []v1.IPFamily{"IPv4"})
	for _, p := range []string{
		"a app=web ready 10.0.0.2 http:80", "b app=web 10.0.0.3 http:80", "c app=web ready 10.0.0.4", "d app=web ended", "e app=web ready", "f app=api ready 10.0.0.5 http:80",
		"g app=web ready fd00::2 http:80", "h app=web ready terminating 10.0.0.6 http:80", "i app=web terminating 10.0.0.7 http:80", "j ns:e app=web ready 10.0.0.8 http:80",
	} {
		w.Pods = append(w.Pods, pod(p))
	}
	want := map[string]string{
		"a": "", "b": "it is not ready: containers with unready status: [main]", "c": `none of its containers has a port "http" of TCP (targetPort)`,
		"d": "it has ended (Succeeded)", "e": "it has no address yet", "g": "it has no address of [IPv4]", "h": "it terminates, and others are ready", "i": "it terminates",
	}
	got := w.Selection("d/web")
	for _, s := range got {
		if why, known := want[s.Pod.Name]; !known || why != s.Why {
			t.Errorf("%s: %q, not %q", s.Pod.Name, s.Why, why)
		}
	}
	if len(got) != len(want) || w.Selection("d/none") != nil {
		t.Errorf("%d pods", len(got))
	}
}

// TestEndpointSlices: slices are as a cluster's: one of a family and a set of ports, with conditions.
func TestEndpointSlices(t *testing.T) {
	w := world("80:http", []v1.IPFamily{"IPv4", "IPv6"})
	for _, p := range []string{
		"a app=web ready 10.0.0.2 fd00::2 http:80 h:a sub:web", "b app=web 10.0.0.3 http:80", "c app=web ready 10.0.0.4 http:8080", "h app=web ready terminating 10.0.0.6 http:80",
	} {
		w.Pods = append(w.Pods, pod(p))
	}
	w.Slices = map[string]*discoveryv1.EndpointSlice{"d/zz": slice("port@=1 192.0.2.9")}
	var got []string
	for _, s := range w.EndpointSlices("box") {
		text := string(s.AddressType)
		for _, p := range s.Ports {
			text += fmt.Sprintf(" %d", *p.Port)
		}
		for _, e := range s.Endpoints {
			text += fmt.Sprintf(" %s", e.Addresses)
			if e.TargetRef != nil {
				text += fmt.Sprintf("%s,%t,%t,%t,%s", e.TargetRef.Name, *e.Conditions.Ready, *e.Conditions.Serving, *e.Conditions.Terminating, *e.NodeName)
			}
		}
		got = append(got, text)
		if s.Labels[discoveryv1.LabelServiceName] != "web" {
			t.Errorf("%s is of no service", s.Name)
		}
	}
	slices.Sort(got)
	want := []string{
		" 1 [192.0.2.9]", "IPv4 80 [10.0.0.2]a,true,true,false,box [10.0.0.3]b,false,false,false,box [10.0.0.6]h,false,true,true,box",
		"IPv4 8080 [10.0.0.4]c,true,true,false,box", "IPv6 80 [fd00::2]a,true,true,false,box",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nnot %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// A manifest's slice with the name of one of these keeps it: of two with one name no list and no metric is right.
	first := w.EndpointSlices("box")[0]
	w.Slices[first.Namespace+"/"+first.Name] = slice("port@=1 192.0.2.9")
	w.Slices[first.Namespace+"/"+first.Name].Name = first.Name
	names := map[string]bool{}
	for _, s := range w.EndpointSlices("box") {
		if names[s.Name] {
			t.Errorf("two have the name %s", s.Name)
		}
		names[s.Name] = true
	}
	if len(names) != 5 || !names[first.Name] {
		t.Errorf("%v", names)
	}
	if got := world("80:", []v1.IPFamily{"IPv4"}).EndpointSlices("box"); len(got) != 1 || len(got[0].Endpoints) != 0 {
		t.Errorf("without pods: %v", got)
	}
}

// TestShown: a service is shown with what it was given, and the manifest's own object stays.
func TestShown(t *testing.T) {
	nodes := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	s := service("80: 443:")
	s.Spec.Type = v1.ServiceTypeLoadBalancer
	d := Decided{
		Given:     allocate.Given{Families: []v1.IPFamily{"IPv4"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.5")}, NodePorts: map[string]uint16{"80/TCP": 30080}},
		NotOnNode: map[string]bool{"443/TCP": true},
	}
	got := Shown(s, d, nodes)
	ingress := got.Status.LoadBalancer.Ingress
	if got.Spec.ClusterIP != "10.96.0.5" || len(got.Spec.ClusterIPs) != 1 || got.Spec.Ports[0].NodePort != 30080 || got.Spec.Ports[1].NodePort != 0 ||
		len(ingress) != 1 || ingress[0].IP != "192.0.2.1" || ingress[0].Ports[0].Error != nil || *ingress[0].Ports[1].Error != "PortTaken" || got.UID == "" || got.Kind != "Service" {
		t.Errorf("%+v", got)
	}
	if s.Spec.ClusterIP != "" || s.Spec.Ports[0].NodePort != 0 {
		t.Error("the manifest's object was changed")
	}
	d.ExternalIPs = []netip.Addr{netip.MustParseAddr("203.0.113.5")}
	s.Spec.ExternalIPs = []string{"203.0.113.5"}
	if got := Shown(s, d, nodes).Status.LoadBalancer.Ingress; len(got) != 1 || got[0].IP != "203.0.113.5" {
		t.Errorf("%+v", got)
	}
	if got := Shown(service("headless 80:"), d, nodes); !slices.Equal(got.Spec.ClusterIPs, []string{"None"}) || got.Spec.Ports[0].NodePort != 0 {
		t.Errorf("%+v", got.Spec)
	}
	d.Given = allocate.Given{}
	s.Spec.ClusterIP = "10.96.0.9"
	if got := Shown(s, d, nodes); got.Spec.ClusterIP != "" { // it was not given the address
		t.Errorf("%+v", got.Spec)
	}
}

func BenchmarkTable(b *testing.B) {
	w := &World{Services: map[string]*v1.Service{}, Decided: map[string]Decided{}, Own: func(netip.Addr) bool { return false }}
	for i := range 100 {
		s := service("80:http")
		s.Name = fmt.Sprint("web", i)
		s.Spec.Selector["app"] = fmt.Sprint("web", i/2)
		w.Services["d/"+s.Name] = s
		w.Decided["d/"+s.Name] = Decided{Given: allocate.Given{Families: []v1.IPFamily{"IPv4", "IPv6"}}}
	}
	var pods []*v1.Pod
	for i := range 50 {
		pods = append(pods, pod(fmt.Sprintf("p%d app=web%d ready 10.0.0.%d fd00::%d http:8080", i, i, i+2, i+2)).Pod)
	}
	last := w.Table()
	b.ReportAllocs()
	for b.Loop() {
		w.Pods = w.Pods[:0]
		for _, p := range pods {
			w.Pods = append(w.Pods, Look(p))
		}
		t := w.Table()
		t.Equal(last)
		last = t
	}
}
