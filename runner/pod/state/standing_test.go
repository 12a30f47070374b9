package state

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

func example() *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{}},
		Spec: v1.PodSpec{
			InitContainers: []v1.Container{{Name: "first", Image: "first:1"}, {Name: "car", Image: "car:1", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}},
			Containers:     []v1.Container{{Name: "main", Image: "main:1", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceMemory: resource.MustParse("1Mi")}}}},
		},
	}
}

// Which edits make something begin anew.
func TestReplaces(t *testing.T) {
	owned := func(owner string) func(*v1.Pod) {
		return func(p *v1.Pod) { p.Annotations[manifests.OwnerAnnotation] = owner }
	}
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		want bool
	}{
		"nothing":        {func(*v1.Pod) {}, false},
		"a label":        {func(p *v1.Pod) { p.Labels = map[string]string{"app": "other"} }, false},
		"an annotation":  {func(p *v1.Pod) { p.Annotations["note"] = "x" }, false},
		"a grace period": {func(p *v1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To[int64](3) }, false},
		"resources that can change in place": {func(p *v1.Pod) {
			p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceMemory: resource.MustParse("2Mi")}
		}, false},
		"restarts on changes": {func(p *v1.Pod) { p.Annotations[manifests.RestartOnChangeAnnotation] = manifests.RestartOnAnyChange }, true},
		"an image":            {func(p *v1.Pod) { p.Spec.Containers[0].Image = "main:2" }, true},
		"a variable":          {func(p *v1.Pod) { p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A"}} }, true},
		"a sidecar":           {func(p *v1.Pod) { p.Spec.InitContainers[1].Image = "car:2" }, true},
		"an init container":   {func(p *v1.Pod) { p.Spec.InitContainers[0].Image = "first:2" }, true},
		"another container":   {func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "more"}) }, true},
		"one less":            {func(p *v1.Pod) { p.Spec.InitContainers = p.Spec.InitContainers[:1] }, true},
		"a volume":            {func(p *v1.Pod) { p.Spec.Volumes = []v1.Volume{{Name: "v"}} }, true},
		"the host's network":  {func(p *v1.Pod) { p.Spec.HostNetwork = true }, true},
	} {
		to := example()
		c.edit(to)
		if got := Replaces(example(), to); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for name, c := range map[string]struct {
		from, to string // owners
		key      string
		want     bool
	}{
		"an annotation of a Deployment":                {"deployment/web", "deployment/web", "checksum/config", true},
		"one of Solopod's own":                         {"deployment/web", "deployment/web", manifests.SurgeAnnotation, false},
		"one of a Job":                                 {"job/web", "job/web", "checksum/config", false},
		"one of a pod that was another object's":       {"statefulset/web", "deployment/web", "checksum/config", false},
		"one of a pod that becomes a Deployment's own": {"", "deployment/web", "checksum/config", false},
	} {
		from, to := example(), example()
		owned(c.from)(from)
		owned(c.to)(to)
		to.Annotations[c.key] = "x"
		if got := Replaces(from, to); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// A pod stands as its manifest says when all that runs was made of it, and that is known.
func TestStanding(t *testing.T) {
	for name, c := range map[string]struct {
		change           func(*State)
		current, unclear bool
	}{
		"up":                     {func(*State) {}, true, false},
		"another shared part":    {func(s *State) { s.SharedRevision = "other" }, false, false},
		"a container to replace": {func(s *State) { s.Containers["main"].Revision = "other" }, false, false},
		"a sidecar to replace":   {func(s *State) { s.Containers["car"].Revision = "other" }, false, false},
		"a container to begin":   {func(s *State) { delete(s.Containers, "main") }, false, false},
		"not listed":             {func(s *State) { s.Adoption.Containers = true }, true, true},
		"not found":              {func(s *State) { s.Adoption.Sandbox = true }, true, true},
	} {
		s := New(Host{}, 0, example(), true)
		s.Revisions = s.Revise()
		s.SharedRevision = s.Revisions.Shared
		s.Containers = map[string]*Container{}
		for _, of := range []string{"car", "main"} {
			s.Containers[of] = &Container{Revision: s.Revisions.Containers[of]}
		}
		c.change(&s)
		got := s.Standing(s.Pod)
		if got.Current != c.current || got.Unclear != c.unclear || got.Pod != s.Pod || got.Manifest != ManifestRevision(example()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
