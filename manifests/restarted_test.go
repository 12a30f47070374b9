package manifests

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// That pods were asked to begin anew is no edit of a file, however they are found at a start; other edits are.
func TestRestartIsNoEdit(t *testing.T) {
	pod := func(owner, restarted, note string) *v1.Pod {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Annotations: map[string]string{"note": note}}}
		for key, value := range map[string]string{OwnerAnnotation: owner, RestartedAnnotation: restarted} {
			if value != "" {
				p.Annotations[key] = value
			}
		}
		return p
	}
	const web, first, second = "deployment/web", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	for name, c := range map[string]struct {
		before, after *v1.Pod
		same          bool
	}{
		"asked for":             {pod(web, first, "a"), pod(web, "", "a"), true},
		"and edited":            {pod(web, first, "a"), pod(web, "", "b"), false},
		"given by the file":     {pod(web, "", "a"), pod(web, first, "a"), false},
		"asked for, then given": {pod(web, first, "a"), pod(web, second, "a"), true},
		"a pod of its own":      {pod("", first, "a"), pod("", "", "a"), false},
		"nothing of the kind":   {pod(web, "", "a"), pod(web, "", "a"), true},
		"nothing, and an edit":  {pod(web, "", "a"), pod(web, "", "b"), false},
	} {
		if got := same(c.after, unasked(c.before, c.after)); got != c.same {
			t.Errorf("%s: the same is %v", name, got)
		}
	}
}
