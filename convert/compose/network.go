package compose

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/service"
)

// networkLabel begins the labels of pods in a network, where networks keep services apart.
const networkLabel = "network/"

// containerPorts gives the container its ports. With several pods the machine's ports cannot be each one's: they lead to a Service.
func (p *project) containerPorts(s *service.Service) {
	f := s.Field("ports")
	seen := map[string]bool{}
	balanced := s.Pod.Owner.Replicas > 1 && s.Mode != "global"
	var lead []v1.ServicePort
	for _, port := range s.Published {
		c := v1.ContainerPort{ContainerPort: port.Container, Protocol: port.Protocol}
		if c.Protocol == v1.ProtocolTCP {
			c.Protocol = ""
		}
		if port.Host != 0 && balanced {
			lead = append(lead, v1.ServicePort{Name: fmt.Sprintf("%s-%d", strings.ToLower(string(port.Protocol)), port.Host), Port: port.Host, TargetPort: intstr.FromInt32(port.Container), Protocol: c.Protocol})
			if port.IP != "" {
				f.Lost("with several pods port %d is open on all addresses of the machine, not on %s alone; loadBalancerSourceRanges bounds who reaches it", port.Host, port.IP)
			}
		} else if !s.Pod.Spec.HostNetwork {
			c.HostPort, c.HostIP = port.Host, port.IP
		}
		key := fmt.Sprintf("%d/%s/%d", c.ContainerPort, c.Protocol, c.HostPort)
		if plain := fmt.Sprintf("%d/%s/0", c.ContainerPort, c.Protocol); !seen[key] && (c.HostPort != 0 || !seen[plain]) {
			s.Container.Ports = append(s.Container.Ports, c)
			seen[key], seen[plain] = true, true
		}
	}
	switch {
	case s.Pod.Spec.HostNetwork && len(s.Published) > 0:
		f.Changed("with the machine's network its ports are the machine's; nothing is to be published")
	case len(lead) > 0:
		o := &v1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Name: shortened(s.Object + "-published")}}
		o.Spec = v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer, Selector: s.Selector(), Ports: lead}
		p.Add(f, o)
		f.Changed("ports of the machine that lead to several pods are a Service of type LoadBalancer, %s", o.Name)
	}
}

func shortened(name string) string {
	if len(name) > validation.DNS1123LabelMaxLength {
		name = name[len(name)-validation.DNS1123LabelMaxLength:]
	}
	return strings.Trim(name, "-")
}

// network makes the Services by which others reach this one: headless ones, whose name leads to the pods at every port.
func (p *project) network(s *service.Service) {
	if s.First || s.Node.Get("network_mode").Text() == "none" {
		return
	}
	for _, name := range append([]string{s.Object}, s.Aliases...) {
		if owner := p.byObject(name); owner != nil && owner != s {
			s.Whole().Lost("the name %s is that of another service", name)
			continue
		}
		if p.Made["service/"+name] {
			continue
		}
		p.Made["service/"+name] = true
		o := &v1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
		o.Spec = v1.ServiceSpec{ClusterIP: v1.ClusterIPNone, Selector: s.Selector(), PublishNotReadyAddresses: !s.WaitedFor}
		p.Add(s.Whole(), o)
	}
}

func (p *project) byObject(name string) *service.Service {
	for _, s := range p.Services {
		if s.Object == name {
			return s
		}
	}
	return nil
}

// divide finds whether networks keep services apart, or from the rest of the world.
func (p *project) divide() {
	for _, s := range p.Services {
		if s.Pod.Owner == s && !s.First && !s.Pod.Spec.HostNetwork && s.Node.Get("network_mode").Text() != "none" {
			if len(s.Networks) == 0 {
				s.Networks = []string{"default"}
			}
			p.inside = append(p.inside, s)
		}
	}
	p.apart = slices.ContainsFunc(p.inside, p.inner)
	for _, s := range p.inside {
		for _, other := range p.inside {
			p.apart = p.apart || !slices.ContainsFunc(s.Networks, func(n string) bool { return slices.Contains(other.Networks, n) })
		}
	}
}

// policies keep services apart that have no network in common.
func (p *project) policies() {
	if !p.apart {
		return
	}
	members := map[string]bool{}
	for _, s := range p.inside {
		for _, n := range s.Networks {
			members[n] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		object, ok := forms.Label(name)
		if !ok {
			continue
		}
		o := service.Policy("network-" + object)
		selector := metav1.LabelSelector{MatchLabels: map[string]string{networkLabel + object: "member"}}
		o.Spec.PodSelector = selector
		o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		o.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &selector}}}}
		at := note.Place{File: p.inside[0].Node.File}
		if n := p.Networks.Get(name); n != nil && n.Line > 0 {
			at = n.Place
		}
		p.Objects = append(p.Objects, service.Object{Place: at, Path: "networks." + name, Value: o})
		p.Notes.Addf(at, note.Changed, "networks."+name, "services that share no network are kept apart by NetworkPolicies, %s among them", o.Name)
	}
	for _, s := range p.inside {
		p.open(s)
	}
}

// inner: all networks of the service are internal.
func (p *project) inner(s *service.Service) bool {
	return !slices.ContainsFunc(s.Networks, func(n string) bool { return !p.Networks.Get(n).Get("internal").Bool() })
}

// open lets everybody reach a service's published ports, and keeps one of internal networks alone from the rest of the world.
func (p *project) open(s *service.Service) {
	var ports []networkingv1.NetworkPolicyPort
	for _, member := range s.Pod.Members {
		for _, published := range member.Published {
			if published.Host != 0 {
				port := intstr.FromInt32(published.Container)
				ports = append(ports, networkingv1.NetworkPolicyPort{Port: &port, Protocol: pointer(published.Protocol)})
			}
		}
	}
	if len(ports) > 0 {
		o := service.Policy(shortened(s.Object + "-published"))
		o.Spec.PodSelector.MatchLabels = s.Selector()
		o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		o.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{Ports: ports}}
		p.Add(s.Field("ports"), o)
	}
	if !p.inner(s) {
		return
	}
	o := service.Policy(shortened(s.Object + "-internal"))
	o.Spec.PodSelector.MatchLabels = s.Selector()
	o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	var to []networkingv1.NetworkPolicyPeer
	for _, n := range s.Networks {
		if object, ok := forms.Label(n); ok {
			to = append(to, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{networkLabel + object: "member"}}})
		}
	}
	// Names are answered by what counts as the pod of a cluster's DNS.
	to = append(to, networkingv1.NetworkPolicyPeer{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}},
		PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
	})
	o.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: to}}
	p.Add(s.Field("networks"), o)
}

// hosts are variables whose value is likely a host.
var hosts = regexp.MustCompile(`(?i)(host|server|addr|address|url|uri|endpoint|broker|upstream)s?$`)

// renamed mends where a service is named by a name that it cannot have, where that is surely a host, and says where it may be.
func (p *project) renamed() {
	for _, s := range p.Services {
		names := s.Former
		if s.Object != s.Name {
			names = append(names, s.Name)
		}
		for _, name := range names {
			host := regexp.MustCompile(`(//|@|,|^)` + regexp.QuoteMeta(name) + `($|[:/,])`)
			word := regexp.MustCompile(`(^|[^A-Za-z0-9_-])` + regexp.QuoteMeta(name) + `($|[^A-Za-z0-9_-])`)
			for _, other := range p.Services {
				rename(other, name, s.Object, host, word)
			}
		}
	}
}

// rename mends one name in what another service is told. host finds it where it is surely one, word where it may be.
func rename(s *service.Service, name, object string, host, word *regexp.Regexp) {
	mend := func(text *string, isHost bool, f service.Field) {
		if !strings.Contains(*text, name) {
			return
		}
		if changed := host.ReplaceAllString(*text, "${1}"+object+"${2}"); changed != *text && (*text != name || isHost) {
			*text = changed
			f.Changed("%s is %s now where it is a host", name, object)
		}
		if word.MatchString(*text) {
			f.Todo("%s is there as a word; where that is the service's name it must be %s", name, object)
		}
	}
	for i := range s.Container.Env {
		e := &s.Container.Env[i]
		mend(&e.Value, hosts.MatchString(e.Name), s.Field("environment").Child(e.Name))
	}
	for i := range s.Container.Args {
		mend(&s.Container.Args[i], false, s.Field("command"))
	}
	for i := range s.Container.Command {
		mend(&s.Container.Command[i], false, s.Field("entrypoint"))
	}
}
