package step_test

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/step"
)

var t0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// web is a pod with a sidecar and a container.
func web() *v1.Pod {
	always := v1.ContainerRestartPolicyAlways
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid"},
		Spec: v1.PodSpec{
			RestartPolicy:  v1.RestartPolicyAlways,
			InitContainers: []v1.Container{{Name: "car", Image: "car:1", RestartPolicy: &always}},
			Containers:     []v1.Container{{Name: "main", Image: "main:1"}},
		},
	}
}

// steps applies events, one after the other.
func steps(s state.State, events ...state.Event) state.State {
	for _, e := range events {
		s = step.Step(s, e)
	}
	return s
}

// fresh is a pod that the manifests have just named.
func fresh() state.State {
	return steps(state.New(host, 0, web(), true), state.Desired{At: t0, Pod: web(), File: "web.yaml"})
}

// effect is one that has begun and ended.
func effect(kind, name, id, key string, result state.Result) []state.Event {
	thing := state.ThingOf(kind, name)
	return []state.Event{
		state.Begun{Thing: thing, Flight: state.Flight{Kind: kind, Name: name, ID: id, Key: key, Token: 7, Began: t0}},
		state.Returned{Thing: thing, Token: 7, At: t0, Result: result},
	}
}

// up is a pod whose sandbox is complete.
func up() state.State {
	s := steps(fresh(), effect(state.KindSetUp, "", "", "", state.SandboxMade{})...)
	return steps(s, effect(state.KindAttach, "", "", "", state.Attached{Attachment: state.Attachment{IPs: []string{"10.0.0.2"}}})...)
}

// making begins an attempt of main.
func making(s state.State, id string, attempt int) state.State {
	m := &state.Making{ID: id, Attempt: attempt, Revision: s.Revisions.Containers["main"], Spec: &s.Pod.Spec.Containers[0], Began: t0}
	return steps(s, state.Begun{
		Thing: "container/main", Flight: state.Flight{Kind: state.KindCreate, Name: "main", ID: id, Token: 8, Began: t0}, Making: m,
	})
}

// running is a pod whose main container runs.
func running() state.State {
	s := making(up(), "m0", 0)
	s = steps(s, state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{Pid: 1, StopSignal: 15}})
	return steps(s, effect(state.KindStart, "main", "m0", "m0", state.Started{When: t0})...)
}

// restored is the state as the next Solopod finds it.
func restored(t *testing.T, s state.State) state.State {
	t.Helper()
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	next, err := state.Decode(data, "uid", host, true)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestSetUpForgetsOldNetwork: after a set-up the pod is attached again, though its old address was kept to be shown.
func TestSetUpForgetsOldNetwork(t *testing.T) {
	s := steps(up(), effect(state.KindClear, "", "", "", state.Cleared{})...)
	if s.Network == nil {
		t.Fatal("a pod that has ended no longer shows its address")
	}
	if s = steps(s, effect(state.KindSetUp, "", "", "", state.SandboxMade{})...); s.Network != nil || !s.SetUp {
		t.Errorf("network %v, set up %v", s.Network, s.SetUp)
	}
}

// TestSandboxNobodyCouldSay: a look at the sandbox that fails takes nothing away from what runs; it is tried again.
func TestSandboxNobodyCouldSay(t *testing.T) {
	s := restored(t, running())
	s = steps(s, effect(state.KindFindSandbox, "", "", "", state.SandboxFound{Problem: state.Problem{Message: "slow"}})...)
	if !s.Adoption.Sandbox || s.Dirty || s.Pauses[state.ThingSandbox].Failures != 1 {
		t.Errorf("adoption %+v, dirty %v, pauses %v", s.Adoption, s.Dirty, s.Pauses)
	}
	s = steps(s, effect(state.KindFindSandbox, "", "", "", state.SandboxFound{Complete: true})...)
	if s.Adoption.Sandbox || !s.SetUp || len(s.Pauses) > 0 {
		t.Errorf("adoption %+v, set up %v, pauses %v", s.Adoption, s.SetUp, s.Pauses)
	}
}

// TestIncompleteSandboxIsDirty: what the record does not know may be there all the same, and is cleared before a set-up.
func TestIncompleteSandboxIsDirty(t *testing.T) {
	for _, absent := range []bool{false, true} {
		s := steps(restored(t, fresh()), effect(state.KindFindSandbox, "", "", "", state.SandboxFound{Absent: absent})...)
		if s.Dirty == absent {
			t.Errorf("absent %v: dirty %v", absent, s.Dirty)
		}
	}
}

// TestClearBegunIsNoSandbox: from the begin of a tear-down on nothing is started in the sandbox, also if the pod comes back.
func TestClearBegunIsNoSandbox(t *testing.T) {
	s := steps(up(), state.Desired{At: t0}, state.Begun{Thing: state.ThingSandbox, Flight: state.Flight{Kind: state.KindClear, Key: state.ClearGone}})
	s = steps(s, state.Desired{At: t0, Pod: web()})
	if s.SetUp || !s.Dirty {
		t.Errorf("set up %v, dirty %v", s.SetUp, s.Dirty)
	}
}

// TestComeBackDuringRemoval: a pod that comes back while all of it goes begins its histories anew, as its logs are gone.
func TestComeBackDuringRemoval(t *testing.T) {
	ended := steps(running(), state.Exited{ID: "m0", Code: 1, When: t0})
	ended = steps(ended, effect(state.KindExamine, "main", "m0", "m0", state.Examined{})...)
	for key, want := range map[string]bool{"all": true, state.ClearGone: false} {
		s := steps(ended, effect(state.KindClear, "", "", key, state.Cleared{All: true})...)
		if _, kept := s.Containers["main"]; kept != want {
			t.Errorf("clear %q: history kept: %v", key, kept)
		}
	}
}

// TestRemovalDuringEdit: a tear-down that was begun for an edit leaves the logs, so that another one follows.
func TestRemovalDuringEdit(t *testing.T) {
	s := steps(up(), state.Desired{At: t0})
	if s = steps(s, effect(state.KindClear, "", "", "all", state.Cleared{All: true})...); s.Over() || !s.Dirty {
		t.Errorf("over %v, dirty %v", s.Over(), s.Dirty)
	}
	if s = steps(s, effect(state.KindClear, "", "", state.ClearGone, state.Cleared{All: true})...); !s.Over() {
		t.Errorf("it is not over: %+v", s)
	}
}

// TestRemovalTakesLogs: a pod of which only histories are left is cleared once more, for its logs.
func TestRemovalTakesLogs(t *testing.T) {
	s := steps(running(), state.Exited{ID: "m0", When: t0})
	s = steps(s, effect(state.KindExamine, "main", "m0", "m0", state.Examined{})...)
	s = steps(s, effect(state.KindDelete, "m0", "m0", "", state.LeftoverGone{})...)
	s = steps(s, effect(state.KindClear, "", "", "all", state.Cleared{All: true})...)
	if s.Anything() {
		t.Fatal("something is left after an edit's tear-down")
	}
	if s = steps(s, state.Desired{At: t0}); s.Over() || !s.Dirty {
		t.Errorf("over %v, dirty %v", s.Over(), s.Dirty)
	}
	if s = steps(fresh(), state.Desired{At: t0}); !s.Over() {
		t.Error("a pod of which nothing has existed is not over")
	}
}

// TestRecognize: what was started just before Solopod was killed, and is not in the record, is taken over, whether it runs, has
// ended, or nobody can say.
func TestRecognize(t *testing.T) {
	for name, test := range map[string]struct {
		status  state.FoundStatus
		attempt int
		taken   bool
		kill    bool
	}{
		"running":        {status: state.FoundRunning, attempt: 1, taken: true},
		"unanswered":     {status: state.FoundUnanswered, attempt: 1, taken: true},
		"ended":          {status: state.FoundStopped, attempt: 1, taken: true},
		"only created":   {status: state.FoundCreated, attempt: 1, kill: true},
		"without a task": {status: state.FoundUnknown, attempt: 1, kill: true},
		"an old attempt": {status: state.FoundRunning, attempt: 0, kill: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := steps(running(), state.Exited{ID: "m0", Code: 3, When: t0})
			s = steps(s, effect(state.KindExamine, "main", "m0", "m0", state.Examined{})...)
			s = steps(restored(t, s), state.Listed{Asked: t0, At: t0, Found: []state.Found{{
				ID: "m1", Name: "main", Attempt: test.attempt, Status: test.status, Revision: s.Revisions.Containers["main"], ExitCode: 4, CreatedAt: t0, ExitedAt: t0,
			}}})
			c, l := s.Containers["main"], s.Leftovers["m1"]
			if got := c.ID == "m1" && c.Running && c.Attempt == test.attempt && c.Last != nil && c.Last.ExitCode == 3; got != test.taken {
				t.Errorf("taken over: %v (%+v)", got, c)
			}
			if got := l != nil && l.Kill; got != test.kill {
				t.Errorf("killed: %v", got)
			}
			if exit := c.Now.Exit; test.status == state.FoundStopped && (exit == nil || exit.Code != 4) {
				t.Errorf("its exit code is lost: %+v", exit)
			}
		})
	}
}

// TestRecognizeSuccessor: the record says that an attempt runs, and the next one is found: how the first ended is kept.
func TestRecognizeSuccessor(t *testing.T) {
	s := restored(t, running())
	revision := s.Revisions.Containers["main"]
	s = steps(s, state.Listed{Asked: t0, At: t0, Found: []state.Found{
		{ID: "m1", Name: "main", Attempt: 1, Status: state.FoundRunning, Revision: revision, CreatedAt: t0},
		{ID: "m0", Name: "main", Attempt: 0, Status: state.FoundStopped, ExitCode: 9, ExitedAt: t0},
	}})
	c := s.Containers["main"]
	if c.ID != "m1" || c.Last == nil || c.Last.ExitCode != 9 || c.Last.Reason != state.ReasonError || s.Leftovers["m0"] == nil {
		t.Errorf("%+v, last %+v, leftovers %v", c, c.Last, s.Leftovers)
	}
	lost := steps(restored(t, running()), state.Listed{Asked: t0, At: t0, Found: []state.Found{
		{ID: "m1", Name: "main", Attempt: 1, Status: state.FoundRunning, Revision: revision, CreatedAt: t0},
	}}).Containers["main"]
	if lost.ID != "m1" || lost.Last == nil || lost.Last.Reason != state.ReasonUnknown {
		t.Errorf("%+v, last %+v", lost, lost.Last)
	}
}

// TestReadyAgainAfterRestart: a stop that an earlier Solopod had begun, and that nobody wants any more, leaves the container ready.
func TestReadyAgainAfterRestart(t *testing.T) {
	s := steps(running(), state.StopBegun{At: t0, Name: "main", Grace: time.Minute})
	if s.Containers["main"].Ready {
		t.Fatal("a container that is being stopped is ready")
	}
	s = steps(restored(t, s), state.Listed{Asked: t0, At: t0, Found: []state.Found{{ID: "m0", Name: "main", Status: state.FoundRunning, Pid: 1}}})
	if c := s.Containers["main"]; !c.Running || !c.Ready {
		t.Errorf("running %v, ready %v", c.Running, c.Ready)
	}
}

// TestReadyWhileItEnds: a container of a pod that is removed stays as ready as its probe says; one that comes back is not ready.
func TestReadyWhileItEnds(t *testing.T) {
	probed := running()
	probed.Pod, probed.Applied = probed.Pod.DeepCopy(), probed.Applied.DeepCopy()
	for _, pod := range []*v1.Pod{probed.Pod, probed.Applied} {
		manifests.ContainerOf(pod, "main").ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{}}, SuccessThreshold: 1, FailureThreshold: 1, PeriodSeconds: 1}
	}
	probed.Containers["main"].Started, probed.Containers["main"].Ready = true, true
	stop := state.StopBegun{At: t0, Name: "main", Grace: time.Minute, EndsPod: true}
	gone := steps(probed, state.Desired{At: t0}, stop)
	if !gone.Containers["main"].Ready {
		t.Error("a container of a pod that is removed is not ready")
	}
	asks := func(s state.State) bool {
		effects := plan.Plan(s, t0)
		return slices.ContainsFunc(effects, func(e plan.Effect) bool {
			r, ok := e.(plan.Run)
			p, is := r.Work.(plan.Probe)
			return ok && is && p.Kind == state.Readiness
		})
	}
	if !asks(gone) {
		t.Error("its probe is not asked any more")
	}
	if steps(probed, stop).Containers["main"].Ready {
		t.Error("a container that comes back is ready while it ends")
	}
	if back := steps(gone, state.Desired{At: t0, Pod: probed.Pod}); back.Containers["main"].Ready || asks(back) {
		t.Error("a container whose pod came back while it ended is ready")
	}
	ill := steps(gone)
	ill.Containers["main"].Verdict = &state.Verdict{Reason: "it failed its liveness probe"}
	if asks(ill) {
		t.Error("a container with which something is wrong is asked whether it is ready")
	}
}

// TestVoidStart: after the state was restored, a list counts only when no start from before is under way.
func TestVoidStart(t *testing.T) {
	s := steps(restored(t, up()), state.Voided{Flights: map[string]*state.Flight{
		"container/main": {Kind: state.KindStart, Name: "main", ID: "m0", Key: "m0", Token: 9, Cancelled: t0},
	}})
	list := state.Listed{Asked: at(time.Second), At: at(2 * time.Second), Found: []state.Found{{ID: "m0", Name: "main", Status: state.FoundCreated}}}
	if s = steps(s, list); !s.Adoption.Containers {
		t.Fatal("the list counts, though a start is under way")
	}
	s = steps(s, state.Returned{Thing: "container/main", Token: 9, At: at(3 * time.Second), Result: state.Started{When: t0}})
	if s = steps(s, list); !s.Adoption.Containers {
		t.Fatal("a list counts that was asked for before the start had ended")
	}
	list.Asked, list.Found[0].Status, list.Found[0].Revision = at(4*time.Second), state.FoundRunning, s.Revisions.Containers["main"]
	if s = steps(s, list); s.Containers["main"] == nil || !s.Containers["main"].Running || len(s.Leftovers) > 0 {
		t.Errorf("it is not taken over: %+v, leftovers %v", s.Containers["main"], s.Leftovers)
	}
}

// TestVoidClaim: what a claim got that nobody awaits any more is given back, also by a pod of which there is nothing else.
func TestVoidClaim(t *testing.T) {
	s := steps(state.New(host, 0, web(), true), state.Desired{At: t0}, state.Voided{Flights: map[string]*state.Flight{
		state.ThingSandbox: {Kind: state.KindClaim, Token: 9, Cancelled: t0},
	}})
	if s.Anything() || s.Over() {
		t.Fatalf("before the claim returns: anything %v, over %v", s.Anything(), s.Over())
	}
	if s = steps(s, state.Returned{Thing: state.ThingSandbox, Token: 9, At: t0, Result: state.Claimed{}}); !s.Dirty || s.Over() {
		t.Errorf("what was claimed is not cleared: dirty %v, over %v", s.Dirty, s.Over())
	}
	if s = steps(s, effect(state.KindFindSandbox, "", "", "", state.SandboxFound{Absent: true})...); !s.Dirty {
		t.Error("it is forgotten when the sandbox is looked for")
	}
}

// TestGivenUpIsKilled: an attempt that was given up may run all the same: its deletion kills.
func TestGivenUpIsKilled(t *testing.T) {
	s := making(up(), "m0", 0)
	s = steps(s, state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{LeftBehind: true, Problem: state.Problem{Reason: "no", Message: "no"}}})
	if l := s.Leftovers["m0"]; l == nil || !l.Kill {
		t.Errorf("%+v", l)
	}
}

// TestUnsavedIsToldOnce: that the record cannot be written is told once, until it can.
func TestUnsavedIsToldOnce(t *testing.T) {
	s := up()
	count := func(problem string) int {
		s = steps(s, state.Saved{Step: s.Steps, Synced: true, Problem: problem})
		return len(s.Reports)
	}
	if a, b, c, d := count("full"), count("full"), count(""), count("full"); a != 1 || b != 0 || c != 0 || d != 1 {
		t.Errorf("told %d %d %d %d times", a, b, c, d)
	}
	if s.Saved != s.Steps-1 {
		t.Error("somebody waits for a record that cannot be written")
	}
}

// TestDeletionTimeStays: changes of other manifests do not move it.
func TestDeletionTimeStays(t *testing.T) {
	s := steps(up(), state.Desired{At: at(time.Second)}, state.Desired{At: at(time.Minute)})
	if !s.DeletedAt.Equal(at(time.Second)) {
		t.Errorf("it is %s", s.DeletedAt)
	}
	if s = steps(s, state.Desired{At: at(2 * time.Minute), Pod: web()}); !s.DeletedAt.IsZero() || !s.Wanted() {
		t.Error("the pod has come back, and is going")
	}
}

// TestAppliedSidecar: a sidecar that is found running and that the applied pod lacks is a sidecar there, too.
func TestAppliedSidecar(t *testing.T) {
	before := web()
	before.Spec.InitContainers = nil
	s := steps(state.New(host, 0, before, true), state.Desired{At: t0, Pod: before})
	s = steps(s, effect(state.KindSetUp, "", "", "", state.SandboxMade{})...)
	s = restored(t, steps(s, state.Desired{At: t0, Pod: web()}))
	s = steps(s, state.Listed{Asked: t0, At: t0, Found: []state.Found{{ID: "c0", Name: "car", Status: state.FoundRunning}}})
	if len(s.Applied.Spec.InitContainers) != 1 {
		t.Errorf("applied: %+v", s.Applied.Spec)
	}
}

// TestListAcrossAClockSet: a container that started after a list was asked for need not be in it, whatever became of the clock.
func TestListAcrossAClockSet(t *testing.T) {
	asked := time.Now()
	s := making(up(), "m0", 0)
	s = steps(s, state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{Pid: 1, StopSignal: 15}})
	s = steps(s, effect(state.KindStart, "main", "m0", "m0", state.Started{When: asked.Add(time.Millisecond)})...)
	s = steps(s, state.ClockMoved{Moved: -time.Hour, Booted: asked.Add(-24 * time.Hour)})
	if s = steps(s, state.Listed{Asked: asked, At: asked.Add(time.Second)}); s.Containers["main"].Now.Exit != nil {
		t.Errorf("it was taken for lost: %+v", s.Containers["main"].Now.Exit)
	}
	if s = steps(s, state.Listed{Asked: asked.Add(time.Minute), At: asked.Add(time.Minute)}); s.Containers["main"].Now.Exit == nil {
		t.Error("a list that was asked for later does not count")
	}
}

// TestUnclearClaim: what a claim has taken that has ended in a panic, its own or the pod's, is given back before the pod is over.
func TestUnclearClaim(t *testing.T) {
	claim := state.Flight{Kind: state.KindClaim, Token: 7, Began: t0}
	for name, test := range map[string]struct {
		void   bool
		result state.Result
	}{
		"its own":   {false, state.Panicked{Message: "no"}},
		"the pod's": {true, state.Claimed{}},
	} {
		p := web()
		f := claim
		f.Void = test.void
		s := steps(state.New(host, 0, p, true), state.Desired{At: t0, Pod: p}, state.Begun{Thing: state.ThingSandbox, Flight: f}, state.Desired{At: t0})
		s = steps(s, state.Returned{Thing: state.ThingSandbox, Token: 7, At: t0, Result: test.result})
		if s.Over() {
			t.Errorf("%s: the pod is over, and may have what others wait for", name)
		}
		if s = steps(s, effect(state.KindClear, "", "", state.ClearGone, state.Cleared{All: true})...); !s.Over() {
			t.Errorf("%s: the pod is not over", name)
		}
	}
}
