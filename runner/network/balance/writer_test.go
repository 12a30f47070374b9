package balance

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/network/nft"
	"github.com/solopod/solopod/runner/served"
)

func TestMain(m *testing.M) { testbox.Main(m) }

func list(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("nft", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// What is written is the difference: nothing where nothing differs, some elements where an endpoint does; and nft(8) can show all of it.
func TestWriteDifference(t *testing.T) {
	w := NewWriter("spt-balance")
	generation := func() uint32 {
		t.Helper()
		var s nft.Session
		defer s.Close()
		g, err := s.Generation()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	write := func(list ...served.Service) {
		t.Helper()
		if _, err := w.Write(Plan(&served.Table{Services: list}, Machine{Bridge: "spt-balance", Loopback: true, Names: addrs("10.96.0.10", "fd96::a")})); err != nil {
			t.Fatal(err)
		}
	}
	same := func(what string, do func()) {
		t.Helper()
		before := generation()
		do()
		if after := generation(); after != before {
			t.Errorf("%s: %d transactions", what, after-before)
		}
	}
	same("nothing is served, and nothing was", func() { write() })
	web := func(targets ...string) served.Service {
		return served.Service{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.80", "fd96::80"), Affinity: time.Hour, OnNode: true, Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080, targets...), port(v1.ProtocolUDP, 80, 30080, targets...)}}
	}
	other := served.Service{Namespace: "d", Name: "other", ClusterIPs: addrs("10.96.0.81"), Ports: []served.Port{port(v1.ProtocolTCP, 80, 0, "10.1.0.9:80")}}
	write(web("10.1.0.2:80", "[fd01::2]:80"), other)
	for _, family := range []string{"ip", "ip6"} {
		if all := list(t, "list", "table", family, TableName("spt-balance")); !strings.Contains(all, "goto pick-1-3600000") || strings.Contains(all, "invalid type") {
			t.Errorf("nft shows\n%s", all)
		}
	}
	same("the same again", func() { write(web("10.1.0.2:80", "[fd01::2]:80"), other) })
	if changed, err := w.Changed(); changed || err != nil {
		t.Errorf("others have changed something: %v, %v", changed, err)
	}
	monitor := exec.Command("nft", "monitor")
	events, err := monitor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	go func() { // until what is written last is seen
		var all strings.Builder
		b := make([]byte, 4096)
		for !strings.Contains(all.String(), "10.1.0.7") {
			n, err := events.Read(b)
			if err != nil {
				break
			}
			all.Write(b[:n])
		}
		seen <- all.String()
	}()
	deadline := time.Now().Add(10 * time.Second)
	all := ""
	for i := 0; all == "" && time.Now().Before(deadline); i++ { // the monitor says nothing when it is ready
		o := other
		o.Ports = []served.Port{port(v1.ProtocolTCP, 80, 0, []string{"10.1.0.7:80", "10.1.0.8:80"}[i%2])}
		write(web("10.1.0.2:80", "[fd01::2]:80"), o)
		select {
		case all = <-seen:
		case <-time.After(100 * time.Millisecond):
		}
	}
	monitor.Process.Kill() //nolint:errcheck // it ends
	monitor.Wait()         //nolint:errcheck // it was killed
	if all == "" || strings.Contains(all, "web") || strings.Contains(all, "10.96.0.80") || strings.Contains(all, "chain") {
		t.Errorf("an endpoint of another service writes\n%s", all)
	}
	write()
	if tables := list(t, "list", "tables"); strings.Contains(tables, "spt-balance") {
		t.Errorf("left behind is %s", tables)
	}
}

// A later writer takes over what an earlier one has left, and replaces what is another's.
func TestAdopt(t *testing.T) {
	l := Plan(&served.Table{Services: []served.Service{{Namespace: "d", Name: "web", ClusterIPs: addrs("10.96.0.80"), Affinity: time.Hour, OnNode: true, SourceRanges: nil,
		Ports: []served.Port{port(v1.ProtocolTCP, 80, 30080, "10.1.0.2:80", "10.1.0.3:80")}}}}, Machine{Bridge: "spt-adopt"})
	table := TableName("spt-adopt")
	for name, c := range map[string]struct {
		do    string
		taken bool
	}{
		"as it was":             {"list tables", true},
		"an element is missing": {"delete element ip " + table + " cluster-ips { 10.96.0.80 }", true},
		"a rule is missing":     {"flush chain ip " + table + " forward", false},
		"a rule more":           {"add rule ip " + table + " forward counter", false},
		"a chain is missing":    {"delete chain ip " + table + " " + generationOf(t, l), false},
		"another table":         {"flush table ip " + table, false},
	} {
		t.Run(name, func(t *testing.T) {
			first := NewWriter("spt-adopt")
			if _, err := first.Write(l); err != nil {
				t.Fatal(err)
			}
			list(t, strings.Fields(c.do)...)
			second := NewWriter("spt-adopt")
			second.adopt(l)
			if taken := second.written != nil; taken != c.taken {
				t.Errorf("it is taken over: %v", taken)
			}
			if _, err := second.Write(l); err != nil {
				t.Fatal(err)
			}
			third := NewWriter("spt-adopt")
			third.adopt(l)
			if third.written == nil || !equal(third.written.families[0].sets, l.families[0].sets) {
				t.Errorf("what is there is not what was written:\n%s", list(t, "list", "table", "ip", table))
			}
			if _, err := third.Write(Plan(nil, Machine{})); err != nil {
				t.Fatal(err)
			}
			if tables := list(t, "list", "tables"); strings.Contains(tables, table) {
				t.Errorf("left behind is %s", tables)
			}
		})
	}
}

func generationOf(t *testing.T, l *Layout) string {
	t.Helper()
	c, err := nft.Dial()
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter("spt-adopt")
	b := newBuilder(families[0], c, w.table(families[0]))
	if err := b.build(l.static); err != nil {
		t.Fatal(err)
	}
	return b.generation()
}
