package step_test

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/step"
)

// judged is a pod that restarts on failure, whose container has just failed a probe or its hook.
func judged(policy v1.RestartPolicy, kind state.ProbeKind) state.State {
	s := running()
	p := s.Pod.DeepCopy()
	p.Spec.RestartPolicy, p.Spec.InitContainers = policy, nil
	c := &p.Spec.Containers[0]
	c.LivenessProbe, c.StartupProbe = &v1.Probe{FailureThreshold: 1}, &v1.Probe{FailureThreshold: 1}
	c.Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{}}
	s.Pod, s.Applied = p, p
	s.Revisions = s.Revise()
	s.SharedRevision = s.Revisions.Shared
	s.Containers["main"].Revision = s.Revisions.Containers["main"]
	f := state.Flight{Kind: state.KindPostStart, Name: "main", ID: "m0", Token: 9, Began: t0}
	var result state.Result = state.HookEnded{Failure: "no"}
	if kind != "" {
		f.Kind, result = state.KindProbe, state.Probed{Kind: kind, Failure: "no"}
	}
	return steps(s, state.Begun{Thing: "thing", Flight: f}, state.Said{Thing: "thing", Token: 9, At: at(time.Second), News: result})
}

// exited is s when its container's process has ended, at a time after t0.
func exited(s state.State, code int32, after time.Duration) state.State {
	s = steps(s, state.Exited{ID: "m0", Code: code, When: at(after)})
	s = steps(s, state.Begun{Thing: "end/main", Flight: state.Flight{Kind: state.KindExamine, Name: "main", ID: "m0", Token: 10, Began: t0}})
	return steps(s, state.Returned{Thing: "end/main", Token: 10, At: at(time.Minute), Result: state.Examined{}})
}

func phaseOf(s state.State) plan.PodPhase { return plan.Phase(plan.Described(&s), plan.ObservedOf(&s)) }

// TestVerdict: what was ended for a probe or its hook comes back whatever its exit code, also when Solopod was killed in between;
// with Never the exit code says what became of it (kubelet, getPhase).
func TestVerdict(t *testing.T) {
	for _, kind := range []state.ProbeKind{"", state.Liveness, state.Startup} {
		for _, test := range []struct {
			name   string
			policy v1.RestartPolicy
			code   int32
			after  time.Duration
			want   v1.PodPhase
		}{
			{"OnFailure, 0", v1.RestartPolicyOnFailure, 0, 2 * time.Second, v1.PodRunning},
			{"OnFailure, 143", v1.RestartPolicyOnFailure, 143, 2 * time.Second, v1.PodRunning},
			{"OnFailure, 0, before the verdict", v1.RestartPolicyOnFailure, 0, time.Millisecond, v1.PodSucceeded},
			{"Always, 0", v1.RestartPolicyAlways, 0, 2 * time.Second, v1.PodRunning},
			{"Never, 0", v1.RestartPolicyNever, 0, 2 * time.Second, v1.PodSucceeded},
			{"Never, 143", v1.RestartPolicyNever, 143, 2 * time.Second, v1.PodFailed},
		} {
			s := judged(test.policy, kind)
			if s.Containers["main"].Verdict == nil {
				t.Fatalf("%s %s: there is no verdict", kind, test.name)
			}
			if got := phaseOf(exited(s, test.code, test.after)); v1.PodPhase(got) != test.want {
				t.Errorf("%s %s: the pod is %s", kind, test.name, got)
			}
			again := restored(t, s) // Solopod was killed right after the verdict
			if got := phaseOf(exited(again, test.code, test.after)); v1.PodPhase(got) != test.want {
				t.Errorf("%s %s, after a crash: the pod is %s", kind, test.name, got)
			}
		}
	}
	// It belongs to the attempt.
	s := exited(judged(v1.RestartPolicyOnFailure, state.Liveness), 0, 2*time.Second)
	s = making(s, "m1", 1)
	s = steps(s, state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{Pid: 1}})
	s = steps(s, effect(state.KindStart, "main", "m1", "m1", state.Started{When: t0})...)
	if s.Containers["main"].Verdict != nil {
		t.Error("the next attempt has the verdict of the one before")
	}
	// Nothing is asked of what has ended.
	s = steps(running(), state.Exited{ID: "m0", When: at(0)})
	s = steps(s, state.Begun{Thing: "hook/main", Flight: state.Flight{Kind: state.KindPostStart, Name: "main", ID: "m0", Token: 9}},
		state.Returned{Thing: "hook/main", Token: 9, At: at(1), Result: state.HookEnded{Failure: "no such process"}})
	if s.Containers["main"].Verdict != nil {
		t.Error("a hook's failure counts, after the container's end")
	}
}

// TestReplacedOutlivesCrash: what was stopped to come back does so, also when Solopod was killed before it ended.
func TestReplacedOutlivesCrash(t *testing.T) {
	for name, test := range map[string]struct {
		replace bool
		want    v1.PodPhase
	}{
		"a drain":          {true, v1.PodRunning},
		"the end of a pod": {false, v1.PodSucceeded},
	} {
		s := judged(v1.RestartPolicyOnFailure, state.Liveness)
		s.Containers["main"].Verdict = nil
		s = steps(s, state.StopBegun{At: at(time.Second), Name: "main", Grace: time.Minute, Replace: test.replace, EndsPod: true})
		for _, s := range []state.State{s, restored(t, s)} {
			if got := phaseOf(exited(s, 0, 2*time.Second)); v1.PodPhase(got) != test.want {
				t.Errorf("%s: the pod is %s", name, got)
			}
		}
	}
}

// TestComesBack: what a removal has ended begins anew when the manifest comes back before all is gone.
func TestComesBack(t *testing.T) {
	stop := state.StopBegun{At: at(time.Second), Name: "main", Grace: time.Minute, EndsPod: true}
	for name, between := range map[string]func(s state.State) state.State{
		"while it ends":                        func(s state.State) state.State { return s },
		"while it ends, after a crash":         func(s state.State) state.State { return restored(t, s) },
		"when it has ended":                    func(s state.State) state.State { return exited(s, 0, 2*time.Second) },
		"when it has ended, and after a crash": func(s state.State) state.State { return restored(t, exited(s, 0, 2*time.Second)) },
	} {
		for _, policy := range []v1.RestartPolicy{v1.RestartPolicyOnFailure, v1.RestartPolicyNever} {
			s := judged(policy, state.Liveness)
			s.Containers["main"].Verdict = nil
			pod := s.Pod
			s = between(steps(s, state.Desired{At: at(0)}, stop))
			s = steps(s, state.Desired{At: at(3 * time.Second), Pod: pod})
			if s.Containers["main"].Running {
				s = exited(s, 0, 4*time.Second)
			}
			if got := phaseOf(s); v1.PodPhase(got) != v1.PodRunning {
				t.Errorf("%s, %s: the pod is %s", name, policy, got)
			}
		}
	}
}

// TestVerdictBeforeTheSignal: where the verdict alone tells that the container comes back, its stop begins when the record has it, and
// its grace period not before: a disk that hangs does not have it killed without a signal. Nothing else waits for the record.
func TestVerdictBeforeTheSignal(t *testing.T) {
	signals := func(s state.State, now time.Time) (out []int) {
		for _, e := range plan.Plan(s, now) {
			if r, ok := e.(plan.Run); ok {
				if signal, ok := r.Work.(plan.Signal); ok {
					out = append(out, signal.Signal)
				}
			}
		}
		return out
	}
	decide := func(s state.State, now time.Time) state.State {
		for _, e := range plan.Plan(s, now) {
			if d, ok := e.(plan.Decide); ok {
				s = step.Step(s, d.Event)
			}
		}
		return s
	}
	s := judged(v1.RestartPolicyOnFailure, state.Liveness)
	if noted, _ := s.AwaitsRecord(); !noted {
		t.Error("nobody waits for the record")
	}
	const late = 14 * time.Second // a little before the writer gives up a disk that does not answer
	s = decide(s, at(time.Second))
	s = decide(s, at(late))
	if c := s.Containers["main"]; c.Now.Stopping || len(signals(s, at(late))) != 0 {
		t.Fatalf("it is stopped before the verdict is noted: %+v", c.Now)
	}
	removed := decide(step.Step(s, state.Desired{At: at(late)}), at(late))
	if got := signals(removed, at(late)); !slices.Equal(got, []int{15}) {
		t.Errorf("its pod is removed, and it gets the signals %v", got)
	}
	s = decide(step.Step(s, state.Saved{Step: s.Steps}), at(late))
	if got := signals(s, at(late)); !slices.Equal(got, []int{15}) {
		t.Errorf("it gets the signals %v when the verdict is noted", got)
	}
	if c := s.Containers["main"]; !c.Now.KillAt.Equal(at(late).Add(state.GraceOf(s.Pod))) {
		t.Errorf("its grace period is over at %s", c.Now.KillAt)
	}
	for _, policy := range []v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyNever} {
		s := decide(judged(policy, state.Liveness), at(time.Second))
		if got := signals(s, at(time.Second)); !slices.Equal(got, []int{15}) {
			t.Errorf("%s: it gets the signals %v before the verdict is noted", policy, got)
		}
	}
}

// TestRefused: an attempt whose command cannot be started has ended with that: it counts, the policy decides over the next one, and
// what is left of it goes. A fault of the machine is no attempt.
func TestRefused(t *testing.T) {
	refused := state.Problem{Reason: state.ReasonStartError, Message: "no such file", Refused: true}
	failed := state.Problem{Reason: "CreateContainerError", Message: "no"}
	of := func(policy v1.RestartPolicy) state.State {
		s := running()
		p := s.Pod.DeepCopy()
		p.Spec.RestartPolicy, p.Spec.InitContainers = policy, nil
		s.Pod, s.Applied = p, p
		s.Revisions = s.Revise()
		s.SharedRevision = s.Revisions.Shared
		s.Containers["main"].Revision = s.Revisions.Containers["main"]
		return making(exited(s, 3, time.Second), "m1", 1)
	}
	made := func(p state.Problem) state.Event {
		return state.Returned{Thing: "container/main", Token: 8, At: at(time.Hour), Result: state.Made{Image: "main:1", ImageID: "main@1", LeftBehind: true, Problem: p}}
	}
	starts := func(s state.State, p state.Problem) state.State {
		s = steps(s, state.Returned{Thing: "container/main", Token: 8, At: t0, Result: state.Made{Pid: 1, Image: "main:1", ImageID: "main@1"}},
			state.Begun{Thing: "container/main", Flight: state.Flight{Kind: state.KindStart, Name: "main", ID: "m1", Token: 9}})
		return steps(s, state.Returned{Thing: "container/main", Token: 9, At: at(time.Hour), Result: state.Started{Problem: p}})
	}
	for name, test := range map[string]struct {
		s     state.State
		phase v1.PodPhase
		ended bool
	}{
		"at the create, Never":     {steps(of(v1.RestartPolicyNever), made(refused)), v1.PodFailed, true},
		"at the create, OnFailure": {steps(of(v1.RestartPolicyOnFailure), made(refused)), v1.PodRunning, true},
		"at the start, Never":      {starts(of(v1.RestartPolicyNever), refused), v1.PodFailed, true},
		"at the start, Always":     {starts(of(v1.RestartPolicyAlways), refused), v1.PodRunning, true},
		"a create that failed":     {steps(of(v1.RestartPolicyAlways), made(failed)), v1.PodRunning, false},
		"a start that failed":      {starts(of(v1.RestartPolicyAlways), failed), v1.PodRunning, false},
		"one that was cancelled":   {steps(of(v1.RestartPolicyAlways), state.Told{Thing: "container/main", At: t0}, made(refused)), v1.PodRunning, false},
	} {
		for _, s := range []state.State{test.s, restored(t, test.s)} {
			c := s.Containers["main"]
			if got := phaseOf(s); v1.PodPhase(got) != test.phase {
				t.Errorf("%s: the pod is %s", name, got)
			}
			if c.Making != nil || c.ID != "" || c.Running || s.Leftovers["m1"] == nil || !s.Leftovers["m1"].Kill {
				t.Errorf("%s: %+v", name, c)
			}
			if !test.ended {
				if c.Attempt != 0 || c.Ended.ExitCode != 3 || c.NextAttempt() != 1 {
					t.Errorf("%s: it counts: %+v", name, c)
				}
				continue
			}
			if c.Attempt != 1 || c.Ended.ID != "m1" || c.Ended.ExitCode != 128 || c.Ended.Reason != "StartError" || c.Ended.Message != "no such file" ||
				!c.Ended.FinishedAt.Equal(at(time.Hour)) || c.Last == nil || c.Last.ExitCode != 3 || c.ImageID != "main@1" || c.NextAttempt() != 2 {
				t.Errorf("%s: %+v, %+v", name, c, c.Ended)
			}
		}
	}
}
