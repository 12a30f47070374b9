package service

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/tree"
)

func portsOf(f Field) {
	for _, item := range f.Items() {
		got, err := portOf(item)
		if err != nil {
			item.Failed("%v", err)
			continue
		}
		for _, p := range got {
			if p.Host == 0 {
				item.Changed("port %d is not published: Docker would take any free port of the machine; give it one (8080:%d)", p.Container, p.Container)
			}
		}
		f.Of.Published = append(f.Of.Published, got...)
	}
}

func portOf(f Field) ([]forms.Published, error) {
	if f.Kind != tree.Map {
		return forms.Ports(f.Text())
	}
	p := forms.Published{Protocol: v1.ProtocolTCP}
	var err error
	if text := f.Get("protocol").Text(); text != "" {
		if p.Protocol, err = forms.Protocol(text); err != nil {
			return nil, err
		}
	}
	if ip := f.Get("host_ip").Text(); ip != "" {
		if p.IP, err = forms.Address(ip); err != nil {
			return nil, err
		}
	}
	return forms.Spread(p, f.Get("published").Text(), f.Get("target").Text())
}

func expose(f Field) {
	for _, item := range f.Items() {
		got, err := forms.Ports(item.Text())
		if err != nil {
			item.Failed("%v", err)
			continue
		}
		f.Of.Published = append(f.Of.Published, got...)
	}
}

// alias has the service found by another name, too.
func (s *Service) alias(f Field, name string) {
	object, ok := forms.Label(name)
	switch {
	case !ok || object != name:
		f.Lost("%q cannot be the name of a Service; the others reach it as %s", name, s.Object)
		if ok {
			s.Former = append(s.Former, name)
		}
	case object != s.Object && !slices.Contains(s.Aliases, object):
		s.Aliases = append(s.Aliases, object)
	}
}

func hostname(f Field) {
	host, domain, _ := strings.Cut(f.Text(), ".")
	name, ok := forms.Label(host)
	if !ok {
		f.Failed("%q is no host name", host)
		return
	}
	if name != host || domain != "" {
		f.Changed("a pod's host name is a word of small letters, digits and '-': %s", name)
	}
	f.Of.Pod.Spec.Hostname = name
}

func networks(f Field) {
	for _, e := range f.Entries {
		n := Field{e.Value, f.Of, f.Path + "." + e.Key}
		f.Of.Networks = append(f.Of.Networks, e.Key)
		for _, key := range e.Value.Entries {
			switch v := n.Child(key.Key); key.Key {
			case "aliases":
				for _, a := range v.Items() {
					f.Of.alias(a, a.Text())
				}
			case "priority", "gw_priority":
			default:
				v.Lost("addresses and the like are given by the machine; others reach it by its name")
			}
		}
	}
}

func networkMode(f Field) {
	switch mode := f.Text(); {
	case mode == "host":
		f.Of.Pod.Spec.HostNetwork = true
		f.Of.Pod.Spec.DNSPolicy = v1.DNSClusterFirstWithHostNet
	case mode == "bridge", mode == "", strings.HasPrefix(mode, "service:"):
	case mode == "none":
		o := Policy(f.Of.Object + "-isolated")
		o.Spec.PodSelector.MatchLabels = f.Of.Selector()
		o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		f.Of.Project.Add(f, o)
		f.Changed("a NetworkPolicy lets nobody reach it, nor it anybody: a pod without a network is none")
	case strings.HasPrefix(mode, "container:"):
		f.Failed("the network of a container elsewhere cannot be joined; make both services of one file")
	default:
		f.Lost("all pods are on one bridge, or where a CNI configuration puts them")
	}
}

// Policy makes a NetworkPolicy.
func Policy(name string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func links(f Field) {
	for _, item := range f.Items() {
		name, alias, named := strings.Cut(item.Text(), ":")
		other := f.Of.Project.ByName[name]
		switch {
		case other == nil:
			item.Lost("the service %s does not exist, or was left out", name)
		case named:
			other.alias(item, alias)
		}
	}
}

func extraHosts(f Field) {
	byAddress := map[string][]string{}
	add := func(at Field, name, ip string) {
		a, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(ip), "[]"))
		switch {
		case ip == "host-gateway":
			at.Lost("the machine's address is not known to a manifest; a variable of the environment can have it (fieldRef: status.hostIP)")
		case err != nil:
			at.Failed("%q is no address", ip)
		default:
			byAddress[a.String()] = append(byAddress[a.String()], name)
		}
	}
	for _, e := range f.Entries {
		v := Field{e.Value, f.Of, f.Path + "." + e.Key}
		for _, ip := range v.Texts() {
			add(v, e.Key, ip)
		}
	}
	for _, item := range f.Items() {
		if item.Kind != tree.Scalar {
			continue
		}
		name, ip, ok := strings.Cut(item.Text(), "=")
		if !ok {
			name, ip, _ = strings.Cut(item.Text(), ":")
		}
		add(item, strings.TrimSpace(name), ip)
	}
	for _, ip := range slices.Sorted(maps.Keys(byAddress)) {
		f.Of.Pod.Spec.HostAliases = append(f.Of.Pod.Spec.HostAliases, v1.HostAlias{IP: ip, Hostnames: byAddress[ip]})
	}
}

func dns(f Field) {
	spec := &f.Of.Pod.Spec
	if spec.DNSConfig == nil {
		spec.DNSConfig = &v1.PodDNSConfig{}
	}
	switch c := spec.DNSConfig; {
	case strings.HasSuffix(f.Path, ".dns"):
		c.Nameservers = append(c.Nameservers, f.Texts()...)
		f.Changed("the servers are asked beside those of the machine; with dnsPolicy: None they alone are, and names of services are not found")
	case strings.HasSuffix(f.Path, ".dns_search"):
		c.Searches = append(c.Searches, f.Texts()...)
	default:
		for _, text := range f.Texts() {
			name, value, ok := strings.Cut(text, ":")
			o := v1.PodDNSConfigOption{Name: name}
			if ok {
				o.Value = &value
			}
			c.Options = append(c.Options, o)
		}
	}
}

// Selector finds the pods of the service.
func (s *Service) Selector() map[string]string { return map[string]string{"app": s.Pod.Owner.Object} }
