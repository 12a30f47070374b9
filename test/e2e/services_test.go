package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// served is a pod that answers on port 8080 with its name, and is ready while it has the file /tmp/ready; labels is like "app: web".
func served(name, labels string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %[1]s, labels: {%[2]s}}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: main
    image: solopod.example/box:1
    command: ["/bin/sh", "-c", "mkdir -p /tmp; touch /tmp/ready; exec /web"]
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {exec: {command: [test, -f, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
`, name, labels)
}

const webService = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
`

// service is one of the namespace default as the daemon shows it.
func (b *box) service(name string) v1.Service {
	b.t.Helper()
	return b.serviceIn(v1.NamespaceDefault, name)
}

func (b *box) serviceIn(namespace, name string) v1.Service {
	b.t.Helper()
	var s v1.Service
	if err := json.Unmarshal([]byte(b.run("get", "services", "-n", namespace, name, "-o", "json")), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// fetches gets a page from inside a pod, and says who has answered.
func (b *box) fetches(pod *v1.Pod, url string) (string, error) {
	out, err := b.inside(pod, "wget -qO- "+url)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", url, err, out)
	}
	who, _, _ := strings.Cut(strings.TrimPrefix(out, "Hello from "), ",")
	return who, nil
}

// answered says whether nobody but the pods answers, and each of them does, within some tries.
func answered(fetch func() (string, error), pods ...string) error {
	seen := map[string]bool{}
	for range 40 {
		who, err := fetch()
		if err != nil {
			return err
		}
		if !slices.Contains(pods, who) {
			return fmt.Errorf("%q answers", who)
		}
		if seen[who] = true; len(seen) == len(pods) {
			return nil
		}
	}
	return fmt.Errorf("only %v answer", seen)
}

// Services: pods are reached by name and address from pods, from themselves and from the machine; who is not ready is left out; and a
// service has its address whatever becomes of the daemon.
func TestServices(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("services.yaml", webService)
	b.apply("pods.yaml", served("web-a", "app: web")+"---\n"+served("web-b", "app: web")+"---\n"+served("client", "app: client"))
	client, a := b.waitReady("client"), b.waitReady("web-a")
	b.waitReady("web-b")
	s := b.service("web")
	if len(s.Spec.ClusterIPs) != 2 || s.Spec.ClusterIP != s.Spec.ClusterIPs[0] || !strings.HasPrefix(s.Spec.ClusterIP, "10.") {
		t.Fatalf("the service has the addresses %v", s.Spec.ClusterIPs)
	}
	four, six := "http://"+s.Spec.ClusterIPs[0]+"/", "http://["+s.Spec.ClusterIPs[1]+"]/"
	urls := []string{four, six, "http://web/", "http://web.default/", "http://web.default.svc/", "http://web.default.svc.cluster.local/"}
	all := func(who ...string) error {
		for _, url := range urls {
			for _, from := range []*v1.Pod{client, a} { // web-a reaches itself, too
				if err := answered(func() (string, error) { return b.fetches(from, url) }, who...); err != nil {
					return fmt.Errorf("from %s: %s: %w", from.Name, url, err)
				}
			}
		}
		for _, url := range []string{four, six} {
			err := answered(func() (string, error) {
				body, err := fetchIn(machine, url)
				name, _, _ := strings.Cut(strings.TrimPrefix(body, "Hello from "), ",")
				return name, err
			}, who...)
			if err != nil {
				return fmt.Errorf("from the machine: %s: %w", url, err)
			}
		}
		return nil
	}
	b.eventually("the service leads to both pods", func() error { return all("web-a", "web-b") })
	t.Run("environment", func(t *testing.T) {
		out := b.mustInside(client, "tr '\\0' '\\n' </proc/1/environ || cat /proc/1/environ")
		if !strings.Contains(out, "WEB_SERVICE_HOST="+s.Spec.ClusterIP) || !strings.Contains(out, "WEB_PORT_80_TCP=tcp://"+s.Spec.ClusterIP+":80") {
			t.Errorf("a pod that began after the service has\n%s", out)
		}
	})
	b.mustInside(a, "rm /tmp/ready")
	b.eventually("a pod that is not ready is left out", func() error { return all("web-b") })
	if out := b.run("describe", "service", "web"); !strings.Contains(out, "web-a") || !strings.Contains(out, "not ready") {
		t.Errorf("the service is described as\n%s", out)
	}
	b.mustInside(a, "touch /tmp/ready")
	b.eventually("it is ready again", func() error { return all("web-a", "web-b") })

	// Requests go on while the daemon ends, is killed, and begins again.
	var asked, failed atomic.Int64
	var first atomic.Pointer[string]
	stop := make(chan struct{})
	var wg sync.WaitGroup
	ask := func(fetch func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				asked.Add(1)
				if err := fetch(); err != nil && failed.Add(1) == 1 {
					text := err.Error()
					first.Store(&text)
				}
			}
		})
	}
	ask(func() error { _, err := fetchIn(machine, four); return err })
	pid := b.pid(client, "main")
	ask(func() error {
		out, err := exec.Command("nsenter", "-t", fmt.Sprint(pid), "-a", "-r", "-w", "--", "/bin/wget", "-qO-", "http://web/").CombinedOutput()
		if err != nil {
			return fmt.Errorf("by name: %w: %s", err, out)
		}
		return nil
	})
	for _, end := range []func(){func() { b.stop(syscall.SIGTERM) }, b.crash} {
		end()
		before := asked.Load()
		b.within(patience, "requests go on without the daemon", func() error {
			if n := asked.Load() - before; n < 20 {
				return fmt.Errorf("%d requests", n)
			}
			return nil
		})
		b.start()
		b.waitReady("web-a")
	}
	close(stop)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests have failed while the daemon was away and came back: %s", n, asked.Load(), *first.Load())
	}
	if again := b.service("web"); !slices.Equal(again.Spec.ClusterIPs, s.Spec.ClusterIPs) {
		t.Errorf("the service had %v, and has %v", s.Spec.ClusterIPs, again.Spec.ClusterIPs)
	}
	b.eventually("after the restarts it leads to both", func() error { return all("web-a", "web-b") })

	// Without pods a connection is refused, and with the file the service goes.
	b.apply("pods.yaml", served("client", "app: client"))
	b.waitGone("web-a")
	b.waitGone("web-b")
	refused := func() error {
		begun := time.Now()
		_, err := fetchIn(machine, four)
		if err == nil || !strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("a service without pods: %w", err)
		}
		if took := time.Since(begun); took > time.Second/2 {
			return fmt.Errorf("it took %s to be refused", took)
		}
		return nil
	}
	b.eventually("it is refused at once", refused)
	b.eventOf("NoEndpoints", "web")
	b.delete("services.yaml")
	b.eventually("nothing of services is left", func() error {
		for _, left := range []string{
			command(t, "nsenter", "--net="+machine, "nft", "list", "ruleset"), command(t, "nsenter", "--net="+machine, "ip", "address"),
			command(t, "nsenter", "--net="+machine, "ss", "-lnutH"),
		} {
			for _, of := range []string{"services", "-svc", "10.96.", ":53 "} {
				if strings.Contains(left, of) {
					return fmt.Errorf("there is still %q:\n%s", of, left)
				}
			}
		}
		return nil
	})
	if out := b.mustInside(client, "cat /etc/resolv.conf"); strings.Contains(out, "10.96.") || strings.Contains(out, "cluster.local") {
		t.Errorf("without services the pod's resolver configuration is\n%s", out)
	}
}

// NodePorts and LoadBalancers: others reach pods by the machine's addresses, and pods see who asks; a port that a program has is left to it.
func TestServicesFromOutside(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	program := exec.Command("nsenter", "--net="+machine, "--", webBinary)
	program.Env = append(os.Environ(), "LISTEN=:9443")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		program.Process.Kill() //nolint:errcheck // it runs
		program.Wait()         //nolint:errcheck // it is killed
	})
	b.within(patience, "a program of the machine listens", func() error {
		_, err := fetchIn(machine, "http://127.0.0.1:9443/")
		return err
	})
	b.apply("web.yaml", served("web-a", "app: web")+"---\n"+webService+`---
apiVersion: v1
kind: Service
metadata: {name: out}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports:
  - {name: http, port: 9080, targetPort: http, nodePort: 30980}
  - {name: tls, port: 9443, targetPort: http}
`)
	b.waitReady("web-a")
	s := b.service("out")
	ingress := s.Status.LoadBalancer.Ingress
	if len(ingress) != 2 || ingress[0].IP != here4 || ingress[1].IP != here6 || s.Spec.Ports[1].NodePort < 30000 {
		t.Fatalf("the service is %+v", s)
	}
	reach := func(port int32, want string) error {
		for _, host := range []string{here4, "[" + here6 + "]"} {
			url := fmt.Sprintf("http://%s:%d/", host, port)
			body, err := fetchIn(neighbor, url)
			if err == nil && !strings.HasPrefix(body, "Hello from "+want+",") {
				err = fmt.Errorf("%s: %q answers", url, body)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	all := func() error {
		return errors.Join(reach(9080, "web-a"), reach(30980, "web-a"), reach(s.Spec.Ports[1].NodePort, "web-a"), reach(9443, host))
	}
	b.eventually("others reach the pod, and the program", all)
	b.eventOf("PortTaken", "out", "9443/TCP")
	if ports := b.service("out").Status.LoadBalancer.Ingress[0].Ports; ports[0].Error != nil || ports[1].Error == nil || *ports[1].Error != "PortTaken" {
		t.Errorf("the ports are shown as %+v", ports)
	}
	for what, change := range map[string][]string{
		"the rules are flushed": {"nft", "flush", "ruleset"}, "the link is removed": {"ip", "link", "del", b.bridge() + "-svc"},
	} {
		if what == "the link is removed" {
			links := command(t, "nsenter", "--net="+machine, "ip", "-br", "link")
			for line := range strings.Lines(links) {
				if name := strings.Fields(line)[0]; strings.HasPrefix(name, "svc") || strings.HasSuffix(name, "-svc") {
					change[3] = name
				}
			}
		}
		command(t, "nsenter", append([]string{"--net=" + machine}, change...)...)
		b.within(10*time.Second, what, func() error {
			_, err := fetchIn(machine, "http://"+b.service("web").Spec.ClusterIP+"/")
			return errors.Join(err, all())
		})
	}
}

// A file that has become bad while the daemon was away takes no service and no policy from the pods that run, and neither does a reboot's worth of
// lost records an address.
func TestServicesOfBadFiles(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := startIn(t, machine, "")
	b.apply("pods.yaml", served("web-a", "app: web")+"---\n"+served("client", "app: client")+"---\n"+served("stranger", "app: stranger"))
	b.apply("shop.yaml", strings.Replace(webService, "  ipFamilyPolicy: PreferDualStack\n", "", 1)+`---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
`)
	client, stranger := b.waitReady("client"), b.waitReady("stranger")
	a := b.waitReady("web-a")
	kept := func() error {
		if who, err := b.fetches(client, "http://web/"); err != nil || who != "web-a" {
			return fmt.Errorf("who may gets %q, %w", who, err)
		}
		if out, err := b.inside(stranger, "nc -w 1 "+a.Status.PodIP+" 8080 </dev/null"); err == nil {
			return fmt.Errorf("who may not gets an answer: %q", out)
		}
		return nil
	}
	b.eventually("the policy is kept to", kept)
	address := b.service("web").Spec.ClusterIP
	b.stop(syscall.SIGTERM)
	b.writeFile("manifests/shop.yaml", "kind: Service\nthis is no manifest\n")
	b.start()
	b.eventually("the file is bad", func() error { return b.fileIs("shop.yaml", "Invalid") })
	if err := kept(); err != nil {
		t.Error("with a bad file: ", err)
	}
	if s := b.service("web"); s.Spec.ClusterIP != address {
		t.Errorf("with a bad file the service has %s, and had %s", s.Spec.ClusterIP, address)
	}
	b.stop(syscall.SIGTERM)
	b.writeFile("root/services.json", "{")
	b.writeFile("manifests/shop.yaml", strings.Replace(webService, "  ipFamilyPolicy: PreferDualStack\n", "", 1))
	b.start()
	b.eventually("without the record the service has its address", func() error {
		if s := b.service("web"); s.Spec.ClusterIP != address {
			return fmt.Errorf("it has %s, and had %s", s.Spec.ClusterIP, address)
		}
		_, err := b.fetches(stranger, "http://web/") // the policy has gone with the edit
		return err
	})
}

// What becomes of a pod is in the kernel at once.
func TestServicesAreQuick(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := startIn(t, machine, "")
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {selector: {app: web}, ports: [{name: a, port: 80, targetPort: http}, {name: b, port: 81, targetPort: http}]}\n", i)
	}
	b.apply("many.yaml", many.String())
	b.apply("pod.yaml", served("web-a", "app: web"))
	a := b.waitReady("web-a")
	at := b.service("s99").Spec.ClusterIP + ":80"
	// follow tells when the pod's condition becomes what is wanted, and when a connection says so.
	follow := func(ready bool, change string) time.Duration {
		t.Helper()
		shown, reached := make(chan time.Time, 1), make(chan time.Time, 1)
		go func() {
			b.waitPod("web-a", change, func(p *v1.Pod) bool {
				return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
					return c.Type == v1.PodReady && (c.Status == v1.ConditionTrue) == ready
				})
			})
			shown <- time.Now()
		}()
		go func() {
			for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(500 * time.Microsecond) {
				c, err := inSpace(machine, func() (net.Conn, error) { return net.DialTimeout("tcp", at, time.Second) })
				if err == nil {
					c.Close()
				}
				if (err == nil) == ready {
					reached <- time.Now()
					return
				}
			}
			close(reached)
		}()
		b.mustInside(a, change)
		at, ok := <-reached
		if !ok {
			t.Fatalf("%s does not show", change)
		}
		return at.Sub(<-shown)
	}
	var took []time.Duration
	for range 5 {
		took = append(took, follow(false, "rm /tmp/ready"), follow(true, "touch /tmp/ready"))
	}
	slices.Sort(took)
	t.Logf("from the pod's condition to the kernel, with 100 services: %s", took)
	if median := took[len(took)/2]; median > 100*time.Millisecond {
		t.Errorf("it takes %s", median)
	}
}
