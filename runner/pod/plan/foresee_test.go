package plan_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// TestForesee: what is done for an edit that waits, and when it is taken.
func TestForesee(t *testing.T) {
	newer := func(change func(p *v1.Pod)) *v1.Pod {
		return pod(func(p *v1.Pod) {
			p.Spec.Containers[0].Image = "new:1"
			if change != nil {
				change(p)
			}
		})
	}
	never := newer(func(p *v1.Pod) { p.Spec.Containers[0].ImagePullPolicy = v1.PullNever })
	configured := newer(func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "cfg"}}}}}
	})
	edit := func(p *v1.Pod) *scene { return up(pod(nil)).started("main").happens(state.Desired{At: start, Pod: p}) }
	failed := state.Problem{Reason: "Failed", Message: "no"}
	lacks := state.Foreseen{Missing: []state.Lack{{Ref: "new:1"}}}
	taken := func(s *scene) *scene { return s.follow().ends(state.ThingEdit, state.Foreseen{Problem: failed}) }
	for name, test := range map[string]struct {
		scene *scene
		want  string
	}{
		"it is looked for":                      {edit(newer(nil)), "Foresee"},
		"an image is missing":                   {edit(newer(nil)).follow().ends(state.ThingEdit, lacks), "Pull new:1"},
		"the pull failed":                       {edit(newer(nil)).follow().ends(state.ThingEdit, lacks).follow().ends("image/new:1", state.ImagePulled{Problem: failed}), "wake 5s"},
		"the image came":                        {edit(newer(nil)).follow().ends(state.ThingEdit, lacks).follow().ends("image/new:1", state.ImagePulled{}), "Foresee"},
		"it may not be pulled":                  {edit(never).follow().ends(state.ThingEdit, lacks), "wake 10s"},
		"it may not be pulled, some time later": {edit(never).follow().ends(state.ThingEdit, lacks).later(10 * time.Second), "Foresee"},
		"another pod has what it wants":         {taken(edit(newer(nil))), "wake 10s"},
		"that was given back":                   {taken(edit(newer(nil))).happens(state.ClaimsFree{}), "Foresee"},
		"a ConfigMap is missing":                {edit(configured), "decide EditLacks"},
		"that was told":                         {edit(configured).follow(), ""},
		"the ConfigMap came": {edit(configured).follow().happens(state.Desired{At: start, Pod: configured, Objects: reference.Objects{
			ConfigMaps: map[string]*v1.ConfigMap{"cfg": {}},
		}}), "Foresee"},
		"all is there":              {edit(newer(nil)).follow().ends(state.ThingEdit, state.Foreseen{}), "decide EditDue"},
		"it was taken":              {edit(newer(nil)).follow().ends(state.ThingEdit, state.Foreseen{}).happens(state.EditDue{At: start}), "decide StopBegun"},
		"it was edited back":        {edit(newer(nil)).follow().ends(state.ThingEdit, lacks).happens(state.Desired{At: start, Pod: pod(nil)}), ""},
		"edited while it is looked": {edit(newer(nil)).follow().happens(state.Desired{At: start, Pod: never}), "cancel edit, wake 40s"},
		"the old version ends anew": {edit(never).follow().ends(state.ThingEdit, lacks).exits("main", 1), "Drain main, Create main#1, wake 10s"},
		"the machine goes down":     {edit(newer(nil)).happens(state.Drained{StopBy: start.Add(time.Minute)}), "decide StopBegun"},
		"the pod failed":            {edit(newer(nil)).happens(state.PodFailed{Reason: "DeadlineExceeded"}), "decide StopBegun, decide EditDue"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(plan.Plan(test.scene.s, test.scene.now)); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}
