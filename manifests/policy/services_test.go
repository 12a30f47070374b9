package policy

import (
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/manifests"
)

// What of the machine a Service may take, and which addresses it may name: the fields that are refused.
func TestServiceRules(t *testing.T) {
	const edge = "namespaces: {edge: {hostPorts: [{min: 80}]}}"
	for _, c := range []struct{ rules, spec, paths string }{
		{"{}", "type: LoadBalancer, externalIPs: [192.0.2.1], clusterIP: 192.0.2.2, ports: [{port: 22, nodePort: 30022}]", ""},
		{"hostPorts: []", "ports: [{port: 80}]", ""},
		{"hostPorts: []", "clusterIP: None", ""},
		{"hostPorts: []", "type: ExternalName, externalName: x.example, externalIPs: [192.0.2.1], ports: [{port: 80}]", ""},
		{"hostPorts: []", "type: NodePort, ports: [{port: 80}]", "spec.ports[0].nodePort"},
		{"hostPorts: []", "type: LoadBalancer, ports: [{port: 80}]", "spec.ports[0].nodePort spec.ports[0].port"},
		{"hostPorts: []", "externalIPs: [192.0.2.1], ports: [{port: 80}]", "spec.ports[0].port"},
		{"hostPorts: [{min: 80}]", "externalIPs: [192.0.2.1], ports: [{port: 80}]", ""},
		{"hostPorts: [{min: 80}]", "type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]", ""},
		{"hostPorts: [{min: 80}]", "type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80, nodePort: 30080}]", "spec.ports[0].nodePort"},
		{"hostPorts: [{min: 80}]", "type: LoadBalancer, loadBalancerClass: a/b, allocateLoadBalancerNodePorts: false, ports: [{port: 81}]", ""},
		{"hostPorts: [{min: 30000, max: 30099}]", "type: NodePort, ports: [{name: a, port: 80, nodePort: 30000}, {name: b, port: 81, nodePort: 30100}, {name: c, port: 82, nodePort: 30099}]", "spec.ports[1].nodePort"},

		{"serviceAddresses: []", "ports: [{port: 80}]", ""},
		{"serviceAddresses: []", "clusterIP: None", ""},
		{"serviceAddresses: []", "clusterIP: 192.0.2.1, ports: [{port: 80}]", "spec.clusterIP"},
		{"serviceAddresses: [192.0.2.0/24]", "clusterIP: 192.0.2.1, externalIPs: [192.0.2.255], ports: [{port: 80}]", ""},
		{"serviceAddresses: [192.0.2.0/24]", "clusterIPs: [192.0.3.0, \"2001:db8::1\"], externalIPs: [192.0.2.1, 192.0.1.255], ports: [{port: 80}]", "spec.clusterIP spec.clusterIPs[1] spec.externalIPs[1]"},
		{"serviceAddresses: [192.0.2.0/24, \"2001:db8::/64\"]", "clusterIPs: [192.0.2.1, \"2001:db8::1\"], ports: [{port: 80}]", ""},

		{"serviceAddresses: [192.0.2.0/24]", "type: LoadBalancer, loadBalancerIP: 192.0.3.1, ports: [{port: 80}]", "spec.loadBalancerIP"},

		{"{hostPorts: [], " + edge + "}", "externalIPs: [192.0.2.1], ports: [{port: 80}]", "spec.ports[0].port"},
		{"{serviceAddresses: [], hostPorts: [], namespaces: {d: {}}}", "type: LoadBalancer, externalIPs: [192.0.2.1], ports: [{port: 80}]", ""},
	} {
		s := &v1.Service{}
		if err := yaml.UnmarshalStrict([]byte("{metadata: {name: s, namespace: d}, spec: {"+c.spec+"}}"), s); err != nil {
			t.Fatal(c.spec, err)
		}
		manifests.SetServiceDefaults(s)
		var paths []string
		for _, p := range rules(t, c.rules).JudgeService(s) {
			paths = append(paths, p.Path)
			if !strings.HasPrefix(p.Control, "policy/") || !strings.HasPrefix(p.Message, "policy.") || p.Warning {
				t.Errorf("%+v", p)
			}
		}
		slices.Sort(paths)
		if got := strings.Join(paths, " "); got != c.paths {
			t.Errorf("%s, %s: refuses %q, not %q", c.rules, c.spec, got, c.paths)
		}
	}
	for _, bad := range []string{"192.0.2.1", "192.0.2.1/24", "x"} {
		if _, err := New(PodSecurity{}, Rules{ServiceAddresses: []string{bad}}); err == nil || !strings.Contains(err.Error(), "policy.serviceAddresses[0] is a range of addresses") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
