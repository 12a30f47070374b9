package resolver

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func servers(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestCluster: who asks the cluster's servers, and what is searched for there.
func TestCluster(t *testing.T) {
	f := judge(DefaultPath, "search lan example.org\nnameserver 192.0.2.1\noptions ndots:1 rotate\n", nil)
	local := judge(DefaultPath, "search lan\nnameserver 127.0.0.53\n", func(string) string { return "" })
	nothing := judge(DefaultPath, "", nil)
	config := &v1.PodDNSConfig{
		Nameservers: []string{"192.0.2.7"}, Searches: []string{"lan", "more"},
		Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: ptr.To("2")}, {Name: "edns0"}},
	}
	const all = "search shop.svc.cluster.local svc.cluster.local cluster.local lan example.org\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n"
	const machine = "search lan example.org\nnameserver 192.0.2.1\noptions ndots:1 rotate\n"
	for name, c := range map[string]struct {
		found Found
		pod   *v1.Pod
		want  string
	}{
		"ClusterFirst":                    {f, pod(false, v1.DNSClusterFirst, nil), all},
		"no policy":                       {f, pod(false, "", nil), all},
		"ClusterFirstWithHostNet":         {f, pod(true, v1.DNSClusterFirstWithHostNet, nil), all},
		"ClusterFirstWithHostNet without": {f, pod(false, v1.DNSClusterFirstWithHostNet, nil), all},
		"ClusterFirst with host network":  {f, pod(true, v1.DNSClusterFirst, nil), machine},
		"Default":                         {f, pod(false, v1.DNSDefault, nil), machine},
		"None":                            {f, pod(false, v1.DNSNone, config), "search lan more\nnameserver 192.0.2.7\noptions ndots:2 edns0\n"},
		"with a configuration of its own": {f, pod(false, v1.DNSClusterFirst, config), "search shop.svc.cluster.local svc.cluster.local cluster.local lan example.org more\n" +
			"nameserver 10.96.0.10\nnameserver fd00::a\nnameserver 192.0.2.7\noptions ndots:2 edns0\n"},
		"a server that only the machine reaches": {local, pod(false, v1.DNSClusterFirst, nil), strings.Replace(all, " example.org", "", 1)},
		"a machine without servers":              {nothing, pod(false, v1.DNSClusterFirst, nil), strings.Replace(all, " lan example.org", "", 1)},
	} {
		c.pod.Namespace = "shop"
		c.found.cluster = Cluster{servers("10.96.0.10", "fd00::a"), "cluster.local"}
		if got := c.found.For(c.pod); got != c.want || c.found.Omitted(c.pod) != "" || c.found.Lacks(c.pod) != "" {
			t.Errorf("%s: %q\n(%s%s)", name, got, c.found.Omitted(c.pod), c.found.Lacks(c.pod))
		}
	}
	f.cluster = Cluster{servers("10.96.0.10"), ""}
	if got := f.For(pod(false, v1.DNSClusterFirst, nil)); got != "search lan example.org\nnameserver 10.96.0.10\noptions ndots:5\n" {
		t.Errorf("without a domain: %q", got)
	}
}

// TestFit: what resolvers do not look at is left out, and that is said.
func TestFit(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("d%d.example.org", i))
	}
	long := strings.Repeat("x.", 120) + "org" // 243
	for name, c := range map[string]struct {
		is, want config
		said     string
	}{
		"all fits":              {config{[]string{"a", "b", "c"}, many[:32], []string{"x"}}, config{[]string{"a", "b", "c"}, many[:32], []string{"x"}}, ""},
		"too many nameservers":  {config{nameservers: []string{"a", "b", "c", "d"}}, config{nameservers: []string{"a", "b", "c"}}, "nameserver line is: a b c"},
		"too many searches":     {config{searches: many}, config{searches: many[:32]}, "search line is: d0.example.org d1"},
		"too long a search":     {config{searches: []string{"a", long + ".xxxxxxxxxxx", "b"}}, config{searches: []string{"a", "b"}}, "search line is: a b"},
		"as long as it can be":  {config{searches: append(slices.Repeat([]string{long}, 8), strings.Repeat("y", 96))}, config{searches: append(slices.Repeat([]string{long}, 8), strings.Repeat("y", 96))}, ""},
		"too many characters":   {config{searches: append(slices.Repeat([]string{long}, 8), strings.Repeat("y", 97), "z")}, config{searches: slices.Repeat([]string{long}, 8)}, "search line is"},
		"more than one of them": {config{nameservers: []string{"a", "b", "c", "d"}, searches: many}, config{nameservers: []string{"a", "b", "c"}, searches: many[:32]}, "c; Search"},
	} {
		got, said := c.is.fit()
		if got.String() != c.want.String() || (said == "") != (c.said == "") || !strings.Contains(said, c.said) {
			t.Errorf("%s: %q, %q", name, got, said)
		}
	}
}

// TestServe: who answers for names is in what is read, changes the revision, and is known to the next one that begins.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	machine, record := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "resolver.json")
	write(t, machine, "nameserver 192.0.2.1\n")
	first := New(machine)
	first.Remember(record)
	plain := first.Read(t.Context())
	if plain.Revision() != judge(machine, "nameserver 192.0.2.1\n", nil).Revision() {
		t.Error("without a cluster there is another revision")
	}
	c := Cluster{servers("10.96.0.10"), "cluster.local"}
	for i, want := range []bool{true, false} {
		if changed, err := first.Serve(c); changed != want || err != nil {
			t.Errorf("time %d: %v, %v", i, changed, err)
		}
	}
	served := first.Last()
	if served.Revision() == plain.Revision() || served.Revision() != first.Read(t.Context()).Revision() || !strings.Contains(served.For(pod(false, "", nil)), "nameserver 10.96.0.10") {
		t.Errorf("it says %q", served.For(pod(false, "", nil)))
	}
	next := New(machine)
	next.Remember(record)
	if next.Read(t.Context()).Revision() != served.Revision() {
		t.Error("the next one does not know it")
	}
	if changed, err := next.Serve(Cluster{servers("10.97.0.10"), "cluster.local"}); !changed || err != nil || next.Last().Revision() == served.Revision() {
		t.Errorf("another address: %v, %v", changed, err)
	}
	if changed, err := next.Serve(Cluster{Domain: "cluster.local"}); !changed || err != nil || next.Last().Revision() != plain.Revision() {
		t.Errorf("nobody: %v, %v", changed, err)
	}
	if err := os.WriteFile(record, []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	last := New(machine)
	last.Remember(record)
	if last.Read(t.Context()).Revision() != plain.Revision() {
		t.Error("a damaged record says something")
	}
	last.Remember(filepath.Join(dir, "missing", "resolver.json"))
	if changed, err := last.Serve(c); !changed || err == nil || last.Last().Revision() != served.Revision() {
		t.Errorf("a record that cannot be written: %v, %v", changed, err)
	}
	if changed, err := last.Serve(c); changed || err == nil {
		t.Errorf("once more: %v, %v", changed, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "missing"), 0o755); err != nil {
		t.Fatal(err)
	}
	if changed, err := last.Serve(c); changed || err != nil {
		t.Errorf("when it can: %v, %v", changed, err)
	}
	again := New(machine)
	again.Remember(filepath.Join(dir, "missing", "resolver.json"))
	if again.Read(t.Context()).Revision() != served.Revision() {
		t.Error("what could not be written at once was not written later")
	}
	none := New("")
	if _, err := none.Serve(c); err != nil || !strings.Contains(none.Read(t.Context()).For(pod(false, "", nil)), "10.96.0.10") {
		t.Errorf("without a configuration of the machine: %v", err)
	}
}
