package manifests

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "d", Name: name}
}

func service(name string, change ...func(*v1.ServiceSpec)) *v1.Service {
	s := &v1.Service{ObjectMeta: named(name), Spec: v1.ServiceSpec{Ports: []v1.ServicePort{{Port: 80}}}}
	for _, c := range change {
		c(&s.Spec)
	}
	SetServiceDefaults(s)
	return s
}

func endpoints(name string, ips ...string) *v1.Endpoints { //nolint:staticcheck // deprecated, and much used
	e := &v1.Endpoints{ObjectMeta: named(name)} //nolint:staticcheck // deprecated, and much used
	var subset v1.EndpointSubset                //nolint:staticcheck // deprecated, and much used
	for _, ip := range ips {
		subset.Addresses = append(subset.Addresses, v1.EndpointAddress{IP: ip})
	}
	subset.Ports = []v1.EndpointPort{{Port: 1}}
	e.Subsets = append(e.Subsets, subset)
	SetEndpointsDefaults(e)
	return e
}

func namespace(name string, labels map[string]string) *v1.Namespace {
	ns := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	SetNamespaceDefaults(ns)
	return ns
}

// What files say together: of two objects of a name the first counts, and what has no effect beside the others is told.
func TestServedTogether(t *testing.T) {
	selector := func(s *v1.ServiceSpec) { s.Selector = map[string]string{"a": "b"} }
	external := func(s *v1.ServiceSpec) { s.Type, s.ExternalName = v1.ServiceTypeExternalName, "x.example" }
	address := func(s *v1.ServiceSpec) { s.ClusterIP = "10.96.0.7" }
	onNode := func(s *v1.ServiceSpec) { s.Type, s.Ports[0].NodePort = v1.ServiceTypeNodePort, 30080 }
	slice := func(service string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "slice", Labels: map[string]string{discoveryv1.LabelServiceName: service}}}
	}
	services := func(s ...*v1.Service) Contents { return Contents{Services: s} }
	skipped := endpoints("s", "192.0.2.1")
	skipped.Labels = map[string]string{discoveryv1.LabelSkipMirror: "true"}
	copied := slice("s")
	copied.Labels[discoveryv1.LabelManagedBy] = selected
	shown := slice("s")
	shown.Labels[discoveryv1.LabelManagedBy] = SliceAuthor
	for name, c := range map[string]struct {
		files map[string]Contents
		// has are the snapshot's names, problems its states and problems.
		has, problems string
	}{
		"a service": {map[string]Contents{"a": services(service("s"))}, "service/d/s", "a Active"},
		"two of a name": {map[string]Contents{"a": services(service("s")), "b": services(service("s"))}, "service/d/s",
			"a Active; b Conflict (b: metadata.name: service/d/s is already defined by a, which comes first by name; remove or rename one of them)"},
		"two policies of a name": {map[string]Contents{"a": {NetworkPolicies: []*networkingv1.NetworkPolicy{{ObjectMeta: named("p")}}}, "b": {NetworkPolicies: []*networkingv1.NetworkPolicy{{ObjectMeta: named("p")}}}},
			"networkpolicy/d/p", "a Active; b Conflict (b: metadata.name: networkpolicy/d/p is already defined by a, which comes first by name; remove or rename one of them)"},
		"a namespace in each file": {map[string]Contents{"a": {Namespaces: []*v1.Namespace{namespace("n", nil)}}, "b": {Namespaces: []*v1.Namespace{namespace("n", nil)}}},
			"namespace/n", "a Active; b Active"},
		"a namespace with other labels": {map[string]Contents{"a": {Namespaces: []*v1.Namespace{namespace("n", nil)}}, "b": {Namespaces: []*v1.Namespace{namespace("n", map[string]string{"a": "b"})}}},
			"namespace/n", "a Active; b Conflict (b: metadata.name: namespace/n is already defined by a, which comes first by name; remove or rename one of them)"},

		"endpoints of another file": {map[string]Contents{"a": {Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1", "2001:db8::1")}}, "b": services(service("s"))}, //nolint:staticcheck // deprecated, and much used
			"service/d/s endpoints/d/s endpointslice/d/s endpointslice/d/s", "a Active; b Active"},
		"endpoints without a service": {map[string]Contents{"a": {Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1")}}}, //nolint:staticcheck // deprecated, and much used
			"endpoints/d/s", "a Active (a: warning: metadata.name: endpoints/d/s has no effect: there is no service of its name in its namespace)"},
		"endpoints beside a selector": {map[string]Contents{"a": {Services: []*v1.Service{service("s", selector)}, Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1")}}}, //nolint:staticcheck // deprecated, and much used
			"service/d/s endpoints/d/s", "a Active (a: warning: metadata.name: endpoints/d/s has no effect: the service of its name has a selector, which finds its pods; remove one of them)"},
		"endpoints of a name": {map[string]Contents{"a": {Services: []*v1.Service{service("s", external)}, Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1")}}}, //nolint:staticcheck // deprecated, and much used
			"service/d/s endpoints/d/s", "a Active (a: warning: metadata.name: endpoints/d/s has no effect: the service of its name is an ExternalName)"},
		"endpoints that want none": {map[string]Contents{"a": {Services: []*v1.Service{service("s")}, Endpoints: []*v1.Endpoints{skipped}}}, //nolint:staticcheck // deprecated, and much used
			"service/d/s endpoints/d/s", "a Active (a: warning: metadata.labels: endpoints/d/s has no effect: its label endpointslice.kubernetes.io/skip-mirror says so)"},
		"a slice": {map[string]Contents{"a": {Services: []*v1.Service{service("s", selector)}, EndpointSlices: []*discoveryv1.EndpointSlice{slice("s")}}},
			"service/d/s endpointslice/d/slice", "a Active"},
		"a slice of a cluster's": {map[string]Contents{"a": {Services: []*v1.Service{service("s", selector)}, EndpointSlices: []*discoveryv1.EndpointSlice{copied}}},
			"service/d/s", "a Active (a: warning: metadata.labels: endpointslice/d/slice has no effect: it says that endpointslice-controller.k8s.io has made it, of pods or Endpoints; " +
				"remove the label endpointslice.kubernetes.io/managed-by if it was you)"},
		"a slice without a service": {map[string]Contents{"a": {EndpointSlices: []*discoveryv1.EndpointSlice{slice("s")}}},
			"endpointslice/d/slice", "a Active (a: warning: metadata.labels: endpointslice/d/slice has no effect: there is no service d/s)"},
		"a slice of a name": {map[string]Contents{"a": {Services: []*v1.Service{service("s", external)}, EndpointSlices: []*discoveryv1.EndpointSlice{slice("s")}}},
			"service/d/s endpointslice/d/slice", "a Active (a: warning: metadata.labels: endpointslice/d/slice has no effect: the service d/s is an ExternalName)"},

		"one address for two": {map[string]Contents{"a": services(service("t", address)), "b": services(service("s", address))}, "service/d/s service/d/t",
			"a Active (a: warning: spec.clusterIP: service/d/t wants the address 10.96.0.7, as service/d/s does; only one of them can have it); b Active"},
		"one node port for two": {map[string]Contents{"a": services(service("s", onNode), service("t", onNode))}, "service/d/s service/d/t",
			"a Active (a: warning: spec.ports: service/d/t wants the node port 30080/TCP, as service/d/s does; only one of them can have it)"},
	} {
		set := NewSet(nil)
		for file, contents := range c.files {
			set.Put(file, contents, nil, time.Unix(1e9, 0))
		}
		s := set.Snapshot(time.Unix(1e9, 0))
		var has []string
		for key := range s.Services {
			has = append(has, "service/"+key)
		}
		slices.Sort(has)
		for key := range s.Endpoints {
			has = append(has, "endpoints/"+key)
		}
		for _, slice := range s.EndpointSlices {
			name := slice.Name
			if slice.Labels[discoveryv1.LabelManagedBy] == mirrored {
				name = slice.Labels[discoveryv1.LabelServiceName]
			}
			has = append(has, "endpointslice/d/"+name)
			if s.FileOf[ObjectName("endpointslice", slice)] != "a" {
				t.Errorf("%s: the slice %s is of the file %q", name, slice.Name, s.FileOf[ObjectName("endpointslice", slice)])
			}
		}
		for key := range s.NetworkPolicies {
			has = append(has, "networkpolicy/"+key)
		}
		for key := range s.Namespaces {
			has = append(has, "namespace/"+key)
		}
		if got := strings.Join(has, " "); got != c.has {
			t.Errorf("%s: has %s, want %s", name, got, c.has)
		}
		if got := strings.ReplaceAll(describe(s), "  (", " ("); got != c.problems {
			t.Errorf("%s:\n got  %s\n want %s", name, got, c.problems)
		}
	}
}

// The problems that files have together last as long as they do, and keep their time.
func TestTogetherSince(t *testing.T) {
	set := NewSet(nil)
	set.Put("a", Contents{Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1")}}, nil, time.Unix(1, 0)) //nolint:staticcheck // deprecated, and much used
	since := func(at int64) int64 { return set.Snapshot(time.Unix(at, 0)).Files[0].Since.Unix() }
	if since(1) != 1 || since(2) != 1 {
		t.Errorf("since %d", since(2))
	}
	set.Put("b", Contents{Services: []*v1.Service{service("s")}}, nil, time.Unix(3, 0))
	if since(3) != 3 || since(4) != 3 {
		t.Errorf("since %d once the problem is gone", since(4))
	}
}

// The audit's lines name these objects as all others.
func TestServedChanges(t *testing.T) {
	set := NewSet(nil)
	look := func() Snapshot { return set.Snapshot(time.Unix(1e9, 0)) }
	before := look()
	set.Put("a", Contents{
		Services: []*v1.Service{service("s")}, Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1")}, //nolint:staticcheck // deprecated, and much used
		EndpointSlices:  []*discoveryv1.EndpointSlice{{ObjectMeta: named("x")}},
		NetworkPolicies: []*networkingv1.NetworkPolicy{{ObjectMeta: named("p")}}, Namespaces: []*v1.Namespace{namespace("n", nil)},
	}, nil, time.Unix(1e9, 0))
	after := look()
	change := Changes(&before, &after)["a"]
	if want := []string{"endpoints/d/s", "endpointslice/d/x", "namespace/n", "networkpolicy/d/p", "service/d/s"}; !slices.Equal(change.Added, want) || len(change.Edited)+len(change.Removed) > 0 {
		t.Errorf("%+v", change)
	}
	before = after
	set.Put("a", Contents{
		Services: []*v1.Service{service("s")}, Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.2")}, //nolint:staticcheck // deprecated, and much used
		Namespaces: []*v1.Namespace{namespace("n", map[string]string{"a": "b"})},
	}, nil, time.Unix(1e9, 0))
	after = look()
	change = Changes(&before, &after)["a"]
	if !slices.Equal(change.Edited, []string{"endpoints/d/s", "namespace/n"}) || !slices.Equal(change.Removed, []string{"endpointslice/d/x", "networkpolicy/d/p"}) || len(change.Added) > 0 {
		t.Errorf("%+v", change)
	}
}

// Slices that stand for Endpoints keep their names while an address comes or goes, and have one of each family.
func TestSlicesOf(t *testing.T) {
	names := func(e *v1.Endpoints) map[string]discoveryv1.AddressType { //nolint:staticcheck // deprecated, and much used
		out := map[string]discoveryv1.AddressType{}
		for _, s := range SlicesOf(e) {
			out[s.Name] = s.AddressType
			if s.Labels["own"] != "1" || s.UID == "" || s.Kind != "EndpointSlice" {
				t.Errorf("%+v", s)
			}
		}
		return out
	}
	e := endpoints("s", "192.0.2.1", "2001:db8::1")
	e.Labels = map[string]string{"own": "1"}
	e.Subsets[0].NotReadyAddresses = []v1.EndpointAddress{{IP: "192.0.2.2", Hostname: "h"}}
	first := names(e)
	if len(first) != 2 {
		t.Fatalf("%v", first)
	}
	v4 := SlicesOf(e)[0]
	if len(v4.Endpoints) != 2 || !*v4.Endpoints[0].Conditions.Ready || *v4.Endpoints[1].Conditions.Ready || *v4.Endpoints[1].Hostname != "h" || *v4.Ports[0].Protocol != v1.ProtocolTCP {
		t.Errorf("%+v", v4)
	}
	e.Subsets[0].Addresses = append(e.Subsets[0].Addresses, v1.EndpointAddress{IP: "192.0.2.3"})
	if again := names(e); !maps.Equal(again, first) {
		t.Errorf("%v, before %v", again, first)
	}
	e.Subsets = append(e.Subsets, e.Subsets[0])
	if twice := names(e); len(twice) != 4 {
		t.Errorf("two subsets with the same ports: %v", twice)
	}
}

// What files said of Services goes on over a restart where a file has become bad meanwhile, as pods do, and goes with the file.
func TestRecall(t *testing.T) {
	now := time.Unix(1e9, 0)
	before := NewSet(nil)
	before.Put("a", Contents{Services: []*v1.Service{service("s"), service("old")}, Endpoints: []*v1.Endpoints{endpoints("s", "192.0.2.1")}, //nolint:staticcheck // deprecated, and much used
		Namespaces: []*v1.Namespace{namespace("n", nil)}}, nil, now)
	before.Put("b", Contents{NetworkPolicies: []*networkingv1.NetworkPolicy{{ObjectMeta: named("p")}}, EndpointSlices: []*discoveryv1.EndpointSlice{{ObjectMeta: named("x")}}}, nil, now)
	last := before.Snapshot(now)
	data, err := json.Marshal(last.Served())
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]Contents
	if err := json.Unmarshal(data, &said); err != nil {
		t.Fatal(err)
	}
	set := NewSet([]Desired{{pod("p"), "a"}})
	set.Recall(said)
	same := func(when string) {
		t.Helper()
		s := set.Snapshot(now)
		if change := Changes(&last, &s); len(change) > 1 || len(s.EndpointSlices) != len(last.EndpointSlices) || !slices.Equal(change["a"].Added, []string{"default/p"}) || len(change["a"].Edited)+len(change["a"].Removed) > 0 {
			t.Errorf("%s: %+v", when, change)
		}
	}
	same("at the start")
	set.Put("a", Contents{}, Problems{{File: "a", Message: "bad"}}, now)
	same("a file is bad")
	set.Put("a", Contents{Pods: []*v1.Pod{pod("p")}, Services: []*v1.Service{service("s")}}, nil, now)
	s := set.Snapshot(now)
	if len(s.Services) != 1 || len(s.Endpoints)+len(s.Namespaces) > 0 || len(s.NetworkPolicies) != 1 {
		t.Errorf("after the next version: %v", s.Services)
	}
	set.Drop("b")
	if s := set.Snapshot(now); len(s.NetworkPolicies)+len(s.EndpointSlices) > 0 {
		t.Errorf("after the file was removed: %v", s.NetworkPolicies)
	}
}
