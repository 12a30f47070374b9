package e2e

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// stubborn is a pod on which the test speaks, and which does not end when it is told to.
func stubborn(name string) string {
	return strings.Replace(strings.Replace(voice(name, "app: web", 8001, 5301, ""), forever, "trap : TERM; while :; do sleep 1000 & wait; done", 1), "terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 300", 1)
}

const changingServices = `---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]
`

// line is a connection that was opened through a service.
type line struct {
	what string
	net.Conn
}

// opened calls a service until a pod answers.
func (b *box) opened(space, network, address, pod string) line {
	b.t.Helper()
	l := line{what: network + " " + address}
	b.eventually("a connection leads to "+pod, func() error {
		c, err := call(space, network, address)
		if err != nil {
			return err
		}
		name, _, err := asked(c)
		if err == nil && name == pod {
			l.Conn = c
			return nil
		}
		c.Close()
		return fmt.Errorf("%q answers, %w", name, err)
	})
	b.t.Cleanup(func() { l.Close() })
	return l
}

// A pod that is told to go gets no new connection, those that it has go on, and senders of UDP are heard by others; when all go, those that
// are left serve, and then connections are refused at once. Addresses and ports of the machine stay over edits and a reboot.
func TestServicesChange(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4", "6")
	kubeProxy := "add table ip kube-proxy; add chain ip kube-proxy services"
	command(t, "nsenter", "--net="+machine, "nft", kubeProxy)
	b := startIn(t, machine, "")
	b.apply("services.yaml", changingServices)
	speaks := func(name string) *v1.Pod {
		t.Helper()
		p := b.waitReady(name)
		for _, port := range []string{":8001", ":5301"} {
			speak(t, b.spaceOf(p), name, port)
		}
		return p
	}
	b.apply("a.yaml", stubborn("a"))
	b.apply("b.yaml", stubborn("b"))
	b.apply("client.yaml", voice("client", "app: client", 1, 1, "enableServiceLinks: false"))
	podA, podB := speaks("a"), speaks("b")
	client := b.waitReady("client")
	space := b.spaceOf(client)
	s := b.service("web")
	tcp, udp := s.Spec.Ports[0].NodePort, s.Spec.Ports[1].NodePort
	b.eventOf("KubeProxyFound")
	if out := b.run("exec", "client", "--", "env"); strings.Contains(out, "WEB_SERVICE_HOST") {
		t.Errorf("a pod that wants no variables of services has\n%s", out)
	}
	for _, ip := range s.Spec.ClusterIPs {
		b.eventually("both pods answer", func() error { return both(space, ip, 80, 53, addresses(client), "a", "b") })
	}
	var streams, senders []line
	for i, ip := range s.Spec.ClusterIPs {
		here := []string{here4, here6}[i]
		streams = append(streams, b.opened(space, "tcp", at(ip, 80), "a"), b.opened(machine, "tcp", at(ip, 80), "a"), b.opened(neighbor, "tcp", at(here, tcp), "a"))
		senders = append(senders, b.opened(space, "udp", at(ip, 53), "a"), b.opened(machine, "udp", at(ip, 53), "a"), b.opened(neighbor, "udp", at(here, udp), "a"))
	}
	stay := func(pod string) (err error) {
		for _, l := range streams {
			if name, _, e := asked(l); e != nil || name != pod {
				err = errors.Join(err, fmt.Errorf("%s, which was with %s: %q, %w", l.what, pod, name, e))
			}
		}
		return err
	}
	move := func(pod string) error {
		for _, l := range senders {
			if name, _, err := asked(l); err != nil || name != pod {
				return fmt.Errorf("%s: %q answers, not %q: %w", l.what, name, pod, err)
			}
		}
		return nil
	}
	// everywhere asks by new connections.
	everywhere := func(pods ...string) (err error) {
		for i, ip := range s.Spec.ClusterIPs {
			for range 10 {
				here := []string{here4, here6}[i]
				err = errors.Join(err, both(space, ip, 80, 53, nil, pods...), both(machine, ip, 80, 53, nil, pods...), both(neighbor, here, tcp, udp, nil, pods...))
			}
		}
		return err
	}
	b.delete("a.yaml")
	b.waitPod("a", "told to go", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	b.within(5*time.Second, "who comes anew goes to the other", func() error { return everywhere("b") })
	if err := stay("a"); err != nil {
		t.Error("connections to a pod that was told to go: ", err)
	}
	b.within(10*time.Second, "senders of UDP are heard by the other", func() error { return move("b") })
	b.delete("b.yaml")
	b.waitPod("b", "told to go", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	if err := errors.Join(everywhere("a", "b"), stay("a")); err != nil {
		t.Error("when all were told to go: ", err)
	}
	b.killContainer(podA, "main")
	b.waitGone("a")
	b.killContainer(podB, "main")
	b.waitGone("b")
	for i, ip := range s.Spec.ClusterIPs {
		b.eventually("without pods it is refused at once", func() error {
			return errors.Join(refuses(space, "tcp", at(ip, 80)), refuses(space, "udp", at(ip, 53)), refuses(machine, "tcp", at(ip, 80)),
				refuses(neighbor, "tcp", at([]string{here4, here6}[i], tcp)), refuses(neighbor, "udp", at([]string{here4, here6}[i], udp)))
		})
	}
	b.apply("a.yaml", stubborn("a"))
	speaks("a")
	b.within(10*time.Second, "who had nobody is heard", func() error { return errors.Join(everywhere("a"), move("a")) })

	// What others have is not taken, and when it is free it is.
	b.apply("holder.yaml", strings.Replace(voice("holder", "app: holder", 1, 1, ""), "containerPort: 1}", "containerPort: 1, hostPort: 30090}", 1))
	b.waitReady("holder")
	b.apply("rivals.yaml", fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: rival}
spec: {clusterIP: %s, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: port}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30090}]}
---
apiVersion: v1
kind: Service
metadata: {name: named}
spec: {clusterIP: 10.96.0.77, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
`, s.Spec.ClusterIP))
	b.eventOf("AddressTaken", "rival", s.Spec.ClusterIP)
	b.eventOf("PortTaken", "port", "30090")
	if ip := b.service("rival").Spec.ClusterIP; ip != "" {
		t.Errorf("the rival has %s", ip)
	}
	b.eventually("the rest is served", func() error {
		return errors.Join(everywhere("a"), reaches(space, "tcp", at(b.service("port").Spec.ClusterIP, 80), nil, "a"), reaches(space, "tcp", "10.96.0.77:80", nil, "a"))
	})
	b.delete("holder.yaml")
	b.eventually("the port is free", func() error { return reaches(neighbor, "tcp", at(here4, 30090), nil, "a") })
	kept := func() error {
		now := b.service("web")
		if !slices.Equal(now.Spec.ClusterIPs, s.Spec.ClusterIPs) || now.Spec.Ports[0].NodePort != tcp || now.Spec.Ports[1].NodePort != udp {
			return fmt.Errorf("it had %+v, and has %+v", s.Spec, now.Spec)
		}
		return nil
	}
	// An edit: another port, other labels. It has what it had.
	b.apply("services.yaml", strings.Replace(strings.Replace(changingServices, "{name: web}", "{name: web, labels: {new: label}}", 1), "ports: [", "ports: [{name: more, port: 81, targetPort: http}, ", 1))
	b.eventually("an edit counts", func() error { return reaches(space, "tcp", at(s.Spec.ClusterIP, 81), nil, "a") })
	b.apply("services.yaml", changingServices)
	b.eventually("an edit back", func() error { return refuses(space, "tcp", at(s.Spec.ClusterIP, 81)) })
	if err := errors.Join(kept(), everywhere("a"), move("a")); err != nil {
		t.Error("after edits: ", err)
	}
	b.delete("rivals.yaml")

	b.reboot()
	for _, gone := range [][]string{{"nft", "flush ruleset; " + kubeProxy}, {"ip", "link", "del", b.bridge()}, {"sh", "-c", "ip link del " + serviceLink(t, machine)}} {
		command(t, "nsenter", append([]string{"--net=" + machine}, gone...)...)
	}
	b.start()
	again := func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 }
	b.waitPod("a", "ready again", again)
	client = b.waitPod("client", "ready again", again)
	speaks("a")
	space = b.spaceOf(client)
	b.eventually("after a reboot all is served", func() error { return errors.Join(kept(), everywhere("a")) })
	b.eventually("and has its name", func() error {
		if got, err := lookUp(space, "udp", ownServer, "A", "web.default.svc.cluster.local."); err != nil || got != s.Spec.ClusterIP {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	})
	if out := command(t, "nsenter", "--net="+machine, "nft", "list", "table", "ip", "kube-proxy"); !strings.Contains(out, "chain services") {
		t.Errorf("kube-proxy's rules were changed:\n%s", out)
	}
	b.delete("a.yaml")
	b.waitPod("a", "told to go", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	b.killContainer(b.pod(v1.NamespaceDefault, "a"), "main")
}

// serviceLink is the name of the link that has the addresses of the server of names.
func serviceLink(t *testing.T, machine string) string {
	t.Helper()
	for line := range strings.Lines(command(t, "nsenter", "--net="+machine, "ip", "-br", "address")) {
		if f := strings.Fields(line); slices.Contains(f, ownServer+"/32") {
			return f[0]
		}
	}
	t.Fatal("there is no link for services")
	return ""
}

// A machine without IPv4: services, node ports and names are IPv6's, of the subnet and the ports that the configuration names.
func TestServicesOfOneFamily(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "6")
	b := startIn(t, machine, "podCIDR: none\npodCIDR6: fd00:77::/64\nserviceCIDR: fd00:96::/112\nserviceNodePortRange: 31000-31001\n")
	b.apply("services.yaml", `---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}, {name: talk, port: 53, targetPort: talk, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: both}
spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
`)
	b.apply("pods.yaml", voice("web", "app: web", 8001, 5301, "")+voice("client", "app: client", 1, 1, ""))
	web, client := b.waitReady("web"), b.waitReady("client")
	for _, port := range []string{":8001", ":5301"} {
		speak(t, b.spaceOf(web), "web", port)
	}
	s := b.service("web")
	if len(s.Spec.ClusterIPs) != 1 || !strings.HasPrefix(s.Spec.ClusterIP, "fd00:96::") || s.Spec.Ports[0].NodePort/2 != 15500 || s.Spec.Ports[1].NodePort/2 != 15500 {
		t.Fatalf("the service is %+v", s.Spec)
	}
	b.eventOf("IPFamilyUnavailable", "both")
	b.eventually("it is served", func() error {
		_, none := lookUp(b.spaceOf(client), "udp", "fd00:96::a", "A", "web.default.svc.cluster.local.")
		return errors.Join(none, both(b.spaceOf(client), s.Spec.ClusterIP, 80, 53, addresses(client), "web"), both(b.spaceOf(web), s.Spec.ClusterIP, 80, 53, nil, "web"),
			both(machine, s.Spec.ClusterIP, 80, 53, nil, "web"), both(neighbor, here6, s.Spec.Ports[0].NodePort, s.Spec.Ports[1].NodePort, []string{there6}, "web"),
			reaches(b.spaceOf(client), "tcp", at(b.service("both").Spec.ClusterIP, 80), addresses(client), "web"))
	})
	for kind, want := range map[string]string{"A": "NODATA", "AAAA": s.Spec.ClusterIP} {
		if got, err := lookUp(b.spaceOf(client), "tcp", "fd00:96::a", kind, "web.default.svc.cluster.local."); err != nil || got != want {
			t.Errorf("%s: %q, not %q, %v", kind, got, want, err)
		}
	}
	if out := b.mustInside(client, "cat /etc/resolv.conf"); !strings.Contains(out, "nameserver fd00:96::a\n") || strings.Contains(out, "nameserver 10.") {
		t.Errorf("the resolver configuration is\n%s", out)
	}
}
