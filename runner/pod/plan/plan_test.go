package plan

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

var t0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// text writes actions the way the tables below do.
func text(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch a := a.(type) {
		case SetUpPod:
			out = append(out, "setup")
		case TearDownPod:
			out = append(out, "teardown")
		case SuspendPod:
			out = append(out, "suspend")
		case DiscardPod:
			out = append(out, "discard")
		case StartContainer:
			out = append(out, "start "+a.Name)
		case StopContainer:
			s := fmt.Sprintf("stop %s %s", a.Name, a.Grace)
			if a.Replace {
				s += " replace"
			}
			if a.Awaits {
				s += " awaits"
			}
			out = append(out, s)
		case FailPod:
			out = append(out, "fail "+a.Reason)
		case MarkInitialized:
			out = append(out, "initialized")
		case BeginAnew:
			out = append(out, fmt.Sprintf("anew %s %s", a.Trigger, a.Backoff.Delay))
		case RefreshVolumes:
			out = append(out, "refresh")
		case TakeTurn:
			out = append(out, "turn "+a.Name)
		case AbandonHook:
			out = append(out, "abandon "+a.Name)
		case ResizeContainer:
			out = append(out, "resize "+a.Name)
		case KillContainer:
			out = append(out, "kill "+a.Name)
		case RemoveContainer:
			out = append(out, "remove "+a.Name)
		case WaitUntil:
			out = append(out, "wait "+a.T.Sub(t0).String())
		}
	}
	return strings.Join(out, ", ")
}

func desired(policy v1.RestartPolicy, names ...string) *Desired {
	d := &Desired{SharedRevision: "s1", RestartPolicy: policy, Grace: 30 * time.Second}
	for _, n := range names {
		d.Containers = append(d.Containers, Container{Name: n, Revision: "r1"})
	}
	return d
}

func up(containers map[string]*Status) *Observed {
	return &Observed{SetUp: true, Anything: true, SharedRevision: "s1", Grace: 30 * time.Second, Containers: containers}
}

func running() *Status {
	return &Status{Revision: "r1", Running: true}
}

// evicted is a pod that was evicted, with a grace period.
func evicted(a *Status, grace time.Duration) *Observed {
	o := up(map[string]*Status{"a": a})
	o.Failed, o.FailedGrace, o.Discards = true, &grace, true
	return o
}

// With a pod that wants that, a kill for memory of one of its containers makes all begin anew, with its back-off.
func TestOOMRestartsPod(t *testing.T) {
	whole := func(policy v1.RestartPolicy) *Desired {
		d := desired(policy, "a", "b")
		d.OOMRestartsPod = true
		return d
	}
	killed := with(ended(137, time.Second), func(s *Status) { s.ForMemory = true })
	backingOff := with(killed, func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-time.Minute)} })
	for _, c := range []struct {
		name string
		d    *Desired
		a, b *Status
		want string
	}{
		{"the others are stopped", whole(v1.RestartPolicyAlways), killed, running(), "stop b 30s replace"},
		{"all begin anew", whole(v1.RestartPolicyAlways), killed, ended(143, 0), "anew a 10s"},
		{"it waits for its back-off", whole(v1.RestartPolicyAlways), backingOff, ended(143, 0), "wait 9s"},
		{"all have begun anew", whole(v1.RestartPolicyAlways), with(killed, func(s *Status) { s.ReplacedByEdit = true }), with(ended(143, 0), func(s *Status) { s.ReplacedByEdit = true }), "start a, start b"},
		{"another end restarts it alone", whole(v1.RestartPolicyAlways), ended(137, time.Second), running(), "start a"},
		{"what is not restarted restarts nothing", whole(v1.RestartPolicyNever), killed, running(), ""},
		{"a pod that did not choose it", desired(v1.RestartPolicyAlways, "a", "b"), killed, running(), "start a"},
	} {
		if got := text(Next(c.d, up(map[string]*Status{"a": c.a, "b": c.b}), t0)); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

// An eviction ends what neither ends, nor has ended, by itself.
func TestEvicts(t *testing.T) {
	one := func(s *Status) *Observed { return up(map[string]*Status{"a": s}) }
	drained := one(running())
	drained.StopBy = t0
	for name, c := range map[string]struct {
		d    *Desired
		o    *Observed
		want bool
	}{
		"running":               {desired(v1.RestartPolicyAlways, "a"), one(running()), true},
		"waits for its restart": {desired(v1.RestartPolicyAlways, "a"), one(ended(1, 0)), true},
		"has succeeded":         {desired(v1.RestartPolicyOnFailure, "a"), one(ended(0, 0)), false},
		"has failed":            {desired(v1.RestartPolicyNever, "a"), one(ended(1, 0)), false},
		"removed":               {nil, one(running()), false},
		"the machine goes down": {desired(v1.RestartPolicyAlways, "a"), drained, false},
	} {
		if got := evicts(c.d, c.o); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func ended(code int32, ago time.Duration) *Status {
	return &Status{Revision: "r1", Ended: true, ExitCode: code, FinishedAt: t0.Add(-ago)}
}

func with(s *Status, change func(*Status)) *Status {
	next := *s
	change(&next)
	return &next
}

func TestNext(t *testing.T) {
	always, onFailure, never := v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever
	one := func(s *Status) *Observed { return up(map[string]*Status{"a": s}) }
	for _, c := range []struct {
		name string
		d    *Desired
		o    *Observed
		want string
	}{
		{"nothing exists: set up", desired(always, "a"), &Observed{}, "setup"},
		{"nothing exists and nothing is wanted", nil, &Observed{}, ""},
		{"a failed set-up waits", desired(always, "a"), &Observed{Anything: true, SharedRevision: "s1", SetUpRetry: t0.Add(7 * time.Second)}, "wait 7s"},
		{
			"what containers share is gone while they run: stop them first", desired(always, "a"),
			&Observed{Anything: true, SharedRevision: "s1", Containers: map[string]*Status{"a": running()}}, "stop a 30s replace",
		},
		{"a failed set-up is tried again", desired(always, "a"), &Observed{Anything: true, SharedRevision: "s1", SetUpRetry: t0}, "setup"},
		{"set up: start", desired(always, "a"), up(nil), "start a"},
		{"all containers start in the manifest's order", desired(always, "b", "a"), up(nil), "start b, start a"},
		{"running: nothing to do", desired(always, "a"), one(running()), ""},
		{"one of two is missing", desired(always, "a", "b"), one(running()), "start b"},

		{"Always restarts after success", desired(always, "a"), one(ended(0, time.Second)), "start a"},
		{"Always restarts after failure", desired(always, "a"), one(ended(1, time.Second)), "start a"},
		{"OnFailure leaves a success, and lets its network go", desired(onFailure, "a"), one(ended(0, time.Second)), "suspend"},
		{"OnFailure restarts a failure", desired(onFailure, "a"), one(ended(1, time.Second)), "start a"},
		{"OnFailure restarts what was ended for a probe, whatever its exit code", desired(onFailure, "a"),
			one(with(ended(0, time.Second), func(s *Status) { s.Unhealthy = "liveness" })), "start a"},
		{"Never does not", desired(never, "a"), one(with(ended(0, time.Second), func(s *Status) { s.Unhealthy = "liveness" })), "suspend"},
		{"Never leaves a failure, and lets its network go", desired(never, "a"), one(ended(1, time.Second)), "suspend"},
		{"Never leaves one and starts the other", desired(never, "a", "b"), one(ended(1, time.Second)), "start b"},
		{"Never starts what never ran", desired(never, "a"), one(&Status{Revision: "r1"}), "start a"},
		{"a terminal pod is not set up again after a reboot", desired(never, "a"),
			&Observed{Anything: true, SharedRevision: "s1", Containers: map[string]*Status{"a": ended(1, time.Hour)}}, ""},
		{"a restarting pod is set up after a reboot", desired(always, "a"),
			&Observed{Anything: true, SharedRevision: "s1", Containers: map[string]*Status{"a": ended(137, time.Hour)}}, "setup"},

		{"back-off: wait", desired(always, "a"), one(with(ended(1, 3*time.Second), func(s *Status) {
			s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-5 * time.Second)}
		})), "wait 7s"},
		{"back-off: over", desired(always, "a"), one(with(ended(1, 10*time.Second), func(s *Status) {
			s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-15 * time.Second)}
		})), "start a"},
		{"back-off: forgotten after ten minutes of running", desired(always, "a"), one(with(ended(1, time.Second), func(s *Status) {
			s.Backoff = state.Backoff{Delay: 5 * time.Minute, Set: t0.Add(-11 * time.Minute)}
		})), "start a"},
		{"back-off: kept after nine minutes of running", desired(always, "a"), one(with(ended(1, time.Second), func(s *Status) {
			s.Backoff = state.Backoff{Delay: 5 * time.Minute, Set: t0.Add(-9 * time.Minute)}
		})), "wait 4m59s"},
		{"the earliest of two waits", desired(always, "a", "b"), up(map[string]*Status{
			"a": with(ended(1, 3*time.Second), func(s *Status) { s.Backoff = state.Backoff{Delay: 20 * time.Second, Set: t0.Add(-time.Minute)} }),
			"b": with(ended(1, 3*time.Second), func(s *Status) { s.Backoff = state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-time.Minute)} }),
		}), "wait 7s"},
		{"a failed pull or creation waits", desired(always, "a"), one(&Status{Revision: "r1", Retry: t0.Add(4 * time.Second)}), "wait 4s"},
		{"a failed pull or creation is repeated", desired(always, "a"), one(&Status{Revision: "r1", Retry: t0}), "start a"},

		{"edit of a container: stop to replace", desired(always, "a"), one(with(running(), func(s *Status) { s.Revision = "r0" })), "stop a 30s replace"},
		{"edit of a container: the other runs on", desired(always, "a", "b"), up(map[string]*Status{
			"a": running(), "b": with(running(), func(s *Status) { s.Revision = "r0" }),
		}), "stop b 30s replace"},
		{"edit of an ended container: start at once, whatever policy and back-off", desired(never, "a"),
			one(with(ended(1, time.Second), func(s *Status) { s.Revision, s.Backoff = "r0", state.Backoff{Delay: time.Minute, Set: t0} })), "start a"},
		{"replaced by an edit: start at once", desired(always, "a"), one(with(ended(143, 0), func(s *Status) {
			s.ReplacedByEdit, s.Backoff = true, state.Backoff{Delay: time.Minute, Set: t0}
		})), "start a"},
		{"a container that the manifest no longer names is stopped", desired(always, "a"),
			up(map[string]*Status{"a": running(), "b": running()}), "stop b 30s replace"},
		{"and removed", desired(always, "a"), up(map[string]*Status{"a": running(), "b": ended(0, 0)}), "remove b"},
		{"edit of the shared part: stop everything", desired(always, "a", "b"), func() *Observed {
			o := up(map[string]*Status{"a": running(), "b": running()})
			o.SharedRevision = "s0"
			return o
		}(), "stop a 30s replace, stop b 30s replace"},
		{"edit of the shared part: tear down when all have ended", desired(always, "a"), func() *Observed {
			o := one(ended(143, 0))
			o.SharedRevision = "s0"
			return o
		}(), "teardown"},
		{"edit of the shared part of a terminal pod", desired(never, "a"), func() *Observed {
			o := one(ended(0, time.Hour))
			o.SharedRevision = "s0"
			return o
		}(), "teardown"},

		{"an unhealthy container is stopped, not replaced", desired(always, "a"), one(with(running(), func(s *Status) { s.Unhealthy = "liveness" })), "stop a 30s"},
		{"an unhealthy container that is being stopped", desired(always, "a"), one(with(running(), func(s *Status) {
			s.Unhealthy, s.Stopping, s.KillAt = "liveness", true, t0.Add(12*time.Second)
		})), "wait 12s"},

		{"the manifest is gone: stop with the grace period of the pod that runs", nil, one(running()), "stop a 30s"},
		{"gone: wait for the end of the grace period", nil, one(with(running(), func(s *Status) {
			s.Stopping, s.KillAt = true, t0.Add(5*time.Second)
		})), "wait 5s"},
		{"gone: kill when it is over", nil, one(with(running(), func(s *Status) { s.Stopping, s.KillAt = true, t0 })), "kill a"},
		{"gone: nothing to do once killed", nil, one(with(running(), func(s *Status) {
			s.Stopping, s.KillAt, s.Killed = true, t0, true
		})), ""},
		{"gone: one has ended, the other is in its grace period", nil, up(map[string]*Status{
			"a": ended(0, 0), "b": with(running(), func(s *Status) { s.Stopping, s.KillAt = true, t0.Add(time.Second) }),
		}), "wait 1s"},
		{"gone: all have ended", nil, up(map[string]*Status{"a": ended(0, 0), "b": ended(1, 0)}), "teardown"},
		{"evicted: no more time than that gives", desired(always, "a"), evicted(running(), time.Second), "stop a 1s"},
		{"evicted: nor than the pod has", desired(always, "a"), evicted(running(), time.Hour), "stop a 30s"},
		{"evicted: all have ended, and what is on the disk goes", desired(always, "a"), evicted(ended(137, 0), time.Second), "discard"},
		{"evicted: nothing is left, and it waits", desired(always, "a"), func() *Observed {
			o := evicted(ended(137, 0), time.Second)
			o.SetUp, o.Anything = false, false
			return o
		}(), ""},
		{"readmitted: it is set up anew", desired(always, "a"), func() *Observed {
			o := evicted(ended(137, 0), time.Second)
			o.SetUp, o.Anything, o.Discards, o.Revive = false, false, false, t0
			return o
		}(), "teardown"},

		{"gone: an interrupted set-up is cleared as well", nil, &Observed{Anything: true}, "teardown"},
		{"the pod comes back while it is being stopped: it is stopped first", desired(always, "a"),
			one(with(running(), func(s *Status) { s.Stopping, s.KillAt = true, t0.Add(time.Second) })), "wait 1s"},
		{"and then started", desired(always, "a"), one(ended(143, 0)), "start a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := text(Next(c.d, c.o, t0)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A container that crashes at once, over and over: the kubelet's series of delays.
func TestBackoffSeries(t *testing.T) {
	var b state.Backoff
	now := t0
	var delays []time.Duration
	for range 9 {
		finished := now
		until, wait := b.Until(finished)
		if !wait {
			until = finished
		}
		delays = append(delays, until.Sub(finished))
		now = until
		b = b.Next(finished, now)
	}
	want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 300 * time.Second, 300 * time.Second, 300 * time.Second}
	if !reflect.DeepEqual(delays, want) {
		t.Errorf("got  %v\nwant %v", delays, want)
	}
}

func TestRetry(t *testing.T) {
	var b state.Backoff
	for n, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
		if b = b.Failed(t0); b.Delay != want || !b.Due().Equal(t0.Add(want)) {
			t.Errorf("after %d failures: %s, want %s", n+1, b.Delay, want)
		}
	}
	if due := (state.Backoff{}).Due(); !due.IsZero() {
		t.Errorf("what has not failed waits until %s", due)
	}
}

func TestPhase(t *testing.T) {
	always, onFailure, never := v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever
	two := func(a, b *Status) map[string]*Status { return map[string]*Status{"a": a, "b": b} }
	for _, c := range []struct {
		name   string
		policy v1.RestartPolicy
		c      map[string]*Status
		want   v1.PodPhase
	}{
		{"nothing started", always, nil, v1.PodPending},
		{"one started", always, two(running(), nil), v1.PodPending},
		{"one cannot be created", always, two(running(), &Status{Revision: "r1", Retry: t0}), v1.PodPending},
		{"both run", always, two(running(), running()), v1.PodRunning},
		{"one in back-off", always, two(running(), ended(1, 0)), v1.PodRunning},
		{"both in back-off", always, two(ended(1, 0), ended(0, 0)), v1.PodRunning},
		{"Never, one runs, one failed", never, two(running(), ended(1, 0)), v1.PodRunning},
		{"Never, one failed", never, two(ended(0, 0), ended(1, 0)), v1.PodFailed},
		{"Never, both succeeded", never, two(ended(0, 0), ended(0, 0)), v1.PodSucceeded},
		{"OnFailure, one succeeded, one failed", onFailure, two(ended(0, 0), ended(1, 0)), v1.PodRunning},
		{"OnFailure, both succeeded", onFailure, two(ended(0, 0), ended(0, 0)), v1.PodSucceeded},
		{"Never, ended in another revision", never, two(ended(0, 0), with(ended(1, 0), func(s *Status) { s.Revision = "r0" })), v1.PodRunning},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Phase(desired(c.policy, "a", "b"), up(c.c)); v1.PodPhase(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Whatever is observed, a plan never starts and stops the same container, never tears down a pod of which something
// runs, and never asks to wait for a moment that has passed.
func TestInvariants(t *testing.T) {
	bools := []bool{false, true}
	times := []time.Time{{}, t0.Add(-time.Second), t0.Add(time.Second)}
	cases := 0
	for _, policy := range []v1.RestartPolicy{v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever} {
		for _, d := range []*Desired{nil, desired(policy, "a"), desired(policy, "a", "b")} {
			for bits := range 1 << 9 {
				bit := func(n int) bool { return bools[bits>>n&1] }
				for _, at := range times {
					s := &Status{
						Revision: "r1", Running: bit(0), Ended: bit(1), Stopping: bit(2), Killed: bit(3), ReplacedByEdit: bit(4),
						KillAt: at, Retry: at, FinishedAt: t0.Add(-time.Second), ExitCode: int32(bits & 1),
						Backoff: state.Backoff{Delay: 10 * time.Second, Set: t0.Add(-time.Minute)},
					}
					if bit(5) {
						s.Revision = "r0"
					}
					if bit(6) {
						s.Unhealthy = "liveness"
					}
					o := up(map[string]*Status{"a": s})
					o.SetUp = bit(7)
					if bit(8) {
						o.SharedRevision = "s0"
					}
					cases++
					check(t, s, Next(d, o, t0))
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

func check(t *testing.T, s *Status, actions []Action) {
	t.Helper()
	seen := map[string]string{}
	for _, a := range actions {
		switch a := a.(type) {
		case WaitUntil:
			if !a.T.After(t0) {
				t.Fatalf("%+v: waits for the past: %s", s, text(actions))
			}
		case TearDownPod, SetUpPod:
			if s.Running {
				t.Fatalf("%+v: %s of a running pod", s, text(actions))
			}
		case StartContainer:
			if a.Name == "a" && s.Running {
				t.Fatalf("%+v: starts what runs", s)
			}
			if seen[a.Name] != "" {
				t.Fatalf("%+v: %s", s, text(actions))
			}
			seen[a.Name] = "start"
		case StopContainer:
			if !s.Running || s.Stopping || seen[a.Name] != "" {
				t.Fatalf("%+v: %s", s, text(actions))
			}
			seen[a.Name] = "stop"
		case KillContainer:
			if !s.Running || s.Killed {
				t.Fatalf("%+v: %s", s, text(actions))
			}
		}
	}
}
