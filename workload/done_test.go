package workload

import (
	"encoding/json"
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

// A Job of many completions runs each of them once, whatever order they end in and wherever the daemon ends in between, and keeps few pods.
func TestManyCompletions(t *testing.T) {
	const want, parallel = 500, 7
	for mode, indexed := range map[string]bool{"indexed": true, "by number": false} {
		j := job(completions(want, parallel), func(s *batchv1.JobSpec) {
			if indexed {
				s.CompletionMode = ptr.To(batchv1.IndexedCompletion)
			}
		})
		revision, runs := manifests.JobRevision(j), map[string]int{}
		var written []byte // what the disk has
		pods := map[string]*v1.Pod{}
		var done *Done
		var d Decision
		for step := 0; d.Outcome == ""; step++ {
			if step > 2*want {
				t.Fatalf("%s: it does not end: %d of %d", mode, d.Succeeded, want)
			}
			list := make([]*v1.Pod, 0, len(pods))
			for _, p := range pods {
				list = append(list, p)
			}
			d = Next(j, revision, done, list, t0)
			if d.Done != nil {
				done = d.Done
				var err error
				if written, err = json.Marshal(done); err != nil || len(written) > 400 {
					t.Fatalf("%s: %s (%v)", mode, written, err)
				}
			}
			if step%5 == 3 && written != nil { // it ends after the write, before the pods go
				done = &Done{}
				if err := json.Unmarshal(written, done); err != nil {
					t.Fatal(err)
				}
				continue
			}
			stay := map[string]*v1.Pod{}
			for _, p := range d.Pods {
				if stay[p.Name] = pods[p.Name]; stay[p.Name] == nil {
					p.Status.Phase = v1.PodRunning
					stay[p.Name] = p
					_, _, index, _ := manifests.JobOfPod(p)
					runs[index+"/"+p.Name]++
				}
			}
			if len(stay) > mostSucceeded+parallel {
				t.Fatalf("%s: %d pods are kept", mode, len(stay))
			}
			pods = stay
			ends := step % parallel // one ends in each step, not always the oldest
			for _, p := range d.Pods {
				if stay[p.Name].Status.Phase == v1.PodRunning {
					if ends--; ends < 0 {
						stay[p.Name].Status.Phase = v1.PodSucceeded
						break
					}
				}
			}
		}
		if d.Outcome != Complete || d.Succeeded != want || len(runs) != want {
			t.Errorf("%s: %s with %d of %d, in %d runs", mode, d.Outcome, d.Succeeded, want, len(runs))
		}
		indexes := map[string]bool{}
		for run, n := range runs {
			var index int
			if indexed {
				if _, err := fmt.Sscanf(run, "%d/", &index); err != nil || index >= want {
					t.Errorf("%s ran", run)
				}
				indexes[fmt.Sprint(index)] = true
			}
			if n != 1 {
				t.Errorf("%s: %s ran %d times", mode, run, n)
			}
		}
		if indexed && len(indexes) != want {
			t.Errorf("%d indexes ran", len(indexes))
		}
		if over := Over(j, revision, done, nil, Complete, t0); over.Succeeded != want-mostSucceeded {
			t.Errorf("%s: of the pods that are gone %d are known", mode, over.Succeeded)
		}
		edited := job(completions(1, 1), func(s *batchv1.JobSpec) { s.Template.Spec.Containers[0].Image = "other" })
		if got := text(Next(edited, manifests.JobRevision(edited), done, nil, t0)); got != "j-0" {
			t.Errorf("%s: what another version has done counts: %s", mode, got)
		}
	}
}
