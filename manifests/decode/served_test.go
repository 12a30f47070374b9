package decode

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/network"
)

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: db, namespace: shop}
subsets: [{addresses: [{ip: 192.0.2.7}, {ip: "2001:db8::7"}], ports: [{port: 5433}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-2, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.8]}]
ports: [{port: 5433}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, egress: []}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: http}]}]}
`

// What a file says of Services and networks is in the snapshot, defaulted.
func TestServedKinds(t *testing.T) {
	contents, problems := Decode("shop.yaml", []byte(shop), Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	set := manifests.NewSet(nil)
	set.Put("shop.yaml", contents, problems, time.Now())
	s := set.Snapshot(time.Now())
	if p := s.Files[0].Problems; len(p) > 0 {
		t.Error(p)
	}
	want := []string{"service/shop/web", "service/shop/db", "endpoints/shop/db", "endpointslice/shop/db-2", "networkpolicy/shop/deny", "networkpolicy/shop/web", "namespace/shop"}
	if got := s.Files[0].Objects; !slices.Equal(got, want) {
		t.Errorf("objects %v", got)
	}
	if web := s.Services["shop/web"]; web == nil || web.Spec.Type != v1.ServiceTypeClusterIP || web.Spec.Ports[0].Protocol != v1.ProtocolTCP || web.Spec.Ports[0].TargetPort.StrVal != "http" {
		t.Errorf("%+v", web)
	}
	found := map[string]discoveryv1.AddressType{}
	for _, slice := range s.EndpointSlices {
		if slice.Labels[discoveryv1.LabelServiceName] == "db" && slice.Namespace == "shop" && *slice.Ports[0].Protocol == v1.ProtocolTCP && *slice.Ports[0].Port == 5433 {
			found[slice.Endpoints[0].Addresses[0]] = slice.AddressType
		}
	}
	if !maps.Equal(found, map[string]discoveryv1.AddressType{"192.0.2.7": "IPv4", "2001:db8::7": "IPv6", "192.0.2.8": "IPv4"}) {
		t.Errorf("slices %v", found)
	}
	if p := s.NetworkPolicies["shop/deny"]; p == nil || len(p.Spec.PolicyTypes) != 1 {
		t.Errorf("%+v", p)
	}
	if l := s.NamespaceLabels("shop"); l["team"] != "a" || l[v1.LabelMetadataName] != "shop" {
		t.Errorf("labels %v", l)
	}
	if l := s.NamespaceLabels("other"); len(l) != 1 || l[v1.LabelMetadataName] != "other" {
		t.Errorf("labels %v", l)
	}
}

const (
	service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: web}\n"
	ported  = service + "  ports: [{port: 80}]\n"
	slice   = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: s}}\n"
	v4Slice = slice + "addressType: IPv4\n"
	points  = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\n"
	barrier = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n"
	open    = barrier + "  podSelector: {}\n"
	ns      = "apiVersion: v1\nkind: Namespace\n"
)

// One line each: a file, and the problem that must be found; none where it is empty.
func TestServedProblems(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// Services
		{ported, ""},
		{ported + "status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}", ""},
		{service, "s.yaml:4:1: spec.ports: a service needs at least one port"},
		{service + "  clusterIP: None", ""},
		{strings.Replace(ported, "{name: s}", "{}", 1), "metadata.name: a name is required"},
		{strings.Replace(ported, "{name: s}", "{name: a.b}", 1), `metadata.name: invalid value "a.b"`},
		{strings.Replace(ported, "{name: s}", "{name: 9lives}", 1), ""},
		{strings.Replace(ported, "{name: s}", "{name: s, namespace: A}", 1), "metadata.namespace: invalid value"},
		{strings.Replace(ported, "{name: s}", "{name: s, labels: {a: b c}}", 1), "metadata.labels.a: invalid value"},
		{strings.Replace(ported, "{name: s}", "{name: s, annotations: {a b: c}}", 1), "metadata.annotations.a b: invalid value"},
		{strings.Replace(ported, "{name: s}", "{name: s, uid: a/b}", 1), "metadata.uid: invalid value"},
		{strings.Replace(ported, "app: web", "app: web x", 1), "spec.selector.app: invalid value"},
		{strings.Replace(ported, "{app: web}", "{matchLabels: {app: web}}", 1), "s.yaml:5:14: spec.selector.matchLabels: labels stand here themselves, without matchLabels"},
		{ported + "  type: Clusterip", `did you mean "ClusterIP"?`},
		{service + "  ports: [80]", "spec.ports[0]: expected an object, found the number 80"},
		{service + "  ports: [{port: \"80\"}]", `spec.ports[0].port: expected a whole number, found the string "80"`},
		{service + "  ports: [{port: 0}]", `spec.ports[0].port: invalid value "0"`},
		{service + "  ports: [{port: 65536}]", "spec.ports[0].port: invalid value"},
		{service + "  ports: [{targetPort: 80}]", `spec.ports[0].port: invalid value "0"`},
		{service + "  ports: [{port: 80, targetPort: \"80\"}]", "s.yaml:6:22: spec.ports[0].targetPort: \"80\" is the name of a container's port; write the number 80 without quotes"},
		{service + "  ports: [{port: 80, targetPort: 70000}]", "spec.ports[0].targetPort: invalid value"},
		{service + "  ports: [{port: 80, targetPort: a-name-that-is-long}]", "spec.ports[0].targetPort: invalid value"},
		{service + "  ports: [{port: 80, protocol: tcp}]", `spec.ports[0].protocol: unsupported value "tcp"; did you mean "TCP"?`},
		{service + "  ports: [{port: 80, appProtocol: a b}]", "spec.ports[0].appProtocol: invalid value"},
		{service + "  ports: [{port: 80, containerPort: 8080}]", `unknown field`},
		{service + "  ports: [{port: 80}, {port: 81}]", "spec.ports[0].name: where there are several ports each one needs a name"},
		{service + "  ports: [{port: 80, name: a}, {port: 81, name: a}]", `spec.ports[1].name: another port has the name "a"`},
		{service + "  ports: [{port: 80, name: a}, {port: 80, name: b}]", "spec.ports[1].port: another port of the service is 80/TCP"},
		{service + "  ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]", ""},
		{service + "  ports: [{port: 80, name: Web}]", "spec.ports[0].name: invalid value"},
		{service + "  ports: [{port: 80, nodePort: 30080}]", "spec.ports[0].nodePort: it goes with type NodePort or LoadBalancer, and the type is ClusterIP"},
		{service + "  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]", ""},
		{service + "  type: NodePort\n  ports: [{port: 80, nodePort: 80}]", "node ports lie between 30000 and 32767 (serviceNodePortRange of the configuration), and this is 80"},
		{service + "  type: NodePort\n  ports: [{port: 80, name: a, nodePort: 30080}, {port: 81, name: b, nodePort: 30080}]", "another port of the service has the node port 30080/TCP"},
		{ported + "  type: NodePort\n  clusterIP: None", "spec.clusterIP: a service of type NodePort has an address"},
		{ported + "  clusterIP: none", `spec.clusterIP: "none": write None, alone, for a headless service`},
		{ported + "  clusterIP: 10.96.0.300", `spec.clusterIP: "10.96.0.300" is not an IP address`},
		{ported + "  clusterIP: 127.0.0.1", "127.0.0.1 is a loopback address"},
		{ported + "  clusterIP: ::ffff:10.0.0.1", "in the form of IPv6; write 10.0.0.1"},
		{ported + "  clusterIPs: [10.96.0.7]", ""},
		{ported + "  clusterIP: 10.96.0.7\n  clusterIPs: [10.96.0.8]", "spec.clusterIPs: the first one must be clusterIP (10.96.0.7)"},
		{ported + "  clusterIPs: [10.96.0.7, 10.96.0.8]", "a service has one address of each family at most"},
		{ported + "  clusterIPs: [10.96.0.7, \"2001:db8::7\"]", ""},
		{ported + "  clusterIPs: [10.96.0.7, \"2001:db8::7\"]\n  ipFamilyPolicy: SingleStack", "SingleStack has one family, and there are 2"},
		{ported + "  clusterIP: None\n  clusterIPs: [None, 10.96.0.7]", "spec.clusterIPs: None must be the only value"},
		{ported + "  clusterIP: 10.96.0.7\n  ipFamilies: [IPv6]", "10.96.0.7 is IPv4, and ipFamilies[0] says IPv6"},
		{ported + "  ipFamilies: [ipv4]", `did you mean "IPv4"?`},
		{ported + "  ipFamilies: [IPv4, IPv4]", "spec.ipFamilies[1]: IPv4 stands there twice"},
		{ported + "  ipFamilies: [IPv4, IPv6, IPv4]", "spec.ipFamilies: there are two, IPv4 and IPv6, and here are 3"},
		{ported + "  ipFamilyPolicy: DualStack", `spec.ipFamilyPolicy: unsupported value "DualStack"`},
		{ported + "  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv6, IPv4]", ""},
		{ported + "  externalIPs: [192.0.2.1]", ""},
		{ported + "  externalIPs: [0.0.0.0]", "spec.externalIPs[0]: 0.0.0.0 stands for all addresses"},
		{ported + "  externalIPs: [169.254.169.254]", "is a link-local address"},
		{ported + "  externalIPs: [\"ff02::1\"]", "is a multicast address"},
		{ported + "  externalIPs: [255.255.255.255]", "is the address of all at once"},
		{ported + "  externalIPs: [192.0.2.1, 192.0.2.1]", ""},
		{ported + "  externalTrafficPolicy: Local", "it goes with type NodePort or LoadBalancer, or with externalIPs"},
		{ported + "  externalTrafficPolicy: Local\n  externalIPs: [192.0.2.1]", ""},
		{ported + "  type: LoadBalancer\n  externalTrafficPolicy: local", `did you mean "Local"?`},
		{ported + "  internalTrafficPolicy: Loca", `did you mean "Local"?`},
		{ported + "  sessionAffinity: ClientIp", `did you mean "ClientIP"?`},
		{ported + "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}", "must lie between 1 and 86400"},
		{ported + "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}", "must lie between 1 and 86400"},
		{ported + "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeout: 1}}", "unknown field"},
		{ported + "  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}", "warning: spec.sessionAffinityConfig: accepted without effect: sessionAffinity is None"},
		{ported + "  type: LoadBalancer\n  loadBalancerIP: 192.0.2.1", ""},
		{ported + "  type: LoadBalancer\n  loadBalancerIP: 127.0.0.1", "spec.loadBalancerIP: 127.0.0.1 is a loopback address"},
		{ported + "  loadBalancerIP: 192.0.2.1", "spec.loadBalancerIP: it goes with type LoadBalancer, and the type is ClusterIP"},
		{service + "  type: NodePort\n  ports: [{port: 80, nodePort: 65536}]", "spec.ports[0].nodePort: invalid value"},
		{ported + "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.0/8, \" 192.0.2.0/24 \"]", ""},
		{ported + "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.1]", `spec.loadBalancerSourceRanges[0]: "10.0.0.1" is an address, not a range of them`},
		{ported + "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.1/8]", "warning: spec.loadBalancerSourceRanges[0]: 10.0.0.1/8 has bits behind the first 8; it is read as 10.0.0.0/8"},
		{ported + "  loadBalancerSourceRanges: [10.0.0.0/8]", "it goes with type LoadBalancer, and the type is ClusterIP"},
		{ported + "  allocateLoadBalancerNodePorts: false", "spec.allocateLoadBalancerNodePorts: it goes with type LoadBalancer"},
		{ported + "  type: LoadBalancer\n  allocateLoadBalancerNodePorts: false", ""},
		{ported + "  loadBalancerClass: a/b", "spec.loadBalancerClass: it goes with type LoadBalancer"},
		{ported + "  type: LoadBalancer\n  loadBalancerClass: example.com/lb", "warning: spec.loadBalancerClass: another load balancer than Solopod's is to serve this"},
		{ported + "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30001", "warning: spec.healthCheckNodePort: accepted without effect"},
		{ported + "  healthCheckNodePort: 30001", "spec.healthCheckNodePort: it goes with type LoadBalancer and externalTrafficPolicy Local"},
		{ported + "  trafficDistribution: PreferClose", "warning: spec.trafficDistribution: accepted without effect: there is one machine"},
		{ported + "  trafficDistribution: Close", "spec.trafficDistribution: unsupported value"},
		{ported + "  externalName: a.example", "warning: spec.externalName: accepted without effect: the type is ClusterIP"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: db.example.com.}", ""},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName}", "spec.externalName: a service of type ExternalName needs it"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: \"db:5432\"}", "it is a name of DNS alone, without a port or a scheme"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: 192.0.2.1}", "is taken for a name, and not resolved"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: a.b, clusterIP: 10.0.0.1}", "spec.clusterIP: a service of type ExternalName is only a name, and has none"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: a.b, ipFamilies: [IPv4]}", "spec.ipFamilies: a service of type ExternalName"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: a.b, selector: {a: b}}", "warning: spec.selector: accepted without effect"},
		{ported + "---\n" + ported, "service default/s is already defined at line 1"},
		{"apiVersion: v1\nkind: Servcie\nmetadata: {name: s}", `unknown kind "Servcie"; did you mean "Service"?`},

		{"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: s}", "s.yaml:2:7: warning: kind: Ingress s is not used: it needs an ingress controller; run a proxy as a pod, which finds services by their names"},
		{"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: s}", "warning: kind: HTTPRoute s is not used: it needs an ingress controller; run a proxy as a pod"},

		// Endpoints
		{points + "subsets: [{addresses: [{ip: 192.0.2.1, nodeName: a}], ports: [{port: 1}]}]", "warning: subsets[0].addresses[0].nodeName: accepted without effect"},
		{points, ""},
		{points + "subsets: [{ports: [{port: 1}]}]", "s.yaml:4:11: subsets[0]: it needs addresses or notReadyAddresses"},
		{points + "subsets: [{addresses: [{ip: localhost}], ports: [{port: 1}]}]", `subsets[0].addresses[0].ip: "localhost" is not an IP address`},
		{points + "subsets: [{notReadyAddresses: [{ip: \"::1\"}], ports: [{port: 1}]}]", "subsets[0].notReadyAddresses[0].ip: ::1 is a loopback address"},
		{points + "subsets: [{addresses: [{ip: 192.0.2.1, hostname: A.b}]}]", "subsets[0].addresses[0].hostname: invalid value"},
		{points + "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 1}, {port: 2}]}]", "subsets[0].ports[0].name: where there are several ports"},
		{points + "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 0, name: a}]}]", "subsets[0].ports[0].port: invalid value"},
		{points + "subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 1, protocol: http}]}]", "subsets[0].ports[0].protocol: unsupported value"},
		{points + "subsets: [{addresses: [192.0.2.1]}]", "subsets[0].addresses[0]: expected an object"},

		// EndpointSlices
		{v4Slice + "endpoints: [{addresses: [192.0.2.1], conditions: {ready: true}}]\nports: [{port: 1}]", ""},
		{slice + "endpoints: []", `addressType: unsupported value ""; choose one of IPv4, IPv6, FQDN`},
		{slice + "addressType: FQDN\nendpoints: [{addresses: [a.example]}]", "warning: addressType: accepted without effect"},
		{strings.Replace(v4Slice, ", labels: {kubernetes.io/service-name: s}", "", 1), "warning: metadata.labels: accepted without effect: the label kubernetes.io/service-name"},
		{v4Slice + "endpoints: [{addresses: [\"2001:db8::1\"]}]", "endpoints[0].addresses[0]: 2001:db8::1 is IPv6, and addressType says IPv4"},
		{v4Slice + "endpoints: [{}]", "endpoints[0].addresses: an endpoint needs an address"},
		{v4Slice + "endpoints: [{addresses: [192.0.2.1, 192.0.2.2]}]", ""},
		{v4Slice + "endpoints: [{addresses: [192.0.2.1], zone: a}]", "warning: endpoints[0].zone: accepted without effect"},
		{v4Slice + "endpoints: [{addresses: [192.0.2.1], hostname: a_b}]", "endpoints[0].hostname: invalid value"},
		{v4Slice + "endpoints: [{addresses: [192.0.2.1], conditions: {redy: true}}]", `did you mean "ready"?`},
		{v4Slice + "ports: [{name: a, port: 1}, {name: a, port: 2}]", `ports[1].name: another port has the name "a"`},
		{v4Slice + "ports: [{name: a}]", "warning: ports[0]: accepted without effect: it has no port"},
		{v4Slice + "ports: [{port: 70000}]", "ports[0].port: invalid value"},
		{v4Slice + "endpoints: [" + strings.Repeat("{addresses: [192.0.2.1]},", 1001) + "]", "endpoints: there are 1001; at most 1000"},
		{strings.Replace(v4Slice, "discovery.k8s.io/v1", "discovery.k8s.io/v1beta1", 1), "EndpointSlice is discovery.k8s.io/v1, not discovery.k8s.io/v1beta1"},

		// NetworkPolicies
		{open, ""},
		{open + "  policyTypes: [Ingress, Egress]", ""},
		{open + "  policyTypes: [ingress]", `did you mean "Ingress"?`},
		{open + "  policyTypes: [Ingress, Egress, Ingress]", "spec.policyTypes: there are two, Ingress and Egress, and here are 3"},
		{open + "  policyTypes: [Ingress]\n  egress: [{}]", "warning: spec.egress: accepted without effect: policyTypes does not name Egress"},
		{open + "  ingress: [{from: [{}]}]", "s.yaml:6:21: spec.ingress[0].from[0]: a peer has podSelector, namespaceSelector or ipBlock"},
		{open + "  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]", "ipBlock excludes podSelector"},
		{open + "  ingress: [{to: [{podSelector: {}}]}]", "unknown field"},
		{open + "  ingress: [{from: [{podSelector: {app: web}}]}]", "spec.ingress[0].from[0].podSelector.app: unknown field; labels go into matchLabels"},
		{open + "  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]", ""},
		{open + "  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]", "spec.egress[0].to[0].ipBlock.except[0]: 10.0.0.0/8 must lie within 10.0.0.0/8, and be smaller"},
		{open + "  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.1.0.0/16]}}]}]", "must lie within"},
		{open + "  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [\"2001:db8::/64\"]}}]}]", "must lie within"},
		{open + "  egress: [{to: [{ipBlock: {}}]}]", "ipBlock.cidr: \"\" is not a range of addresses"},
		{open + "  egress: [{to: [{ipBlock: {cidr: 172.17.0.1/16}}]}]", "warning: spec.egress[0].to[0].ipBlock.cidr: 172.17.0.1/16 has bits behind the first 16; it is read as 172.17.0.0/16"},
		{open + "  egress: [{ports: [{port: 80, endPort: 90}]}]", ""},
		{open + "  egress: [{ports: [{port: 80, endPort: 70}]}]", "spec.egress[0].ports[0].endPort: it is below port (80)"},
		{open + "  egress: [{ports: [{port: http, endPort: 70}]}]", "it goes with a number in port"},
		{open + "  egress: [{ports: [{endPort: 70}]}]", "it ends the range that port begins"},
		{open + "  egress: [{ports: [{port: \"80\"}]}]", "write the number 80 without quotes"},
		{open + "  egress: [{ports: [{port: 80, protocol: ICMP}]}]", "spec.egress[0].ports[0].protocol: rules of ports are of TCP, UDP and SCTP"},
		{barrier + "  podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}", "spec.podSelector.matchExpressions[0].operator: invalid value"},
		{barrier + "  podSelector: {matchExpressions: [{key: a, operator: In}]}", "spec.podSelector.matchExpressions[0].values: required value"},
		{barrier + "  podSelector: {matchLabels: {a: b c}}", "spec.podSelector.matchLabels"},
		{strings.Replace(open, "networking.k8s.io/v1", "extensions/v1beta1", 1), "NetworkPolicy is networking.k8s.io/v1, not extensions/v1beta1"},

		// Namespaces
		{ns + "metadata: {name: shop}", ""},
		{ns + "metadata: {name: shop}\nspec: {finalizers: [kubernetes]}\nstatus: {phase: Active}", ""},
		{ns + "metadata: {name: a.b}", "metadata.name: invalid value"},
		{ns + "metadata: {name: shop, namespace: shop}", "warning: metadata.namespace: accepted without effect: a Namespace lies in none"},
		{ns + "metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted}}", "warning: metadata.labels.pod-security.kubernetes.io/enforce: accepted without effect: levels come from podSecurity of the configuration"},
		{ns + "metadata: {name: shop}\n---\n" + ns + "metadata: {name: shop}", "namespace shop is already defined at line 1"},
	} {
		contents, problems := Decode("s.yaml", []byte(c.text), Options{NodePorts: network.PortRange{Min: 30000, Max: 32767}})
		if c.want == "" && len(problems) > 0 || !strings.Contains(problems.Error(), c.want) {
			t.Errorf("%s\n got  %s\n want %s", c.text, problems.Error(), c.want)
		}
		if len(problems.Errors()) == 0 {
			roundTrip(t, contents)
		}
	}
}

// roundTrip: what was accepted is accepted again as it was understood, and means the same.
func roundTrip(t *testing.T, c manifests.Contents) {
	t.Helper()
	first := served(t, &c)
	again, problems := Decode("again.json", []byte(`{"apiVersion": "v1", "kind": "List", "items": `+first+`}`), Options{})
	if len(problems.Errors()) > 0 {
		t.Fatalf("%s\nis not accepted again: %v", first, problems)
	}
	if second := served(t, &again); second != first {
		t.Errorf("changed:\n%s\n%s", first, second)
	}
}

// served are a file's objects of the kinds that are shown here, as a list of JSON.
func served(t *testing.T, c *manifests.Contents) string {
	t.Helper()
	objects := []any{}
	for _, o := range c.Services {
		objects = append(objects, o)
	}
	for _, o := range c.Endpoints {
		objects = append(objects, o)
	}
	for _, o := range c.EndpointSlices {
		objects = append(objects, o)
	}
	for _, o := range c.NetworkPolicies {
		objects = append(objects, o)
	}
	for _, o := range c.Namespaces {
		objects = append(objects, o)
	}
	data, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
