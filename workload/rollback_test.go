package workload

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload/history"
)

// rollbacks is a world whose records stay over crashes.
type rollbacks struct {
	*world
	dir     string
	counted []string
	after   time.Duration
}

func newRollbacks(t *testing.T, box *fakeBox) *rollbacks {
	r := &rollbacks{world: &world{t: t, box: box, set: manifests.NewSet(nil)}, dir: t.TempDir()}
	r.begin(nil)
	return r
}

func (r *rollbacks) begin(known []manifests.Desired) {
	settings := history.Settings{After: r.after, Count: func(kind string) { r.counted = append(r.counted, kind) }}
	c := New(r.box, filepath.Join(r.dir, "workloads.json"), known, settings, func(kind, _, name, _, reason, message string) {
		r.told = append(r.told, kind+" "+name+" "+reason+" "+message)
	})
	r.c = c
	r.t.Cleanup(c.close)
}

// crash is a kill at this moment, and the next start.
func (r *rollbacks) crash() {
	r.begin(r.box.crash())
	r.look()
}

func (r *rollbacks) ticks(n int) string {
	for range n {
		r.tick()
	}
	return r.box.shown()
}

// count counts the events of a reason.
func (r *rollbacks) count(reason string) (n int) {
	for _, told := range r.told {
		if strings.Contains(told, " "+reason+" ") {
			n++
		}
	}
	return n
}

const guarded = "metadata: {annotations: {solopod.io/rollback-after: 60s}, name: "

func guardedObject(kind, name, version, spec string) string {
	return strings.Replace(object(kind, name, version, spec, ""), "metadata: {name: ", guarded, 1)
}

func guardedPod(name, version string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\n%s%s}\nspec:\n  containers: [{name: c, image: i, env: [{name: V, value: %q}]}]\n", guarded, name, version)
}

// What does not become ready goes back, is not tried again until the manifest is changed, and says why.
func TestRollsBack(t *testing.T) {
	for kind, text := range map[string]func(version string) string{
		"Deployment": func(v string) string {
			return guardedObject("Deployment", "web", v, "replicas: 2\n  progressDeadlineSeconds: 60")
		},
		"StatefulSet": func(v string) string { return guardedObject("StatefulSet", "web", v, "replicas: 2\n  serviceName: x") },
		"DaemonSet":   func(v string) string { return guardedObject("DaemonSet", "web", v, "minReadySeconds: 0") },
		"Pod":         func(v string) string { return guardedPod("web", v) },
	} {
		t.Run(kind, func(t *testing.T) {
			box := newFakeBox()
			r := newRollbacks(t, box)
			put := func(version string) {
				r.put("web", text(version))
				r.look()
			}
			good := func(version string) bool {
				shown := box.shown()
				return !strings.Contains(shown, "-w") && !strings.Contains(shown, "web") && strings.Count(shown, ":"+strings.ToUpper(version)) == strings.Count(shown, ":")
			}
			put("a")
			if r.ticks(60); !good("a") {
				t.Fatal(box.shown())
			}
			box.bad = "b"
			put("b")
			if shown := r.ticks(30); !strings.Contains(shown, ":b") || r.count("RolledBack") > 0 {
				t.Fatalf("before the deadline: %s, %q", shown, r.told)
			}
			if r.ticks(120); !good("a") || r.count("RolledBack") != 1 || !slices.Equal(r.counted, []string{kind}) {
				t.Fatalf("after it: %s, %q, %q", box.shown(), r.told, r.counted)
			}
			key := history.Key(kind, "default", "web")
			if held := r.c.History.Show(key); held.Reason != "RolledBack" || !strings.Contains(held.Message, "did not become ready") {
				t.Errorf("it is shown as %+v", held)
			}
			put("b")
			r.crash()
			if r.ticks(120); !good("a") || r.count("RolledBack") != 1 {
				t.Errorf("it is tried again: %s, %q", box.shown(), r.told)
			}
			put("c")
			if r.ticks(120); !good("c") || r.c.History.Show(key).Reason != "" {
				t.Errorf("a mended manifest: %s, %q", box.shown(), r.told)
			}
			put("b")
			if r.ticks(200); !good("c") || r.count("RolledBack") != 2 {
				t.Errorf("a second time: %s, %q", box.shown(), r.told)
			}
		})
	}
}

// Whenever Solopod is killed, a bad version ends in the good one, and a good one is never given up.
func TestRollbackSurvivesCrashes(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		box := newFakeBox()
		box.lags = rnd
		r := newRollbacks(t, box)
		put := func(version string) {
			r.put("web", guardedObject("Deployment", "web", version, "replicas: 3\n  progressDeadlineSeconds: 60"))
			r.put("one", guardedPod("one", version))
			r.look()
		}
		settle := func(crashes int) {
			for n := range 500 {
				if r.tick(); crashes > 0 && rnd.IntN(20) == 0 {
					crashes--
					r.crash()
				}
				_ = n
			}
		}
		const good = "ONE:A WEB-0:A WEB-1:A WEB-2:A"
		put("a")
		if settle(0); box.shown() != good {
			t.Fatalf("seed %d: %s", seed, box.shown())
		}
		box.bad = "b"
		put("b")
		if settle(rnd.IntN(5)); box.shown() != good || r.count("RolledBack") != 2 {
			t.Fatalf("seed %d: after a bad version: %s, %q", seed, box.shown(), r.told)
		}
		before := r.count("RolledBack")
		put("c")
		if settle(rnd.IntN(3)); box.shown() != strings.ReplaceAll(good, ":A", ":C") || r.count("RolledBack") != before {
			t.Fatalf("seed %d: after a good version: %s, %q", seed, box.shown(), r.told)
		}
	}
}

// A version that has Solopod end over and over, as it crashes the machine, goes back although no deadline ever passes.
func TestRollbackOfWhatCrashesTheMachine(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	r.put("one", guardedPod("one", "a"))
	r.look()
	r.ticks(60)
	box.bad = "b"
	r.put("one", guardedPod("one", "b"))
	r.look()
	for range 8 {
		if r.ticks(3); r.count("RolledBack") > 0 {
			t.Fatal("too early: ", r.told)
		}
		r.crash()
	}
	if r.ticks(10); box.shown() != "ONE:A" || r.count("RolledBack") != 1 {
		t.Fatalf("%s, %q", box.shown(), r.told)
	}
}

// What was good is not given up when it fails later, nor is a first version, nor what nobody has asked it for.
func TestNoRollback(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	r.put("one", guardedPod("one", "a"))
	r.put("web", object("Deployment", "web", "a", "replicas: 1\n  progressDeadlineSeconds: 60", ""))
	r.look()
	r.ticks(60)
	box.bad = "a"
	r.ticks(5)
	r.crash()
	if r.ticks(300); box.shown() != "one:a web-0:a" || r.count("RolledBack") > 0 {
		t.Errorf("%s, %q", box.shown(), r.told)
	}
	box.bad = "b"
	r.put("new", guardedPod("new", "b"))
	r.put("web", object("Deployment", "web", "b", "replicas: 1\n  progressDeadlineSeconds: 60", ""))
	r.look()
	if r.ticks(300); r.count("RolledBack") > 0 || !strings.Contains(box.shown(), "new:b") || !strings.Contains(box.shown(), "web-1:b") {
		t.Errorf("%s, %q", box.shown(), r.told)
	}
}

// An edit that waits for what it needs breaks nothing, and has no deadline.
func TestWaitingIsNotLate(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	r.put("one", guardedPod("one", "a"))
	r.look()
	r.ticks(60)
	box.lacking = "b"
	r.put("one", guardedPod("one", "b"))
	r.look()
	if r.ticks(300); box.shown() != "ONE:A" || r.count("RolledBack") > 0 {
		t.Errorf("%s, %q", box.shown(), r.told)
	}
	box.lacking = ""
	if r.ticks(60); box.shown() != "ONE:B" {
		t.Error(box.shown())
	}
}

// The setting is for all, and an annotation says otherwise for one.
func TestRollbackByTheSetting(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	r.after = time.Minute
	r.begin(nil)
	put := func(version string) {
		r.put("one", strings.Replace(guardedPod("one", version), "60s", "\"0\"", 1))
		r.put("two", strings.Replace(guardedPod("two", version), "annotations: {solopod.io/rollback-after: 60s}, ", "", 1))
		r.look()
	}
	put("a")
	r.ticks(60)
	box.bad = "b"
	put("b")
	if r.ticks(200); box.shown() != "TWO:A one:b" {
		t.Errorf("%s, %q", box.shown(), r.told)
	}
}

// Undo, pause and resume, over crashes.
func TestUndoAndPause(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	key := history.Key("Deployment", "default", "web")
	put := func(version string) {
		r.put("web", object("Deployment", "web", version, "replicas: 2", ""))
		r.look()
	}
	expect := func(when, want string) {
		t.Helper()
		if got := r.ticks(60); got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
		r.crash()
		if got := r.ticks(60); got != want {
			t.Errorf("%s, and after a crash: got %s, want %s", when, got, want)
		}
	}
	put("a")
	expect("the first", "WEB-0:A WEB-1:A")
	put("b")
	expect("the second", "WEB-0:B WEB-1:B")
	if _, err := r.c.History.Undo(key, 0, box.now); err != nil {
		t.Fatal(err)
	}
	expect("undone", "WEB-0:A WEB-1:A")
	if s := r.c.Statuses()[0]; s.HeldBy != "Undone" || s.Revision != 3 || !s.Replicas.Complete || !strings.Contains(s.Held, "revision 3 runs in place of the manifest's") {
		t.Errorf("%+v", s)
	}
	o := r.c.Objects().Deployments[0]
	if o.Annotations["deployment.kubernetes.io/revision"] != "3" || o.Annotations[manifests.HeldAnnotation] == "" || o.Spec.Template.Spec.Containers[0].Env[0].Value != "a" {
		t.Errorf("it is shown as %+v", o)
	}
	put("c")
	expect("an edit", "WEB-0:C WEB-1:C")
	if err := r.c.History.Pause(key, box.now); err != nil {
		t.Fatal(err)
	}
	complete := func(when string, want bool) {
		t.Helper()
		if s := r.c.Statuses()[0]; s.Replicas.Complete != want || s.HeldBy != "Paused" {
			t.Errorf("%s: %+v, %+v", when, s, s.Replicas)
		}
	}
	expect("paused", "WEB-0:C WEB-1:C")
	complete("paused, and nothing waits", true)
	put("d")
	expect("paused, and edited", "WEB-0:C WEB-1:C")
	complete("paused, and an edit waits", false)
	if o := r.c.Objects().Deployments[0]; !o.Spec.Paused {
		t.Error("it is not shown as paused")
	}
	r.put("web", object("Deployment", "web", "d", "replicas: 3", ""))
	r.look()
	expect("scaled while paused", "WEB-0:C WEB-1:C WEB-2:C")
	if err := r.c.History.Resume(key); err != nil {
		t.Fatal(err)
	}
	expect("resumed", "WEB-0:D WEB-1:D WEB-2:D")
	for _, reason := range []string{"RolloutUndone", "ManifestHolds", "RolloutPaused", "RolloutResumed"} {
		if r.count(reason) != 1 {
			t.Errorf("%s is told %d times", reason, r.count(reason))
		}
	}
}

// A pause in the middle of a rollout leaves it there.
func TestPauseInTheMiddle(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	r.put("web", object("Deployment", "web", "a", "replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}", ""))
	r.look()
	r.ticks(20)
	r.put("web", object("Deployment", "web", "b", "replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}", ""))
	r.look()
	for n := 0; strings.Count(box.shown(), ":B") == 0; n++ {
		if r.tick(); n > 100 {
			t.Fatal(box.shown())
		}
	}
	if err := r.c.History.Pause(history.Key("Deployment", "default", "web"), box.now); err != nil {
		t.Fatal(err)
	}
	r.ticks(20)
	shown := box.shown()
	if strings.Count(shown, ":B") == 3 {
		t.Fatal("it went on: ", shown)
	}
	r.crash()
	if got := r.ticks(60); got != shown {
		t.Errorf("after a crash: %s, was %s", got, shown)
	}
	if err := r.c.History.Resume(history.Key("Deployment", "default", "web")); err != nil {
		t.Fatal(err)
	}
	if got := r.ticks(60); got != "WEB-0:B WEB-1:B WEB-2:B" {
		t.Error(got)
	}
}

// A version that holds in place of the manifest's makes the same pods as when it was the manifest's: nothing begins anew for it.
func TestHeldPodsAreTheSame(t *testing.T) {
	box := newFakeBox()
	r := newRollbacks(t, box)
	text := func(version string) string {
		return object("StatefulSet", "web", version, "replicas: 2\n  serviceName: x\n  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1000M}}}}]",
			"volumes: [{name: tmp, emptyDir: {sizeLimit: 1024Ki}}]")
	}
	r.put("web", text("a"))
	r.look()
	r.ticks(30)
	before := map[string]*v1.Pod{}
	for _, p := range box.pods {
		before[p.taken.Name] = p.taken
	}
	r.put("web", text("b"))
	r.look()
	r.ticks(30)
	r.crash()
	if _, err := r.c.History.Undo(history.Key("StatefulSet", "default", "web"), 1, box.now); err != nil {
		t.Fatal(err)
	}
	r.ticks(30)
	for _, p := range box.pods {
		if got, want := revisionText(p.taken), revisionText(before[p.taken.Name]); got != want {
			t.Errorf("%s is\n%s\nand was\n%s", p.taken.Name, got, want)
		}
	}
}

func revisionText(p *v1.Pod) string { return fmt.Sprint(p.ObjectMeta.String(), p.Spec.String()) }
