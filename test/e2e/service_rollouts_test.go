package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// requestLimit is far beyond what a request takes on a busy machine.
const requestLimit = 10 * time.Second

// requests are made again and again, from some places at once, until they are ended.
type requests struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	failed []string
	made   []func() string
}

func newRequests(t *testing.T) *requests {
	r := &requests{stop: make(chan struct{})}
	t.Cleanup(r.end)
	return r
}

func (r *requests) end() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.wg.Wait()
}

func (r *requests) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, time.Now().Format(time.TimeOnly+".000 ")+fmt.Sprintf(format, args...))
}

// go asks a URL from within a network namespace, with a new connection each time or with one that is kept.
func (r *requests) ask(what, space, url string, keep bool) {
	client := http.Client{Timeout: requestLimit, Transport: &http.Transport{DisableKeepAlives: !keep, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return inSpace(space, func() (net.Conn, error) { return net.DialTimeout(network, address, requestLimit) })
	}}}
	var made, slowest atomic.Int64
	r.made = append(r.made, func() string {
		return fmt.Sprintf("%s: %d, the slowest in %s", what, made.Load(), time.Duration(slowest.Load()))
	})
	r.wg.Go(func() {
		defer client.CloseIdleConnections()
		for {
			select {
			case <-r.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			begun := time.Now()
			err := answers(&client, url)
			slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
			if made.Add(1); err != nil {
				r.fail("%s, request %d, begun %s before: %v", what, made.Load(), time.Since(begun), err)
			}
		}
	})
}

// answers says whether one of the web pods answers.
func answers(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && !strings.HasPrefix(string(body), "Hello from web-") {
		err = fmt.Errorf("the answer is %s %q", resp.Status, body)
	}
	return err
}

// askerManifest asks by the service's name, from inside a pod, until it is told to end. What fails is a line of its log. (busybox crashes with wget -T.)
const askerManifest = `apiVersion: v1
kind: Pod
metadata: {name: asker}
spec:
  terminationGracePeriodSeconds: 20
  restartPolicy: Never
  containers:
  - name: main
    image: solopod.example/box:1
    command: [/bin/sh, -c]
    args:
    - |
      mkdir -p /tmp; ended=; trap 'ended=yes' TERM; n=0
      until out=$(wget -qO- http://web/ 2>&1); do sleep 0.1; done
      touch /tmp/begun
      while [ -z "$ended" ] && [ ! -e /tmp/end ]; do
        n=$((n+1))
        out=$(wget -qO- http://web/ 2>&1) || echo "failed: request $n at $(date): $out"
        sleep 0.05
      done
      echo "requests: $n"
    readinessProbe: {exec: {command: [test, -e, /tmp/begun]}, periodSeconds: 1}
`

// rolling is a Deployment as its users should write it: ready when it answers, and going when nobody is sent to it any more.
func rolling(version, replicas int, strategy string) string {
	return workload("apps/v1", "Deployment", "web", fmt.Sprintf("replicas: %d\nstrategy: {rollingUpdate: {%s}}\n", replicas, strategy)+
		fmt.Sprintf(`selector: {matchLabels: {app: web}}
template:
  metadata: {labels: {app: web}}
  spec:
    terminationGracePeriodSeconds: 10
    containers:
    - name: main
      image: solopod.example/box:1
      command: [/web]
      env: [{name: VERSION, value: "%d"}]
      ports: [{name: http, containerPort: 8080}]
      readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
      lifecycle: {preStop: {sleep: {seconds: 1}}}
`, version))
}

// rolled says whether just so many pods are there, of a version and ready.
func (b *box) rolled(version, replicas int) error {
	var list v1.PodList
	if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
		return err
	}
	var is []string
	for i := range list.Items {
		p := &list.Items[i]
		if p.Annotations["solopod.io/owner"] != "deployment/web" {
			continue
		}
		if is = append(is, p.Name); p.Spec.Containers[0].Env[0].Value != fmt.Sprint(version) || !isReady(p) {
			return fmt.Errorf("%s is not of version %d and ready", p.Name, version)
		}
	}
	if len(is) != replicas {
		return fmt.Errorf("there are %s", is)
	}
	return nil
}

// A Deployment behind a service is rolled out again and again while it is asked from a pod by name, from the machine and from another
// one by the node port, with new connections and with such as are kept: not one request fails.
func TestServiceRollouts(t *testing.T) {
	t.Parallel()
	rollouts := 4
	if *slow {
		rollouts = 200
	}
	machine, neighbor := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("service.yaml", strings.Replace(webService, "spec:", "spec:\n  type: NodePort", 1))
	b.apply("asker.yaml", askerManifest)
	// Surge alone, none beyond the replicas, and both.
	strategies := []string{"maxSurge: 1, maxUnavailable: 0", "maxSurge: 0, maxUnavailable: 1", "maxSurge: 2, maxUnavailable: 1"}
	roll := func(round int) {
		replicas := 2 + round/len(strategies)%2
		b.apply("web.yaml", rolling(round, replicas, strategies[round%len(strategies)]))
		b.eventually(fmt.Sprintf("rollout %d is complete", round), func() error { return b.rolled(round, replicas) })
	}
	roll(0)
	pod, s := b.waitReady("asker"), b.service("web")
	inPod := filepath.Join("/proc", fmt.Sprint(b.pid(pod, "main")), "ns/net")
	four, six := "http://"+s.Spec.ClusterIPs[0]+"/", "http://["+s.Spec.ClusterIPs[1]+"]/"
	node := func(address string) string { return fmt.Sprintf("http://%s:%d/", address, s.Spec.Ports[0].NodePort) }

	r := newRequests(t)
	r.ask("from a pod", inPod, four, false)
	r.ask("from a pod by IPv6", inPod, six, false)
	r.ask("from a pod, kept", inPod, four, true)
	r.ask("from the machine", machine, four, false)
	r.ask("from the machine by the node port", machine, node("127.0.0.1"), false)
	r.ask("from the machine by the node port, kept", machine, node(here4), true)
	r.ask("from another machine", neighbor, node(here4), false)
	r.ask("from another machine by IPv6", neighbor, node("["+here6+"]"), false)
	begun := time.Now()
	for round := 1; round <= rollouts; round++ {
		roll(round)
	}
	took := time.Since(begun)
	r.end()
	b.mustInside(pod, "touch /tmp/end")
	b.waitPod("asker", "ended", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
	log := strings.Split(strings.TrimSpace(b.run("logs", "asker")), "\n")
	r.failed = append(r.failed, log[:len(log)-1]...)
	t.Logf("%d rollouts in %s; from a pod by name: %s", rollouts, took.Round(time.Second), log[len(log)-1])
	for _, made := range r.made {
		t.Log(made())
	}
	if len(r.failed) > 0 {
		t.Errorf("%d requests have failed:\n%s", len(r.failed), strings.Join(r.failed[:min(len(r.failed), 50)], "\n"))
	}
}

// namedServer answers datagrams in a pod's network with the pod's number, until it is closed.
func namedServer(t *testing.T, space, name string) net.PacketConn {
	t.Helper()
	conn, err := inSpace(space, func() (net.PacketConn, error) { return net.ListenPacket("udp", ":5353") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for buffer := make([]byte, 64); ; {
			_, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			conn.WriteTo([]byte(name), from) //nolint:errcheck // who asks does so again
		}
	}()
	return conn
}

// A client of UDP that sends from one port, and never stops, reaches the next pod of a service at once when the one before it is replaced.
func TestServiceUDPReplaced(t *testing.T) {
	t.Parallel()
	machine, neighbor := newSpaces(t, "4", "6")
	b := startIn(t, machine, "")
	b.apply("service.yaml", `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: ask, protocol: UDP, port: 53, targetPort: 5353}]
`)
	b.apply("client.yaml", served("client", "app: client"))
	client := b.waitReady("client")
	var s v1.Service
	b.eventually("the service has its addresses", func() error {
		if s = b.service("web"); len(s.Spec.ClusterIPs) != 2 {
			return fmt.Errorf("they are %s", s.Spec.ClusterIPs)
		}
		return nil
	})
	node := fmt.Sprint(s.Spec.Ports[0].NodePort)
	places := []struct{ what, space, from, to string }{
		{"a pod", fmt.Sprintf("/proc/%d/ns/net", b.pid(client, "main")), ":5140", net.JoinHostPort(s.Spec.ClusterIPs[0], "53")},
		{"a pod by IPv6", fmt.Sprintf("/proc/%d/ns/net", b.pid(client, "main")), ":5141", net.JoinHostPort(s.Spec.ClusterIPs[1], "53")},
		{"the machine", machine, ":5142", net.JoinHostPort(s.Spec.ClusterIPs[0], "53")},
		{"another machine", neighbor, ":5143", net.JoinHostPort(here4, node)},
		{"another machine by IPv6", neighbor, ":5144", net.JoinHostPort(here6, node)},
	}
	var mu sync.Mutex
	heard := make([]string, len(places)) // who has answered last
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for i, p := range places {
		from, err := net.ResolveUDPAddr("udp", p.from)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := inSpace(p.space, func() (net.Conn, error) {
			return (&net.Dialer{LocalAddr: from}).Dial("udp", p.to)
		})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close()
			for buffer := make([]byte, 64); ; {
				select {
				case <-stop:
					return
				default:
				}
				conn.Write([]byte("who"))                                   //nolint:errcheck // it is refused while there is no pod
				conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // it has deadlines
				if n, err := conn.Read(buffer); err == nil {
					mu.Lock()
					heard[i] = string(buffer[:n])
					mu.Unlock()
				}
			}
		})
	}
	for round := range 5 {
		name := fmt.Sprintf("web-%d", round)
		b.apply("web.yaml", served(name, "app: web"))
		if round > 0 {
			b.waitGone(fmt.Sprintf("web-%d", round-1))
		}
		pod := b.waitReady(name)
		server := namedServer(t, fmt.Sprintf("/proc/%d/ns/net", b.pid(pod, "main")), name)
		begun := time.Now()
		b.within(5*time.Second, name+" is heard by all", func() error {
			mu.Lock()
			defer mu.Unlock()
			if i := slices.IndexFunc(heard, func(who string) bool { return who != name }); i >= 0 {
				return fmt.Errorf("%s hears %q", places[i].what, heard[i])
			}
			return nil
		})
		t.Logf("%s is heard by all after %s", name, time.Since(begun))
		if round%2 == 1 { // the next pod begins after this one has gone; else beside it
			if err := os.Remove(b.path("manifests/web.yaml")); err != nil {
				t.Fatal(err)
			}
			b.waitGone(name)
		}
		server.Close()
	}
}

// goroutines ends the daemon with what each of its goroutines does, and counts those of Services, by the function that began them.
func (b *box) goroutines() map[string]int {
	b.t.Helper()
	before := len(b.daemonOutput())
	b.stop(syscall.SIGABRT)
	counts := map[string]int{}
	for _, stack := range strings.Split(b.daemonOutput()[before:], "\n\n") {
		_, by, _ := strings.Cut(stack, "created by ")
		by, _, _ = strings.Cut(by, " in goroutine")
		if !strings.HasPrefix(stack, "goroutine ") {
			continue
		}
		counts["all"]++
		for _, of := range []string{"/solopod/services", "/runner/names", "/network/balance", "/network/servicelink", "/network/routed"} {
			if strings.Contains(stack, of) {
				counts[by]++
				break
			}
		}
	}
	if counts["all"] < 10 {
		b.t.Fatalf("the daemon does not say what its goroutines do:\n%s", b.daemonOutput()[before:])
	}
	delete(counts, "all")
	return counts
}

// What serves services goes with the last one: a daemon that has served has no more goroutines than one that never has.
func TestServicesEnd(t *testing.T) {
	t.Parallel()
	machine, _ := newSpaces(t, "4")
	b := startIn(t, machine, "")
	b.apply("pods.yaml", served("web-a", "app: web"))
	b.waitReady("web-a")
	before := b.goroutines()
	b.start()
	pod := b.waitReady("web-a")
	b.apply("service.yaml", webService)
	b.eventually("it is served, by name", func() error {
		_, err := b.fetches(pod, "http://web/")
		return err
	})
	b.delete("service.yaml")
	b.eventually("nothing of it is left", func() error {
		for _, look := range [][]string{{"nft", "list", "tables"}, {"ip", "link"}, {"ss", "-Hlntu"}} {
			if out := command(t, "nsenter", append([]string{"--net=" + machine}, look...)...); strings.Contains(out, "-services") || strings.Contains(out, "-svc") || strings.Contains(out, ":53 ") {
				return fmt.Errorf("%s shows %s", look, out)
			}
		}
		return nil
	})
	b.eventually("pods ask as before", func() error {
		if out := b.mustInside(pod, "cat /etc/resolv.conf"); strings.Contains(out, "cluster.local") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if after := b.goroutines(); !maps.Equal(after, before) {
		t.Errorf("goroutines of services were %v, and are %v", before, after)
	}
	b.start()
	b.waitReady("web-a")
}
