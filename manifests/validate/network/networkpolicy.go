package network

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// Policy checks a defaulted NetworkPolicy as the API server does (Kubernetes, pkg/apis/networking/validation).
func Policy(p *networkingv1.NetworkPolicy) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, p, validation.IsDNS1123Subdomain)
	metadata.Selector(out, "spec.podSelector", &p.Spec.PodSelector)
	for i := range p.Spec.Ingress {
		r := &p.Spec.Ingress[i]
		checkPolicyRule(out, fmt.Sprintf("spec.ingress[%d]", i), "from", r.Ports, r.From)
	}
	for i := range p.Spec.Egress {
		r := &p.Spec.Egress[i]
		checkPolicyRule(out, fmt.Sprintf("spec.egress[%d]", i), "to", r.Ports, r.To)
	}
	for i, t := range p.Spec.PolicyTypes {
		findings.OneOf(out, fmt.Sprintf("spec.policyTypes[%d]", i), t, networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)
	}
	if n := len(p.Spec.PolicyTypes); n > 2 {
		out.Errorf("spec.policyTypes", "there are two, Ingress and Egress, and here are %d", n)
	}
	unused := func(field string, rules int, t networkingv1.PolicyType) {
		if rules > 0 && !slices.Contains(p.Spec.PolicyTypes, t) {
			out.Warnf("spec."+field, "accepted without effect: policyTypes does not name %s", t)
		}
	}
	unused("ingress", len(p.Spec.Ingress), networkingv1.PolicyTypeIngress)
	unused("egress", len(p.Spec.Egress), networkingv1.PolicyTypeEgress)
	return out.Problems
}

// checkPolicyRule checks a rule, whose peers stand in the field named side.
func checkPolicyRule(out *findings.Collector, at, side string, ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer) {
	for i := range ports {
		checkPolicyPort(out, fmt.Sprintf("%s.ports[%d]", at, i), &ports[i])
	}
	for i := range peers {
		checkPeer(out, fmt.Sprintf("%s.%s[%d]", at, side, i), &peers[i])
	}
}

func checkPolicyPort(out *findings.Collector, at string, p *networkingv1.NetworkPolicyPort) {
	if strings.HasPrefix(strings.ToUpper(string(*p.Protocol)), "ICMP") {
		out.Errorf(at+".protocol", "rules of ports are of TCP, UDP and SCTP; a rule without ports is of all protocols")
	} else {
		checkProtocol(out, at+".protocol", *p.Protocol)
	}
	switch {
	case p.Port == nil:
		if p.EndPort != nil {
			out.Errorf(at+".endPort", "it ends the range that port begins, and there is no port")
		}
	case p.Port.Type == intstr.String:
		checkNamedPort(out, at+".port", p.Port.StrVal)
		if p.EndPort != nil {
			out.Errorf(at+".endPort", "it goes with a number in port, not with a name")
		}
	default:
		checkPort(out, at+".port", p.Port.IntVal)
		if p.EndPort == nil {
			break
		}
		checkPort(out, at+".endPort", *p.EndPort)
		if *p.EndPort < p.Port.IntVal {
			out.Errorf(at+".endPort", "it is below port (%d)", p.Port.IntVal)
		}
	}
}

func checkPeer(out *findings.Collector, at string, p *networkingv1.NetworkPolicyPeer) {
	if p.PodSelector != nil {
		metadata.Selector(out, at+".podSelector", p.PodSelector)
	}
	if p.NamespaceSelector != nil {
		metadata.Selector(out, at+".namespaceSelector", p.NamespaceSelector)
	}
	switch {
	case p.IPBlock == nil && p.PodSelector == nil && p.NamespaceSelector == nil:
		out.Errorf(at, "a peer has podSelector, namespaceSelector or ipBlock; for everybody leave the list away, for all pods write namespaceSelector: {}")
	case p.IPBlock == nil:
	case p.PodSelector != nil || p.NamespaceSelector != nil:
		out.Errorf(at, "ipBlock excludes podSelector and namespaceSelector; make it an entry of its own")
	default:
		checkBlock(out, at+".ipBlock", p.IPBlock)
	}
}

func checkBlock(out *findings.Collector, at string, b *networkingv1.IPBlock) {
	whole, ok := checkPrefix(out, at+".cidr", &b.CIDR)
	for i := range b.Except {
		in := fmt.Sprintf("%s.except[%d]", at, i)
		part, valid := checkPrefix(out, in, &b.Except[i])
		if ok && valid && (!whole.Contains(part.Addr()) || part.Bits() <= whole.Bits()) {
			out.Errorf(in, "%s must lie within %s, and be smaller", part, whole)
		}
	}
}
