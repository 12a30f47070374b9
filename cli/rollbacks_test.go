package cli

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/rollback"
	"github.com/solopod/solopod/workload/history"
)

// Images of a version to go back to are used, so that they stay.
func TestVersionsUseImages(t *testing.T) {
	pod := func(image string) *v1.Pod {
		p := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: image}}}}
		p.Namespace, p.Name, p.UID = "default", "web", "u"
		p.Annotations = map[string]string{rollback.Annotation: "5m"}
		return p
	}
	h := history.New(t.TempDir()+"/revisions.json", history.Settings{}, func(string, string, string, string, string, string) {})
	defer h.Close()
	for _, image := range []string{"good:1", "new:1"} {
		h.Apply(&manifests.Snapshot{Pods: map[string]manifests.Desired{"u": {Pod: pod(image)}}}, false, time.Now())
		if image == "good:1" {
			h.Proven("Pod/default/web")
		}
	}
	got := h.Images()["Pod/default/web"]
	if slices.Sort(got); !slices.Equal(got, []string{"good:1", "new:1"}) {
		t.Errorf("used are %v", got)
	}
}
