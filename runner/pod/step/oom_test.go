package step_test

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// choosing is a pod that says what a kill for memory means.
func choosing(action, after string) *v1.Pod {
	p := web()
	p.Annotations = map[string]string{manifests.OOMActionAnnotation: action}
	if after != "" {
		p.Annotations[manifests.OOMStopAfterAnnotation] = after
	}
	return p
}

// killed ends the attempt of main that has an id by a kill for memory, and starts the next one.
func killed(s state.State, id, next string, when time.Time) state.State {
	s = steps(s, state.Exited{ID: id, Code: 137, When: when},
		state.Begun{Thing: "end/main", Flight: state.Flight{Kind: state.KindExamine, Name: "main", ID: id, Token: 4}},
		state.Returned{Thing: "end/main", Token: 4, At: when, Result: state.Examined{Kills: 1}})
	if next == "" {
		return s
	}
	s = steps(making(s, next, s.Containers["main"].Attempt+1), state.Returned{Thing: "container/main", Token: 8, At: when, Result: state.Made{Pid: 1, StopSignal: 15}})
	return steps(s, effect(state.KindStart, "main", next, next, state.Started{When: when})...)
}

// A pod is stopped after as many kills within a time as it says, over restarts of Solopod, and stays so until it is edited, or somebody
// restarts it.
func TestStoppedForKills(t *testing.T) {
	s := steps(running(), state.Desired{At: t0, Pod: choosing("stop", "3/10m")})
	s = killed(s, "m0", "m1", at(time.Minute))
	s = killed(s, "m1", "m2", at(12*time.Minute)) // the first one does not count any more
	s = killed(s, "m2", "m3", at(13*time.Minute))
	if s.Failed != nil || len(s.OOMEnds) != 2 {
		t.Fatalf("after two kills within the time: %+v, %v", s.Failed, s.OOMEnds)
	}
	if again := restored(t, s); len(again.OOMEnds) != 2 || !again.OOMEnds[1].Equal(s.OOMEnds[1]) {
		t.Errorf("the next Solopod knows of %v", again.OOMEnds)
	}
	before := s
	s = killed(s, "m3", "", at(14*time.Minute))
	f := s.Failed
	if f == nil || f.Reason != "OOMKilled" || !f.Revive.IsZero() || f.Held || f.Discards() {
		t.Fatalf("failed %+v", f)
	}
	for _, part := range []string{"3 times", "3/10m", "in main", "edited", "raise the memory limit"} {
		if !strings.Contains(f.Message, part) {
			t.Errorf("%q does not say %q", f.Message, part)
		}
	}
	told := false
	for _, r := range s.Reports {
		told = told || r.Reason == "OOMStopped" && r.Warning
	}
	if !told || state.SameRecord(&before, &s) {
		t.Error("it is not told, or not written down")
	}
	if again := restored(t, s); *again.Failed != *f {
		t.Errorf("the next Solopod finds %+v", again.Failed)
	}
	other := choosing("stop", "3/10m")
	other.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "b"}}
	for name, e := range map[string]state.Event{
		"edited": state.Desired{At: at(time.Hour), Pod: other}, "another choice": state.Desired{At: at(time.Hour), Pod: choosing("container", "")},
		"another count": state.Desired{At: at(time.Hour), Pod: choosing("stop", "9/10m")}, "restarted": state.RestartAsked{},
	} {
		if f := steps(s, e).Failed; f == nil || f.Revive.IsZero() {
			t.Errorf("%s: it stays %+v", name, f)
		}
	}
	if f := steps(s, state.Desired{At: at(time.Hour), Pod: choosing("stop", "3/10m")}).Failed; f == nil || !f.Revive.IsZero() {
		t.Error("without an edit it begins anew")
	}
	if moved := steps(before, state.ClockMoved{Moved: time.Hour}); !moved.OOMEnds[0].Equal(before.OOMEnds[0].Add(time.Hour)) || !before.OOMEnds[0].Equal(at(12*time.Minute)) {
		t.Errorf("with the clock: %v, and before %v", moved.OOMEnds, before.OOMEnds)
	}
}

// Two containers may be killed at nearly the same time: it does not matter whose end is learnt of first.
func TestStoppedForKillsInAnyOrder(t *testing.T) {
	s := steps(running(), state.Desired{At: t0, Pod: choosing("stop", "2/10m")})
	s = killed(s, "m0", "m1", at(2*time.Minute))
	if s = killed(s, "m1", "", at(2*time.Minute-time.Second)); s.Failed == nil {
		t.Errorf("after two kills it goes on, with %v", s.OOMEnds)
	}
}

// Children whose container lives on, or fails by itself for that, count each, but for those of one that is killed as a whole; its end
// counts once.
func TestStoppedForKillsOfChildren(t *testing.T) {
	watch := state.Flight{Kind: state.KindWatchKills, Name: "main", ID: "m0", Token: 9}
	seen := func(s state.State, group bool, kills ...uint64) state.State {
		s = steps(s, state.Begun{Thing: "kills/main", Flight: watch})
		for _, n := range kills {
			s = steps(s, state.Said{Thing: "kills/main", Token: 9, At: at(time.Minute), News: state.KillsSeen{Kills: n, Group: group}})
		}
		return s
	}
	exits := func(s state.State, code int32, found state.Examined) state.State {
		s = steps(s, state.Exited{ID: "m0", Code: code, When: at(time.Minute)})
		return steps(s, effect(state.KindExamine, "main", "m0", "", found)...)
	}
	begun := func() state.State {
		s := steps(running(), state.Desired{At: t0, Pod: choosing("stop", "3/10m")})
		s.Containers["main"].Now.Attached = true
		return s
	}
	for name, c := range map[string]struct {
		s       state.State
		kills   int
		stopped bool
	}{
		"two":                       {seen(begun(), false, 1, 2, 2), 2, false},
		"three":                     {seen(begun(), false, 1, 2, 3), 3, true},
		"many at once":              {seen(begun(), false, 1000), 3, true},
		"after it was stopped":      {seen(begun(), false, 3, 4, 5), 3, true},
		"a group":                   {seen(begun(), true, 1, 2, 3, 50), 0, false},
		"a group that ends":         {exits(seen(begun(), true, 2, 5), 137, state.Examined{Kills: 5, Group: true}), 1, false},
		"the main process as well":  {exits(seen(begun(), false, 2), 137, state.Examined{Kills: 3}), 3, true},
		"which was seen":            {exits(seen(begun(), false, 2), 137, state.Examined{Kills: 2}), 2, false},
		"a failure for that":        {exits(seen(begun(), false, 1), 1, state.Examined{Kills: 3}), 3, true},
		"of another attempt's time": {exits(begun(), 137, state.Examined{Kills: 1}), 1, false},
	} {
		if f := c.s.Failed; len(c.s.OOMEnds) != c.kills || (f != nil) != c.stopped || f != nil && f.Reason != "OOMKilled" {
			t.Errorf("%s: %d kills count, and it is %+v", name, len(c.s.OOMEnds), f)
		}
	}
}

// Kills of children while Solopod was away count where the container has not run for longer than the time that the pod's choice is about, and
// never those that were counted before.
func TestStoppedForKillsWhileAway(t *testing.T) {
	for name, c := range map[string]struct {
		before, after uint64
		group         bool
		later         time.Duration
		kills         int
	}{
		"two":                  {0, 2, false, time.Minute, 2},
		"as many as it allows": {0, 100, false, time.Minute, 100},
		"some were counted":    {3, 5, false, time.Minute, 5},
		"all were counted":     {5, 5, false, time.Minute, 5},
		"a group":              {0, 5, true, time.Minute, 0},
		"nobody knows when":    {0, 5, false, 11 * time.Minute, 0},
		"roughly written down": {70, 75, false, time.Minute, 74}, // 68 to 71 were written as 68
	} {
		s := steps(running(), state.Desired{At: t0, Pod: choosing("stop", "100/10m")})
		s.Containers["main"].Now.Attached = true
		s = steps(s, state.Begun{Thing: "kills/main", Flight: state.Flight{Kind: state.KindWatchKills, Name: "main", ID: "m0", Token: 9}},
			state.Said{Thing: "kills/main", Token: 9, At: at(time.Second), News: state.KillsSeen{Kills: c.before}})
		s = restored(t, s)
		s = steps(s, state.Begun{Thing: "output/main", Flight: state.Flight{Kind: state.KindReadOutput, Name: "main", ID: "m0", Token: 8}},
			state.Returned{Thing: "output/main", Token: 8, At: at(c.later), Result: state.OutputRead{Kills: c.after, Group: c.group}})
		if len(s.OOMEnds) != c.kills || (s.Failed != nil) != (c.kills == 100) {
			t.Errorf("%s: %d kills count, and it is %+v", name, len(s.OOMEnds), s.Failed)
		}
	}
}

// Kills are counted for pods alone that want to be stopped, and for ends that they caused.
func TestKillsThatDoNotStop(t *testing.T) {
	for _, action := range []string{"container", "pod", ""} {
		s := steps(running(), state.Desired{At: t0, Pod: choosing(action, "")})
		for range 5 {
			s = killed(s, s.Containers["main"].ID, "m"+s.Containers["main"].ID, at(time.Minute))
		}
		if s.Failed != nil || len(s.OOMEnds) > 0 {
			t.Errorf("%q: %+v, %v", action, s.Failed, s.OOMEnds)
		}
	}
	for name, c := range map[string]struct {
		found state.Examined
		away  bool
	}{"a failure by itself": {state.Examined{}, false}, "a child of a group": {state.Examined{Kills: 1, Group: true}, false}, "a child, before this start": {state.Examined{Kills: 1}, true}} {
		s := steps(running(), state.Desired{At: t0, Pod: choosing("stop", "1/10m")})
		s.Containers["main"].Now.Attached = !c.away
		s = steps(s, state.Exited{ID: "m0", Code: 1, When: at(time.Minute)})
		if s = steps(s, effect(state.KindExamine, "main", "m0", "", c.found)...); s.Failed != nil {
			t.Errorf("%s stops it: %+v", name, s.Failed)
		}
	}
}

// TestOOMRestartIsTold: that all of a pod begins anew for a kill is told, with why.
func TestOOMRestartIsTold(t *testing.T) {
	s := killed(steps(running(), state.Desired{At: t0, Pod: choosing("pod", "")}), "m0", "", at(time.Minute))
	s = steps(s, state.BegunAnew{Trigger: "main"})
	if r := s.Reports; len(r) != 1 || r[0].Reason != "OOMRestart" || !r[0].Warning || !strings.Contains(r[0].Message, "solopod.io/oom-action: pod") {
		t.Errorf("told %+v", r)
	}
}
