package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/served"
)

// policy reads the spec of one.
func policy(t *testing.T, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("%v\n%s", err, spec)
	}
	p.Namespace, p.Name = "ns", name
	return p
}

// isolate enforces policies; none ends all.
func (m *machine) isolate(policies ...*networkingv1.NetworkPolicy) {
	m.t.Helper()
	if err := m.Isolate(m.t.Context(), isolate.Policies{Policies: policies, Namespaces: map[string]map[string]string{"far": {"team": "far"}}}); err != nil {
		m.t.Fatal(err)
	}
}

// app attaches a pod with a label, which serves its name on the ports 80 and 81.
func (m *machine) app(name string, change ...func(*Pod)) *pod {
	m.t.Helper()
	p := m.attachPod(name, func(p *Pod) {
		p.Labels = map[string]string{"app": name}
		for _, c := range change {
			c(p)
		}
	})
	serve(m.t, p.space, 80, name)
	serve(m.t, p.space, 81, name)
	return p
}

// silent fails the test if an address answers.
func silent(t *testing.T, space *os.File, ip string, port int) {
	t.Helper()
	if answer, err := ask(space, ip, port); err == nil {
		t.Errorf("port %d of %s answers %q", port, ip, answer)
	} else if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("port %d of %s: %v", port, ip, err)
	}
}

const (
	denyIngress = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`
	denyAll     = `{podSelector: {}, policyTypes: [Ingress, Egress]}`
	fromClient  = `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}]}`
)

// nodePort is the machine's port of the service of front.
const nodePort = 30080

// front serves a pod's port 80, and returns the addresses of the service.
func (m *machine) front(to *pod) []string {
	m.t.Helper()
	port := served.Port{Protocol: v1.ProtocolTCP, Port: 80, NodePort: nodePort}
	for _, ip := range to.IPs {
		port.Targets = append(port.Targets, served.Target{Addr: netip.MustParseAddr(ip), Port: 80})
	}
	m.serveServices(served.Service{Namespace: "ns", Name: "web", ClusterIPs: addrs(web4, web6), Ports: []served.Port{port}})
	return []string{web4, web6}
}

// What comes to a pod is judged by where it comes from and goes to, directly, through a host port and through a service, in both families,
// and the machine itself and the pod itself reach it always.
func TestPolicyOfIngress(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		web := m.app("web", func(p *Pod) { p.Ports = []Port{{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}} })
		client, other := m.app("client"), m.app("other")
		services := m.front(web)
		serve(t, m.neighbor, 90, "neighbor")
		here, there := []string{here4, here6}, []string{there4, there6}
		always := func() {
			t.Helper()
			for i, ip := range web.IPs {
				answers(t, nil, ip, 80, "web")
				answers(t, web.space, ip, 80, "web")
				answers(t, web.space, here[i], 8080, "web")
				answers(t, web.space, services[i], 80, "web")
				answers(t, web.space, here[i], nodePort, "web")
				answers(t, nil, services[i], 80, "web")
				answers(t, nil, here[i], nodePort, "web")
				answers(t, web.space, there[i], 90, "neighbor")
				answers(t, web.space, client.IPs[i], 80, "client")
				answers(t, other.space, client.IPs[i], 80, "client")
			}
			answers(t, nil, "127.0.0.1", 8080, "web")
		}
		for i, ip := range web.IPs {
			for _, space := range []*os.File{client.space, other.space} {
				answers(t, space, ip, 81, "web")
				answers(t, space, here[i], 8080, "web")
				answers(t, space, services[i], 80, "web")
			}
			answers(t, m.neighbor, here[i], 8080, "web")
			answers(t, m.neighbor, here[i], nodePort, "web")
		}
		always()

		m.isolate(policy(t, "deny", denyIngress))
		for i, ip := range web.IPs {
			silent(t, client.space, ip, 80)
			silent(t, client.space, here[i], 8080)
			silent(t, client.space, services[i], 80)
			silent(t, client.space, here[i], nodePort)
			silent(t, m.neighbor, here[i], 8080)
			silent(t, m.neighbor, here[i], nodePort)
		}
		always()

		m.isolate(policy(t, "deny", denyIngress), policy(t, "client", fromClient))
		for i, ip := range web.IPs {
			answers(t, client.space, ip, 80, "web")
			answers(t, client.space, here[i], 8080, "web")
			answers(t, client.space, services[i], 80, "web")
			silent(t, client.space, ip, 81)
			silent(t, other.space, ip, 80)
			silent(t, other.space, here[i], 8080)
			silent(t, other.space, services[i], 80)
			silent(t, m.neighbor, here[i], 8080)
		}
		always()

		m.isolate(policy(t, "neighbor", fmt.Sprintf(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}},
			{ipBlock: {cidr: "2001:db8::/32"}}, {ipBlock: {cidr: %s/32}}]}]}`, other.IPs[0])))
		for i := range web.IPs {
			answers(t, m.neighbor, here[i], 8080, "web")
			answers(t, m.neighbor, here[i], nodePort, "web")
			silent(t, client.space, here[i], 8080)
			silent(t, client.space, here[i], nodePort)
		}
		answers(t, other.space, web.IPs[0], 80, "web")
		silent(t, other.space, web.IPs[1], 80)
		always()

		m.isolate()
		answers(t, other.space, web.IPs[1], 81, "web")
		for _, family := range []string{"ip", "ip6", "bridge"} {
			if out, err := exec.Command("nft", "list", "table", family, isolate.TableName(m.config.Bridge)).CombinedOutput(); err == nil {
				t.Errorf("a table is left behind:\n%s", out)
			}
		}
	})
}

// What a pod sends is judged, also to the machine; names of ports are looked up at who receives.
func TestPolicyOfEgress(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		web := m.app("web", func(p *Pod) {
			p.Ports, p.Named = []Port{{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"}}, []isolate.Port{{Name: "http", Protocol: "TCP", Port: 80}}
		})
		client, other := m.app("client"), m.app("other", func(p *Pod) { p.Named = []isolate.Port{{Name: "http", Protocol: "TCP", Port: 81}} })
		far := m.app("far", func(p *Pod) { p.Namespace = "far" })
		services := m.front(web)
		serve(t, m.neighbor, 90, "neighbor")
		serve(t, nil, 70, "machine")
		gateways := []string{netip.MustParsePrefix(client.IPs[0] + "/24").Masked().Addr().Next().String(), netip.MustParsePrefix(client.IPs[1] + "/112").Masked().Addr().Next().String()}
		here, there := []string{here4, here6}, []string{there4, there6}

		m.isolate(policy(t, "deny", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}`))
		for i, ip := range web.IPs {
			for to, port := range map[string]int{ip: 80, here[i]: 70, gateways[i]: 70, there[i]: 90, services[i]: 80} {
				silent(t, client.space, to, port)
				if port != 80 {
					answers(t, web.space, to, port, map[int]string{70: "machine", 90: "neighbor"}[port])
				}
			}
			silent(t, client.space, here[i], 8080)
			answers(t, client.space, client.IPs[i], 80, "client")
			answers(t, other.space, client.IPs[i], 80, "client") // and its answers come
			answers(t, nil, client.IPs[i], 80, "client")
		}

		m.isolate(policy(t, "web", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [
			{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, other]}]}}], ports: [{port: http}]}]}`),
			policy(t, "far", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [
			{to: [{namespaceSelector: {matchLabels: {team: far}}}], ports: [{port: 80, endPort: 90}]}, {to: [{ipBlock: {cidr: 192.0.2.2/32}}]}]}`))
		for i := range web.IPs {
			answers(t, client.space, web.IPs[i], 80, "web")
			answers(t, client.space, services[i], 80, "web")
			answers(t, client.space, here[i], 8080, "web")
			answers(t, client.space, other.IPs[i], 81, "other")
			answers(t, client.space, far.IPs[i], 80, "far")
			answers(t, client.space, far.IPs[i], 81, "far")
			silent(t, client.space, web.IPs[i], 81)
			silent(t, client.space, other.IPs[i], 80)
			silent(t, client.space, here[i], 70)
		}
		answers(t, client.space, there4, 90, "neighbor")
		silent(t, client.space, there6, 90)
	})
}

// The servers that pods ask for names count as the pod that a cluster has for that.
func TestPolicyForNames(t *testing.T) {
	m := newMachine(t, true, true, nil)
	names := []string{"10.96.0.10", "fd00:96::a"}
	for i, length := range []int{32, 128} {
		in(t, nil, func() error { return addAddress("lo", fmt.Sprintf("%s/%d", names[i], length)) })
		t.Cleanup(func() {
			exec.Command("ip", "address", "delete", fmt.Sprintf("%s/%d", names[i], length), "dev", "lo").Run() //nolint:errcheck // it goes with the tests' machine
		})
	}
	client := m.app("client")
	serve(t, nil, 53, "names")
	serve(t, nil, 54, "no names")
	ask := policy(t, "names", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}},
		podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}, {port: dns-tcp}]}]}`)
	err := m.Isolate(t.Context(), isolate.Policies{Policies: []*networkingv1.NetworkPolicy{ask}, DNS: parseIPs(names)})
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range names {
		answers(t, client.space, ip, 53, "names")
		silent(t, client.space, ip, 54)
	}
	silent(t, client.space, here4, 53)
}

// A pod that is attached while a policy denies is not heard of before it, and nothing of an earlier pod counts for one that gets its address.
func TestPolicyFromTheFirstPacket(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, func(c *Config) { c.PodCIDR = "10.77.0.0/29" })
		m.isolate(policy(t, "web", fromClient), policy(t, "client", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`))
		other := m.app("other")
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { // at all addresses that a pod may get
			defer close(done)
			in(t, other.space, func() error {
				c, err := net.ListenPacket("udp4", ":0")
				if err != nil {
					return err
				}
				defer c.Close()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return nil
					default:
						c.WriteTo([]byte("early"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, byte(2+i%5)), Port: 99}) //nolint:errcheck // there is nobody as a rule
					}
				}
			})
		}()
		seen := map[string]bool{}
		for i, name := range []string{"client", "web", "client", "other", "web", "web", "client", "web"} {
			uid := fmt.Sprint(name, i)
			p := m.attachPod(uid, func(p *Pod) { p.Labels = map[string]string{"app": name} })
			seen[p.IPs[0]] = true
			var l net.PacketConn
			in(t, p.space, func() (err error) { l, err = net.ListenPacket("udp4", ":99"); return err })
			serve(t, p.space, 80, uid)
			limit := 300 * time.Millisecond
			if name != "web" {
				limit = 10 * time.Second // who sends has asked for the address in vain, and asks again from time to time
			}
			l.SetReadDeadline(time.Now().Add(limit)) //nolint:errcheck // the read fails
			_, _, err := l.ReadFrom(make([]byte, 16))
			if heard := err == nil; heard != (name != "web") {
				t.Errorf("%s at %s hears a packet of others: %v", uid, p.IPs[0], heard)
			}
			l.Close()
			for i, ip := range other.IPs { // the pod that had the address may have had other rules
				if name == "web" {
					silent(t, p.space, ip, 80)
				} else {
					answers(t, p.space, other.IPs[i], 80, "other")
				}
			}
			m.detach(p)
		}
		close(stop)
		<-done
		if len(seen) > 5 {
			t.Errorf("no address was used again: %v", seen)
		}
	})
}

// A policy counts for connections that are there already; those that it allows go on, as do answers.
func TestPolicyForConnections(t *testing.T) {
	eachNetfilter(t, func(t *testing.T) {
		m := newMachine(t, true, true, nil)
		web, client, other := m.app("web"), m.app("client"), m.app("other")
		echoes(t, web.space, 85)
		for _, ip := range web.IPs {
			m.isolate()
			of := map[string]net.Conn{}
			for name, space := range map[string]*os.File{"client": client.space, "other": other.space} {
				in(t, space, func() (err error) {
					of[name], err = net.DialTimeout("tcp", net.JoinHostPort(ip, "85"), time.Second)
					return err
				})
				defer of[name].Close()
				if err := repeats(of[name], time.Second); err != nil {
					t.Fatal(err)
				}
			}
			m.isolate(policy(t, "client", strings.ReplaceAll(fromClient, "port: 80", "port: 85")))
			if err := repeats(of["client"], time.Second); err != nil {
				t.Errorf("%s: a connection that is allowed does not go on: %v", ip, err)
			}
			if err := repeats(of["other"], 500*time.Millisecond); err == nil {
				t.Errorf("%s: a connection that is forbidden goes on", ip)
			}
			m.isolate()
			if err := repeats(of["other"], 5*time.Second); err != nil {
				t.Errorf("%s: a connection that is allowed again does not go on: %v", ip, err)
			}
		}
	})
}

// Who was asked by UDP before a policy forbade both does not go on to answer.
func TestPolicyForStreams(t *testing.T) {
	m := newMachine(t, true, true, nil)
	web, other := m.app("web"), m.app("other")
	for _, ip := range web.IPs {
		m.isolate()
		var here, there net.PacketConn
		in(t, web.space, func() (err error) { here, err = net.ListenPacket("udp", ":86"); return err })
		in(t, other.space, func() (err error) { there, err = net.ListenPacket("udp", ":0"); return err })
		hears := func(c net.PacketConn, limit time.Duration) (net.Addr, error) {
			c.SetReadDeadline(time.Now().Add(limit)) //nolint:errcheck // the read fails
			_, from, err := c.ReadFrom(make([]byte, 16))
			return from, err
		}
		to, err := net.ResolveUDPAddr("udp", net.JoinHostPort(ip, "86"))
		if err != nil {
			t.Fatal(err)
		}
		there.WriteTo([]byte("begin"), to) //nolint:errcheck // what is not heard fails
		asker, err := hears(here, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		here.WriteTo([]byte("stream"), asker) //nolint:errcheck // what is not heard fails
		if _, err := hears(there, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		m.isolate(policy(t, "deny", denyAll))
		here.WriteTo([]byte("stream"), asker) //nolint:errcheck // the policy may refuse at once
		if _, err := hears(there, 300*time.Millisecond); err == nil {
			t.Errorf("%s goes on to answer", ip)
		}
		here.Close()
		there.Close()
	}
}

// echoes repeats what it is told, until the test ends.
func echoes(t *testing.T, space *os.File, port int) {
	t.Helper()
	var l net.Listener
	in(t, space, func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err })
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for b := make([]byte, 64); ; {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					c.Write(b[:n]) //nolint:errcheck // who asks sees
				}
			}()
		}
	}()
}

// repeats says a word to an echo.
func repeats(c net.Conn, limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("word")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 64))
	return err
}

// What others take away is written again, and a daemon that starts takes nothing away before it knows what there is to enforce.
func TestPoliciesTakenAway(t *testing.T) {
	m := newMachine(t, true, true, nil)
	web, other := m.app("web"), m.app("other")
	m.isolate(policy(t, "web", fromClient))
	m.watching()
	for range 2 {
		flushRules(t)
		eventually(t, 5*time.Second, "the policy counts again", func() bool { _, err := ask(other.space, web.IPs[0], 80); return err != nil })
	}
	eventually(t, 5*time.Second, "it is told", func() bool { return m.said("the rules of NetworkPolicies") })
	nft(t, "flush set ip "+isolate.TableName(m.config.Bridge)+" itself")
	eventually(t, 5*time.Second, "an element is there again", func() bool {
		out, err := exec.Command("nft", "list", "set", "ip", isolate.TableName(m.config.Bridge), "itself").CombinedOutput()
		return err == nil && strings.Contains(string(out), web.IPs[0])
	})

	again := New(m.config)
	for _, p := range []*pod{web, other} {
		again.Adopt(p.UID, p.Attachment)
		again.Know(p.Pod)
	}
	silent(t, other.space, web.IPs[1], 80)
	client := m.app("client")
	again.Adopt(client.UID, client.Attachment)
	again.Know(client.Pod)
	if err := again.Isolate(t.Context(), isolate.Policies{Policies: []*networkingv1.NetworkPolicy{policy(t, "web", fromClient)}}); err != nil {
		t.Fatal(err)
	}
	silent(t, other.space, web.IPs[1], 80)
	answers(t, client.space, web.IPs[1], 80, "web")
	third := New(m.config)
	third.Adopt(web.UID, web.Attachment)
	if err := third.Isolate(t.Context(), isolate.Policies{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "no policy counts", func() bool { _, err := ask(other.space, web.IPs[1], 80); return err == nil })
}

// Labels that a pod has got since count.
func TestPolicyFollowsLabels(t *testing.T) {
	m := newMachine(t, true, true, nil)
	web, other := m.app("web"), m.app("other")
	p := isolate.Policies{Policies: []*networkingv1.NetworkPolicy{policy(t, "web", fromClient)}}
	for range 2 {
		for _, app := range []string{"other", "client"} {
			p.Pods = []isolate.Pod{{UID: "other", Namespace: "ns", Name: "other", Labels: map[string]string{"app": app}}, {UID: "gone", Namespace: "ns"}}
			if err := m.Isolate(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			for _, ip := range web.IPs {
				if app == "client" {
					answers(t, other.space, ip, 80, "web")
				} else {
					silent(t, other.space, ip, 80)
				}
			}
		}
	}
}

// While policies are edited nobody slips through, and nobody who is allowed is held up.
func TestPolicyEdited(t *testing.T) {
	m := newMachine(t, true, true, nil)
	web, client, other := m.app("web"), m.app("client"), m.app("other")
	const allowed = `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 96, protocol: UDP}, {port: %d}]}]}`
	m.isolate(policy(t, "web", fmt.Sprintf(allowed, 1)))
	l := listener(t, web.space, "udp4", 96)
	heard, done := map[string]int{}, make(chan error)
	go func() {
		for b := make([]byte, 64); ; {
			n, _, err := l.ReadFrom(b)
			if err != nil || string(b[:n]) == "last" {
				done <- err
				return
			}
			heard[string(b[:n])]++
		}
	}()
	stop := make(chan struct{})
	senders := make(chan error)
	sent := map[string]*int{"client": new(int), "other": new(int)}
	for name, space := range map[string]*os.File{"client": client.space, "other": other.space} {
		go func() {
			senders <- within(space, func() error {
				c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.ParseIP(web.IPs[0]), Port: 96})
				if err != nil {
					return err
				}
				defer c.Close()
				for tick := time.NewTicker(100 * time.Microsecond); ; <-tick.C {
					select {
					case <-stop:
						return nil
					default:
					}
					if _, err := c.Write([]byte(name)); err != nil {
						return err
					}
					*sent[name]++
				}
			})
		}()
	}
	for i := range 60 {
		m.isolate(policy(t, "web", fmt.Sprintf(allowed, 1+i)), policy(t, "more", fmt.Sprintf(`{podSelector: {}, policyTypes: [Egress], egress: [{}, {ports: [{port: %d}]}]}`, 1+i)))
		if i%20 == 10 {
			m.policies.written = nil // as at a start: all is written anew
		}
	}
	close(stop)
	if err := errors.Join(<-senders, <-senders); err != nil {
		t.Fatal(err)
	}
	in(t, client.space, func() error { return say(web.IPs[0], 96, "last") })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if heard["other"] > 0 || *sent["other"] < 100 {
		t.Errorf("of %d packets of who is forbidden %d are heard", *sent["other"], heard["other"])
	}
	if lost := *sent["client"] - heard["client"]; lost > 0 || *sent["client"] < 100 {
		t.Errorf("of %d packets of who is allowed %d are lost", *sent["client"], lost)
	}
}

// A pod does not start while the rules of its policies cannot be written, and others do not lose theirs.
func TestPolicyCannotBeWritten(t *testing.T) {
	m := newMachine(t, true, true, nil)
	other := m.app("other")
	owner := exec.Command("nft", "-i") // a table of its own, which nobody else can change (nft(8), owner)
	commands, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		commands.Close()
		owner.Wait() //nolint:errcheck // it has done what it was for
	})
	t.Cleanup(end)
	name := isolate.TableName(m.config.Bridge)
	fmt.Fprintf(commands, "add table ip %s { flags owner; }\n", name)
	eventually(t, 10*time.Second, "the table is another's", func() bool {
		out, err := exec.Command("nft", "list", "tables").CombinedOutput()
		return err == nil && strings.Contains(string(out), name)
	})
	deny := isolate.Policies{Policies: []*networkingv1.NetworkPolicy{policy(t, "deny", denyIngress)}}
	if err := m.Isolate(t.Context(), deny); err != nil {
		t.Fatalf("nobody is isolated, and there is something to write: %v", err)
	}
	space := newSpace(t)
	web := Pod{UID: "web", Namespace: "ns", Name: "web", Labels: map[string]string{"app": "web"}, Netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())}
	if a, err := m.Attach(t.Context(), web); err == nil || !strings.Contains(err.Error(), "cannot enforce NetworkPolicies") {
		t.Fatalf("the pod is attached: %v, %v", a, err)
	}
	if n := len(m.policies.pods); n != 1 {
		t.Errorf("%d pods are known", n)
	}
	end()
	p := m.app("web")
	silent(t, other.space, p.IPs[0], 80)
}
