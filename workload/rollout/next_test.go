package rollout

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// members reads a row: O and o are of the old version, N and n of the new one, available when they are capital; - is none.
func members(text string) []Member {
	out := []Member{}
	for _, r := range text {
		m := Member{Available: strings.ContainsRune("ON", r)}
		switch r {
		case 'O', 'o':
			m.Version = Old
		case 'N', 'n':
			m.Version = New
		}
		out = append(out, m)
	}
	return out
}

// row writes what is done: . stays, > gets the new version, x ends.
func (d Decision) row() string {
	row := func(steps []Step) string {
		var b strings.Builder
		for _, s := range steps {
			b.WriteByte(".>x"[s])
		}
		return b.String()
	}
	out := fmt.Sprintf("%s|%s+%d", row(d.Slots), row(d.Surge), d.More)
	if d.Done {
		out += " done"
	}
	return out
}

func TestNext(t *testing.T) {
	surge := func(surge, unavailable int) Strategy { return Strategy{Surge: surge, Unavailable: unavailable} }
	set := Strategy{Unavailable: 1, Highest: true}
	from := func(n int) Strategy { return Strategy{Unavailable: 1, Highest: true, Partition: n} }
	recreate, inPlace := Strategy{Recreate: true}, Strategy{Recreate: true, InPlace: true}
	for _, c := range []struct {
		name         string
		strategy     Strategy
		slots, surge string
		want         string
	}{
		{"a first start is at once", surge(1, 0), "---", "", ">>>|+0"},
		{"it is awaited", surge(1, 0), "nNn", "", "...|+0"},
		{"and done", surge(1, 0), "NNN", "", "...|+0 done"},
		{"no pods", surge(1, 0), "", "", "|+0 done"},
		{"more replicas are there at once", surge(1, 0), "NN--", "", "..>>|+0"},
		{"one fails after it was done", surge(1, 0), "NnN", "", "...|+0"},

		{"a surge pod is first", surge(1, 0), "OOO", "", "...|+1"},
		{"it is awaited", surge(1, 0), "OOO", "n", "...|.+0"},
		{"then a slot", surge(1, 0), "OOO", "N", ">..|.+0"},
		{"which is awaited", surge(1, 0), "nOO", "N", "...|.+0"},
		{"then the next", surge(1, 0), "NOO", "N", ".>.|.+0"},
		{"the surge pod stays for the last one", surge(1, 0), "NNn", "N", "...|.+0"},
		{"and goes", surge(1, 0), "NNN", "N", "...|x+0"},
		{"one replica", surge(1, 0), "O", "", ".|+1"},
		{"one replica, replaced", surge(1, 0), "O", "N", ">|.+0"},
		{"one at a time", surge(0, 1), "OOO", "", ">..|+0"},
		{"one at a time, awaited", surge(0, 1), "nOO", "", "...|+0"},
		{"both ways", surge(1, 1), "OOOO", "", ">...|+1"},
		{"several", surge(2, 0), "OOO", "NN", ">>.|..+0"},
		{"no more surge pods than slots that need them", surge(3, 0), "NNO", "", "...|+1"},

		{"a slot that is down anyway is next", surge(1, 0), "OOo", "N", "..>|.+0"},
		{"it costs no other one", surge(0, 1), "OoO", "", ".>.|+0"},
		{"no available one goes while another is down", surge(0, 1), "nOo", "", "...|+0"},
		{"all are down: still no more at a time than allowed", surge(1, 0), "ooo", "", "...|+1"},
		{"all are down, and the new version is good", surge(1, 0), "ooo", "N", ">..|.+0"},
		{"mended while a bad version stalls", surge(1, 0), "OOO", "o", "...|>+0"},
		{"taken back while a bad version stalls", surge(1, 0), "NNN", "o", "...|x+0"},
		{"taken back in the middle", surge(1, 0), "ONN", "O", ">..|.+0"},
		{"more replicas in the middle", surge(1, 0), "NO-", "N", "..>|.+0"},
		{"more replicas count", surge(0, 1), "OO-", "", "..>|+0"},
		{"less surge", surge(1, 0), "OOO", "NN", ">..|.x+0"},
		{"less surge that is needed", surge(0, 1), "nnO", "NN", "...|.x+0"},
		{"none that is needed goes", surge(0, 1), "nnO", "N", "...|.+0"},

		{"a stateful set begins with the highest", set, "OOO", "", "..>|+0"},
		{"and waits", set, "OOn", "", "...|+0"},
		{"and goes down", set, "OON", "", ".>.|+0"},
		{"but for one that is down anyway", set, "oOO", "", ">..|+0"},
		{"a partition keeps the lower ones", from(2), "OOO", "", "..>|+0"},
		{"a partition is done", from(2), "OON", "", "...|+0 done"},
		{"what is below a partition does not count", from(2), "oOO", "", "..>|+0"},
		{"what is missing below a partition begins", from(2), "O-N", "", ".>.|+0 done"},
		{"a partition beyond the slots", from(9), "OO", "", "..|+0 done"},

		{"recreate ends all", recreate, "OO", "", "xx|+0"},
		{"recreate ends what is old", recreate, "ON", "", "x.|+0"},
		{"recreate begins when nothing is left", recreate, "--", "", ">>|+0"},
		{"recreate has no surge pods", recreate, "NN", "N", "..|x+0"},
		{"recreate is done", recreate, "NN", "", "..|+0 done"},
		{"recreate in place", inPlace, "O", "", ">|+0"},
		{"recreate in place is awaited", inPlace, "n", "", ".|+0"},
		{"recreate in place is done", inPlace, "N", "", ".|+0 done"},
		{"recreate in place, after another strategy", inPlace, "O", "O", ".|x+0"},
	} {
		if got := Next(c.strategy, members(c.slots), members(c.surge), false).row(); got != c.want {
			t.Errorf("%s: %s|%s: got %s, want %s", c.name, c.slots, c.surge, got, c.want)
		}
	}
	if got := Next(recreate, members("--"), nil, true).row(); got != "..|+0" {
		t.Errorf("recreate begins while old pods are still there: %s", got)
	}
	if got := Next(inPlace, members("O"), nil, true).row(); got != ".|+0" {
		t.Errorf("recreate replaces a pod in place while others are still there: %s", got)
	}
}

// world is a simulated machine with the pods of one object.
type world struct {
	strategy Strategy
	newest   int
	bad      map[int]bool // versions that never become available
	slots    []pod
	surge    []pod
	ending   int // ticks until what was ended is gone
}

// pod has a version, zero is none, and is available from some time on.
type pod struct {
	version int
	wait    int // ticks until it is available
}

func (w *world) member(p pod) Member {
	m := Member{Available: p.version != 0 && p.wait == 0}
	switch p.version {
	case 0:
	case w.newest:
		m.Version = New
	default:
		m.Version = Old
	}
	return m
}

func (w *world) members(pods []pod) []Member {
	var out []Member
	for _, p := range pods {
		out = append(out, w.member(p))
	}
	return out
}

// tick lets time pass: some pods become available. Time passes for no pod of a bad version.
func (w *world) tick(r *rand.Rand) {
	for _, list := range [][]pod{w.slots, w.surge} {
		for i := range list {
			if p := &list[i]; p.version != 0 && !w.bad[p.version] && p.wait > 0 && r.IntN(2) == 0 {
				p.wait--
			}
		}
	}
	w.ending = max(w.ending-1, 0)
}

func (w *world) begin(r *rand.Rand) pod { return pod{version: w.newest, wait: 1 + r.IntN(4)} }

// do does what was decided.
func (w *world) do(d Decision, r *rand.Rand) {
	for i, s := range d.Slots {
		switch s {
		case Stay:
		case Renew:
			w.slots[i] = w.begin(r)
		case End:
			w.slots[i], w.ending = pod{}, 1+r.IntN(4)
		}
	}
	var kept []pod
	for i, s := range d.Surge {
		switch s {
		case Stay:
			kept = append(kept, w.surge[i])
		case Renew:
			kept = append(kept, w.begin(r))
		case End:
			w.ending = 1 + r.IntN(4)
		}
	}
	for range d.More {
		kept = append(kept, w.begin(r))
	}
	w.surge = kept
}

// available counts available pods of the slots that a rollout is about, and of all surge pods.
func (w *world) available() (n int) {
	for i, p := range w.slots {
		if i >= w.strategy.Partition && w.member(p).Available {
			n++
		}
	}
	for _, p := range w.surge {
		if w.member(p).Available {
			n++
		}
	}
	return n
}

// check says what of the promises does not hold.
func (w *world) check() string {
	counted := max(len(w.slots)-w.strategy.Partition, 0)
	if need := counted - w.strategy.Unavailable; w.available() < need {
		return fmt.Sprintf("%d pods are available, and %d should be", w.available(), need)
	}
	if len(w.surge) > w.strategy.Surge {
		return fmt.Sprintf("there are %d surge pods", len(w.surge))
	}
	fresh := 0
	for _, p := range append(append([]pod{}, w.slots[min(w.strategy.Partition, len(w.slots)):]...), w.surge...) {
		if m := w.member(p); m.Version == New && !m.Available {
			fresh++
		}
	}
	if most := w.strategy.Surge + w.strategy.Unavailable; fresh > most {
		return fmt.Sprintf("%d pods have the new version and are not available", fresh)
	}
	return ""
}

// Over any edits, good and bad, in any state, never fewer pods are available than the strategy allows, and a good version gets through.
// That a rollout goes on after a crash needs no step of its own: a decision knows nothing but what the pods were told.
func TestNeverFewer(t *testing.T) {
	const mostTicks = 2000
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := Strategy{Surge: r.IntN(4), Unavailable: r.IntN(4), Highest: r.IntN(3) == 0}
		if s.Surge+s.Unavailable == 0 {
			s.Unavailable = 1
		}
		if s.Surge == 0 {
			s.Partition = r.IntN(3)
		}
		w := &world{strategy: s, newest: 1, bad: map[int]bool{}, slots: make([]pod, 1+r.IntN(6))}
		for i := range w.slots {
			w.slots[i] = pod{version: 1}
		}
		var story strings.Builder
		fail := func(what string) {
			t.Fatalf("seed %d, %+v: %s\n%s", seed, s, what, story.String())
		}
		turn := func() Decision {
			d := Next(s, w.members(w.slots), w.members(w.surge), w.ending > 0)
			w.do(d, r)
			fmt.Fprintf(&story, "%d: %v %v %s\n", w.newest, w.slots, w.surge, d.row())
			if what := w.check(); what != "" {
				fail(what)
			}
			w.tick(r)
			return d
		}
		for range r.IntN(6) { // edits, each in the middle of the one before
			if w.newest++; r.IntN(3) == 0 {
				w.bad[w.newest] = true
			}
			if r.IntN(3) == 0 && w.newest > 2 { // an edit may be taken back
				w.newest -= 2
			}
			for range r.IntN(40) {
				turn()
			}
		}
		w.newest += 100
		done := false
		for range mostTicks {
			if done = turn().Done; done {
				break
			}
		}
		if !done {
			fail("a good version does not get through")
		}
		for i, p := range w.slots {
			if is := p.version == w.newest; is != (i >= s.Partition) {
				fail(fmt.Sprintf("slot %d has version %d", i, p.version))
			}
		}
	}
}

// A version that never becomes available leaves the pods of the old one that must be.
func TestBadVersionStalls(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := Strategy{Surge: r.IntN(3), Unavailable: r.IntN(3)}
		if s.Surge+s.Unavailable == 0 {
			s.Surge = 1
		}
		w := &world{strategy: s, newest: 2, bad: map[int]bool{2: true}, slots: make([]pod, 1+r.IntN(5))}
		for i := range w.slots {
			w.slots[i] = pod{version: 1}
		}
		for range 200 {
			w.do(Next(s, w.members(w.slots), w.members(w.surge), false), r)
			w.tick(r)
		}
		old := 0
		for _, p := range w.slots {
			if p.version == 1 {
				old++
			}
		}
		if old < len(w.slots)-s.Unavailable {
			t.Fatalf("seed %d, %+v: %d of %d old pods are left", seed, s, old, len(w.slots))
		}
	}
}
