package owner_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/owner"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// house is what an owner works with. All succeeds at once, but for the kind of effect that hangs, and for lists that fail first.
type house struct {
	hangs string
	never chan struct{}

	mu        sync.Mutex
	fails     int // lists that fail first; -1: the first one hangs
	lists     int
	found     map[string][]state.Found
	stopped   []string
	cleared   []string
	unanswers int
}

func (h *house) Do(ctx context.Context, w plan.Work, _ func(state.Result)) state.Result {
	if w.Is().Kind == h.hangs {
		<-h.never
	}
	switch w := w.(type) {
	case plan.Claim:
		return state.Claimed{}
	case plan.SetUp:
		return state.SandboxMade{}
	case plan.Attach:
		return state.Attached{Attachment: state.Attachment{IPs: []string{"10.0.0.2"}}}
	case plan.Clear:
		h.mu.Lock()
		h.cleared = append(h.cleared, string(w.Pod.UID))
		h.mu.Unlock()
		return state.Cleared{All: w.All}
	case plan.Create:
		return state.Made{Pid: 1, StopSignal: 15}
	case plan.Start:
		return state.Started{When: time.Now()}
	case plan.Signal:
		h.mu.Lock()
		h.stopped = append(h.stopped, string(w.Pod.UID))
		h.mu.Unlock()
		return state.SignalSent{Found: &state.Found{ID: w.ID, Status: state.FoundStopped, ExitedAt: time.Now()}}
	case plan.Examine:
		return state.Examined{}
	case plan.Drain:
		return state.LogComplete{}
	case plan.Delete:
		h.mu.Lock()
		for uid, found := range h.found {
			h.found[uid] = slices.DeleteFunc(found, func(f state.Found) bool { return f.ID == w.ID })
		}
		h.mu.Unlock()
		return state.LeftoverGone{}
	}
	<-ctx.Done()
	return state.WatchEnded{}
}

func (h *house) Write(string, []byte) error { return nil }
func (h *house) Sync(string) error          { return nil }
func (h *house) Remove(string) error        { return nil }

func (h *house) List(context.Context) (map[string][]state.Found, error) {
	h.mu.Lock()
	h.lists++
	n, fails := h.lists, h.fails
	h.mu.Unlock()
	switch {
	case fails < 0 && n == 1:
		<-h.never
		return nil, errors.New("late")
	case n <= fails:
		return nil, errors.New("containerd is away")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unanswers > 0 {
		h.unanswers--
		return map[string][]state.Found{"uid-a": {{ID: "x", Name: "main", Status: state.FoundUnanswered}}}, nil
	}
	return maps.Clone(h.found), nil
}

func named(name string) manifests.Desired {
	return manifests.Desired{File: name + ".yaml", Pod: &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name)},
		Spec:       v1.PodSpec{RestartPolicy: v1.RestartPolicyAlways, Containers: []v1.Container{{Name: "main", Image: "main:1"}}},
	}}
}

func desired(names ...string) map[string]manifests.Desired {
	out := map[string]manifests.Desired{}
	for _, n := range names {
		out["uid-"+n] = named(n)
	}
	return out
}

// own has an owner for the time of f.
func own(t *testing.T, h *house, f func(o *owner.Owner)) {
	t.Helper()
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer slog.SetDefault(old)
	synctest.Test(t, func(*testing.T) {
		h.never = make(chan struct{})
		o := owner.New(owner.Config{
			Host: state.Host{BootID: "boot"}, ClockOffset: func() time.Duration { return 0 }, Doer: h, Records: h, Lister: h, Report: func(*v1.Pod, state.Report) {},
		})
		f(o)
		begin := time.Now()
		o.Stop()
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		close(h.never)
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func runs(o *owner.Owner, uid string) bool {
	w := o.Worker(uid)
	if w == nil {
		return false
	}
	c := w.Snapshot().State.Containers["main"]
	return c != nil && c.Running
}

// TestApply: pods come and go with the manifests; who watches is told.
func TestApply(t *testing.T) {
	own(t, &house{}, func(o *owner.Owner) {
		changes, cancel := o.Subscribe()
		defer cancel()
		if o.Applied() {
			t.Error("the manifests were read before they were")
		}
		o.Apply(desired("b", "a"), map[string]reference.Objects{})
		<-o.Reconciled()
		pass(time.Second)
		<-changes
		if !o.Applied() || !runs(o, "uid-a") || !runs(o, "uid-b") {
			t.Fatal("they do not run")
		}
		if list := o.Snapshots(); len(list) != 2 || list[0].Pod.Name != "a" {
			t.Errorf("snapshots: %v", list)
		}
		for _, name := range []string{"a", "c"} {
			s := owner.Find(o, func(s *pod.Snapshot) bool { return s.Pod.Name == name })
			if (s != nil) != (name == "a") || s != nil && s.Pod.Name != name {
				t.Errorf("%s: %v", name, s)
			}
		}
		o.ImagesScanned()
		o.Exited(state.Exited{ID: o.Worker("uid-a").Snapshot().State.Containers["main"].ID, Code: 1, When: time.Now()})
		o.Exited(state.Exited{ID: "of nobody", When: time.Now()})
		pass(time.Second)
		if c := o.Worker("uid-a").Snapshot().State.Containers["main"]; c.Attempt != 1 || !c.Running {
			t.Errorf("after its exit: %+v", c)
		}
		o.Apply(desired("a"), map[string]reference.Objects{})
		pass(time.Minute)
		if o.Worker("uid-b") != nil || !runs(o, "uid-a") {
			t.Error("b is left, or a is gone")
		}
		if n, of, _ := o.Longest(); n != 1 || of != nil {
			t.Errorf("%d workers, and in a turn: %v", n, of)
		}
	})
}

// TestHangsHoldNobody: a pod that hangs holds neither the others, nor readiness, nor the end of the daemon.
func TestHangsHoldNobody(t *testing.T) {
	h := &house{hangs: state.KindSetUp}
	own(t, h, func(o *owner.Owner) {
		o.Apply(desired("a"), map[string]reference.Objects{})
		begin := time.Now()
		<-o.Reconciled()
		if took := time.Since(begin); took > 31*time.Second {
			t.Errorf("reconciled after %s", took)
		}
	})
}

// TestStopAnswersReconciled: with the end of the owner, who waits for it is answered.
func TestStopAnswersReconciled(t *testing.T) {
	h := &house{hangs: state.KindSetUp}
	own(t, h, func(o *owner.Owner) {
		o.Apply(desired("a"), map[string]reference.Objects{})
		pass(time.Second)
		o.Stop()
		synctest.Wait()
		select {
		case <-o.Reconciled():
		default:
			t.Error("not answered")
		}
	})
}

// TestResync: lists that fail, hang or do not say all are asked for again; what belongs to nobody goes.
func TestResync(t *testing.T) {
	for name, h := range map[string]*house{"at once": {}, "fails": {fails: 3}, "hangs": {fails: -1}, "unanswered": {unanswers: 2}} {
		t.Run(name, func(t *testing.T) {
			h.found = map[string][]state.Found{"uid-lost": {{ID: "x", Name: "main", Status: state.FoundRunning}}}
			own(t, h, func(o *owner.Owner) {
				o.Apply(nil, nil)
				o.Resync()
				o.Resync()
				pass(2 * time.Minute)
				h.mu.Lock()
				defer h.mu.Unlock()
				if least := max(2, h.fails+1); h.lists < least || h.lists > least+5 {
					t.Errorf("%d lists, at least %d are needed", h.lists, least)
				}
				if len(h.found["uid-lost"]) > 0 || !slices.Contains(h.cleared, "uid-lost") {
					t.Errorf("what belongs to nobody is left: %v; cleared %v", h.found, h.cleared)
				}
				if o.Worker("uid-lost") != nil {
					t.Error("its worker goes on")
				}
				if len(o.Snapshots()) != 0 {
					t.Error("an orphan is shown")
				}
			})
		})
	}
}

// TestUnansweredFor: a shim that never answers is asked for at growing intervals, not in a circle.
func TestUnansweredFor(t *testing.T) {
	h := &house{unanswers: 1 << 20}
	own(t, h, func(o *owner.Owner) {
		o.Resync()
		pass(10 * time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.lists < 10 || h.lists > 40 {
			t.Errorf("%d lists in ten minutes", h.lists)
		}
	})
}

// TestAdopt: a pod of an earlier run waits for what exists; one that nobody names goes when the manifests have been read.
func TestAdopt(t *testing.T) {
	h := &house{found: map[string][]state.Found{"uid-old": {{ID: "x", Name: "main", Status: state.FoundRunning}}}}
	own(t, h, func(o *owner.Owner) {
		o.Adopt([]state.State{state.Orphan(state.Host{BootID: "boot"}, 0, "uid-old"), state.Orphan(state.Host{BootID: "boot"}, 0, "uid-old")})
		if o.Worker("uid-old") == nil {
			t.Fatal("there is no worker")
		}
		o.Resync()
		pass(time.Minute)
		h.mu.Lock()
		if len(h.found["uid-old"]) != 1 || len(h.cleared) > 0 {
			t.Errorf("it goes before anybody knows whether it is named: %v is left, cleared %v", h.found, h.cleared)
		}
		h.mu.Unlock()
		o.Apply(nil, nil)
		pass(time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		if o.Worker("uid-old") != nil || len(h.found["uid-old"]) > 0 || len(h.cleared) == 0 {
			t.Errorf("it is left: %v, cleared %v", h.found, h.cleared)
		}
	})
}

// TestPodThatCannotBegin: a fault of our own code with one pod keeps none of the others.
func TestPodThatCannotBegin(t *testing.T) {
	own(t, &house{}, func(o *owner.Owner) {
		pods := desired("a", "worse")
		worse := pods["uid-worse"].Pod
		worse.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{}}}} // it lacks a default
		o.Apply(pods, nil)
		pass(time.Second)
		if !runs(o, "uid-a") {
			t.Error("a does not run")
		}
		if o.Worker("uid-worse") != nil {
			t.Error("the fault that this test needs is none any more; find another one")
		}
	})
}

// TestDrain: critical pods end last; afterwards none starts.
func TestDrain(t *testing.T) {
	h := &house{}
	own(t, h, func(o *owner.Owner) {
		pods := desired("critical", "other")
		pods["uid-critical"].Pod.Spec.PriorityClassName = "system-node-critical"
		o.Apply(pods, map[string]reference.Objects{})
		pass(time.Second)
		o.Drain(context.Background(), 20*time.Second, 10*time.Second)
		if len(h.stopped) != 2 || h.stopped[1] != "uid-critical" {
			t.Errorf("they ended in this order: %v", h.stopped)
		}
		o.Apply(desired("late"), map[string]reference.Objects{})
		pass(time.Second)
		if o.Worker("uid-late") != nil {
			t.Error("a pod starts while the machine goes down")
		}
	})
}

// TestDrainOfWhatHangs returns in time.
func TestDrainOfWhatHangs(t *testing.T) {
	h := &house{hangs: state.KindSignal}
	own(t, h, func(o *owner.Owner) {
		o.Apply(desired("a"), map[string]reference.Objects{})
		pass(time.Second)
		begin := time.Now()
		o.Drain(context.Background(), 20*time.Second, 10*time.Second)
		if took := time.Since(begin); took > 45*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
