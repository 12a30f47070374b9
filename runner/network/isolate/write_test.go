package isolate

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// listed is what nft(8) shows of an instance's tables, in an order that does not change.
func listed(t testing.TB, bridge string) []string {
	t.Helper()
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var lines []string
	ours, at := false, ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "table "):
			ours = strings.Contains(line, " "+TableName(bridge)+" ")
			at = strings.Fields(line)[1]
		case strings.HasPrefix(line, "chain "), strings.HasPrefix(line, "set "), strings.HasPrefix(line, "map "):
			at = strings.Fields(at)[0] + " " + line
		}
		if ours && line != "" && line != "}" && !strings.HasPrefix(line, "table ") {
			words := strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' })
			if strings.Contains(line, "elements") || !strings.Contains(at, "chain") {
				slices.Sort(words)
			}
			lines = append(lines, at+": "+strings.Join(words, " "))
		}
	}
	return lines
}

// ordinary sorts lines of sets, whose elements stand in several.
func ordinary(lines []string, bridge string) string {
	var chains, sets []string
	for _, l := range lines {
		l = strings.ReplaceAll(l, bridge, "BRIDGE")
		if strings.Contains(l, "chain") {
			chains = append(chains, l)
			continue
		}
		at, words, _ := strings.Cut(l, ": ")
		for w := range strings.FieldsSeq(words) {
			sets = append(sets, at+" "+w)
		}
	}
	slices.Sort(sets)
	var byChain []string
	for _, l := range chains { // chains stand in the order of their making
		at, _, _ := strings.Cut(l, ": ")
		if i := slices.IndexFunc(byChain, func(c string) bool { return strings.HasPrefix(c, at+": ") }); i >= 0 {
			byChain[i] += "\n" + l
			continue
		}
		byChain = append(byChain, l)
	}
	slices.Sort(byChain)
	return strings.Join(byChain, "\n") + "\n" + strings.Join(sets, "\n")
}

func placed(p Policies, r *rand.Rand) Policies {
	for i := range p.Pods {
		pod := &p.Pods[i]
		pod.Place = Place{Interface: "sp" + pod.UID, Bridged: r.IntN(3) > 0, Hardware: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}}
	}
	if r.IntN(4) == 0 {
		p.Pods = p.Pods[:r.IntN(len(p.Pods))]
	}
	return p
}

// However rules became what they are, the kernel has the same as if they had been written anew.
func TestWriteDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // the same each time
	var former *Rules
	for i := range 60 {
		p := placed(chance(r), r)
		if i%10 == 9 {
			p.Policies = nil
		}
		rules, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write("grown", former, rules); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		mark, err := Look("grown", rules)
		if err != nil || mark == "" && !rules.Empty() {
			t.Fatalf("step %d: the mark is %q, %v", i, mark, err)
		}
		if err := Write("anew", nil, rules); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		grown, anew := ordinary(listed(t, "grown"), "grown"), ordinary(listed(t, "anew"), "anew")
		if grown != anew {
			for line := range strings.Lines(grown) {
				if !strings.Contains(anew, line) {
					t.Errorf("too much: %s", line)
				}
			}
			for line := range strings.Lines(anew) {
				if !strings.Contains(grown, line) {
					t.Errorf("too little: %s", line)
				}
			}
			t.Fatalf("step %d: the kernel has something else than when it is written anew", i)
		}
		if rules.Empty() != (strings.TrimSpace(anew) == "") {
			t.Fatalf("step %d: of %v there is\n%s", i, rules, anew)
		}
		former = rules
	}
	if err := Write("grown", former, &Rules{}); err != nil {
		t.Fatal(err)
	}
	if err := Write("anew", nil, &Rules{}); err != nil {
		t.Fatal(err)
	}
	if left := append(listed(t, "grown"), listed(t, "anew")...); len(left) > 0 {
		t.Errorf("left is %q", left)
	}
}

// many are policies and pods as of a whole box, and more.
func many(t testing.TB, pods, policies int) Policies {
	p := Policies{}
	for i := range pods {
		p.Pods = append(p.Pods, Pod{UID: fmt.Sprint(i), Namespace: "ns", Labels: map[string]string{"app": fmt.Sprint(i % 20)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)})},
			Place: Place{Interface: fmt.Sprint("sp", i), Bridged: true, Hardware: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}}})
	}
	for i := range policies {
		p.Policies = append(p.Policies, policy(t, "ns", fmt.Sprintf(`{podSelector: {matchLabels: {app: "%d"}}, policyTypes: [Ingress, Egress],
			ingress: [{from: [{podSelector: {matchLabels: {app: "%d"}}}, {ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: %d}, {port: 443}]}], egress: [{ports: [{port: 53, protocol: UDP}]}]}`, i%20, (i+1)%20, 1000+i)))
	}
	return p
}

// A pod that is attached costs the difference, on a box with many.
func TestWriteMany(t *testing.T) {
	p := many(t, 1500, 100)
	rules, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write("many", nil, rules); err != nil {
		t.Fatal(err)
	}
	defer Write("many", rules, &Rules{}) //nolint:errcheck // it goes with the tests' machine
	less := p
	less.Pods = p.Pods[1:]
	begun := time.Now()
	fewer, err := Compile(less)
	if err != nil {
		t.Fatal(err)
	}
	compiled := time.Since(begun)
	if err := Write("many", rules, fewer); err != nil {
		t.Fatal(err)
	}
	t.Logf("compiled in %s, the difference written in %s", compiled, time.Since(begun)-compiled)
	if err := Write("many", fewer, rules); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.Join(listed(t, "many"), "\n"), "chain"); n > 2000 {
		t.Errorf("%d lines of chains for 20 kinds of pods", n)
	}
}

func BenchmarkCompile(b *testing.B) {
	p := many(b, 50, 20)
	for b.Loop() {
		if _, err := Compile(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttach(b *testing.B) {
	p := many(b, 50, 20)
	less := p
	less.Pods = p.Pods[1:]
	rules, err := Compile(p)
	if err != nil {
		b.Fatal(err)
	}
	if err := Write("bench", nil, rules); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		fewer, _ := Compile(less)
		if err := Write("bench", rules, fewer); err != nil {
			b.Fatal(err)
		}
		rules, _ = Compile(p)
		if err := Write("bench", fewer, rules); err != nil {
			b.Fatal(err)
		}
		if _, err := Look("bench", rules); err != nil {
			b.Fatal(err)
		}
	}
	Write("bench", nil, &Rules{}) //nolint:errcheck // it goes with the tests' machine
}
