package step_test

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/status"
	"github.com/solopod/solopod/runner/reference"
)

func image(name string) *v1.Pod {
	p := web()
	p.Spec.Containers[0].Image = name
	return p
}

func foreseen(s state.State, r state.Foreseen) []state.Event {
	return effect(state.KindForesee, "", "", s.Coming.Key, r)
}

// TestEditWaits: an edit of what runs is taken when what it needs is there, and not before.
func TestEditWaits(t *testing.T) {
	s := steps(running(), state.Desired{At: t0, Pod: image("new:1"), File: "new.yaml"})
	if s.Coming == nil || !s.EditWaits || s.Pod.Spec.Containers[0].Image == "new:1" || s.File != "new.yaml" {
		t.Fatalf("it does not wait: %+v", s.Coming)
	}
	missing := state.Foreseen{Missing: []state.Lack{{Ref: "new:1", Instead: "new:1@sha256:0"}}}
	s = steps(s, foreseen(s, missing)...)
	if s.Coming == nil || s.Coming.Sure || s.Images["new:1"] == nil {
		t.Errorf("an image is missing, and %+v, %v", s.Coming, s.Images)
	}
	if r := s.Reports; len(r) != 1 || r[0].Reason != "EditWaits" || !strings.Contains(r[0].Message, `image "new:1" is not present; there is new:1@sha256:0`) {
		t.Errorf("told: %+v", r)
	}
	if s = steps(s, foreseen(s, missing)...); len(s.Reports) != 0 {
		t.Errorf("told again: %+v", s.Reports)
	}
	s = steps(s, state.ImagesReady{Names: []string{"docker.io/library/new:1"}})
	if s.Images["new:1"] != nil {
		t.Error("the image that came is still missing")
	}
	s = steps(s, foreseen(s, state.Foreseen{})...)
	if s.Coming == nil || !s.Coming.Sure {
		t.Errorf("nothing is missing, and %+v", s.Coming)
	}
	if s = steps(s, state.EditDue{At: at(time.Second)}); s.Coming != nil || s.EditWaits || s.Pod.Spec.Containers[0].Image != "new:1" {
		t.Errorf("it is not taken: %+v", s.Coming)
	}
}

// TestWhatEditsWait: which ones do, and what ends the wait.
func TestWhatEditsWait(t *testing.T) {
	waits := func() state.State { return steps(running(), state.Desired{At: t0, Pod: image("new:1")}) }
	labelled := web()
	labelled.Labels = map[string]string{"a": "b"}
	more := web()
	more.Spec.Containers = append(more.Spec.Containers, v1.Container{Name: "more", Image: "more:1"})
	shared := web()
	shared.Spec.Hostname = "other"
	stopped := running()
	for _, c := range stopped.Containers {
		c.Running = false
	}
	for name, test := range map[string]struct {
		s     state.State
		waits bool
	}{
		"another image":         {waits(), true},
		"what all share":        {steps(running(), state.Desired{At: t0, Pod: shared}), true},
		"a label":               {steps(running(), state.Desired{At: t0, Pod: labelled}), false},
		"one more container":    {steps(running(), state.Desired{At: t0, Pod: more}), false},
		"nothing runs":          {steps(stopped, state.Desired{At: t0, Pod: image("new:1")}), false},
		"edited once more":      {steps(waits(), state.Desired{At: t0, Pod: image("newer:1")}), true},
		"edited back":           {steps(waits(), state.Desired{At: t0, Pod: web()}), false},
		"the manifest goes":     {steps(waits(), state.Desired{At: t0}), false},
		"the machine goes down": {steps(waits(), state.Drained{StopBy: at(time.Minute)}), true},
		"edited then":           {steps(waits(), state.Drained{StopBy: at(time.Minute)}, state.Desired{At: t0, Pod: image("newer:1")}), true},
		"it is evicted":         {steps(waits(), state.Evicted{At: t0, Signal: "memory.available"}, state.EvictionDecided{Ends: true}, state.Desired{At: t0, Pod: image("new:1")}), true},
		"it is let in again": {steps(waits(), state.Evicted{At: t0, Signal: "memory.available"}, state.EvictionDecided{Ends: true}, state.Readmitted{At: t0},
			state.Desired{At: t0, Pod: image("new:1")}), true},
		"edited once more then":    {steps(waits(), state.Evicted{At: t0, Signal: "memory.available"}, state.EvictionDecided{Ends: true}, state.Desired{At: t0, Pod: image("newer:1")}), false},
		"it was evicted before":    {steps(running(), state.Evicted{At: t0, Signal: "memory.available"}, state.EvictionDecided{Ends: true}, state.Desired{At: t0, Pod: image("new:1")}), false},
		"Solopod begins anew":      {steps(restored(t, waits()), state.Desired{At: t0, Pod: image("new:1")}), true},
		"it began without an edit": {steps(restored(t, running()), state.Desired{At: t0, Pod: image("new:1")}), true},
	} {
		if got := test.s.Coming != nil; got != test.waits || got != test.s.EditWaits {
			t.Errorf("%s: it waits: %v, as recorded %v", name, got, test.s.EditWaits)
		}
	}
}

// TestEditWaitsWithItsObjects: changed objects reach a pod whose edit waits; of those that only it names it has what it had.
func TestEditWaitsWithItsObjects(t *testing.T) {
	objects := func(values ...string) reference.Objects {
		out := reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{}}
		for i := 0; i < len(values); i += 2 {
			out.ConfigMaps[values[i]] = &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: values[i]}, Data: map[string]string{"A": values[i+1]}}
		}
		return out
	}
	uses := func(p *v1.Pod, names ...string) *v1.Pod {
		for _, name := range names {
			p.Spec.Containers[0].EnvFrom = append(p.Spec.Containers[0].EnvFrom, v1.EnvFromSource{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: name}}})
		}
		return p
	}
	s := steps(running(), state.Desired{At: t0, Pod: uses(web(), "both", "old"), Objects: objects("both", "1", "old", "1")}, state.EditDue{At: t0})
	s = steps(s, state.Desired{At: t0, Pod: uses(image("new:1"), "both"), Objects: objects("both", "2"), Before: objects("both", "2")})
	if m := s.Objects.ConfigMaps; s.Coming == nil || m["both"].Data["A"] != "2" || m["old"] == nil || m["old"].Data["A"] != "1" {
		t.Fatalf("it waits: %v, with %v", s.Coming != nil, m)
	}
	if s = steps(s, state.EditDue{At: t0}); len(s.Objects.ConfigMaps) != 1 || s.Objects.ConfigMaps["both"].Data["A"] != "2" {
		t.Errorf("it has %v", s.Objects.ConfigMaps)
	}
}

// TestGenerationOnlyGrows: an edit that waits counts in the pod's generation, and however the wait ends that does not go back.
func TestGenerationOnlyGrows(t *testing.T) {
	edit := func(p *v1.Pod) state.Event { return state.Desired{At: t0, Pod: p} }
	for name, test := range map[string]struct {
		events []state.Event
		want   []int64
	}{
		"taken":                    {[]state.Event{edit(image("new:1")), state.EditDue{At: t0}}, []int64{2, 2}},
		"taken back":               {[]state.Event{edit(image("new:1")), edit(web())}, []int64{2, 3}},
		"edited once more":         {[]state.Event{edit(image("new:1")), edit(image("newer:1")), state.EditDue{At: t0}}, []int64{2, 3, 3}},
		"the same again":           {[]state.Event{edit(image("new:1")), edit(image("new:1")), state.EditDue{At: t0}}, []int64{2, 2, 2}},
		"the manifest goes":        {[]state.Event{edit(image("new:1")), edit(nil)}, []int64{2, 2}},
		"taken back, and edited":   {[]state.Event{edit(image("new:1")), edit(web()), edit(image("new:1"))}, []int64{2, 3, 4}},
		"taken back, then applied": {[]state.Event{edit(image("new:1")), edit(web()), edit(image("new:1")), state.EditDue{At: t0}}, []int64{2, 3, 4, 4}},
	} {
		s := running()
		for i, e := range test.events {
			s = steps(s, e)
			if got := status.Of(s, t0).Generation; got != test.want[i] {
				t.Errorf("%s: after event %d the generation is %d, want %d", name, i+1, got, test.want[i])
			}
		}
	}
}
