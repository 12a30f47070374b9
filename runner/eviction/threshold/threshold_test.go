package threshold

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	mebi = 1 << 20
	gibi = 1 << 30
)

func described(list []Threshold) string {
	var out []string
	for _, t := range list {
		s := fmt.Sprintf("%s<%s", t.Signal, t.Least.Text(t.Signal))
		if t.Soft {
			s += fmt.Sprintf(" for %s", t.Grace)
		}
		if !t.Reclaim.none() {
			s += fmt.Sprintf(" +%s", t.Reclaim.Text(t.Signal))
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestParse(t *testing.T) {
	type m = map[string]string
	for name, c := range map[string]struct {
		text Text
		want string
		says []string
	}{
		"by default": {Text{}, "memory.available<100Mi, nodefs.available<10%, nodefs.inodesFree<5%, imagefs.available<15%, imagefs.inodesFree<5%", nil},
		"own ones":   {Text{Hard: m{"pid.available": "1000", "memory.available": "5%"}}, "memory.available<5%, pid.available<1000", nil},
		"none":       {Text{Hard: m{}}, "", nil},
		"turned off": {Text{Hard: m{"memory.available": "0", "nodefs.available": "0%", "imagefs.available": "100%", "nodefs.inodesFree": "0Mi"}}, "", nil},
		"of the kubelet's documentation": {
			Text{Hard: m{"memory.available": "500Mi", "nodefs.available": "1Gi", "imagefs.available": "100Gi"}, MinimumReclaim: m{"memory.available": "0Mi", "nodefs.available": "500Mi", "imagefs.available": "2Gi"}},
			"memory.available<500Mi, nodefs.available<1Gi +500Mi, imagefs.available<100Gi +2Gi", nil,
		},
		"a reclaim of nothing, without a threshold": {Text{Hard: m{}, MinimumReclaim: m{"nodefs.available": "0Mi"}}, "", nil},
		"a soft one": {
			Text{Hard: m{"memory.available": "1Gi"}, Soft: m{"memory.available": "1.5Gi"}, SoftGracePeriod: m{"memory.available": "1m30s"}},
			"memory.available<1Gi, memory.available<1536Mi for 1m30s", nil,
		},
		"next to nothing":         {Text{Hard: m{"memory.available": "1e-20%", "nodefs.available": "1e-300%"}}, "", nil},
		"more than there can be":  {Text{Hard: m{"memory.available": "1e30", "pid.available": "10E", "nodefs.inodesFree": "1e19"}}, "memory.available<8796093022207Mi, nodefs.inodesFree<9223372036854775807, pid.available<9223372036854775807", nil},
		"a fraction of a percent": {Text{Hard: m{"nodefs.available": "2.5%"}}, "nodefs.available<2.5%", nil},
		"a slip":                  {Text{Hard: m{"memory.availble": "1Gi"}}, "", []string{"evictionHard: memory.availble: there is no such signal; did you mean memory.available?"}},
		"another":                 {Text{Hard: m{"nodefs.inodesfree": "1"}}, "", []string{"did you mean nodefs.inodesFree?"}},
		"no signal at all":        {Text{Hard: m{"cpu": "1"}}, "", []string{"evictionHard: cpu: there is no such signal; there are [memory.available"}},
		"of other kubelets":       {Text{Hard: m{"containerfs.available": "1Gi", "allocatableMemory.available": "1Gi"}}, "", []string{"set memory.available", "set that of imagefs"}},
		"too much":                {Text{Hard: m{"memory.available": "110%"}}, "", []string{`evictionHard: memory.available: "110%" is more than 100 %`}},
		"negative":                {Text{Hard: m{"memory.available": "-1Gi", "nodefs.available": "-1%"}}, "", []string{`"-1Gi" cannot be negative`, `"-1%" is no part`}},
		"no amount":               {Text{Hard: m{"memory.available": "much", "nodefs.available": "NaN%"}}, "", []string{`"much" is neither a quantity like 100Mi nor a part like 10%`, `"NaN%"`}},
		"a soft one without a time": {Text{Hard: m{}, Soft: m{"memory.available": "1Gi"}}, "memory.available<1Gi for 0s", []string{
			"evictionSoft: memory.available: it needs a time for which it must be crossed; set evictionSoftGracePeriod, like {memory.available: 1m30s}",
		}},
		"a time without one": {Text{Hard: m{}, SoftGracePeriod: m{"memory.available": "1m"}}, "", []string{"evictionSoftGracePeriod: memory.available: evictionSoft has no threshold of it"}},
		"no time": {Text{Hard: m{}, Soft: m{"memory.available": "1Gi"}, SoftGracePeriod: m{"memory.available": "90"}}, "memory.available<1Gi for 0s",
			[]string{`evictionSoftGracePeriod: memory.available: "90" is not a duration like 1m30s`}},
		"a reclaim without a threshold": {Text{Hard: m{"memory.available": "1Gi"}, MinimumReclaim: m{"pid.available": "10"}}, "memory.available<1Gi",
			[]string{"evictionMinimumReclaim: pid.available: no threshold is set for it"}},
		"a reclaim of too much": {Text{MinimumReclaim: m{"nodefs.available": "101%"}}, described(must(Parse(Text{}))), []string{"evictionMinimumReclaim: nodefs.available: \"101%\" is more"}},
	} {
		list, wrong := Parse(c.text)
		if got := described(list); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
		if len(wrong) != len(c.says) {
			t.Errorf("%s: %v", name, wrong)
			continue
		}
		for i, p := range wrong {
			if got := p.Setting + ": " + p.Err.Error(); !strings.Contains(got, c.says[i]) {
				t.Errorf("%s: %q, not %q", name, got, c.says[i])
			}
		}
	}
}

func must(list []Threshold, _ []Problem) []Threshold { return list }

func TestCrossed(t *testing.T) {
	of := Threshold{Signal: NodeSpace, Least: Amount{Quantity: gibi}, Reclaim: Amount{Quantity: 500 * mebi}}
	part := Threshold{Signal: NodeSpace, Least: Amount{Part: 0.1}, Reclaim: Amount{Part: 0.05}}
	for name, c := range map[string]struct {
		t       Threshold
		l       Level
		met     bool
		crossed bool
		missing uint64
	}{
		"enough":                      {of, Level{2 * gibi, 10 * gibi}, false, false, 0},
		"just enough":                 {of, Level{gibi, 10 * gibi}, false, false, 500 * mebi},
		"just too little":             {of, Level{gibi - 1, 10 * gibi}, false, true, 500*mebi + 1},
		"not reclaimed as yet":        {of, Level{gibi + 499*mebi, 10 * gibi}, true, true, mebi},
		"reclaimed":                   {of, Level{gibi + 500*mebi, 10 * gibi}, true, false, 0},
		"a part":                      {part, Level{100*mebi - 1, 1000 * mebi}, false, true, 50*mebi + 1},
		"a part is left":              {part, Level{100 * mebi, 1000 * mebi}, false, false, 50 * mebi},
		"a part is not reclaimed":     {part, Level{149 * mebi, 1000 * mebi}, true, true, mebi},
		"without a bound":             {of, Level{0, 0}, true, false, 1524 * mebi},
		"more than there is in all":   {Threshold{Least: Amount{Quantity: gibi}}, Level{mebi, mebi}, false, true, gibi - mebi},
		"nothing is left":             {part, Level{0, 1000 * mebi}, false, true, 150 * mebi},
		"more available than fits in": {part, Level{math.MaxUint64, 1000 * mebi}, true, false, 0},
	} {
		if got := c.t.Crossed(c.l, c.met); got != c.crossed {
			t.Errorf("%s: crossed %t", name, got)
		}
		if got := c.t.Missing(c.l); got != c.missing {
			t.Errorf("%s: missing %d, not %d", name, got, c.missing)
		}
	}
}

func TestLeft(t *testing.T) {
	list := []Threshold{{Signal: Memory, Least: Amount{Quantity: 100}}, {Signal: Memory, Least: Amount{Quantity: 300}, Soft: true}}
	if left, bounded := Left(list, Memory, Level{1000, 2000}); left != 700 || !bounded {
		t.Error(left, bounded)
	}
	if left, bounded := Left(list, Memory, Level{250, 2000}); left != 150 || !bounded { // one is crossed, and the other is the next
		t.Error(left, bounded)
	}
	if left, bounded := Left(list, Memory, Level{50, 2000}); left != 0 || !bounded {
		t.Error(left, bounded)
	}
	if _, bounded := Left(list, NodeFiles, Level{1000, 2000}); bounded {
		t.Error("a signal without a threshold has a bound")
	}
	if _, bounded := Left(list, Memory, Level{}); bounded {
		t.Error("what has no capacity has a bound")
	}
}

func TestKept(t *testing.T) {
	list := must(Parse(Text{
		Hard: map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "50%"},
		Soft: map[string]string{"memory.available": "1Gi"}, SoftGracePeriod: map[string]string{"memory.available": "1m"},
	}))
	capacity := v1.ResourceList{
		v1.ResourceMemory: resource.MustParse("4Gi"), v1.ResourceEphemeralStorage: resource.MustParse("100Gi"), v1.ResourceCPU: resource.MustParse("4"),
	}
	got := Kept(list, capacity)
	memory, disk := got[v1.ResourceMemory], got[v1.ResourceEphemeralStorage]
	if len(got) != 2 || memory.String() != "100Mi" || disk.String() != "10Gi" {
		t.Errorf("%v", got)
	}
	if got := Kept(list, v1.ResourceList{}); len(got) != 0 {
		t.Errorf("of nothing %v is kept", got)
	}
}

func TestWatch(t *testing.T) {
	list := must(Parse(Text{
		Hard: map[string]string{"memory.available": "100", "nodefs.available": "100"},
		Soft: map[string]string{"memory.available": "300"}, SoftGracePeriod: map[string]string{"memory.available": "1m"},
		MinimumReclaim: map[string]string{"memory.available": "50"},
	}))
	w := &Watch{List: list}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	begun := at
	look := func(after time.Duration, memory uint64, want ...string) {
		t.Helper()
		at = at.Add(after)
		var got []string
		for _, c := range w.Look(map[Signal]Level{Memory: {memory, 1000}}, at) {
			s := fmt.Sprintf("<%s", c.Least.Text(c.Signal))
			if c.Due {
				s += " due"
			}
			got = append(got, s)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after %s with %d: %q, not %q", at.Sub(begun), memory, got, want)
		}
	}
	look(0, 400)
	look(0, 299, "<300")
	if due := w.Due(at); !due.Equal(at.Add(time.Minute)) || !since(w).Equal(at) {
		t.Errorf("due %s, since %s", due, since(w))
	}
	look(59*time.Second, 250, "<300")
	look(time.Second, 250, "<300 due")
	look(time.Second, 99, "<100 due", "<300 due")
	if !w.Due(at).IsZero() {
		t.Error("a grace period goes on")
	}
	look(time.Second, 149, "<100 due", "<300 due") // 50 have to be reclaimed
	look(time.Second, 150, "<300 due")
	look(time.Second, 349, "<300 due")
	look(time.Second, 350)
	look(time.Second, 310) // it is not crossed again before it is
	look(time.Second, 299, "<300")
	at = at.Add(-time.Hour) // the clock goes back
	look(0, 299, "<300")
	look(time.Minute, 299, "<300 due")
	if got := w.Look(nil, at); got != nil {
		t.Errorf("nothing is known, and %v is crossed", got)
	}
	if since(w).IsZero() {
		t.Error("what is not known is forgotten")
	}
}

// since is when thresholds were crossed first, of those that are.
func since(w *Watch) (first time.Time) {
	for _, at := range w.since {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func TestWorst(t *testing.T) {
	of := func(s Signal, soft, due bool) Crossed {
		return Crossed{Threshold: Threshold{Signal: s, Soft: soft}, Due: due}
	}
	if got, ok := Worst([]Crossed{of(Processes, false, true), of(NodeFiles, true, true), of(NodeFiles, false, true), of(Memory, false, false)}); !ok || got.Signal != NodeFiles || got.Soft {
		t.Errorf("%+v, %t", got, ok)
	}
	if got, ok := Worst([]Crossed{of(NodeSpace, false, true), of(Memory, true, true)}); !ok || got.Signal != Memory {
		t.Errorf("%+v, %t", got, ok)
	}
	if _, ok := Worst([]Crossed{of(Memory, false, false)}); ok {
		t.Error("one that is not due is dealt with")
	}
}

func TestFormat(t *testing.T) {
	for want, got := range map[string]string{
		"53Mi": Memory.Format(53*mebi + 4711), "1Gi": NodeSpace.Format(gibi), "12": Processes.Format(12), "0": Memory.Format(0), "4Ki": Memory.Format(4096),
		"512000": Amount{Quantity: 512000}.Text(NodeFiles), "23859Mi": Amount{Quantity: 25018184500}.Text(Memory), "2.5%": Amount{Part: 0.025}.Text(Processes),
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}
