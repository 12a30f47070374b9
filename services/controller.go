package services

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/broadcast"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services/endpoints"
	"github.com/solopod/solopod/services/machine"
	"github.com/solopod/solopod/services/settings"
)

// Pods are those of the machine, by namespace and name. Package runner implements it.
type Pods interface {
	Pods() []*v1.Pod
	Subscribe() (changes <-chan struct{}, cancel func())
}

// Machine tells what of the machine is in the way. Package services/machine implements it.
type Machine interface {
	Look(ctx context.Context) (*machine.Network, error)
	Private() netip.Prefix
	Listening(ctx context.Context, ports []listener.Port, own []netip.Addr) (map[listener.Port]*listener.Taken, error)
}

// Report says what has happened to an object.
type Report func(kind, namespace, name, eventType, reason, message string)

// Serving is what the kernel is told.
type Serving struct {
	Table *served.Table
	// CIDRs have the addresses of services, and Names are those that answer for names.
	CIDRs []netip.Prefix
	Names []netip.Addr
}

// Policies are the NetworkPolicies, and what they select.
type Policies struct {
	Policies []*networkingv1.NetworkPolicy
	// Namespaces are the labels of namespaces.
	Namespaces map[string]map[string]string
	Pods       []*v1.Pod
	// Names are the addresses that answer for names.
	Names []netip.Addr
}

// Config says whom a Controller asks and tells.
type Config struct {
	Pods    Pods
	Machine Machine
	// Serve has the kernel serve a table, Publish names; Isolate has it keep to policies. Each is called by one goroutine at a time, and
	// again with the same where it has failed.
	Serve   func(context.Context, Serving) error
	Publish func(context.Context, *served.Table, []netip.Addr) error
	Isolate func(context.Context, Policies) error
	Report  Report
	// Families are those of pods' addresses, the first one first; none where plugins give them, who do not tell.
	Families func() []v1.IPFamily
	// NodeIPs are the addresses by which others know the machine.
	NodeIPs  func() []netip.Addr
	Node     string
	Settings settings.Settings
	// Path is the file of the record.
	Path string
}

// Controller stands beside the pods: it decides what is served, and has it served. Run does its work; locks are held only to hand over
// what comes in and what is shown. Where there are no Services and no policies, pods' changes do not even wake it.
type Controller struct {
	Config
	kick     chan struct{}
	progress progress

	mu    sync.Mutex
	given *manifests.Snapshot // not looked at yet
	view  *view

	changes  broadcast.Changes // of what is shown
	kernel   writer[Serving]
	names    writer[Serving]
	policies writer[Policies]
	disk     writer[record]

	// What follows is Run's.
	record   record
	objects  objects
	families []v1.IPFamily
	own      []v1.IPFamily // those of the own bridge; none where plugins give addresses
	network  *machine.Network
	ports    ports
	table    *served.Table
	isolated bool         // policies were handed on
	selected []*v1.Pod    // with them
	asked    []netip.Addr // the servers of names that were told with them
	teller   teller
	// leftover: the kernel may have what an earlier run had it serve.
	leftover bool
	// published: names were told what is answered.
	published bool
}

// objects are those of the manifests that count here.
type objects struct {
	services   map[string]*v1.Service
	slices     map[string]*discoveryv1.EndpointSlice
	policies   map[string]*networkingv1.NetworkPolicy
	namespaces map[string]*v1.Namespace
}

func objectsOf(s *manifests.Snapshot) objects {
	return objects{s.Services, s.EndpointSlices, s.NetworkPolicies, s.Namespaces}
}

func (o *objects) empty() bool { return len(o.services)+len(o.policies) == 0 }

// same says whether the objects are the same ones: they are not changed once they were handed on.
func (o *objects) same(other objects) bool {
	slice := func(a, b *discoveryv1.EndpointSlice) bool { return a == b || reflect.DeepEqual(a, b) } // those of Endpoints are made each time
	return maps.Equal(o.services, other.services) && maps.EqualFunc(o.slices, other.slices, slice) && maps.Equal(o.policies, other.policies) &&
		maps.Equal(o.namespaces, other.namespaces)
}

// view is what is shown; nobody changes it once it was handed on.
type view struct {
	objects
	decided map[string]endpoints.Decided
	own     func(netip.Addr) bool
}

// New makes a Controller. A record that is none is set aside.
func New(c Config) *Controller {
	known, damaged := loadRecord(c.Path)
	out := &Controller{
		record: known,
		Config: c, kick: make(chan struct{}, 1),
		table: &served.Table{}, ports: ports{machine: c.Machine}, teller: teller{report: c.Report},
		view: &view{own: func(netip.Addr) bool { return false }},
	}
	out.kernel = writer[Serving]{what: "the kernel's table of Services", write: c.Serve}
	out.names = writer[Serving]{
		what:  "the names of Services",
		write: func(ctx context.Context, s Serving) error { return c.Publish(ctx, s.Table, s.Names) },
		done:  func(_ *Serving, change uint64, _ error) { out.progress.advance(written, change) },
	}
	out.leftover = damaged || !known.empty()
	out.policies = writer[Policies]{
		what: "the kernel's table of NetworkPolicies", write: c.Isolate,
		done: func(_ *Policies, change uint64, err error) {
			if err == nil {
				out.progress.advance(isolated, change)
			}
		},
	}
	out.disk = writer[record]{what: "the record of Services", write: writeRecord(c.Path)}
	return out
}

// Apply takes a new desired state. It does not block.
func (c *Controller) Apply(s manifests.Snapshot) {
	c.mu.Lock()
	c.given = &s
	c.progress.give()
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Run looks again whenever there is a new desired state or, while something is served, a pod changes, until ctx ends. What is in the
// kernel then stays. It is called once.
func (c *Controller) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx) // also where a panic ends this
	defer c.end()
	defer stop()
	// Names follow when the kernel leads to what they name; a kernel that fails does not keep them.
	c.kernel.done = func(s *Serving, change uint64, _ error) {
		if s == nil {
			c.names.stands(change)
		} else {
			c.names.put(ctx, *s, change)
		}
	}
	var changes <-chan struct{}
	var cancel func()
	defer func() {
		if cancel != nil {
			cancel()
		}
	}()
	for {
		if !c.objects.empty() && changes == nil {
			changes, cancel = c.Pods.Subscribe()
		} else if c.objects.empty() && changes != nil {
			cancel()
			changes, cancel = nil, nil
		}
		var timer <-chan time.Time
		if wake := c.wake(); !wake.IsZero() {
			timer = time.After(max(time.Until(wake), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		case <-changes:
		case <-timer:
		}
		c.look(ctx, time.Now())
	}
}

// end waits, within endLimit, for what is being written; the contexts of the writes have ended.
func (c *Controller) end() {
	ended := make(chan struct{})
	go func() { // left behind where the disk hangs
		defer close(ended)
		c.disk.wait()
		c.kernel.wait()
		c.names.wait()
		c.policies.wait()
	}()
	select {
	case <-ended:
	case <-time.After(endLimit):
		slog.Error("what is served cannot be written down in time", "file", c.Path)
	}
}

// look takes a new desired state, if there is one, decides, and has what has changed written.
func (c *Controller) look(ctx context.Context, now time.Time) {
	c.mu.Lock()
	given, applied := c.given, c.progress.count()
	c.given = nil
	c.mu.Unlock()
	fresh := false
	if given != nil {
		next := objectsOf(given)
		if !next.empty() || c.leftover {
			c.own = c.Families()
		}
		fresh = !c.objects.same(next) || c.leftover && complete(given)
		c.objects = next
	}
	if c.objects.empty() && len(c.table.Services) == 0 && !c.isolated && !fresh {
		c.nothing(ctx, given, applied)
		return
	}
	pods := look(c.Pods.Pods())
	if families := familiesOf(c.own, c.record.Families, pods); fresh || !slices.Equal(families, c.families) {
		c.families = families
		c.decide(ctx, given, pods)
		c.teller.doubt = now.Add(doubtAfter)
	} else if at := c.ports.recheck; !at.IsZero() && !now.Before(at) {
		c.ports.listen(ctx, c.shown(), c.addressesOfNames())
	}
	c.show(pods)
	c.progress.advance(decided, applied)
	c.serve(ctx, now, pods, applied, fresh)
}

// nothing is what is to be done where nothing is served: names that are answered since an earlier run end, once.
func (c *Controller) nothing(ctx context.Context, given *manifests.Snapshot, applied uint64) {
	c.teller.doubt, c.ports.recheck = time.Time{}, time.Time{}
	c.progress.advance(decided, applied)
	c.progress.advance(isolated, applied)
	if given == nil || c.published || !complete(given) {
		c.progress.advance(written, applied)
		return
	}
	c.published = true
	c.names.put(ctx, Serving{Table: c.table}, applied)
}

// wake is when to look again without an event; zero means never.
func (c *Controller) wake() time.Time {
	recheck, doubt := c.ports.recheck, c.teller.doubt
	if doubt.IsZero() || !recheck.IsZero() && recheck.Before(doubt) {
		return recheck
	}
	return doubt
}

// look finds out what counts of pods.
func look(pods []*v1.Pod) []endpoints.Pod {
	out := make([]endpoints.Pod, len(pods))
	for i, p := range pods {
		out[i] = endpoints.Look(p)
	}
	return out
}

// serve has the kernel and the names serve what follows from the pods. What an earlier run has left goes when it is known that nobody wants
// it.
func (c *Controller) serve(ctx context.Context, now time.Time, pods []endpoints.Pod, applied uint64, fresh bool) {
	world := c.shown().world(pods)
	table := world.Table()
	c.teller.endpoints(world, table, now)
	if changed := !table.Equal(c.table); changed || fresh {
		c.table, c.published = table, true
		c.kernel.put(ctx, c.serving(table), applied)
		if changed {
			c.changes.Notify()
		}
	} else {
		c.kernel.stands(applied)
	}
	c.isolate(ctx, pods, applied, fresh)
	if fresh {
		c.leftover = false
	}
}

// serving is what the kernel is told of a table.
func (c *Controller) serving(table *served.Table) Serving {
	if table.Empty() {
		return Serving{Table: table}
	}
	s := Serving{Table: table, CIDRs: c.record.cidrs(c.families)}
	if len(c.Settings.Servers) == 0 {
		s.Names = c.addressesOfNames()
	}
	return s
}

// isolate has the kernel keep to the policies, when they or what they select have changed.
func (c *Controller) isolate(ctx context.Context, pods []endpoints.Pod, applied uint64, fresh bool) {
	some := len(c.objects.policies) > 0
	if !some && !c.isolated && (!fresh || !c.leftover) {
		c.progress.advance(isolated, applied)
		return
	}
	p := c.policiesOf(pods)
	selected := slices.EqualFunc(p.Pods, c.selected, func(a, b *v1.Pod) bool {
		return a == b || a.UID == b.UID && slices.Equal(a.Status.PodIPs, b.Status.PodIPs) && maps.Equal(a.Labels, b.Labels)
	})
	named := slices.Equal(p.Names, c.asked)
	if c.selected, c.asked = p.Pods, p.Names; selected && named && !fresh {
		c.policies.stands(applied)
		return
	}
	c.isolated = some
	c.policies.put(ctx, p, applied)
}

// policiesOf is what the kernel is told of policies: with the pods that have an address and have not ended.
func (c *Controller) policiesOf(pods []endpoints.Pod) Policies {
	p := Policies{Namespaces: map[string]map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(c.objects.policies)) {
		p.Policies = append(p.Policies, c.objects.policies[key])
	}
	if len(p.Policies) == 0 {
		return p
	}
	for _, pod := range pods {
		if pod.Ended || len(pod.Addrs) == 0 {
			continue
		}
		p.Pods = append(p.Pods, pod.Pod)
		if p.Namespaces[pod.Namespace] == nil {
			p.Namespaces[pod.Namespace] = map[string]string{v1.LabelMetadataName: pod.Namespace}
		}
	}
	p.Names = c.serving(c.table).Names
	if len(c.Settings.Servers) > 0 {
		p.Names = c.Settings.Servers
	}
	for name, ns := range c.objects.namespaces {
		labels := map[string]string{}
		maps.Copy(labels, ns.Labels)
		labels[v1.LabelMetadataName] = name
		p.Namespaces[name] = labels
	}
	return p
}

func (v *view) world(pods []endpoints.Pod) *endpoints.World {
	return &endpoints.World{Services: v.services, Slices: v.slices, Decided: v.decided, Pods: pods, Own: v.own}
}

// complete says whether all files could be read: otherwise one of them may have what no other has.
func complete(s *manifests.Snapshot) bool {
	return s.DirectoryError == "" && !slices.ContainsFunc(s.Files, func(f manifests.File) bool { return f.State == manifests.StateInvalid })
}
