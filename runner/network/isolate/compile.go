package isolate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Compile makes the rules. It fails at a policy that validation would not have let through.
func Compile(p Policies) (*Rules, error) {
	c := compiler{pods: slices.Clone(p.Pods), namespaces: p.Namespaces}
	c.isolated = len(c.pods)
	if len(p.DNS) > 0 {
		c.pods = append(c.pods, dnsPod(p.DNS))
	}
	for _, policy := range p.Policies {
		s, err := c.statement(policy)
		if err != nil {
			return nil, fmt.Errorf("cannot enforce the NetworkPolicy %s/%s: %w", policy.Namespace, policy.Name, err)
		}
		c.statements = append(c.statements, s)
	}
	r := &Rules{V4: newFamily(), V6: newFamily()}
	for _, pod := range c.pods[:c.isolated] {
		c.isolate(r, pod)
	}
	if r.Empty() {
		return &Rules{V4: newFamily(), V6: newFamily()}, nil
	}
	r.Ports = fences(r, c.pods[:c.isolated])
	return r, nil
}

func newFamily() Family {
	return Family{Egress: map[netip.Addr]string{}, Ingress: map[netip.Addr]string{}, Chains: map[string][]Rule{}, Sets: map[string]Set{}}
}

// compiler has what rules are made of.
type compiler struct {
	pods       []Pod
	isolated   int // so many of the pods can be; the others are peers only
	namespaces map[string]map[string]string
	statements []statement
}

// statement is a policy whose selectors were read.
type statement struct {
	namespace       string
	pods            labels.Selector
	ingress, egress []allowance
	// judges says which directions the policy is for.
	judgesIngress, judgesEgress bool
}

// allowance is a rule of a policy.
type allowance struct {
	// all: of every address.
	all    bool
	peers  []peer
	ranges []Range
	ports  []networkingv1.NetworkPolicyPort
}

// peer is a selector of pods.
type peer struct {
	namespace  string // the policy's, where namespaces is nil
	namespaces labels.Selector
	pods       labels.Selector
}

// String tells what the peer selects: the same for all that select the same.
func (p peer) String() string {
	if p.namespaces == nil {
		return p.namespace + "/" + p.pods.String()
	}
	return "(" + p.namespaces.String() + ")/" + p.pods.String()
}

func (c *compiler) statement(p *networkingv1.NetworkPolicy) (s statement, err error) {
	s.namespace = p.Namespace
	if s.pods, err = selector(&p.Spec.PodSelector); err != nil {
		return s, err
	}
	s.judgesIngress, s.judgesEgress = directions(&p.Spec)
	for _, r := range p.Spec.Ingress {
		a, err := allow(p.Namespace, r.From, r.Ports)
		if err != nil {
			return s, err
		}
		s.ingress = append(s.ingress, a)
	}
	for _, r := range p.Spec.Egress {
		a, err := allow(p.Namespace, r.To, r.Ports)
		if err != nil {
			return s, err
		}
		s.egress = append(s.egress, a)
	}
	return s, nil
}

// directions are those that a policy is for. Without policyTypes it is for ingress, and for egress where it has rules of that (the API
// server's defaults).
func directions(s *networkingv1.NetworkPolicySpec) (ingress, egress bool) {
	if len(s.PolicyTypes) == 0 {
		return true, len(s.Egress) > 0
	}
	return slices.Contains(s.PolicyTypes, networkingv1.PolicyTypeIngress), slices.Contains(s.PolicyTypes, networkingv1.PolicyTypeEgress)
}

func selector(s *metav1.LabelSelector) (labels.Selector, error) {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("its selector cannot be read: %w", err)
	}
	return out, nil
}

func allow(namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) (a allowance, err error) {
	a.ports, a.all = ports, len(peers) == 0
	for _, p := range peers {
		if p.IPBlock != nil {
			ranges, err := blockRanges(p.IPBlock)
			if err != nil {
				return a, err
			}
			a.ranges = append(a.ranges, ranges...)
			continue
		}
		one := peer{namespace: namespace, pods: labels.Everything()}
		if p.PodSelector != nil {
			if one.pods, err = selector(p.PodSelector); err != nil {
				return a, err
			}
		}
		if p.NamespaceSelector != nil {
			if one.namespaces, err = selector(p.NamespaceSelector); err != nil {
				return a, err
			}
		}
		a.peers = append(a.peers, one)
	}
	return a, nil
}

// isolate adds the chains of a pod.
func (c *compiler) isolate(r *Rules, pod Pod) {
	var ingress, egress []allowance
	var hasIngress, hasEgress bool
	for _, s := range c.statements {
		if s.namespace != pod.Namespace || !s.pods.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if s.judgesIngress {
			hasIngress, ingress = true, append(ingress, s.ingress...)
		}
		if s.judgesEgress {
			hasEgress, egress = true, append(egress, s.egress...)
		}
	}
	for _, ip := range pod.Addrs {
		f := r.family(ip)
		if hasIngress {
			f.place(f.Ingress, ip, "in", c.rules(f, ip.Is4(), ingress, &pod))
		}
		if hasEgress {
			f.place(f.Egress, ip, "out", c.rules(f, ip.Is4(), egress, nil))
		}
	}
}

// place gives an address the chain of its rules. Whoever may do everything needs none.
func (f *Family) place(chains map[netip.Addr]string, ip netip.Addr, direction string, rules []Rule) {
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Peers == "" && r.Protocol == 0 && r.Targets == "" }) {
		return
	}
	name := direction + "-" + digest(rules)
	f.Chains[name] = rules
	chains[ip] = name
}

// digest tells values from others. It is short for the sake of who lists the tables; nobody gains by two that are alike, but who writes the
// policies anyway.
func digest(of any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v", of))
	return hex.EncodeToString(sum[:8])
}

// rules are those of a pod in one direction; receiver is the pod at ingress.
func (c *compiler) rules(f *Family, is4 bool, allowances []allowance, receiver *Pod) (out []Rule) {
	for _, a := range allowances {
		for _, r := range c.allowed(f, is4, a, receiver) {
			if !slices.ContainsFunc(out, func(o Rule) bool { return digest(o) == digest(r) }) {
				out = append(out, r)
			}
		}
	}
	return out
}

func (c *compiler) allowed(f *Family, is4 bool, a allowance, receiver *Pod) (out []Rule) {
	byProtocol, names := numbered(a.ports, receiver)
	for _, peers := range c.peers(f, is4, a) {
		if len(a.ports) == 0 {
			out = append(out, Rule{Peers: peers})
		}
		for _, protocol := range slices.Sorted(maps.Keys(byProtocol)) {
			out = append(out, Rule{Peers: peers, Protocol: protocol, Ports: byProtocol[protocol]})
		}
	}
	for _, n := range names {
		out = append(out, Rule{Targets: c.targets(f, is4, a, n)})
	}
	return out
}

// protocols are the numbers of IANA.
var protocols = map[v1.Protocol]byte{v1.ProtocolTCP: unix.IPPROTO_TCP, v1.ProtocolUDP: unix.IPPROTO_UDP, v1.ProtocolSCTP: unix.IPPROTO_SCTP}

// named is a port whose number depends on the receiver.
type named struct {
	protocol v1.Protocol
	name     string
}

// numbered are the ports of an allowance by protocol, with no spans where a protocol is allowed as a whole. Names are looked up at the
// receiver; without one they are left.
func numbered(ports []networkingv1.NetworkPolicyPort, receiver *Pod) (byProtocol map[byte][]Span, left []named) {
	byProtocol, whole := map[byte][]Span{}, map[byte]bool{}
	for _, p := range ports {
		protocol := v1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		number := protocols[protocol]
		switch {
		case number == 0: // none that a pod could be reached by
		case p.Port == nil:
			byProtocol[number], whole[number] = nil, true
		case p.Port.Type == intstr.Int:
			if p.Port.IntVal < 1 || p.Port.IntVal > 1<<16-1 {
				continue
			}
			s := Span{uint16(p.Port.IntVal), uint16(p.Port.IntVal)}
			if p.EndPort != nil {
				s.Last = uint16(*p.EndPort)
			}
			byProtocol[number] = append(byProtocol[number], s)
		case receiver == nil:
			left = append(left, named{protocol, p.Port.StrVal})
		default:
			for _, has := range receiver.Ports {
				if has.Name == p.Port.StrVal && has.Protocol == protocol {
					byProtocol[number] = append(byProtocol[number], Span{has.Port, has.Port})
				}
			}
		}
	}
	for number, spans := range byProtocol {
		if byProtocol[number] = mergeSpans(spans); whole[number] {
			byProtocol[number] = nil
		}
	}
	return byProtocol, left
}

// peers are the sets of an allowance in one family, which it adds; "" means all.
func (c *compiler) peers(f *Family, is4 bool, a allowance) (out []string) {
	ranges := ofFamily(a.ranges, is4)
	if a.all || everything(ranges) {
		return []string{""}
	}
	if len(ranges) > 0 {
		name := "blocks-" + digest(ranges)
		f.Sets[name] = Set{Ranges: ranges}
		out = append(out, name)
	}
	if len(a.peers) > 0 {
		name := "pods-" + digest(identity(a.peers))
		if _, known := f.Sets[name]; !known {
			set := Set{}
			for _, pod := range c.pods {
				if !c.selects(a.peers, &pod) {
					continue
				}
				for _, ip := range pod.Addrs {
					if ip.Is4() == is4 {
						set.Addrs = append(set.Addrs, ip)
					}
				}
			}
			set.Addrs = ordered(set.Addrs)
			f.Sets[name] = set
		}
		out = append(out, name)
	}
	return out
}

// targets is a set of the ports of a name that the pods of an allowance have.
func (c *compiler) targets(f *Family, is4 bool, a allowance, n named) string {
	ranges := ofFamily(a.ranges, is4)
	name := "ports-" + digest([]any{a.all, identity(a.peers), ranges, n})
	if _, known := f.Sets[name]; known {
		return name
	}
	set := Set{Targets: []Target{}}
	for _, pod := range c.pods {
		selected := a.all || c.selects(a.peers, &pod)
		for _, ip := range pod.Addrs {
			if ip.Is4() != is4 || !selected && !(Set{Ranges: ranges}).has(ip) {
				continue
			}
			for _, p := range pod.Ports {
				if p.Name == n.name && p.Protocol == n.protocol {
					set.Targets = append(set.Targets, Target{ip, protocols[p.Protocol], p.Port})
				}
			}
		}
	}
	slices.SortFunc(set.Targets, func(a, b Target) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	set.Targets = slices.Compact(set.Targets)
	f.Sets[name] = set
	return name
}

// identity tells peers that select others from each other, whatever pods there are.
func identity(peers []peer) []string {
	var out []string
	for _, p := range peers {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *compiler) selects(peers []peer, pod *Pod) bool {
	return slices.ContainsFunc(peers, func(p peer) bool {
		if p.namespaces == nil && p.namespace != pod.Namespace || p.namespaces != nil && !p.namespaces.Matches(c.labelsOf(pod.Namespace)) {
			return false
		}
		return p.pods.Matches(labels.Set(pod.Labels))
	})
}

// labelsOf are a namespace's. Each has one of its name, which nobody can change (v1.LabelMetadataName).
func (c *compiler) labelsOf(namespace string) labels.Set {
	out := labels.Set{v1.LabelMetadataName: namespace}
	for k, v := range c.namespaces[namespace] {
		if k != v1.LabelMetadataName {
			out[k] = v
		}
	}
	return out
}

func ofFamily(ranges []Range, is4 bool) []Range {
	return merge(slices.DeleteFunc(slices.Clone(ranges), func(r Range) bool { return r.First.Is4() != is4 }))
}

func ordered(ips []netip.Addr) []netip.Addr {
	slices.SortFunc(ips, netip.Addr.Compare)
	return slices.Compact(ips)
}

// fences are the places of the pods.
func fences(r *Rules, pods []Pod) (out []Fence) {
	for _, p := range pods {
		if p.Place.Interface == "" {
			continue
		}
		f := Fence{Place: p.Place, Addrs: ordered(slices.Clone(p.Addrs))}
		for _, ip := range p.Addrs {
			f.Egress = f.Egress || r.family(ip).Egress[ip] != ""
			f.Ingress = f.Ingress || r.family(ip).Ingress[ip] != ""
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Fence) int { return strings.Compare(a.Interface, b.Interface) })
	return out
}
