package workload

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/history"
)

// fakePod is one of a simulated box.
type fakePod struct {
	taken   *v1.Pod // what its worker knows
	told    *v1.Pod // what it was sent, and may not have read yet
	file    string
	current bool
	ready   bool
	since   time.Time
	wait    int  // ticks until it is ready
	unclear bool // what runs of it is not known
	leaving int  // ticks until it is gone; zero: it stays
	waits   bool // its edit lacks something
}

// fakeBox runs pods.
type fakeBox struct {
	pods map[types.UID]*fakePod
	bad  string // a version that never becomes ready
	// lacking is a version for which something is missing: pods that run wait with it.
	lacking string
	now     time.Time
	// lags: workers read what they are sent at some tick or other, and pods take some to become ready.
	lags *rand.Rand
}

func newFakeBox() *fakeBox { return &fakeBox{pods: map[types.UID]*fakePod{}, now: t0} }

func (b *fakeBox) some(most int) int {
	if b.lags == nil {
		return 1
	}
	return 1 + b.lags.IntN(most)
}

func (b *fakeBox) Apply(s manifests.Snapshot) {
	for uid, d := range s.Pods {
		p := b.pods[types.UID(uid)]
		if p == nil {
			p = &fakePod{taken: d.Pod, wait: b.some(4)}
			b.pods[types.UID(uid)] = p
		}
		p.told, p.file, p.leaving = d.Pod, d.File, 0
	}
	for uid, p := range b.pods {
		if _, ok := s.Pods[string(uid)]; !ok && p.leaving == 0 {
			p.leaving, p.ready = b.some(4), false
		}
	}
}

func (b *fakeBox) Pods() (out []*v1.Pod)                { return nil }
func (b *fakeBox) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }

func (b *fakeBox) Standings() map[types.UID]state.Standing {
	out := map[types.UID]state.Standing{}
	for uid, p := range b.pods {
		shown := p.taken.DeepCopy()
		condition := v1.PodCondition{Type: v1.PodReady, Status: v1.ConditionFalse, LastTransitionTime: metav1.NewTime(p.since)}
		if p.ready {
			condition.Status = v1.ConditionTrue
		}
		shown.Status.Conditions = []v1.PodCondition{condition}
		if p.leaving > 0 {
			shown.DeletionTimestamp = &metav1.Time{Time: b.now}
		}
		standing := state.Standing{Pod: shown, Manifest: state.ManifestRevision(p.taken), Current: p.current, Unclear: p.unclear, Runs: p.taken}
		if p.waits {
			standing.Waits, standing.Lacks = state.ManifestRevision(p.told), "image i is not present"
		}
		out[uid] = standing
	}
	return out
}

// tick lets a second pass.
func (b *fakeBox) tick() {
	b.now = b.now.Add(time.Second)
	for _, uid := range slices.Sorted(maps.Keys(b.pods)) {
		p := b.pods[uid]
		if p.leaving > 0 {
			if p.leaving--; p.leaving == 0 {
				delete(b.pods, uid)
			}
			continue
		}
		if p.unclear = p.unclear && b.some(3) != 1; p.unclear {
			continue
		}
		if p.waits = p.told != p.taken && p.current && b.lacking != "" && version(p.told) == b.lacking; p.waits {
			continue
		}
		if p.told != p.taken && b.some(2) == 1 {
			if state.Replaces(p.taken, p.told) {
				p.current, p.ready, p.wait, p.since = false, false, b.some(4), b.now
			}
			p.taken = p.told
			continue
		}
		if p.wait = max(p.wait-1, 0); p.wait == 0 {
			p.current = true
			if ready := version(p.taken) != b.bad; ready != p.ready {
				p.ready, p.since = ready, b.now
			}
		}
	}
}

// crash loses what workers have not read, and says what a next run knows.
func (b *fakeBox) crash() (known []manifests.Desired) {
	for _, uid := range slices.Sorted(maps.Keys(b.pods)) {
		p := b.pods[uid]
		p.told, p.unclear = p.taken, true
		if p.leaving == 0 {
			known = append(known, manifests.Desired{Pod: p.taken, File: p.file})
		}
	}
	return known
}

func version(p *v1.Pod) string { return p.Spec.Containers[0].Env[0].Value }

// shown are the pods with their versions; a capital letter is ready, and a minus sign is before what leaves.
func (b *fakeBox) shown() string {
	var out []string
	for _, p := range b.pods {
		text := p.taken.Name + ":" + version(p.taken)
		if p.ready {
			text = strings.ToUpper(text)
		}
		if p.leaving > 0 {
			text = "-" + text
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (b *fakeBox) readyPods() (ready, all int) {
	for _, p := range b.pods {
		if p.leaving == 0 {
			all++
		}
		if p.ready {
			ready++
		}
	}
	return ready, all
}

// world is a Controller with its box and manifests.
type world struct {
	t    *testing.T
	box  *fakeBox
	set  *manifests.Set
	c    *Controller
	told []string // events
}

func newWorld(t *testing.T, box *fakeBox) *world {
	w := &world{t: t, box: box, set: manifests.NewSet(nil)}
	w.start(nil)
	return w
}

func (w *world) start(known []manifests.Desired) {
	w.c = New(w.box, filepath.Join(w.t.TempDir(), "workloads.json"), known, history.Settings{}, func(kind, _, name, _, reason, message string) {
		w.told = append(w.told, kind+" "+name+" "+reason+" "+message)
	})
	w.t.Cleanup(w.c.close)
}

// restart is a crash of the daemon and its next start. The manifests stay as they are.
func (w *world) restart() {
	w.start(w.box.crash())
	w.look()
}

// put writes a file; an empty text removes it.
func (w *world) put(file, text string) {
	w.t.Helper()
	if text == "" {
		w.set.Drop(file)
		return
	}
	contents, problems := decode.Decode(file, []byte(text), decode.Options{})
	if len(problems.Errors()) > 0 {
		w.t.Fatal(problems.Error())
	}
	w.set.Put(file, contents, problems, w.box.now)
}

func (w *world) look() {
	w.c.Apply(w.set.Snapshot(w.box.now))
	w.c.look(w.box.now)
}

func (w *world) tick() {
	w.box.tick()
	w.c.look(w.box.now)
}

// settle lets time pass until nothing changes any more.
func (w *world) settle() string {
	w.t.Helper()
	for range 200 {
		before := w.box.shown()
		for range 5 {
			w.tick()
		}
		if w.box.shown() == before {
			return before
		}
	}
	w.t.Fatal("it does not settle: ", w.box.shown())
	return ""
}

func object(kind, name, version, spec, more string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: %s\nmetadata: {name: %s}\nspec:\n  %s\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      %s\n      containers: [{name: c, image: i, env: [{name: V, value: %q}]}]\n",
		kind, name, spec, more, version)
}

// Each step of rollouts, as the pods show it.
func TestRollouts(t *testing.T) {
	w := newWorld(t, newFakeBox())
	expect := func(when, want string) {
		t.Helper()
		if got := w.settle(); got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	web := func(version, spec, more string) {
		w.put("web", object("Deployment", "web", version, spec, more))
		w.look()
	}
	web("a", "replicas: 2", "")
	expect("the first start", "WEB-0:A WEB-1:A")
	if len(w.told) > 0 {
		t.Errorf("a first start is told as %s", w.told)
	}

	// A new version, step by step.
	web("b", "replicas: 2", "")
	var story []string
	for range 30 {
		if s := w.box.shown(); len(story) == 0 || story[len(story)-1] != s {
			story = append(story, s)
		}
		w.tick()
	}
	if got, want := strings.Join(story, "; "), "WEB-0:A WEB-1:A web-2:b; WEB-0:A WEB-1:A WEB-2:B; WEB-1:A WEB-2:B web-0:b; WEB-0:B WEB-1:A WEB-2:B; "+
		"WEB-0:B WEB-2:B web-1:b; -web-2:b WEB-0:B WEB-1:B; WEB-0:B WEB-1:B"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := strings.Join(w.told, "; "); got != "Deployment web RolloutStarted pods to replace: 2; meanwhile there are at most 1 more than there should be, and 0 less; "+
		"Deployment web RolloutCompleted all pods have the new version and are available" {
		t.Errorf("it is told as %s", got)
	}

	// A bad version, over a restart, and taken back.
	w.box.bad = "c"
	web("c", "replicas: 2\n  progressDeadlineSeconds: 60", "")
	expect("a bad version", "WEB-0:B WEB-1:B web-2:c")
	w.restart()
	expect("a bad version, after a restart", "WEB-0:B WEB-1:B web-2:c")
	late := func() bool {
		return slices.ContainsFunc(w.told, func(s string) bool {
			return strings.Contains(s, "ProgressDeadlineExceeded nothing has gone ahead for 1m0s: 2 of 2 pods have the old version; waiting for web-2")
		})
	}
	if late() {
		t.Error("it is told too early")
	}
	w.box.now = w.box.now.Add(time.Minute)
	w.tick()
	if got := w.c.Statuses(); !late() || len(got) != 1 || *got[0].Replicas != (Replicas{Desired: 2, Ready: 2, Updated: 1, Available: 2, Current: 3, Surge: 1, Late: true}) {
		t.Errorf("told %s, status %+v %+v", w.told, got, got[0].Replicas)
	}
	web("b", "replicas: 2", "")
	expect("taken back", "WEB-0:B WEB-1:B")

	// What changes nothing that runs.
	web("b", "replicas: 3", "terminationGracePeriodSeconds: 3")
	if got := w.box.shown(); got != "WEB-0:B WEB-1:B web-2:b" {
		t.Errorf("more replicas, and another grace period: %s", got)
	}
	expect("more replicas", "WEB-0:B WEB-1:B WEB-2:B")
	for _, p := range w.box.pods {
		if g := p.taken.Spec.TerminationGracePeriodSeconds; *g != 3 {
			t.Errorf("the grace period is %d", *g)
		}
	}
	web("b", "replicas: 1", "terminationGracePeriodSeconds: 3")
	expect("fewer replicas", "WEB-0:B")

	// Names that others have are left out.
	w.put("other", "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, uid: other}\nspec: {containers: [{name: c, image: i, env: [{name: V, value: o}]}]}\n")
	w.box.bad = "d"
	web("d", "replicas: 1", "")
	expect("beside a pod of the name", "WEB-0:B WEB-1:O web-2:d")

	// The file goes in the middle.
	w.put("other", "")
	w.put("web", "")
	w.look()
	expect("without the file", "")
}

// While it is not known what runs, as after a start, nothing is replaced that may be needed.
func TestUnclear(t *testing.T) {
	w := newWorld(t, newFakeBox())
	spec := "strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 0}}"
	w.put("web", object("Deployment", "web", "a", spec, ""))
	w.look()
	w.settle()
	w.start(w.box.crash())
	w.put("web", object("Deployment", "web", "b", spec, ""))
	for range 5 {
		w.look()
	}
	if got := w.box.shown(); got != "WEB-0:A" {
		t.Errorf("%s", got)
	}
	if got := w.settle(); got != "WEB-0:B" {
		t.Errorf("in the end: %s", got)
	}
}

// Pods that have been ready for less than minReadySeconds are not available, and that is looked at without an event.
func TestMinReady(t *testing.T) {
	w := newWorld(t, newFakeBox())
	w.put("web", object("Deployment", "web", "a", "minReadySeconds: 30", ""))
	w.look()
	w.box.tick()
	w.box.tick()
	w.c.look(w.box.now)
	at := w.box.pods[manifests.DeriveUID("default", "web-0")].since
	if s := w.c.Statuses()[0]; s.Replicas.Ready != 1 || s.Replicas.Available != 0 || !w.c.wake.Equal(at.Add(30*time.Second)) {
		t.Errorf("%+v, and the next look is at %s", s.Replicas, w.c.wake)
	}
	w.c.look(at.Add(30 * time.Second))
	if s := w.c.Statuses()[0]; s.Replicas.Available != 1 || s.Message != "" {
		t.Errorf("%+v %s", s.Replicas, s.Message)
	}
}

// A StatefulSet's partition, and a set that becomes a Deployment.
func TestOtherKinds(t *testing.T) {
	w := newWorld(t, newFakeBox())
	set := func(version string, partition int) string {
		w.put("db", object("StatefulSet", "db", version, fmt.Sprintf("replicas: 3\n  updateStrategy: {rollingUpdate: {partition: %d}}", partition), ""))
		w.look()
		return w.settle()
	}
	for _, got := range []string{set("a", 0) + ", " + set("b", 2) + ", " + set("b", 1) + ", " + set("a", 0)} {
		if want := "DB-0:A DB-1:A DB-2:A, DB-0:A DB-1:A DB-2:B, DB-0:A DB-1:B DB-2:B, DB-0:A DB-1:A DB-2:A"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	w.put("db", object("Deployment", "db", "c", "replicas: 1", "")+"---\n"+object("ReplicaSet", "rs", "c", "replicas: 2", ""))
	w.look()
	if got := w.settle(); got != "DB-0:C RS-0:C RS-1:C" {
		t.Errorf("as a Deployment: %s", got)
	}
	w.put("db", object("ReplicaSet", "rs", "d", "replicas: 2", ""))
	w.look()
	w.box.tick()
	if got := w.box.shown(); !strings.Contains(got, "rs-0:d rs-1:d") {
		t.Errorf("a ReplicaSet's pods are not replaced at once: %s", got)
	}
}

// Over edits, crashes, workers that take their time and versions that fail, never fewer pods are ready than the strategy allows.
func TestNeverFewerReady(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		box := newFakeBox()
		w := newWorld(t, box)
		n, surge, unavailable := 1+r.IntN(4), r.IntN(3), r.IntN(3)
		if surge+unavailable == 0 {
			surge = 1
		}
		spec := fmt.Sprintf("replicas: %d\n  strategy: {rollingUpdate: {maxSurge: %d, maxUnavailable: %d}}", n, surge, unavailable)
		put := func(version string) {
			w.put("web", object("Deployment", "web", version, spec, ""))
			w.look()
		}
		put("v0")
		w.settle()
		box.lags = r
		var story []string
		turn := func() {
			w.tick()
			ready, all := box.readyPods()
			story = append(story, box.shown())
			if ready < n-unavailable || all > n+surge {
				t.Fatalf("seed %d, %d replicas, maxSurge %d, maxUnavailable %d: %d are ready of %d\n%s", seed, n, surge, unavailable, ready, all, strings.Join(story, "\n"))
			}
		}
		for edit := range 4 {
			// What is good stays so, else pods of a version that once was good would fail by themselves.
			if box.bad = ""; r.IntN(3) == 0 {
				box.bad = fmt.Sprintf("v%d", edit+1)
			}
			bad := box.bad
			put(fmt.Sprintf("v%d", edit+1))
			for i := range r.IntN(30) {
				turn()
				switch r.IntN(16) {
				case 0:
					w.restart()
				case 1: // and the manifest was edited meanwhile
					w.start(box.crash())
					put(fmt.Sprintf("v%d.%d", edit+1, i))
				case 2: // twice, before a worker has read it
					w.put("web", object("Deployment", "web", fmt.Sprintf("v%d", edit), spec, "terminationGracePeriodSeconds: 7"))
					w.look()
					put(fmt.Sprintf("v%d.%d", edit+1, i))
				}
			}
			if bad != "" { // it never gets through, and the next one replaces it
				for range 20 {
					turn()
				}
				put(fmt.Sprintf("good%d", edit))
				for range 10 {
					turn()
				}
			}
		}
		put("last")
		box.bad = ""
		for range 200 {
			turn()
		}
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("WEB-%d:LAST", i))
		}
		if got := box.shown(); got != strings.Join(want, " ") {
			t.Fatalf("seed %d: in the end there are %s\n%s", seed, got, strings.Join(story, "\n"))
		}
	}
}
