package step_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// evicted asks for an eviction, and decides that it ends the pod.
func evicted(grace *time.Duration) []state.Event {
	return []state.Event{
		state.Evicted{At: at(time.Minute), Signal: "memory.available", Message: "The node was low on resource: memory.", Grace: grace},
		state.EvictionDecided{Ends: true},
	}
}

// An eviction is decided on where there is something of the pod, and nothing else ends it.
func TestEvictionIsAsked(t *testing.T) {
	never := web()
	never.Spec.RestartPolicy = v1.RestartPolicyNever
	ask := evicted(nil)[0]
	for name, c := range map[string]struct {
		s    state.State
		want bool
	}{
		"running":            {running(), true},
		"set up":             {up(), true},
		"only named":         {fresh(), false},
		"not named yet":      {state.New(host, 0, web(), true), false},
		"an orphan":          {state.Orphan(host, 0, "uid"), false},
		"on its way out":     {steps(running(), state.Desired{At: t0}), false},
		"failed already":     {steps(running(), state.PodFailed{Reason: "DeadlineExceeded"}), false},
		"evicted already":    {steps(running(), evicted(nil)...), false},
		"over its own limit": {steps(running(), effect(state.KindMeasure, "", "", "", state.Measured{Over: "too much"})...), false},
	} {
		if got := steps(c.s, ask).Eviction != nil; got != c.want {
			t.Errorf("%s: asked %t", name, got)
		}
	}
	if s := steps(running(), ask, state.EvictionDecided{}); s.Eviction != nil || s.Failed != nil || len(s.Reports) > 0 {
		t.Errorf("an eviction of which nothing comes: %+v, %+v", s.Failed, s.Reports)
	}
}

// An evicted pod is held until it is readmitted, edited, or restarted by hand, over restarts of Solopod too; one that would not be
// restarted, or that a Job replaces, is not held, and stays failed.
func TestHeldPods(t *testing.T) {
	s := steps(running(), evicted(nil)...)
	if r := s.Reports; len(r) != 1 || r[0].Reason != "Evicted" || r[0].Signal != "memory.available" || r[0].Count != 1 || !r[0].Warning {
		t.Errorf("told %+v", r)
	}
	if f := s.Failed; f == nil || f.Reason != "Evicted" || !f.Held || !f.Revive.IsZero() || !f.At.Equal(at(time.Minute)) || s.Evictions != 1 || !f.Discards() {
		t.Fatalf("failed %+v, %d evictions", f, s.Evictions)
	}
	if again := restored(t, s); *again.Failed != *s.Failed || again.Evictions != 1 {
		t.Errorf("the next Solopod finds %+v", again.Failed)
	}
	edited := web()
	edited.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: "b"}}
	for name, e := range map[string]state.Event{
		"readmitted": state.Readmitted{At: at(time.Hour)}, "edited": state.Desired{At: at(time.Hour), Pod: edited}, "restarted": state.RestartAsked{},
	} {
		f := steps(s, e).Failed
		if f == nil || f.Held || f.Revive.IsZero() || f.Revive.After(at(time.Hour)) || f.Discards() {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if moved := steps(s, state.ClockMoved{Moved: time.Hour}); !moved.Failed.At.Equal(at(time.Hour + time.Minute)) {
		t.Errorf("with the clock its time is %s", moved.Failed.At)
	}
	for _, change := range []func(p *v1.Pod){
		func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever },
		func(p *v1.Pod) { p.Annotations = map[string]string{manifests.OwnerAnnotation: "job/backup"} },
	} {
		p := web()
		change(p)
		s := steps(running(), state.Desired{At: t0, Pod: p})
		s = steps(steps(s, evicted(nil)...), state.Readmitted{At: at(time.Hour)})
		if f := s.Failed; f == nil || f.Held || !f.Revive.IsZero() || !f.Discards() {
			t.Errorf("it failed as %+v", f)
		}
	}
	if s := steps(running(), state.Readmitted{At: at(time.Hour)}); s.Failed != nil || len(s.Reports) > 0 {
		t.Error("a pod that is not held was readmitted")
	}
}

// What a held pod had on the disk goes, and it stays failed; with its removal, and when it begins anew, it is forgotten that it failed.
func TestHeldPodsAreCleared(t *testing.T) {
	cleared := func(key string) []state.Event { return effect(state.KindClear, "", "", key, state.Cleared{All: true}) }
	held := steps(steps(running(), evicted(nil)...), cleared("all")...)
	if held.Anything() || held.Failed == nil || held.StartTime.IsZero() || held.Applied != nil {
		t.Errorf("failed %+v, anything %t", held.Failed, held.Anything())
	}
	for name, events := range map[string][]state.Event{
		"readmitted": append([]state.Event{state.Readmitted{At: at(time.Hour)}}, cleared("all")...),
		"removed":    append([]state.Event{state.Desired{At: at(time.Hour)}}, cleared(state.ClearGone)...),
		"came back":  append([]state.Event{state.Desired{At: at(time.Hour)}, state.Desired{At: at(time.Hour), Pod: web()}}, cleared(state.ClearGone)...),
	} {
		if s := steps(held, events...); s.Failed != nil || !s.StartTime.IsZero() {
			t.Errorf("%s: %+v", name, s.Failed)
		}
	}
	// Evictions are counted in a row: one that comes after a long calm is the first again.
	again := steps(steps(held, state.Readmitted{At: at(time.Hour)}), cleared("all")...)
	again.SetUp, again.StartTime = true, at(-time.Minute)
	if again = steps(again, evicted(nil)...); again.Evictions != 2 {
		t.Errorf("%d evictions", again.Evictions)
	}
	again.Failed, again.StartTime = nil, at(-time.Hour)
	if again = steps(again, evicted(nil)...); again.Evictions != 1 {
		t.Errorf("%d evictions after a calm", again.Evictions)
	}
}

// A pod that ends already, because of an eviction or for another reason, has no more time than an eviction gives that is asked for meanwhile;
// its end stays what it is, and is not told again.
func TestEvictionHurriesWhatEnds(t *testing.T) {
	stop := state.StopBegun{At: at(time.Minute), Name: "main", Grace: 10 * time.Minute, EndsPod: true}
	ask := func(grace *time.Duration) state.Event {
		return state.Evicted{At: at(2 * time.Minute), Signal: "nodefs.available", Message: "The node was low on resource: ephemeral-storage.", Grace: grace}
	}
	for name, begun := range map[string][]state.Event{
		"evicted":            append(evicted(ptr.To(time.Hour)), stop),
		"evicted without":    append(evicted(nil), stop),
		"failed":             {state.PodFailed{Reason: "DeadlineExceeded"}, stop},
		"on its way out":     {state.Desired{At: t0}, stop},
		"nothing else comes": {stop, ask(ptr.To(time.Second)), state.EvictionDecided{}},
	} {
		before := steps(running(), begun...)
		for _, c := range []struct {
			grace *time.Duration
			want  time.Time
		}{{nil, before.EndBy}, {ptr.To(time.Second), at(2*time.Minute + time.Second)}, {ptr.To(time.Hour), before.EndBy}} {
			s := steps(before, ask(c.grace))
			if got := s.Containers["main"].Now.KillAt; !got.Equal(c.want) || !s.EndBy.Equal(c.want) {
				t.Errorf("%s: it is killed at %s, and the pod's end is %s", name, got.Sub(t0), s.EndBy.Sub(t0))
			}
			if f := s.Failed; f != nil && f.Signal == "nodefs.available" || len(s.Reports) > 0 || s.Evictions != before.Evictions {
				t.Errorf("%s: %+v, told %+v", name, f, s.Reports)
			}
			if f := s.Failed; f != nil && f.Signal != "" && (c.grace != nil && (f.Grace == nil || *f.Grace > *c.grace) || c.grace == nil && f.Grace != before.Failed.Grace) {
				t.Errorf("%s: what is stopped later has %v", name, f.Grace)
			}
		}
	}
	first := steps(running(), evicted(ptr.To(time.Hour))...)
	if steps(first, ask(ptr.To(time.Second))); *first.Failed.Grace != time.Hour {
		t.Error("the state before was changed")
	}
}

// What was ending already has no more time than the eviction gives.
func TestEvictionHurries(t *testing.T) {
	stop := state.StopBegun{At: at(time.Minute), Name: "main", Grace: 10 * time.Minute, EndsPod: true}
	for _, c := range []struct {
		grace *time.Duration
		want  time.Duration
	}{{nil, 11 * time.Minute}, {ptr.To(time.Second), time.Minute + time.Second}, {ptr.To(time.Hour), 11 * time.Minute}} {
		s := steps(steps(running(), stop), evicted(c.grace)...)
		if got := s.Containers["main"].Now.KillAt; !got.Equal(at(c.want)) || !s.EndBy.Equal(at(c.want)) {
			t.Errorf("it is killed at %s, and the pod's end is %s", got.Sub(t0), s.EndBy.Sub(t0))
		}
	}
}
