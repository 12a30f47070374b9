package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/internal/sctp"
)

// voice is a pod that runs on, with named ports of its own numbers, on which the test speaks.
func voice(name, labels string, tcp, udp int, more string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {%s}}
spec:
  terminationGracePeriodSeconds: 2
%s
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["/bin/sh", "-c", "%s"]
    ports: [{name: http, containerPort: %d}, {name: talk, containerPort: %d, protocol: UDP}]
`, name, labels, indent(2, more), forever, tcp, udp)
}

const kindsOfServices = `---
apiVersion: v1
kind: Service
metadata: {name: plain}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: dual}
spec:
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv6, IPv4]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: self}
spec: {ipFamilyPolicy: PreferDualStack, selector: {only: b}, ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}, {name: signal, port: 36412, targetPort: 9000, protocol: SCTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: node}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}, {name: talk, port: 53, targetPort: talk, protocol: UDP, nodePort: 30053}]
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30081}, {name: talk, port: 53, targetPort: talk, protocol: UDP, nodePort: 30054}]
---
apiVersion: v1
kind: Service
metadata: {name: balancer}
spec:
  type: LoadBalancer
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 8888, targetPort: http}, {name: talk, port: 8853, targetPort: talk, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec:
  type: LoadBalancer
  externalIPs: [198.51.100.8]
  selector: {app: web}
  ports: [{name: http, port: 8889, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: external}
spec:
  externalIPs: [198.51.100.7, "2001:db8:7::7"]
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: away}
spec: {type: ExternalName, externalName: dual.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: early}
spec: {publishNotReadyAddresses: true, selector: {state: early}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: late}
spec: {ipFamilyPolicy: PreferDualStack, selector: {state: early}, ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: host}
spec: {ipFamilyPolicy: PreferDualStack, selector: {app: host}, ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [{name: http, port: 80, targetPort: 7000, nodePort: 30082}, {name: talk, port: 53, protocol: UDP, nodePort: 30055}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 192.0.2.2}], ports: [{name: http, port: 7000}, {name: talk, port: 7001, protocol: UDP}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outside-6, labels: {kubernetes.io/service-name: outside}}
addressType: IPv6
ports: [{name: http, port: 7000}, {name: talk, port: 7001, protocol: UDP}]
endpoints: [{addresses: ["2001:db8::2"]}]
---
apiVersion: v1
kind: Service
metadata: {name: outside-local}
spec: {internalTrafficPolicy: Local, ports: [{name: http, port: 80, targetPort: 7000}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside-local}
subsets: [{addresses: [{ip: 192.0.2.2}], ports: [{name: http, port: 7000}]}]
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 3}}
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30083}, {name: talk, port: 53, targetPort: talk, protocol: UDP, nodePort: 30056}]
`

// kinds is a box with pods that speak, and services of all kinds that lead to them.
type kinds struct {
	*box
	machine, neighbor string
	a, b, client      *v1.Pod
	cni               bool
	// known are the services as they were first shown.
	known map[string]v1.Service
}

// service is one as it was shown first.
func (k *kinds) service(name string) v1.Service {
	k.t.Helper()
	if _, ok := k.known[name]; !ok {
		k.known[name] = k.box.service(name)
	}
	return k.known[name]
}

// Services of every kind lead to whom they should, over both families, by TCP, UDP and SCTP, from pods, from the machine and its pods, and
// from another machine; and who is reached sees who asks. It is so on Solopod's own bridge and on two, the other of which is CNI's, with
// bridges whose frames pass the rules of IP and without.
func TestServicesOfAllKinds(t *testing.T) {
	for _, bridge := range []string{"own", "two"} {
		t.Run(bridge, func(t *testing.T) {
			t.Parallel()
			testKinds(t, bridge == "two")
		})
	}
}

func testKinds(t *testing.T, cni bool) {
	machine, neighbor := newSpaces(t, "4", "6")
	for _, route := range [][]string{{"198.51.100.0/24", "via", here4}, {"2001:db8:7::7/128", "via", here6}} {
		command(t, "nsenter", append([]string{"--net=" + neighbor, "ip", "route", "add"}, route...)...)
	}
	for _, family := range [][]string{{"-4", there4}, {"-6", there6}} { // for externalIPs: they are of another network
		command(t, "nsenter", "--net="+machine, "ip", family[0], "route", "add", "default", "via", family[1])
	}
	b := startIn(t, machine, "")
	b.apply("services.yaml", kindsOfServices)
	b.apply("a.yaml", voice("a", "app: web", 8001, 5301, ""))
	a := b.waitReady("a")
	if cni { // the other pods are on another bridge than this one
		b.writeFile("cni/10-test.conflist", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "pods", "plugins": [
			{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "ipam": {"type": "host-local", "dataDir": %q,
			"ranges": [[{"subnet": "10.177.1.0/24"}], [{"subnet": "fd77:1::/112"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}]}`, b.path("cni-data")))
	}
	b.apply("pods.yaml", voice("b", "app: web, only: b", 8002, 5302, "")+voice("client", "app: client", 1, 1, "")+
		voice("host", "app: host", 8003, 5303, "hostNetwork: true")+
		strings.Replace(voice("early", "state: early", 8004, 5304, ""), "    ports:", "    readinessProbe: {exec: {command: [\"false\"]}}\n    ports:", 1))
	k := &kinds{box: b, cni: cni, machine: machine, neighbor: neighbor, a: a, b: b.waitReady("b"), client: b.waitReady("client"), known: map[string]v1.Service{}}
	b.waitReady("host")
	early := b.waitPod("early", "running", func(p *v1.Pod) bool { return p.Status.PodIP != "" && status(p, "main").State.Running != nil })
	for i, p := range []*v1.Pod{k.a, k.b, early} {
		number := []int{1, 2, 4}[i]
		speak(t, b.spaceOf(p), p.Name, fmt.Sprintf(":%d", 8000+number))
		speak(t, b.spaceOf(p), p.Name, fmt.Sprintf(":%d", 5300+number))
	}
	for space, who := range map[string][]string{machine: {"host", here4, here6}, neighbor: {"neighbor", there4, there6}} {
		for _, ip := range who[1:] {
			for _, port := range map[string][]int32{machine: {8003, 5303}, neighbor: {7000, 7001}}[space] {
				speak(t, space, who[0], at(ip, port))
			}
		}
	}
	for _, calls := range []string{"1", "0"} {
		if !k.framesPassRules(calls) {
			if calls == "1" {
				t.Log("the kernel has no br_netfilter: frames between pods never pass the rules of IP here")
			}
			continue
		}
		b.eventually("services lead to whom they should, with bridge-nf-call-iptables="+calls, k.all)
	}
	// The early pod counts where a service says so.
	if err := reaches(k.space(k.client), "tcp", at(k.service("early").Spec.ClusterIP, 80), addresses(k.client), "early"); err != nil {
		t.Error(err)
	}
	k.sticky(t)
	b.stop(syscall.SIGTERM)
	if err := k.all(); err != nil {
		t.Error("without the daemon: ", err)
	}
	b.start()
	for _, p := range []string{"a", "b", "client"} {
		b.waitReady(p)
	}
	if err := k.all(); err != nil {
		t.Error("with the next daemon: ", err)
	}
	for name, s := range k.known {
		if now := b.service(name); !reflect.DeepEqual(now.Spec, s.Spec) || !reflect.DeepEqual(now.Status, s.Status) {
			t.Errorf("%s was %+v, %+v, and is now %+v, %+v", name, s.Spec, s.Status, now.Spec, now.Status)
		}
	}
}

// framesPassRules sets whether frames between ports of a bridge pass the rules of IP, where the kernel can have it so.
func (k *kinds) framesPassRules(calls string) bool {
	k.t.Helper()
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err != nil {
		return false
	}
	for _, name := range []string{"iptables", "ip6tables"} {
		command(k.t, "nsenter", "--net="+k.machine, "sh", "-c", "echo "+calls+" >/proc/sys/net/bridge/bridge-nf-call-"+name)
	}
	return true
}

func (k *kinds) space(p *v1.Pod) string { return k.spaceOf(p) }

// all asks all services, from everywhere.
func (k *kinds) all() error {
	return errors.Join(k.inside(), k.byNode(), k.elsewhere(), k.unserved(), k.signal(), k.named())
}

// both asks by TCP on one port and by UDP on another.
func both(space, ip string, tcp, udp int32, seen []string, names ...string) error {
	return errors.Join(reaches(space, "tcp", at(ip, tcp), seen, names...), reaches(space, "udp", at(ip, udp), seen, names...))
}

// inside asks at services' own addresses.
func (k *kinds) inside() (err error) {
	join := func(e error) { err = errors.Join(err, e) }
	for name, families := range map[string]string{"plain": "4", "dual": "64", "six": "6", "node": "46", "self": "46", "host": "46"} {
		ips := k.service(name).Spec.ClusterIPs
		got := ""
		for _, ip := range ips {
			got += map[bool]string{true: "6", false: "4"}[strings.Contains(ip, ":")]
		}
		if got != families {
			join(fmt.Errorf("%s has the addresses %v", name, ips))
			continue
		}
		answers := map[string][]string{"self": {"b"}, "host": {"host"}}[name]
		if answers == nil {
			answers = []string{"a", "b"}
		}
		for _, ip := range ips {
			for from, seen := range map[string][]string{k.space(k.client): addresses(k.client), k.space(k.a): nil, k.space(k.b): nil, k.machine: nil} {
				if name == "six" {
					join(reaches(from, "tcp", at(ip, 80), seen, answers...))
					continue
				}
				join(both(from, ip, 80, 53, seen, answers...))
			}
		}
	}
	return err
}

// byNode asks at addresses of the machine, and at such as lead there.
func (k *kinds) byNode() (err error) {
	join := func(e error) { err = errors.Join(err, e) }
	if !k.cni {
		join(both(k.machine, "127.0.0.1", 30080, 30053, nil, "a", "b"))
		join(both(k.machine, "127.0.0.1", 30081, 30054, nil, "a", "b"))
		join(both(k.machine, "127.0.0.1", 8888, 8853, nil, "a", "b"))
	}
	join(refuses(k.machine, "tcp", "[::1]:30080"))
	join(reaches(k.neighbor, "tcp", "198.51.100.8:8889", []string{there4}, "a", "b"))
	join(refuses(k.neighbor, "tcp", at(here4, 8889)))
	for i, ip := range []string{here4, here6} {
		external := []string{"198.51.100.7", "2001:db8:7::7"}[i]
		balanced := k.service("balancer").Spec.Ports[0].NodePort
		for from, seen := range map[string][]string{k.neighbor: {there4, there6}, k.space(k.client): addresses(k.client), k.space(k.a): nil, k.space(k.b): nil, k.machine: nil} {
			join(both(from, ip, 30080, 30053, seen, "a", "b"))
			join(both(from, ip, 30081, 30054, seen, "a", "b"))
			join(both(from, ip, 8888, 8853, seen, "a", "b"))
			join(reaches(from, "tcp", at(ip, balanced), seen, "a", "b"))
			join(both(from, external, 80, 53, seen, "a", "b"))
		}
	}
	return err
}

// elsewhere asks services that lead out of the machine.
func (k *kinds) elsewhere() (err error) {
	join := func(e error) { err = errors.Join(err, e) }
	for i, ip := range k.service("outside").Spec.ClusterIPs {
		for _, from := range []string{k.space(k.client), k.machine} {
			join(both(from, ip, 80, 53, []string{here4, here6}, "neighbor"))
			join(both(from, []string{here4, here6}[i], 30082, 30055, []string{here4, here6}, "neighbor"))
		}
		join(both(k.neighbor, []string{here4, here6}[i], 30082, 30055, []string{here4, here6}, "neighbor"))
	}
	join(refuses(k.space(k.client), "tcp", at(k.service("outside-local").Spec.ClusterIP, 80)))
	return err
}

// unserved asks where nobody answers: it is refused at once.
func (k *kinds) unserved() (err error) {
	for _, from := range []string{k.space(k.client), k.machine} {
		for _, ip := range k.service("late").Spec.ClusterIPs {
			err = errors.Join(err, refuses(from, "tcp", at(ip, 80)), refuses(from, "tcp", at(ip, 81)))
			// Errors about packets of UDP are bounded by the kernel.
			err = errors.Join(err, poll(5*time.Second, func() error { return refuses(from, "udp", at(ip, 53)) }))
		}
	}
	return err
}

// signal begins associations of SCTP.
func (k *kinds) signal() (err error) {
	for _, ip := range k.service("self").Spec.ClusterIPs {
		in := func(space string) sctp.Space {
			return func(open func() (int, error)) (int, error) { return inSpace(space, open) }
		}
		port, e := sctp.Begin(in(k.space(k.client)), in(k.space(k.b)), netip.AddrPortFrom(netip.MustParseAddr(ip), 36412))
		if e == nil && port != 9000 {
			e = fmt.Errorf("the pod gets it for port %d", port)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("SCTP by %s: %w", ip, e))
		}
	}
	return err
}

// sticky asks a service with affinity: a client stays where it was, until it has not asked for long enough.
func (k *kinds) sticky(t *testing.T) {
	t.Helper()
	s := k.service("sticky")
	for _, to := range [][2]string{{"tcp", at(s.Spec.ClusterIPs[0], 80)}, {"tcp", at(s.Spec.ClusterIPs[1], 80)}, {"udp", at(s.Spec.ClusterIPs[0], 53)}, {"tcp", at(here6, 30083)}, {"udp", at(here4, 30056)}} {
		from := k.space(k.client)
		if strings.HasPrefix(to[1], here4) || strings.Contains(to[1], here6) {
			from = k.neighbor
		}
		one := func() string {
			c, err := call(from, to[0], to[1])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			name, _, err := asked(c)
			if err != nil {
				t.Fatal(err)
			}
			return name
		}
		first := one()
		for range 20 {
			if name := one(); name != first {
				t.Errorf("%v: %s answers who was with %s", to, name, first)
			}
		}
		if to[1] != at(here6, 30083) {
			continue // waiting for the timeout is done once
		}
		seen := map[string]bool{first: true}
		k.eventually("after the timeout any may answer", func() error {
			<-time.After(3200 * time.Millisecond)
			if seen[one()] = true; len(seen) < 2 {
				return errors.New("it is still " + first)
			}
			return nil
		})
	}
}

// named asks for names, from pods and from the machine.
func (k *kinds) named() (err error) {
	dual := k.service("dual").Spec.ClusterIPs
	pods := sorted(k.a.Status.PodIPs[0].IP, k.b.Status.PodIPs[0].IP)
	for q, want := range map[string]string{"A dual": dual[1], "AAAA dual": dual[0], "A headless": pods, "A six": "NODATA", "A away": sorted("dual.default.svc.cluster.local.", dual[1]), "A late": k.service("late").Spec.ClusterIPs[0]} {
		kind, name, _ := strings.Cut(q, " ")
		for _, from := range []string{k.space(k.client), k.space(k.a), k.machine} {
			for _, network := range []string{"udp", "tcp"} {
				if got, e := lookUp(from, network, ownServer, kind, name+".default.svc.cluster.local."); e != nil || got != want {
					err = errors.Join(err, fmt.Errorf("%s by %s: %q, not %q (%w)", q, network, got, want, e))
				}
			}
		}
	}
	return err
}
