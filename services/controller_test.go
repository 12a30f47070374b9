package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/broadcast"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services/machine"
	"github.com/solopod/solopod/services/settings"
)

// box is a machine with pods, a kernel and names, all of them in memory.
type box struct {
	t *testing.T

	mu       sync.Mutex
	pods     []*v1.Pod
	watchers broadcast.Changes
	asked    int // for pods
	listens  map[uint16]string
	broken   error // of the kernel
	changed  chan struct{}

	served   chan Serving
	names    chan []string
	policies chan Policies
	events   []string
	families []v1.IPFamily
	network  machine.Network

	control *Controller
	stop    func()
	path    string
}

func newBox(t *testing.T) *box {
	b := &box{
		t: t, changed: make(chan struct{}), listens: map[uint16]string{}, families: []v1.IPFamily{v1.IPv4Protocol, v1.IPv6Protocol},
		path: filepath.Join(t.TempDir(), "services.json"),
	}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *box) start() {
	set, err := settings.Parse(settings.Text{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.served, b.names, b.policies = make(chan Serving, 100), make(chan []string, 100), make(chan Policies, 100)
	b.control = New(Config{
		Pods: b, Machine: b, Settings: set, Path: b.path, Node: "box",
		Serve: func(_ context.Context, s Serving) error {
			b.mu.Lock()
			err := b.broken
			b.mu.Unlock()
			if err == nil {
				b.served <- s
			}
			return err
		},
		Publish: func(_ context.Context, t *served.Table, at []netip.Addr) error {
			b.names <- []string{fmt.Sprint(len(t.Services)), fmt.Sprint(at)}
			return nil
		},
		Isolate: func(_ context.Context, p Policies) error {
			b.mu.Lock()
			err := b.broken
			b.mu.Unlock()
			if err == nil {
				b.policies <- p
			}
			return err
		},
		Report: func(_, namespace, name, _, reason, message string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, namespace+"/"+name+" "+reason+": "+message)
			b.stir()
		},
		Families: func() []v1.IPFamily { return b.families },
		NodeIPs:  func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.1")} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.control.Run(ctx) //nolint:errcheck // it returns none
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
}

func (b *box) Pods() []*v1.Pod {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return slices.Clone(b.pods)
}

func (b *box) Subscribe() (<-chan struct{}, func()) {
	changes, cancel := b.watchers.Subscribe()
	return changes, func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stir()
	}
}

func (b *box) Look(context.Context) (*machine.Network, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.network
	return &n, nil
}

func (b *box) Private() netip.Prefix { return netip.MustParsePrefix("fd12:3456::/112") }

func (b *box) Listening(_ context.Context, ports []listener.Port, _ []netip.Addr) (map[listener.Port]*listener.Taken, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[listener.Port]*listener.Taken{}
	for _, p := range ports {
		if by := b.listens[p.Number]; by != "" {
			out[p] = &listener.Taken{Port: p, Addr: netip.IPv4Unspecified(), By: by}
		}
	}
	return out, nil
}

// set changes the pods.
func (b *box) set(pods ...*v1.Pod) {
	b.mu.Lock()
	b.pods = pods
	b.mu.Unlock()
	b.watchers.Notify()
}

func (b *box) apply(objects ...metav1.Object) { b.applyWith(manifests.StateActive, objects...) }

func (b *box) applyWith(state string, objects ...metav1.Object) {
	s := manifests.Snapshot{
		FileOf:   map[string]string{},
		Services: map[string]*v1.Service{}, NetworkPolicies: map[string]*networkingv1.NetworkPolicy{}, Namespaces: map[string]*v1.Namespace{},
		Files: []manifests.File{{Name: "a.yaml", State: state}},
	}
	for _, o := range objects {
		key := o.GetNamespace() + "/" + o.GetName()
		switch o := o.(type) {
		case *v1.Service:
			s.Services[key], s.FileOf["service/"+key] = o, "a.yaml"
		case *networkingv1.NetworkPolicy:
			s.NetworkPolicies[key] = o
		case *v1.Namespace:
			s.Namespaces[o.Name] = o
		}
	}
	b.control.Apply(s)
}

// next waits for what is told.
func next[T any](t *testing.T, ch chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is told")
		panic("unreachable")
	}
}

// until waits for a table with which f is content.
func (b *box) until(what string, f func(*served.Table) bool) Serving {
	b.t.Helper()
	for {
		if s := next(b.t, b.served); f(s.Table) {
			return s
		}
		b.t.Logf("not yet: %s", what)
	}
}

// eventually waits until f, which is called with the lock held, is content; f is asked whenever something of the box changes.
func (b *box) eventually(what string, f func() bool) {
	b.t.Helper()
	limit := time.After(15 * time.Second)
	for {
		b.mu.Lock()
		done, changed, events := f(), b.changed, strings.Join(b.events, "\n")
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			b.t.Fatalf("there is not: %s; events: %s", what, events)
		}
	}
}

// stir tells of a change; the lock is held.
func (b *box) stir() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// event waits for one that has the text.
func (b *box) event(text string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("an event with %q", text), func() bool {
		return slices.ContainsFunc(b.events, func(e string) bool { return strings.Contains(e, text) })
	})
}

func web(change ...func(*v1.Service)) *v1.Service {
	s := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "web"},
		Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeClusterIP, Selector: map[string]string{"app": "web"}, Ports: []v1.ServicePort{{Port: 80, Protocol: v1.ProtocolTCP}},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func podOf(name, ip string, ready bool) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}}}
	p.Spec.Containers = []v1.Container{{Name: "c"}}
	p.Status.PodIPs = []v1.PodIP{{IP: ip}}
	p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionFalse}}
	if ready {
		p.Status.Conditions[0].Status = v1.ConditionTrue
	}
	return p
}

func targets(t *served.Table) (out []string) {
	for _, s := range t.Services {
		for _, p := range s.Ports {
			for _, to := range p.Targets {
				out = append(out, to.Addr.String())
			}
		}
	}
	return out
}

// TestServe: a service comes, its pods get ready and unready, it goes; each time the kernel is told, then the names.
func TestServe(t *testing.T) {
	b := newBox(t)
	b.set(podOf("a", "10.0.0.2", true), podOf("b", "10.0.0.3", false))
	b.apply(web())
	first := b.until("the first table", func(t *served.Table) bool { return len(t.Services) == 1 })
	if got := targets(first.Table); !slices.Equal(got, []string{"10.0.0.2"}) {
		t.Errorf("it leads to %s", got)
	}
	if fmt.Sprint(first.CIDRs, first.Names) != "[10.96.0.0/16 fd12:3456::/112] [10.96.0.10 fd12:3456::a]" {
		t.Errorf("%v %v", first.CIDRs, first.Names)
	}
	if got := next(t, b.names); !slices.Equal(got, []string{"1", "[10.96.0.10 fd12:3456::a]"}) {
		t.Errorf("names: %s", got)
	}
	changes, cancel := b.control.Subscribe()
	defer cancel()
	b.set(podOf("a", "10.0.0.2", false), podOf("b", "10.0.0.3", true))
	b.until("the other pod", func(t *served.Table) bool { return slices.Equal(targets(t), []string{"10.0.0.3"}) })
	next2 := func() {
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Error("who watches is not told")
		}
	}
	next2()
	b.set(podOf("a", "10.0.0.2", false))
	b.until("no pod", func(t *served.Table) bool { return len(targets(t)) == 0 })
	b.event("d/web NoEndpoints: none of the service's endpoints is ready any more")
	shown := b.control.Services()
	if len(shown) != 1 || shown[0].Spec.ClusterIP != first.Table.Services[0].ClusterIPs[0].String() {
		t.Errorf("shown is %+v", shown)
	}
	selected, err := b.control.Selected("d", "web")
	if err != nil || len(selected) != 1 || selected[0].Serves || !strings.HasPrefix(selected[0].Why, "it is not ready") {
		t.Errorf("%+v, %v", selected, err)
	}
	if _, err := b.control.Selected("d", "none"); err == nil {
		t.Error("a service that is not there has pods")
	}
	b.apply()
	last := b.until("nothing", func(t *served.Table) bool { return t.Empty() })
	if len(last.CIDRs)+len(last.Names) != 0 {
		t.Errorf("%+v", last)
	}
}

// TestIdle: where there is no service and no policy, pods that change are not even looked at.
func TestIdle(t *testing.T) {
	b := newBox(t)
	b.apply()
	b.control.Written(t.Context())
	for i := range 100 {
		b.set(podOf("a", fmt.Sprintf("10.0.0.%d", i+2), true))
	}
	if got := b.control.Variables(t.Context(), podOf("a", "10.0.0.2", true)); got != nil {
		t.Errorf("variables: %s", got)
	}
	b.mu.Lock()
	if b.asked != 0 || b.watchers.Len() != 0 {
		t.Errorf("pods were asked for %d times, and %d watch", b.asked, b.watchers.Len())
	}
	b.mu.Unlock()
	if _, err := os.Stat(b.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a record: %v", err)
	}
	b.apply(web())
	next(t, b.served)
	b.apply()
	b.until("nothing", func(t *served.Table) bool { return t.Empty() })
	b.eventually("an end of watching pods that are in no service any more", func() bool { return b.watchers.Len() == 0 })
	b.apply()
	b.control.Written(t.Context())
	b.stop()
	if at := b.control.wake(); !at.IsZero() {
		t.Errorf("it wakes at %s for nothing", at)
	}
	select {
	case <-b.policies:
		t.Error("the kernel is told of policies, and there was none")
	default:
	}
}

// TestRestart: a service has its addresses and node ports again, whatever else has come meanwhile, also when the record is damaged.
func TestRestart(t *testing.T) {
	b := newBox(t)
	nodePort := func(s *v1.Service) { s.Spec.Type = v1.ServiceTypeNodePort }
	other := func(s *v1.Service) { s.Name = "aaa" }
	of := func(s Serving) string {
		for _, service := range s.Table.Services {
			if service.Name == "web" {
				return fmt.Sprint(service.ClusterIPs, service.Ports[0].NodePort)
			}
		}
		return ""
	}
	b.apply(web(nodePort))
	first := of(b.until("the first table", func(t *served.Table) bool { return len(t.Services) == 1 }))
	again := func() string {
		b.stop()
		b.start()
		b.apply(web(other, nodePort), web(nodePort))
		return of(b.until("both", func(t *served.Table) bool { return len(t.Services) == 2 }))
	}
	if got := again(); got != first {
		t.Errorf("it has %s, and had %s", got, first)
	}
	b.stop()
	if err := os.WriteFile(b.path, []byte(`{"given":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := again(); got != first {
		t.Errorf("without the record it has %s, and had %s", got, first)
	}
}

// TestLeftover: what an earlier run has served goes when it is known that nobody wants it, and not before.
func TestLeftover(t *testing.T) {
	b := newBox(t)
	b.apply(web())
	b.until("the first table", func(t *served.Table) bool { return len(t.Services) == 1 })
	b.stop()
	b.start()
	if known := b.control.Known(); len(known["a.yaml"].Services) != 1 {
		t.Errorf("of the earlier run it knows %v", known)
	}
	b.applyWith(manifests.StateInvalid)
	b.control.Written(t.Context())
	select {
	case s := <-b.served:
		t.Fatalf("a file that cannot be read may have services, and the kernel is told %+v", s)
	default:
	}
	b.apply()
	b.until("nothing", func(t *served.Table) bool { return t.Empty() })
	if p := next(t, b.policies); len(p.Policies) != 0 {
		t.Errorf("%+v", p)
	}
}

// TestLeftoverOfDamage: where the record is damaged nobody knows what an earlier run has left, and it goes all the same.
func TestLeftoverOfDamage(t *testing.T) {
	b := newBox(t)
	b.stop()
	if err := os.WriteFile(b.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.apply(web())
	b.until("the service", func(t *served.Table) bool { return len(t.Services) == 1 })
	if p := next(t, b.policies); len(p.Policies) != 0 {
		t.Errorf("%+v", p)
	}
}

// TestPorts: a port of the machine that others have is left to them, and the rest is served.
func TestPorts(t *testing.T) {
	b := newBox(t)
	b.listens[443] = "nginx (pid 7)"
	balancer := web(func(s *v1.Service) {
		s.Spec.Type = v1.ServiceTypeLoadBalancer
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Name: "tls", Port: 443, Protocol: v1.ProtocolTCP, NodePort: 30443})
	})
	pod := podOf("a", "10.0.0.2", true)
	pod.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 1, HostPort: 30443, Protocol: v1.ProtocolTCP}}
	b.set(pod)
	b.apply(balancer)
	s := b.until("a table", func(t *served.Table) bool { return len(t.Services) == 1 }).Table.Services[0]
	if !s.OnNode || s.Ports[0].NotOnNode || s.Ports[0].NodePort == 0 || !s.Ports[1].NotOnNode || s.Ports[1].NodePort != 0 || len(s.Ports[1].Targets) != 1 {
		t.Errorf("%+v", s)
	}
	b.event("d/web PortTaken: port 443/TCP is not served on the machine's addresses: a program of the machine listens on host port 443/TCP (on all addresses): nginx (pid 7)")
	b.event("d/web PortTaken: node port 30443/TCP is not served: it is a host port of pod d/a")
	b.set(podOf("a", "10.0.0.2", true))
	b.until("the node port", func(t *served.Table) bool { return t.Services[0].Ports[1].NodePort == 30443 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) != 2 {
		t.Errorf("events: %s", strings.Join(b.events, "\n"))
	}
}

// TestPortsOfServices: of two services that want one port of the machine the first by name has it.
func TestPortsOfServices(t *testing.T) {
	b := newBox(t)
	b.network.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
	balancer := func(name string, change func(*v1.Service)) *v1.Service {
		return web(func(s *v1.Service) {
			s.Name, s.Spec.Type = name, v1.ServiceTypeLoadBalancer
			change(s)
		})
	}
	none := func(*v1.Service) {}
	at := func(ip string) func(*v1.Service) {
		return func(s *v1.Service) { s.Spec.ExternalIPs = []string{ip} }
	}
	b.apply(balancer("a", none), balancer("b", none), balancer("c", at("192.0.2.1")), balancer("d", at("192.0.2.1")), balancer("e", at("203.0.113.1")), balancer("f", at("203.0.113.1")),
		balancer("g", func(s *v1.Service) { s.Spec.Ports[0].Port = 31111 }), web(func(s *v1.Service) {
			s.Name, s.Spec.Type = "h", v1.ServiceTypeNodePort
			s.Spec.Ports[0].NodePort = 31111
		}))
	table := b.until("a table", func(t *served.Table) bool { return len(t.Services) == 8 }).Table
	got := ""
	for _, s := range table.Services {
		got += fmt.Sprintf("%s %t %t %v; ", s.Name, s.OnNode, s.Ports[0].NotOnNode, s.ExternalIPs)
	}
	const want = "a true false []; b true true []; c false false [192.0.2.1]; d false false []; e false false [203.0.113.1]; f false false []; g true true []; h false false []; "
	if got != want {
		t.Errorf("%s\nnot %s", got, want)
	}
	b.event("d/b PortTaken: port 80/TCP is not served on the machine's addresses: it belongs to service d/a")
	b.event("d/d PortTaken: the service is not answered on 192.0.2.1, where a port of it is taken: it belongs to service d/c")
	b.event("d/g PortTaken: port 31111/TCP is not served on the machine's addresses: it belongs to service d/h")
}

// TestAddressesOfOthers: no service is answered at an address that leads to somebody else already, nor takes the machine's way out from it.
func TestAddressesOfOthers(t *testing.T) {
	b := newBox(t)
	b.network.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("10.88.0.1/24")}
	b.network.Pods = []netip.Prefix{netip.MustParsePrefix("10.88.0.0/24")}
	b.network.Gateways = []netip.Addr{netip.MustParseAddr("192.0.2.254")}
	named := func(name string, ips ...string) *v1.Service {
		return web(func(s *v1.Service) { s.Name, s.Spec.ExternalIPs = name, ips })
	}
	at := func(name, ip string) *v1.Service {
		return web(func(s *v1.Service) { s.Name, s.Spec.ClusterIP = name, ip })
	}
	b.set(podOf("p", "172.16.0.2", true)) // of a plugin's network
	b.apply(named("a", "10.96.0.77"), named("b", "10.96.0.10"), named("c", "10.88.0.7", "203.0.113.1"), named("d", "172.16.0.2"), named("e", "192.0.2.1", "10.88.0.1"),
		at("f", "192.0.2.254"), named("g", "192.0.2.254"), at("web", "10.96.0.77"))
	table := b.until("a table", func(t *served.Table) bool { return len(t.Services) == 8 }).Table
	got := ""
	for _, s := range table.Services {
		got += fmt.Sprintf("%s %d %v; ", s.Name, len(s.ClusterIPs), s.ExternalIPs)
	}
	const want = "a 1 []; b 1 []; c 1 [203.0.113.1]; d 1 []; e 1 [192.0.2.1 10.88.0.1]; f 0 []; g 1 [192.0.2.254]; web 1 []; "
	if got != want {
		t.Errorf("%s\nnot %s", got, want)
	}
	b.event("d/a AddressTaken: the service is not answered on 10.96.0.77, which is the address of service d/web; name another address")
	b.event("d/b AddressTaken: the service is not answered on 10.96.0.10, which is the address that answers for names; name another address")
	b.event("d/c AddressTaken: the service is not answered on 10.88.0.7, which is one of the subnet of pods; name another address")
	b.event("d/d AddressTaken: the service is not answered on 172.16.0.2, which is the address of pod d/p; name another address")
	b.event("d/f AddressTaken: 192.0.2.254 is a gateway of the machine, which would lose its way out; the service has no address until clusterIP names another, or none")
}

// TestBroken: a kernel that fails is tried again, and does not keep names back.
func TestBroken(t *testing.T) {
	b := newBox(t)
	b.mu.Lock()
	b.broken = errors.New("no nf_tables")
	b.mu.Unlock()
	b.apply(web())
	next(t, b.names)
	b.mu.Lock()
	b.broken = nil
	b.mu.Unlock()
	b.until("the table after all", func(t *served.Table) bool { return len(t.Services) == 1 })
}

// TestWritten: a pod that comes with the first service begins when names were told of it, also where the kernel is slow; one that cannot be
// written at all holds nobody up, and before anything is known of manifests a pod waits a moment only.
func TestWritten(t *testing.T) {
	for name, c := range map[string]struct {
		given  bool
		kernel error
		takes  time.Duration // for the kernel
		begins time.Duration
	}{
		"a slow kernel":          {true, nil, 8 * time.Second, 8 * time.Second},
		"a kernel that fails":    {true, errors.New("no nf_tables"), time.Second, time.Second},
		"a kernel that hangs":    {true, nil, time.Hour, writeLimit},
		"manifests are not read": {false, nil, 0, awaitLimit},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "services.json")
			synctest.Test(t, func(t *testing.T) {
				set, err := settings.Parse(settings.Text{})
				if err != nil {
					t.Fatal(err)
				}
				told := false
				b := &box{t: t, changed: make(chan struct{}), listens: map[uint16]string{}}
				control := New(Config{
					Pods: b, Machine: b, Settings: set, Path: path, Report: func(_, _, _, _, _, _ string) {}, NodeIPs: func() []netip.Addr { return nil },
					Families: func() []v1.IPFamily { return []v1.IPFamily{v1.IPv4Protocol} },
					Serve: func(ctx context.Context, _ Serving) error {
						select {
						case <-time.After(c.takes):
							return c.kernel
						case <-ctx.Done():
							return ctx.Err()
						}
					},
					Publish: func(context.Context, *served.Table, []netip.Addr) error {
						told = true
						return nil
					},
					Isolate: func(context.Context, Policies) error { return nil },
				})
				ctx, cancel := context.WithCancel(t.Context())
				go control.Run(ctx) //nolint:errcheck // it returns none
				if c.given {
					control.Apply(manifests.Snapshot{Services: map[string]*v1.Service{"d/web": web()}})
				}
				began := time.Now()
				control.Written(ctx)
				if took := time.Since(began); took != c.begins {
					t.Errorf("the pod begins after %s, not %s", took, c.begins)
				}
				if told != c.given {
					t.Errorf("names were told: %v", told)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

// TestIsolated: no pod begins before the kernel keeps to the policies that came with it.
func TestIsolated(t *testing.T) {
	b := newBox(t)
	b.mu.Lock()
	b.broken = errors.New("no nf_tables")
	b.mu.Unlock()
	b.apply(&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "deny"}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.control.Isolated(ctx); !errors.Is(err, ErrNotIsolated) {
		t.Errorf("a pod begins without a policy: %v", err)
	}
	b.mu.Lock()
	b.broken = nil
	b.mu.Unlock()
	if err := b.control.Isolated(t.Context()); err != nil {
		t.Error(err)
	}
	b.set(podOf("a", "10.0.0.2", true))
	next(t, b.policies)
	b.apply()
	if err := b.control.Isolated(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestVariables: a container that is made when a service is new has its variables.
func TestVariables(t *testing.T) {
	b := newBox(t)
	go b.apply(web(), web(func(s *v1.Service) { s.Name, s.Spec.ClusterIP = "none", v1.ClusterIPNone }), web(func(s *v1.Service) { s.Namespace = "e" }))
	pod := podOf("a", "10.0.0.2", false)
	got := b.control.Variables(t.Context(), pod)
	ip := b.control.Services()[1].Spec.ClusterIP
	if len(got) != 7 || got[0] != "WEB_SERVICE_HOST="+ip {
		t.Errorf("%s", got)
	}
	off := false
	pod.Spec.EnableServiceLinks = &off
	if got := b.control.Variables(t.Context(), pod); got != nil {
		t.Errorf("they are not wanted: %s", got)
	}
}

// TestPolicies: policies are told with the namespaces' labels and the pods, and again when what they select changes.
func TestPolicies(t *testing.T) {
	b := newBox(t)
	b.set(podOf("a", "10.0.0.2", false))
	deny := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "deny"}}
	space := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "x"}}}
	b.apply(deny, space)
	p := next(t, b.policies)
	if len(p.Policies) != 1 || len(p.Pods) != 1 || p.Namespaces["shop"]["team"] != "x" || p.Namespaces["shop"][v1.LabelMetadataName] != "shop" ||
		p.Namespaces["d"][v1.LabelMetadataName] != "d" {
		t.Errorf("%+v", p)
	}
	b.set(podOf("a", "10.0.0.2", true)) // which policies do not care for
	b.set(podOf("a", "10.0.0.2", true), podOf("b", "10.0.0.3", true))
	if p := next(t, b.policies); len(p.Pods) != 2 {
		t.Errorf("%+v", p)
	}
	if got := b.control.NetworkPolicies(); len(got) != 1 || got[0].Name != "deny" {
		t.Errorf("%+v", got)
	}
	b.apply()
	if p := next(t, b.policies); len(p.Policies) != 0 {
		t.Errorf("%+v", p)
	}
}

// TestFamilies: where plugins give addresses, what pods have been seen with counts, for good.
func TestFamilies(t *testing.T) {
	b := newBox(t)
	b.families = nil
	dual := func(s *v1.Service) {
		p := v1.IPFamilyPolicyPreferDualStack
		s.Spec.IPFamilyPolicy = &p
	}
	b.set(podOf("a", "10.0.0.2", true))
	b.apply(web(dual))
	b.until("one address", func(t *served.Table) bool { return len(t.Services[0].ClusterIPs) == 1 })
	b.set(podOf("a", "10.0.0.2", true), podOf("b", "fd00::3", true))
	b.until("both", func(t *served.Table) bool { return len(t.Services[0].ClusterIPs) == 2 })
	b.stop()
	b.set()
	b.start()
	b.apply(web(dual))
	b.until("both, without pods", func(t *served.Table) bool { return len(t.Services[0].ClusterIPs) == 2 })
}

// TestCIDR: the subnet of services is one that the machine does not have, and stays.
func TestCIDR(t *testing.T) {
	b := newBox(t)
	b.network = machine.Network{
		Routes: []netip.Prefix{netip.MustParsePrefix("10.96.8.0/24"), netip.MustParsePrefix("10.97.0.0/12")}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.112.0.1/8")},
	}
	b.network.Addresses = nil
	b.network.Routes = b.network.Routes[:1]
	b.apply(web())
	if s := next(t, b.served); s.CIDRs[0].String() != "10.97.0.0/16" {
		t.Errorf("%v", s.CIDRs)
	}
	b.stop()
	b.mu.Lock()
	b.network.Routes = append(b.network.Routes, netip.MustParsePrefix("10.97.0.0/24"))
	b.mu.Unlock()
	b.start()
	b.apply(web())
	if s := next(t, b.served); s.CIDRs[0].String() != "10.97.0.0/16" {
		t.Errorf("after a restart it is %v", s.CIDRs)
	}
}

// FuzzRecord: whatever stands in the record, services get addresses.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{
		`{"cidrs":["10.96.0.0/16"],"families":["IPv4"],"given":{"d/web":{"families":["IPv4"],"clusterIPs":["10.96.1.1"],"nodePorts":{"80/TCP":30080}}}}`,
		"", "null", "[]", "{", `{"cidrs":["","x"],"families":["IPv9"],"given":{"":{},"d/web":{"clusterIPs":["",""],"nodePorts":{"x":70000}}}}`, `{"given":{"d/web":null},"files":null}`,
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "services.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b := &box{families: []v1.IPFamily{v1.IPv4Protocol}, listens: map[uint16]string{}}
		set, _ := settings.Parse(settings.Text{})
		c := New(Config{
			Pods: b, Machine: b, Settings: set, Path: path, Report: func(string, string, string, string, string, string) {},
			Serve: func(context.Context, Serving) error { return nil }, Publish: func(context.Context, *served.Table, []netip.Addr) error { return nil },
			Isolate: func(context.Context, Policies) error { return nil }, Families: func() []v1.IPFamily { return b.families },
		})
		c.Apply(manifests.Snapshot{Services: map[string]*v1.Service{"d/web": web()}})
		c.look(t.Context(), time.Now())
		c.end()
		if ips := c.shown().decided["d/web"].ClusterIPs; len(ips) != 1 || !ips[0].Is4() {
			t.Fatalf("%q: %v", data, ips)
		}
	})
}
