package services

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/runner/network/isolate"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services/allocate"
	"github.com/solopod/solopod/services/machine"
	"github.com/solopod/solopod/services/settings"
)

// quiet is a machine with a pod, where nothing is in the way.
type quiet struct{}

func (quiet) Pods() []*v1.Pod                                { return []*v1.Pod{podOf("a", "10.0.0.2", true)} }
func (quiet) Subscribe() (<-chan struct{}, func())           { return nil, func() {} }
func (quiet) Look(context.Context) (*machine.Network, error) { return &machine.Network{}, nil }
func (quiet) Private() netip.Prefix                          { return netip.MustParsePrefix("fd12:3456::/112") }
func (quiet) Listening(context.Context, []listener.Port, []netip.Addr) (map[listener.Port]*listener.Taken, error) {
	return map[listener.Port]*listener.Taken{}, nil
}

// recordOf is a record with every kind of object.
func recordOf(tb testing.TB) []byte {
	tb.Helper()
	service := web(func(s *v1.Service) {
		s.Spec.Type, s.Spec.ExternalIPs = v1.ServiceTypeLoadBalancer, []string{"192.0.2.7"}
		s.Spec.SessionAffinity = v1.ServiceAffinityClientIP
		manifests.SetServiceDefaults(s)
	})
	e := &v1.Endpoints{ //nolint:staticcheck // deprecated, and much used
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "db"},
		Subsets: []v1.EndpointSubset{{ //nolint:staticcheck // deprecated, and much used
			Addresses: []v1.EndpointAddress{{IP: "192.0.2.8"}}, Ports: []v1.EndpointPort{{Port: 5432}},
		}},
	}
	manifests.SetEndpointsDefaults(e)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "d", Name: "db-1", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.9"}}},
		Ports: []discoveryv1.EndpointPort{{Port: ptr.To[int32](5432)}},
	}
	manifests.SetEndpointSliceDefaults(slice)
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "only"}}
	policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
		Ports: []networkingv1.NetworkPolicyPort{{Port: ptr.To(intstr.FromString("http"))}, {Port: ptr.To(intstr.FromInt32(80)), EndPort: ptr.To[int32](90)}},
		From:  []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24", Except: []string{"192.0.2.1/32"}}}, {PodSelector: &metav1.LabelSelector{}}},
	}}
	manifests.SetNetworkPolicyDefaults(policy)
	ns := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "d"}}
	manifests.SetNamespaceDefaults(ns)
	headless := web(func(s *v1.Service) {
		s.Name, s.Spec.ClusterIP, s.Spec.Selector = "db", v1.ClusterIPNone, nil
		manifests.SetServiceDefaults(s)
	})
	data, err := json.Marshal(record{
		CIDRs: []netip.Prefix{netip.MustParsePrefix("10.97.0.0/16")}, Families: []v1.IPFamily{v1.IPv4Protocol},
		Files: map[string]manifests.Contents{"a.yaml": {
			Services: []*v1.Service{service, headless}, Endpoints: []*v1.Endpoints{e}, EndpointSlices: []*discoveryv1.EndpointSlice{slice}, //nolint:staticcheck // deprecated, and much used
			NetworkPolicies: []*networkingv1.NetworkPolicy{policy}, Namespaces: []*v1.Namespace{ns},
		}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// goOn starts from a record, of which all files are read as bad, and shows what it says.
func goOn(tb testing.TB, path string) (t *served.Table, c *Controller) {
	tb.Helper()
	set, err := settings.Parse(settings.Text{})
	if err != nil {
		tb.Fatal(err)
	}
	told := make(chan *served.Table, 10)
	c = New(Config{
		Pods: quiet{}, Machine: quiet{}, Settings: set, Path: path,
		Serve: func(_ context.Context, s Serving) error {
			told <- s.Table
			return nil
		},
		Publish: func(context.Context, *served.Table, []netip.Addr) error { return nil },
		Isolate: func(_ context.Context, p Policies) error {
			to := isolate.Policies{Policies: p.Policies, Namespaces: p.Namespaces}
			for _, pod := range p.Pods {
				to.Pods = append(to.Pods, isolate.PodOf(pod))
			}
			_, err := isolate.Compile(to)
			if err != nil {
				tb.Error(err)
			}
			return nil
		},
		Report:   func(_, _, _, _, _, _ string) {},
		Families: func() []v1.IPFamily { return nil },
		NodeIPs:  func() []netip.Addr { return nil },
	})
	files := manifests.NewSet(nil)
	files.Recall(c.Known())
	for name := range c.Known() {
		files.Put(name, manifests.Contents{}, manifests.Problems{{File: name, Message: "it is bad"}}, time.Unix(1e9, 0))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer c.end()
	defer cancel()
	c.kernel.done = func(*Serving, uint64, error) {}
	c.Apply(files.Snapshot(time.Unix(1e9, 0)))
	c.look(ctx, time.Unix(1e9, 0))
	for _, s := range c.Services() {
		if s.Name == "" {
			tb.Error("a service has no name")
		}
	}
	c.EndpointSlices()
	c.NetworkPolicies()
	for _, p := range c.record.CIDRs {
		if p.Addr().BitLen()-p.Bits() > 64 {
			tb.Errorf("%s is given out", p)
		}
	}
	if c.objects.empty() {
		return &served.Table{}, c
	}
	select {
	case t = <-told:
	case <-time.After(10 * time.Second):
		tb.Fatal("the kernel is told nothing")
	}
	return t, c
}

// What a record has of files that are bad now goes on to be served, and nothing that may stand in its place keeps Solopod from its start.
func TestDamagedRecord(t *testing.T) {
	whole := string(recordOf(t))
	for name, c := range map[string]struct {
		text     string
		services int
	}{
		"whole":             {whole, 2},
		"cut off":           {whole[:len(whole)/2], 0},
		"zeros":             {string(make([]byte, len(whole))), 0},
		"nothing":           {"", 0},
		"null":              {"null", 0},
		"a list":            {"[]", 0},
		"nulls":             {`{"cidrs":null,"given":{"d/web":{}},"files":{"a.yaml":{"Services":[null],"Endpoints":[null],"EndpointSlices":[null],"NetworkPolicies":[null],"Namespaces":[null]}},"since":null}`, 0},
		"empty objects":     {`{"files":{"":{"Services":[{}],"Endpoints":[{}],"EndpointSlices":[{}],"NetworkPolicies":[{}],"Namespaces":[{}]}}}`, 0},
		"half a service":    {`{"files":{"a.yaml":{"Services":[{"metadata":{"name":"web","namespace":"d"},"spec":{}}]}}}`, 0},
		"half a policy":     {`{"files":{"a.yaml":{"NetworkPolicies":[{"metadata":{"name":"p","namespace":"d"},"spec":{"podSelector":{},"ingress":[{"ports":[{}],"from":[{}]}],"policyTypes":["Ingress"]}}]}}}`, 0},
		"a service that is": {`{"files":{"a.yaml":{"Services":[{"metadata":{"name":"web","namespace":"d"},"spec":{"ports":[{"port":80}]}}]}}}`, 1},
		"all addresses":     {`{"cidrs":["0.0.0.0/0","::/0"],"files":{"a.yaml":{"Services":[{"metadata":{"name":"web","namespace":"d"},"spec":{"ports":[{"port":80}]}}]}}}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "services.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if table, _ := goOn(t, path); len(table.Services) != c.services {
				t.Errorf("%+v", table)
			}
		})
	}
}

// A record that would be too long to be read again leaves out what files say, and keeps what services have.
func TestLongRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "services.json")
	var r record
	if err := json.Unmarshal(recordOf(t), &r); err != nil {
		t.Fatal(err)
	}
	r.Given = map[string]allocate.Given{"d/web": {NodePorts: map[string]uint16{"80/TCP": 30123}}}
	r.Files["a.yaml"].Namespaces[0].Annotations = map[string]string{"long": strings.Repeat("x", maxRecord)}
	if err := writeRecord(path)(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got, damaged := loadRecord(path)
	if damaged || got.Given["d/web"].NodePorts["80/TCP"] != 30123 || len(got.CIDRs) != 1 || len(got.Files) > 0 {
		t.Errorf("%+v, damaged: %v", got, damaged)
	}
}

// FuzzRecalled: whatever the record says of files, what can be used of it is served and shown.
func FuzzRecalled(f *testing.F) {
	f.Add(recordOf(f))
	for _, seed := range []string{"", "null", "{", `{"files":{"a":{"Services":[null,{}]}}}`, `{"given":{"d/web":{"clusterIPs":["10.96.0.1","::"],"families":["IPv4","x"],"nodePorts":{"80/TCP":1}}}}`} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "services.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		goOn(t, path)
	})
}
