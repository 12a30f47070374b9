package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/solopod/solopod/api"
)

// describeNetworkPolicy writes what kubectl's command does, and the pods that the policy is for.
func describeNetworkPolicy(ctx context.Context, c *api.Client, d *describer, p *networkingv1.NetworkPolicy) error {
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil {
		return fmt.Errorf("cannot read the policy's podSelector: %w", err)
	}
	pods, err := c.Pods(ctx)
	if err != nil {
		return err
	}
	events, err := c.Events(ctx)
	if err != nil {
		return err
	}
	d.networkPolicy(p, coveredPods(p.Namespace, selector, pods))
	d.events(events, func(of *v1.ObjectReference) bool {
		return of.Kind == "NetworkPolicy" && of.Namespace == p.Namespace && of.Name == p.Name
	})
	return nil
}

// coveredPods are the names of the pods that a policy of the namespace is for. Those with the machine's network are not in any: to the
// kernel they are the machine.
func coveredPods(namespace string, selector labels.Selector, pods []v1.Pod) (names []string) {
	for i := range pods {
		if pod := &pods[i]; pod.Namespace == namespace && !pod.Spec.HostNetwork && selector.Matches(labels.Set(pod.Labels)) {
			names = append(names, pod.Name)
		}
	}
	return names
}

func (d *describer) networkPolicy(p *networkingv1.NetworkPolicy, pods []string) {
	d.heading(&p.ObjectMeta)
	if !p.CreationTimestamp.IsZero() {
		d.line("Created on", "%s", p.CreationTimestamp.Format(time.RFC1123Z))
	}
	d.b.WriteString("Spec:\n")
	coverage := ""
	if len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) == 0 {
		coverage = " (all pods of the namespace)"
	}
	d.rule(1, "PodSelector:     %s%s", metav1.FormatLabelSelector(&p.Spec.PodSelector), coverage)
	if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
		d.rule(1, "Allowing ingress traffic:")
		rules := make([]trafficRule, len(p.Spec.Ingress))
		for i, r := range p.Spec.Ingress {
			rules[i] = trafficRule{r.Ports, r.From}
		}
		d.rules("ingress", "From", "source", rules)
	} else {
		d.rule(1, "Not affecting ingress traffic")
	}
	if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		d.rule(1, "Allowing egress traffic:")
		rules := make([]trafficRule, len(p.Spec.Egress))
		for i, r := range p.Spec.Egress {
			rules[i] = trafficRule{r.Ports, r.To}
		}
		d.rules("egress", "To", "destination", rules)
	} else {
		d.rule(1, "Not affecting egress traffic")
	}
	types := make([]string, len(p.Spec.PolicyTypes))
	for i, t := range p.Spec.PolicyTypes {
		types[i] = string(t)
	}
	d.rule(1, "Policy Types: %s", strings.Join(types, ", "))
	d.line("Pods", "%s", orNone(strings.Join(pods, ", ")))
}

// trafficRule is a rule of either direction.
type trafficRule struct {
	ports []networkingv1.NetworkPolicyPort
	peers []networkingv1.NetworkPolicyPeer
}

// rule writes a line of a policy's spec.
func (d *describer) rule(depth int, format string, args ...any) {
	d.b.WriteString(strings.Repeat("  ", depth-1))
	d.item(format, args...)
}

func (d *describer) rules(direction, way, end string, rules []trafficRule) {
	if len(rules) == 0 {
		d.rule(2, "<none> (Selected pods are isolated for %s connectivity)", direction)
	}
	for i, r := range rules {
		if i > 0 {
			d.rule(2, "----------")
		}
		if len(r.ports) == 0 {
			d.rule(2, "To Port: <any> (traffic allowed to all ports)")
		}
		for _, p := range r.ports {
			what := "To Port"
			if p.EndPort != nil {
				what = "To Port Range"
			}
			d.rule(2, "%s: %s", what, policyPort(&p))
		}
		if len(r.peers) == 0 {
			d.rule(2, "%s: <any> (traffic not restricted by %s)", way, end)
		}
		for _, p := range r.peers {
			d.rule(2, "%s:", way)
			d.peer(&p)
		}
	}
}

func policyPort(p *networkingv1.NetworkPolicyPort) string {
	port, protocol := "<any>", v1.ProtocolTCP
	if p.Protocol != nil {
		protocol = *p.Protocol
	}
	if p.Port != nil {
		port = p.Port.String()
	}
	if p.EndPort != nil {
		port += fmt.Sprintf("-%d", *p.EndPort)
	}
	return port + "/" + string(protocol)
}

func (d *describer) peer(p *networkingv1.NetworkPolicyPeer) {
	if b := p.IPBlock; b != nil {
		d.rule(3, "IPBlock:")
		d.rule(4, "CIDR: %s", b.CIDR)
		if len(b.Except) > 0 {
			d.rule(4, "Except: %s", strings.Join(b.Except, ", "))
		}
	}
	if p.NamespaceSelector != nil {
		d.rule(3, "NamespaceSelector: %s", peerSelector(p.NamespaceSelector, "all namespaces"))
	}
	if p.PodSelector != nil {
		d.rule(3, "PodSelector: %s", peerSelector(p.PodSelector, "all pods"))
	}
}

// peerSelector is a selector as text; one without requirements takes all.
func peerSelector(s *metav1.LabelSelector, all string) string {
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return "<none> (" + all + ")"
	}
	return metav1.FormatLabelSelector(s)
}
