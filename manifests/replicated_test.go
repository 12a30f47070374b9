package manifests

import (
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of two files with the same Deployment the first has it with all of its pods, also where the other one has more of them.
func TestOneDeployment(t *testing.T) {
	web := func(pods ...string) Contents {
		meta := metav1.ObjectMeta{Namespace: "default", Name: "web"}
		c := Contents{Deployments: []*appsv1.Deployment{{ObjectMeta: meta}}}
		for _, name := range pods {
			c.Pods = append(c.Pods, PodOf(&v1.PodTemplateSpec{}, &meta, "Deployment", name))
			c.Pods[len(c.Pods)-1].UID = DeriveUID("default", name)
		}
		return c
	}
	now := time.Unix(1e9, 0)
	s := NewSet(nil)
	s.Put("a", web("web-0"), nil, now)
	s.Put("b", web("web-0", "web-1"), nil, now)
	snapshot := s.Snapshot(now)
	const want = "a Active default/web-0; b Conflict  (b: metadata.name: deployment/default/web is already defined by a, which comes first by name; remove or rename one of them)"
	if got := describe(snapshot); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(snapshot.Pods) != 1 || len(snapshot.Deployments) != 1 || !slices.Equal(snapshot.Files[0].Objects, []string{"deployment/default/web"}) {
		t.Errorf("%d pods, %d deployments, %s", len(snapshot.Pods), len(snapshot.Deployments), snapshot.Files[0].Objects)
	}
	s.Drop("a")
	after := s.Snapshot(now)
	if got := describe(after); got != "b Active default/web-0,default/web-1" {
		t.Errorf("without the first one: %s", got)
	}
	changes := Changes(&snapshot, &after)
	if got := changes["b"].Added; !slices.Equal(got, []string{"default/web-0", "default/web-1", "deployment/default/web"}) {
		t.Errorf("what is told of it: %s", got)
	}
}

// After a start only the pods of a Deployment are known, as far as they have come: the file's Deployment is none that was added, and a pod
// that was there beside the others none that was removed.
func TestKnownDeployment(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "default", Name: "web"}
	made := func(name string) *v1.Pod {
		p := PodOf(&v1.PodTemplateSpec{}, &meta, "Deployment", name)
		p.UID = DeriveUID("default", name)
		return p
	}
	surge := made("web-1")
	surge.Annotations[SurgeAnnotation] = "true"
	s := NewSet([]Desired{{made("web-0"), "a"}, {surge, "a"}})
	now := time.Unix(1e9, 0)
	before := s.Snapshot(now)
	s.Put("a", Contents{Deployments: []*appsv1.Deployment{{ObjectMeta: meta}}, Pods: []*v1.Pod{made("web-0")}}, nil, now)
	after := s.Snapshot(now)
	if c := Changes(&before, &after); len(c) > 0 {
		t.Errorf("at the start: %+v", c)
	}
	s.Drop("a")
	gone := s.Snapshot(now)
	for when, was := range map[string]*Snapshot{"at the start": &before, "later": &after} {
		c := Changes(was, &gone)["a"]
		if !slices.Equal(c.Removed, []string{"default/web-0", "deployment/default/web"}) {
			t.Errorf("without the file, %s: %+v", when, c)
		}
	}
}
