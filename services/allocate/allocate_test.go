package allocate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/services/settings"
)

var both = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00::/112")}

func terms(cidrs ...netip.Prefix) Terms {
	return Terms{
		CIDRs: cidrs, NodePorts: settings.Range{First: 30000, Last: 32767},
		Taken: func(ip netip.Addr) string {
			if ip.String() == "10.96.0.10" || ip.String() == "192.0.2.1" {
				return "an address of the machine"
			}
			return ""
		},
		PortTaken: func(port uint16, _ v1.Protocol) string {
			if port == 30500 {
				return "sshd"
			}
			return ""
		},
	}
}

// service makes one from words: headless, external, nodeport, lb, nonodeports, 4, 6, dual, require, an address, port=node.
func service(key, words string) *v1.Service {
	ns, name, _ := strings.Cut(key, "/")
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1.ServiceSpec{Type: v1.ServiceTypeClusterIP}}
	for _, w := range strings.Fields(words) {
		switch w {
		case "headless":
			s.Spec.ClusterIP = v1.ClusterIPNone
		case "external":
			s.Spec.Type, s.Spec.ExternalName = v1.ServiceTypeExternalName, "example.com"
		case "nodeport":
			s.Spec.Type = v1.ServiceTypeNodePort
		case "lb":
			s.Spec.Type = v1.ServiceTypeLoadBalancer
		case "nonodeports":
			s.Spec.AllocateLoadBalancerNodePorts = ptr.To(false)
		case "4":
			s.Spec.IPFamilies = append(s.Spec.IPFamilies, v1.IPv4Protocol)
		case "6":
			s.Spec.IPFamilies = append(s.Spec.IPFamilies, v1.IPv6Protocol)
		case "dual":
			s.Spec.IPFamilyPolicy = ptr.To(v1.IPFamilyPolicyPreferDualStack)
		case "require":
			s.Spec.IPFamilyPolicy = ptr.To(v1.IPFamilyPolicyRequireDualStack)
		default:
			if port, node, ok := strings.Cut(w, "="); ok {
				p := v1.ServicePort{Protocol: v1.ProtocolTCP}
				if port, ok = strings.CutSuffix(port, "u"); ok {
					p.Protocol = v1.ProtocolUDP
				}
				fmt.Sscan(port, &p.Port)                    //nolint:errcheck // the test's own
				fmt.Sscan(node, &p.NodePort)                //nolint:errcheck // may be none
				p.Name = fmt.Sprint("p", len(s.Spec.Ports)) // of several
				s.Spec.Ports = append(s.Spec.Ports, p)
				continue
			}
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, w)
			s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
		}
	}
	return s
}

func ips(texts ...string) (out []netip.Addr) {
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func say(g Given) string {
	out := ""
	for _, f := range g.Families {
		out += string(f[3]) // 4 or 6 of IPv4, IPv6
	}
	for _, ip := range g.ClusterIPs {
		out += " " + ip.String()
	}
	for _, p := range slices.Sorted(maps.Keys(g.NodePorts)) {
		out += fmt.Sprintf(" %s=%d", p, g.NodePorts[p])
	}
	return strings.TrimSpace(out)
}

// TestAllocate: one service, or some, from what manifests say and what is on record.
func TestAllocate(t *testing.T) {
	four, six := both[:1], both[1:]
	four6 := []netip.Prefix{both[1], both[0]}
	had := func(g Given) map[string]Given { return map[string]Given{"d/a": g} }
	a4, a6 := derive(both[0], "d/a", func(netip.Addr) bool { return true }).String(), derive(both[1], "d/a", func(netip.Addr) bool { return true }).String()
	for name, c := range map[string]struct {
		cidrs    []netip.Prefix
		services map[string]string
		had      map[string]Given
		want     string // of d/a, then of the others, and the notes' reasons
	}{
		"one":                              {four, map[string]string{"d/a": "80="}, nil, "a: 4 " + a4},
		"of IPv6 alone":                    {six, map[string]string{"d/a": "80="}, nil, "a: 6 " + a6},
		"IPv6 first":                       {four6, map[string]string{"d/a": "80="}, nil, "a: 6 " + a6},
		"a single one of both":             {both, map[string]string{"d/a": "80="}, nil, "a: 4 " + a4},
		"IPv6 is asked for":                {both, map[string]string{"d/a": "6 80="}, nil, "a: 6 " + a6},
		"IPv6 is asked for in vain":        {four, map[string]string{"d/a": "6 80="}, nil, "a: ; a IPFamilyUnavailable"},
		"dual":                             {both, map[string]string{"d/a": "dual"}, nil, "a: 46 " + a4 + " " + a6},
		"dual, IPv6 first":                 {both, map[string]string{"d/a": "dual 6 4"}, nil, "a: 64 " + a6 + " " + a4},
		"dual, one is named":               {both, map[string]string{"d/a": "dual 6"}, nil, "a: 64 " + a6 + " " + a4},
		"dual, with one":                   {four, map[string]string{"d/a": "dual"}, nil, "a: 4 " + a4},
		"dual is required":                 {both, map[string]string{"d/a": "require"}, nil, "a: 46 " + a4 + " " + a6},
		"dual is required in vain":         {four, map[string]string{"d/a": "require"}, nil, "a: 4 " + a4 + "; a IPFamilyUnavailable"},
		"dual, both named":                 {both, map[string]string{"d/a": "dual fd00::9 10.96.0.9"}, nil, "a: 64 fd00::9 10.96.0.9"},
		"dual, the first one named":        {both, map[string]string{"d/a": "dual fd00::9"}, nil, "a: 64 fd00::9 " + a4},
		"nothing can be had":               {nil, map[string]string{"d/a": "80="}, nil, "a: "},
		"headless":                         {both, map[string]string{"d/a": "headless 80="}, nil, "a: 4"},
		"headless, dual":                   {both, map[string]string{"d/a": "headless dual"}, nil, "a: 46"},
		"an external name":                 {both, map[string]string{"d/a": "external 80="}, nil, "a: "},
		"an address is named":              {four, map[string]string{"d/a": "10.96.0.77"}, nil, "a: 4 10.96.0.77"},
		"an address outside":               {four, map[string]string{"d/a": "203.0.113.9"}, nil, "a: 4 203.0.113.9"},
		"the address of names":             {four, map[string]string{"d/a": "10.96.0.10"}, nil, "a: 4; a AddressTaken"},
		"the machine's address":            {four, map[string]string{"d/a": "192.0.2.1"}, nil, "a: 4; a AddressTaken"},
		"on record":                        {four, map[string]string{"d/a": "80="}, had(Given{ClusterIPs: ips("10.96.200.1")}), "a: 4 10.96.200.1"},
		"on record, another subnet":        {four, map[string]string{"d/a": "80="}, had(Given{ClusterIPs: ips("10.97.200.1")}), "a: 4 " + a4},
		"on record, taken meanwhile":       {four, map[string]string{"d/a": "80="}, had(Given{ClusterIPs: ips("10.96.0.10")}), "a: 4 " + a4},
		"on record, another named":         {four, map[string]string{"d/a": "10.96.0.5"}, had(Given{ClusterIPs: ips("10.96.200.1")}), "a: 4 10.96.0.5"},
		"on record, the family stays":      {four6, map[string]string{"d/a": "80="}, had(Given{Families: []v1.IPFamily{"IPv4"}, ClusterIPs: ips("10.96.200.1")}), "a: 4 10.96.200.1"},
		"on record, now dual":              {both, map[string]string{"d/a": "dual"}, had(Given{Families: []v1.IPFamily{"IPv4"}, ClusterIPs: ips("10.96.200.1")}), "a: 46 10.96.200.1 " + a6},
		"on record, no longer dual":        {both, map[string]string{"d/a": ""}, had(Given{Families: []v1.IPFamily{"IPv6", "IPv4"}, ClusterIPs: ips("fd00::7", "10.96.200.1")}), "a: 6 fd00::7"},
		"on record, nonsense":              {four, map[string]string{"d/a": ""}, had(Given{Families: []v1.IPFamily{"IPv9"}, NodePorts: map[string]uint16{"x": 1}}), "a: 4 " + a4},
		"on record, the family is gone":    {four, map[string]string{"d/a": ""}, had(Given{Families: []v1.IPFamily{"IPv6"}, ClusterIPs: ips("fd00::7")}), "a: 4 " + a4},
		"two want one":                     {four, map[string]string{"d/a": "10.96.0.5", "d/b": "10.96.0.5"}, nil, "a: 4 10.96.0.5; b: 4; b AddressTaken"},
		"two want one, the second has it":  {four, map[string]string{"d/a": "10.96.0.5", "d/b": "10.96.0.5"}, map[string]Given{"d/b": {ClusterIPs: ips("10.96.0.5")}}, "a: 4; b: 4 10.96.0.5; a AddressTaken"},
		"another has it unasked":           {four, map[string]string{"d/a": "10.96.200.5", "d/b": ""}, map[string]Given{"d/b": {ClusterIPs: ips("10.96.200.5")}}, "a: 4; b: 4 10.96.200.5; a AddressTaken"},
		"another names what would follow":  {four, map[string]string{"d/a": "", "d/z": a4}, nil, "a: 4 " + netip.MustParseAddr(a4).Next().String() + "; z: 4 " + a4},
		"a node port":                      {four, map[string]string{"d/a": "nodeport 80=31000"}, nil, "a: 4 " + a4 + " 80/TCP=31000"},
		"two protocols, one number":        {four, map[string]string{"d/a": "nodeport 53=31000 53u=31000"}, nil, "a: 4 " + a4 + " 53/TCP=31000 53/UDP=31000"},
		"a node port twice":                {four, map[string]string{"d/a": "nodeport 80=31000 81=31000"}, nil, "a: 4 " + a4 + " 80/TCP=31000; a PortTaken"},
		"a node port out of range":         {four, map[string]string{"d/a": "nodeport 80=22"}, nil, "a: 4 " + a4 + "; a PortOutOfRange"},
		"a node port of others":            {four, map[string]string{"d/a": "nodeport 80=31000", "d/b": "nodeport 80=31000 10.96.0.6"}, nil, "a: 4 " + a4 + " 80/TCP=31000; b: 4 10.96.0.6; b PortTaken"},
		"a node port, others have it":      {four, map[string]string{"d/a": "nodeport 80=31000", "d/b": "nodeport 80=31000 10.96.0.6"}, map[string]Given{"d/b": {NodePorts: map[string]uint16{"80/TCP": 31000}}}, "a: 4 " + a4 + "; b: 4 10.96.0.6 80/TCP=31000; a PortTaken"},
		"a node port on record":            {four, map[string]string{"d/a": "nodeport 80="}, had(Given{NodePorts: map[string]uint16{"80/TCP": 32000}}), "a: 4 " + a4 + " 80/TCP=32000"},
		"a node port on record, a program": {four, map[string]string{"d/a": "nodeport 80="}, had(Given{NodePorts: map[string]uint16{"80/TCP": 30500}}), "a: 4 " + a4 + " 80/TCP=30500"},
		"an edit keeps other ports":        {four, map[string]string{"d/a": "nodeport 80= 81=31000"}, had(Given{NodePorts: map[string]uint16{"80/TCP": 32000, "90/TCP": 32001}}), "a: 4 " + a4 + " 80/TCP=32000 81/TCP=31000"},
		"of a load balancer":               {four, map[string]string{"d/a": "lb 80=31000"}, nil, "a: 4 " + a4 + " 80/TCP=31000"},
		"of a load balancer, none":         {four, map[string]string{"d/a": "lb nonodeports 80="}, nil, "a: 4 " + a4},
		"of a load balancer, named":        {four, map[string]string{"d/a": "lb nonodeports 80=31000"}, nil, "a: 4 " + a4 + " 80/TCP=31000"},
		"no longer one":                    {four, map[string]string{"d/a": "80="}, had(Given{NodePorts: map[string]uint16{"80/TCP": 31000}}), "a: 4 " + a4},
	} {
		services := map[string]*v1.Service{}
		for key, words := range c.services {
			services[key] = service(key, words)
		}
		given, notes := Allocate(services, c.had, terms(c.cidrs...))
		got := []string{}
		for _, key := range slices.Sorted(maps.Keys(given)) {
			got = append(got, strings.TrimPrefix(key, "d/")+": "+say(given[key]))
		}
		for _, n := range notes {
			got = append(got, n.Name+" "+n.Reason)
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("%s: %s\nnot %s", name, got, c.want)
		}
	}
}

// TestDerived: node ports that nobody names are in the range, not those that are taken, and follow from names.
func TestDerived(t *testing.T) {
	s := map[string]*v1.Service{}
	for i := range 200 {
		key := fmt.Sprintf("d/s%d", i)
		s[key] = service(key, "nodeport 80= 53u=")
	}
	first, notes := Allocate(s, nil, terms(both...))
	if len(notes) != 0 {
		t.Fatal(notes)
	}
	again, _ := Allocate(s, nil, terms(both...))
	kept, _ := Allocate(s, first, terms(both...))
	if !reflect.DeepEqual(first, again) || !reflect.DeepEqual(first, kept) {
		t.Error("what is given is not always the same")
	}
	for key, g := range first {
		for _, p := range g.NodePorts {
			if p < 30000+86 || p > 32767 || p == 30500 {
				t.Errorf("%s has %d", key, p)
			}
		}
		if ip := g.ClusterIPs[0]; !both[0].Contains(ip) || ip.Less(netip.MustParseAddr("10.96.1.0")) {
			t.Errorf("%s has %s", key, ip)
		}
	}
}

// TestFull: small subnets and ranges are used whole, and that nothing is left is said.
func TestFull(t *testing.T) {
	for cidr, room := range map[string]int{"10.1.0.0/28": 13, "10.1.0.0/26": 61, "fd00::/124": 14} { // without the first, the last of IPv4, and that of names
		p := netip.MustParsePrefix(cidr)
		d := terms(p)
		d.Taken = func(ip netip.Addr) string {
			if ip == OfNames([]netip.Prefix{p})[0] {
				return "the address of names"
			}
			return ""
		}
		d.NodePorts = settings.Range{First: 30000, Last: 30000 + uint16(room) - 1}
		s := map[string]*v1.Service{}
		for i := range room {
			key := fmt.Sprintf("d/s%d", i)
			s[key] = service(key, "nodeport 80=")
		}
		given, notes := Allocate(s, nil, d)
		if len(notes) != 0 {
			t.Errorf("%s: %v", cidr, notes)
		}
		unique(t, given)
		s["d/z"] = service("d/z", "nodeport 80=")
		if _, notes = Allocate(s, given, d); len(notes) != 2 || notes[0].Reason != NoneFree || notes[1].Reason != NoneFree || notes[0].Name != "z" {
			t.Errorf("%s, one more: %v", cidr, notes)
		}
	}
}

func unique(t *testing.T, given map[string]Given) {
	t.Helper()
	ips, ports := map[netip.Addr]string{}, map[string]string{}
	for key, g := range given {
		for _, ip := range g.ClusterIPs {
			if other := ips[ip]; other != "" {
				t.Errorf("%s and %s have %s", key, other, ip)
			}
			ips[ip] = key
		}
		for pk, n := range g.NodePorts {
			_, proto, _ := strings.Cut(pk, "/")
			port := fmt.Sprint(n, proto)
			if other := ports[port]; other != "" {
				t.Errorf("%s and %s have node port %s", key, other, port)
			}
			ports[port] = key
		}
	}
}

// TestChange: through hundreds of edits nothing is given twice, and whoever is not edited keeps what it has, also by way of the record.
func TestChange(t *testing.T) {
	words := []string{
		"80=", "nodeport 80=", "nodeport 80=31000", "nodeport 80=31000 53u=31001", "lb 80= 443=", "headless 80=", "external", "dual 80=", "require", "6",
		"10.96.3.3", "dual fd00::33", "10.96.0.10", "lb nonodeports 80=", "6 4 dual nodeport 80=",
	}
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		services, record := map[string]*v1.Service{}, map[string]Given{}
		for range 60 {
			key := fmt.Sprintf("d/s%d", random.IntN(30))
			if random.IntN(4) == 0 {
				delete(services, key)
			} else {
				services[key] = service(key, words[random.IntN(len(words))])
			}
			given, notes := Allocate(services, record, terms(both...))
			unique(t, given)
			if len(given) != len(services) {
				t.Fatalf("seed %d: %d of %d", seed, len(given), len(services))
			}
			for other, g := range given {
				had, known := record[other]
				troubled := slices.ContainsFunc(notes, func(n Note) bool { return n.Namespace+"/"+n.Name == other })
				if other != key && known && !troubled && len(had.ClusterIPs) >= len(g.ClusterIPs) && len(had.NodePorts) >= len(g.NodePorts) && !reflect.DeepEqual(had, g) {
					t.Fatalf("seed %d: %s was edited, and %s has %s instead of %s", seed, key, other, say(g), say(had))
				}
			}
			record = given
		}
	}
}

func BenchmarkAllocate(b *testing.B) {
	s := map[string]*v1.Service{}
	for i := range 100 {
		key := fmt.Sprintf("d/s%d", i)
		s[key] = service(key, "nodeport 80= 53u=")
	}
	had, _ := Allocate(s, nil, terms(both...))
	for b.Loop() {
		Allocate(s, had, terms(both...))
	}
}
