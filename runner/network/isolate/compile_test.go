package isolate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func policy(t testing.TB, namespace, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("%v\n%s", err, spec)
	}
	p.Namespace, p.Name = namespace, "policy"
	return p
}

// box has some pods, each with an address of both families that end with the same number.
func box() Policies {
	pod := func(n int, namespace, app string, ports ...Port) Pod {
		return Pod{UID: fmt.Sprint(n), Namespace: namespace, Name: fmt.Sprint(app, n), Labels: map[string]string{"app": app, "n": fmt.Sprint(n)},
			Addrs: []netip.Addr{addr(fmt.Sprintf("10.0.0.%d", n)), addr(fmt.Sprintf("fd00::%d", n))}, Ports: ports}
	}
	return Policies{
		Namespaces: map[string]map[string]string{"shop": {"team": "a"}, "mail": {"team": "b", v1.LabelMetadataName: "a lie"}},
		DNS:        []netip.Addr{addr("10.96.0.10")},
		Pods: []Pod{
			pod(1, "shop", "web", Port{"http", v1.ProtocolTCP, 80}, Port{"quic", v1.ProtocolUDP, 443}), pod(2, "shop", "db"),
			pod(3, "mail", "web", Port{"http", v1.ProtocolTCP, 8080}), pod(4, "mail", "relay"), pod(5, "bare", "web"),
		},
	}
}

const tcp, udp, sctp, icmp = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_ICMP

// What is allowed by what: each line is a flow, "sender > receiver protocol/port", by the last numbers of addresses; what is not listed among
// these that are asked is refused.
func TestCompile(t *testing.T) {
	asked := strings.Fields("1>2/6/80 2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 3>1/6/80 4>1/6/80 5>1/6/80 9>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80")
	for name, c := range map[string]struct {
		spec string
		want string // of the asked that concern pod 1 of the namespace shop, in one family or both
	}{
		"nothing selected":   {`{podSelector: {matchLabels: {app: nobody}}}`, strings.Join(asked, " ")},
		"ingress is default": {`{podSelector: {matchLabels: {app: web}}}`, "1>2/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"egress by its rules": {`{podSelector: {matchLabels: {app: web}}, egress: [{to: [{podSelector: {}}]}]}`,
			"1>2/6/80 1>1/6/80 4>2/6/80"},
		"egress alone": {`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`,
			"2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 3>1/6/80 4>1/6/80 5>1/6/80 9>1/6/80 1>1/6/80 4>2/6/80"},
		"all of the namespace": {`{podSelector: {}, ingress: [{}]}`, strings.Join(asked, " ")},
		"pods of the namespace": {`{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`,
			"1>2/6/80 2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80"},
		"a namespace by its label": {`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}`,
			"1>2/6/80 3>1/6/80 4>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"a namespace by its name": {`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: mail}}}]}]}`,
			"1>2/6/80 3>1/6/80 4>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"pods of a namespace": {`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}, podSelector: {matchLabels: {app: relay}}}]}]}`,
			"1>2/6/80 4>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"every namespace": {`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}]}]}`,
			"1>2/6/80 2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 3>1/6/80 4>1/6/80 5>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"expressions": {`{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, x]}, {key: gone, operator: DoesNotExist}]},
			ingress: [{from: [{podSelector: {matchExpressions: [{key: n, operator: NotIn, values: ["1"]}, {key: app, operator: Exists}]}}]}]}`,
			"1>2/6/80 2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"ports": {`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 81, endPort: 90}, {port: 443, protocol: UDP}, {protocol: SCTP}]}]}`,
			"1>2/6/80 2>1/6/81 2>1/17/443 2>1/132/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"a port's name at the receiver": {`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http}, {port: quic, protocol: UDP}, {port: nobody}]}]}`,
			"1>2/6/80 2>1/6/80 2>1/17/443 3>1/6/80 4>1/6/80 5>1/6/80 9>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"a port's name of another protocol": {`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http, protocol: UDP}]}]}`,
			"1>2/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"a port's name at all receivers": {`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`,
			"2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 3>1/6/80 4>1/6/80 5>1/6/80 9>1/6/80 1>3/6/8080 1>1/6/80 4>2/6/80"},
		"a port's name in blocks": {`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}, {ipBlock: {cidr: "fd00::/64"}}], ports: [{port: http}]}]}`,
			"2>1/6/80 2>1/6/81 2>1/17/443 2>1/132/80 2>1/1/0 3>1/6/80 4>1/6/80 5>1/6/80 9>1/6/80 1>3/6/8080 1>1/6/80 4>2/6/80"},
		"a block with exceptions": {`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.2/31, 10.0.0.9/32]}},
			{ipBlock: {cidr: "fd00::/16", except: ["fd00::2/127", "fd00::9/128"]}}]}]}`,
			"1>2/6/80 4>1/6/80 5>1/6/80 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
		"a block of everything, and ports": {`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0"}}], ports: [{port: 81}]}]}`,
			"1>2/6/80 2>1/6/81 1>3/6/8080 1>3/6/80 1>9/6/80 1>5/6/80 1>1/6/80 4>2/6/80"},
	} {
		p := box()
		p.Policies = []*networkingv1.NetworkPolicy{policy(t, "shop", c.spec)}
		r, err := Compile(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, family := range []string{"10.0.0.%d", "fd00::%d"} {
			var got []string
			for _, a := range asked {
				if r.Allows(flow(t, a, family), false) {
					got = append(got, a)
				}
				if !r.Allows(flow(t, a, family), true) {
					t.Errorf("%s: the machine may not %s", name, a)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, %s:\n%s instead of\n%s", name, family, strings.Join(got, " "), c.want)
			}
		}
	}
}

func flow(t *testing.T, text, family string) (f Flow) {
	t.Helper()
	var from, to int
	if _, err := fmt.Sscanf(text, "%d>%d/%d/%d", &from, &to, &f.Protocol, &f.Port); err != nil {
		t.Fatal(err)
	}
	f.From, f.To = addr(fmt.Sprintf(family, from)), addr(fmt.Sprintf(family, to))
	return f
}

// Policies add up, each direction for itself.
func TestPoliciesAddUp(t *testing.T) {
	p := box()
	p.Policies = []*networkingv1.NetworkPolicy{
		policy(t, "shop", `{podSelector: {}, policyTypes: [Ingress, Egress]}`),
		policy(t, "shop", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}`),
		policy(t, "shop", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`),
		policy(t, "shop", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}],
			ports: [{port: dns, protocol: UDP}, {port: 53}]}]}`),
	}
	r, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"1>2/6/5432": true, "1>2/6/80": false, "2>1/6/80": false, "1>9/6/80": false, "3>1/6/80": false, "3>4/6/80": true} {
		if got := r.Allows(flow(t, text, "10.0.0.%d"), false); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	for f, want := range map[Flow]bool{
		{addr("10.0.0.1"), addr("10.96.0.10"), udp, 53}: true, {addr("10.0.0.2"), addr("10.96.0.10"), tcp, 53}: true,
		{addr("10.0.0.1"), addr("10.96.0.10"), udp, 54}: false, {addr("10.0.0.1"), addr("10.96.0.11"), udp, 53}: false,
	} {
		if got := r.Allows(f, false); got != want {
			t.Errorf("%v: %t", f, got)
		}
	}
}

// Nothing is written where no policy selects a pod, nor for one that may do everything.
func TestNothingToEnforce(t *testing.T) {
	for name, spec := range map[string]string{
		"nobody": `{podSelector: {matchLabels: {app: nobody}}}`, "everything": `{podSelector: {}, ingress: [{}], egress: [{}]}`,
	} {
		p := box()
		p.Policies = []*networkingv1.NetworkPolicy{policy(t, "shop", spec), policy(t, "elsewhere", `{podSelector: {}}`)}
		r, err := Compile(p)
		if err != nil || !r.Empty() || len(r.Ports) > 0 || len(r.V4.Sets)+len(r.V6.Chains) > 0 {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// A selector that validation would not let through is no reason to allow something.
func TestCompileRefuses(t *testing.T) {
	for _, spec := range []string{
		`{podSelector: {matchExpressions: [{key: app, operator: Like, values: [web]}]}}`,
		`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {"a b": c}}}]}]}`,
		`{podSelector: {}, egress: [{to: [{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}]}]}`,
		`{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0}}]}]}`,
		`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]}`,
	} {
		p := box()
		p.Policies = []*networkingv1.NetworkPolicy{policy(t, "shop", spec)}
		if r, err := Compile(p); err == nil || !strings.Contains(err.Error(), "shop/policy") {
			t.Errorf("%s: %v, %v", spec, r, err)
		}
	}
}

// A pod that comes or goes changes elements of sets, and no chain.
func TestChainsStay(t *testing.T) {
	p := box()
	p.Policies = []*networkingv1.NetworkPolicy{policy(t, "shop", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 80}]}],
		egress: [{ports: [{port: http}]}]}`)}
	r, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	less := p
	less.Pods = p.Pods[1:]
	r2, err := Compile(less)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.V4.Chains, r2.V4.Chains) || len(r.V4.Chains) != 2 || len(r2.V4.Ingress) != 1 {
		t.Errorf("the chains are %v, then %v", r.V4.Chains, r2.V4.Chains)
	}
	if !r2.Narrower(r) || r.Narrower(r) {
		t.Error("one who may send less is not seen")
	}
	again, err := Compile(p)
	if err != nil || !reflect.DeepEqual(r, again) {
		t.Errorf("the same policies become others: %v", err)
	}
}

func TestBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		cidr   string
		except []string
		want   string
	}{
		"whole":             {"10.1.2.3/24", nil, "10.1.2.0-10.1.2.255"},
		"everything":        {"0.0.0.0/0", nil, "0.0.0.0-255.255.255.255"},
		"the beginning":     {"10.0.0.0/24", []string{"10.0.0.0/25"}, "10.0.0.128-10.0.0.255"},
		"the end":           {"10.0.0.0/24", []string{"10.0.0.128/25"}, "10.0.0.0-10.0.0.127"},
		"the middle":        {"10.0.0.0/24", []string{"10.0.0.7/32", "10.0.0.9/32"}, "10.0.0.0-10.0.0.6 10.0.0.8-10.0.0.8 10.0.0.10-10.0.0.255"},
		"overlapping":       {"10.0.0.0/24", []string{"10.0.0.0/25", "10.0.0.64/26"}, "10.0.0.128-10.0.0.255"},
		"all of it":         {"10.0.0.0/24", []string{"10.0.0.0/24"}, ""},
		"another family":    {"10.0.0.0/24", []string{"::/0"}, "10.0.0.0-10.0.0.255"},
		"the last address":  {"255.255.255.0/24", []string{"255.255.255.255/32"}, "255.255.255.0-255.255.255.254"},
		"the first address": {"::/0", []string{"::/128", "ffff::/16"}, "::1-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		ranges, err := blockRanges(&networkingv1.IPBlock{CIDR: c.cidr, Except: c.except})
		var got []string
		for _, r := range merge(ranges) {
			got = append(got, fmt.Sprintf("%s-%s", r.First, r.Last))
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// Ports that a pod's names stand for are those of all that run as long as the pod does.
func TestPodOf(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "uid", Labels: map[string]string{"app": "web"}}, Spec: v1.PodSpec{
		InitContainers: []v1.Container{
			{Ports: []v1.ContainerPort{{Name: "once", ContainerPort: 1}}},
			{RestartPolicy: &always, Ports: []v1.ContainerPort{{Name: "metrics", ContainerPort: 9090}}},
		},
		Containers: []v1.Container{{Ports: []v1.ContainerPort{{ContainerPort: 79}, {Name: "http", ContainerPort: 80, Protocol: v1.ProtocolTCP}, {Name: "dns", ContainerPort: 53, Protocol: v1.ProtocolUDP}}}},
	}}
	want := Pod{UID: "uid", Namespace: "ns", Name: "web", Labels: map[string]string{"app": "web"},
		Ports: []Port{{"metrics", v1.ProtocolTCP, 9090}, {"http", v1.ProtocolTCP, 80}, {"dns", v1.ProtocolUDP, 53}}}
	if got := PodOf(pod); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestMergeSpans(t *testing.T) {
	got := mergeSpans([]Span{{443, 443}, {80, 90}, {91, 91}, {85, 99}, {65535, 65535}, {1, 1}, {101, 65534}})
	if want := []Span{{1, 1}, {80, 99}, {101, 65535}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// permitted says what the texts of the API say, pod by pod and rule by rule, without sets and chains.
func permitted(p Policies, f Flow) bool {
	if f.From == f.To {
		return true
	}
	pods := append(slices.Clone(p.Pods), dnsPod(p.DNS))
	at := func(ip netip.Addr) *Pod {
		for i := range pods {
			if slices.Contains(pods[i].Addrs, ip) {
				return &pods[i]
			}
		}
		return nil
	}
	from, to := at(f.From), at(f.To)
	return oneWay(p, from, to, f, networkingv1.PolicyTypeEgress) && oneWay(p, to, from, f, networkingv1.PolicyTypeIngress)
}

func oneWay(p Policies, subject, peer *Pod, f Flow, direction networkingv1.PolicyType) bool {
	selected := false
	for _, policy := range p.Policies {
		s, _ := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if subject == nil || subject.Namespace == "kube-system" || subject.Namespace != policy.Namespace || !s.Matches(labels.Set(subject.Labels)) || !slices.Contains(policy.Spec.PolicyTypes, direction) {
			continue
		}
		selected = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, r := range policy.Spec.Ingress {
				if isPeer(p, policy.Namespace, r.From, peer, f.From) && isPort(r.Ports, subject, f) {
					return true
				}
			}
			continue
		}
		for _, r := range policy.Spec.Egress {
			if isPeer(p, policy.Namespace, r.To, peer, f.To) && isPort(r.Ports, peer, f) {
				return true
			}
		}
	}
	return !selected
}

func isPeer(p Policies, namespace string, peers []networkingv1.NetworkPolicyPeer, pod *Pod, ip netip.Addr) bool {
	for _, one := range peers {
		if one.IPBlock != nil {
			if netip.MustParsePrefix(one.IPBlock.CIDR).Contains(ip) && !slices.ContainsFunc(one.IPBlock.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(ip) }) {
				return true
			}
			continue
		}
		if pod == nil {
			continue
		}
		inside := pod.Namespace == namespace
		if one.NamespaceSelector != nil {
			s, _ := metav1.LabelSelectorAsSelector(one.NamespaceSelector)
			inside = s.Matches(labels.Set(p.Namespaces[pod.Namespace]))
		}
		s := labels.Everything()
		if one.PodSelector != nil {
			s, _ = metav1.LabelSelectorAsSelector(one.PodSelector)
		}
		if inside && s.Matches(labels.Set(pod.Labels)) {
			return true
		}
	}
	return len(peers) == 0
}

func isPort(ports []networkingv1.NetworkPolicyPort, receiver *Pod, f Flow) bool {
	for _, one := range ports {
		if protocols[*one.Protocol] != f.Protocol {
			continue
		}
		switch {
		case one.Port == nil:
			return true
		case one.Port.Type == intstr.String:
			if receiver != nil && slices.Contains(receiver.Ports, Port{one.Port.StrVal, *one.Protocol, f.Port}) {
				return true
			}
		case one.EndPort != nil:
			if int32(f.Port) >= one.Port.IntVal && int32(f.Port) <= *one.EndPort {
				return true
			}
		case int32(f.Port) == one.Port.IntVal:
			return true
		}
	}
	return len(ports) == 0
}

// Policies of chance are compiled to what their texts say.
func TestCompileByChance(t *testing.T) {
	refused, passed := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same each time
		p := chance(r)
		rules, err := Compile(p)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 60 {
			f := Flow{Protocol: []byte{tcp, udp, sctp, icmp}[r.IntN(4)], Port: []uint16{79, 80, 81, 443, 8080}[r.IntN(5)]}
			family := []string{"10.0.0.%d", "fd00::%d"}[r.IntN(2)]
			f.From, f.To = addr(fmt.Sprintf(family, 1+r.IntN(9))), addr(fmt.Sprintf(family, 1+r.IntN(9)))
			want := permitted(p, f)
			if got := rules.Allows(f, false); got != want {
				text, _ := yaml.Marshal(p.Policies)
				t.Fatalf("seed %d: %+v: %t\n%s", seed, f, got, text)
			}
			if want {
				passed++
			} else {
				refused++
			}
		}
	}
	if refused < 10000 || passed < 10000 {
		t.Errorf("%d flows are refused, and %d pass", refused, passed)
	}
}

func chance(r *rand.Rand) (p Policies) {
	p.Namespaces = map[string]map[string]string{"a": {"team": "a", v1.LabelMetadataName: "a"}, "b": {"team": "b", v1.LabelMetadataName: "b"}, "kube-system": {v1.LabelMetadataName: "kube-system"}}
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	for n := range 6 {
		pod := Pod{UID: fmt.Sprint(n), Namespace: one("a", "b"), Labels: map[string]string{"app": one("web", "db"), "tier": one("1", "2")},
			Addrs: []netip.Addr{addr(fmt.Sprintf("10.0.0.%d", n+1)), addr(fmt.Sprintf("fd00::%d", n+1))}}
		if r.IntN(2) == 0 {
			pod.Ports = append(pod.Ports, Port{"http", v1.ProtocolTCP, uint16(80 + r.IntN(2))})
		}
		p.Pods = append(p.Pods, pod)
	}
	p.DNS = []netip.Addr{addr("10.0.0.8"), addr("fd00::8")}
	selector := func() *metav1.LabelSelector {
		switch r.IntN(4) {
		case 0:
			return &metav1.LabelSelector{}
		case 1:
			return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"1"}}}}
		}
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": one("web", "db")}}
	}
	peers := func() (out []networkingv1.NetworkPolicyPeer) {
		for range r.IntN(3) {
			var peer networkingv1.NetworkPolicyPeer
			switch r.IntN(4) {
			case 0:
				peer.IPBlock = &networkingv1.IPBlock{CIDR: one("10.0.0.0/29", "0.0.0.0/0", "fd00::/126", "::/0"), Except: nil}
				if r.IntN(2) == 0 {
					peer.IPBlock.Except = []string{map[byte]string{'1': "10.0.0.2/31", '0': "10.0.0.0/30", 'f': "fd00::2/128", ':': "fd00::4/126"}[peer.IPBlock.CIDR[0]]}
				}
			case 1:
				peer.PodSelector = selector()
			case 2:
				peer.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": one("a", "b")}}
			case 3:
				peer.NamespaceSelector, peer.PodSelector = &metav1.LabelSelector{}, selector()
			}
			out = append(out, peer)
		}
		return out
	}
	ports := func() (out []networkingv1.NetworkPolicyPort) {
		for range r.IntN(3) {
			protocol, number, name, end := v1.Protocol(one("TCP", "UDP", "SCTP")), intstr.FromInt32(int32(79+r.IntN(3))), intstr.FromString("http"), int32(443)
			out = append(out, []networkingv1.NetworkPolicyPort{{Protocol: &protocol}, {Protocol: &protocol, Port: &number}, {Protocol: &protocol, Port: &name}, {Protocol: &protocol, Port: &number, EndPort: &end}}[r.IntN(4)])
		}
		return out
	}
	for range 1 + r.IntN(4) {
		policy := &networkingv1.NetworkPolicy{}
		policy.Namespace, policy.Spec.PodSelector = one("a", "b"), *selector()
		policy.Spec.PolicyTypes = [][]networkingv1.PolicyType{{networkingv1.PolicyTypeIngress}, {networkingv1.PolicyTypeEgress}, {networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}[r.IntN(3)]
		for range r.IntN(3) {
			policy.Spec.Ingress = append(policy.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers(), Ports: ports()})
			policy.Spec.Egress = append(policy.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers(), Ports: ports()})
		}
		p.Policies = append(p.Policies, policy)
	}
	return p
}
