package cli

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A container that has ended is found by its ID, as long as the pod's status has it; of those before that the limit is known, where the pod
// has one container only.
func TestFormer(t *testing.T) {
	began := metav1.NewTime(time.Unix(7, 0))
	ended := func(id string) v1.ContainerState {
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ContainerID: "containerd://" + id, StartedAt: began}}
	}
	limited := v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("16Mi")}}
	for name, c := range map[string]struct {
		status    v1.ContainerStatus
		others    int
		id        string
		container string
		attempt   int
		limit     int64
		only      bool
	}{
		"the last attempt":               {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://new", LastTerminationState: ended("old")}, 0, "old", "main", 2, 16 << 20, true},
		"the last attempt, of several":   {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://new", LastTerminationState: ended("old")}, 1, "old", "main", 2, 16 << 20, false},
		"no other has followed yet":      {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://old", LastTerminationState: ended("old")}, 0, "old", "main", 3, 16 << 20, true},
		"no other will follow":           {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://old", State: ended("old")}, 0, "old", "main", 3, 16 << 20, true},
		"an earlier attempt":             {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://new", LastTerminationState: ended("old")}, 0, "first", "", 0, 16 << 20, true},
		"an earlier one, of several":     {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://new", LastTerminationState: ended("old")}, 1, "first", "", 0, 16 << 20, false},
		"one whose ID ends as that does": {v1.ContainerStatus{RestartCount: 3, ContainerID: "containerd://new", LastTerminationState: ended("bold")}, 0, "old", "", 0, 16 << 20, true},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u", Namespace: "default", Name: "web"}}
		p.Spec.Containers = []v1.Container{{Name: "main", Resources: limited}}
		for range c.others {
			p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "other"})
		}
		c.status.Name = "main"
		p.Status.ContainerStatuses = []v1.ContainerStatus{c.status}
		got := formerOf(p, c.id)
		if got.Container != c.container || got.Attempt != c.attempt || got.Limit != c.limit || got.Only != c.only || got.ID != c.id || got.Pod.Name != "web" {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Container != "" && !got.Started.Equal(began.Time) {
			t.Errorf("%s: it began at %s", name, got.Started)
		}
	}
}
