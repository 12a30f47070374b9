package rollout

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

// Percentages are rounded as Kubernetes does.
func TestStrategy(t *testing.T) {
	deployment := func(n int32, surge, unavailable string) Strategy {
		o := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &n}}
		if surge != "" {
			o.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.Parse(surge)), MaxUnavailable: ptr.To(intstr.Parse(unavailable))}
		}
		manifests.SetDeploymentDefaults(o)
		return OfDeployment(o, "")
	}
	set := func(n, first, partition int32, unavailable string) Strategy {
		o := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &n, Ordinals: &appsv1.StatefulSetOrdinals{Start: first}}}
		o.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition, MaxUnavailable: ptr.To(intstr.Parse(unavailable))}
		manifests.SetStatefulSetDefaults(o)
		return OfStatefulSet(o)
	}
	daemons := func(surge, unavailable string) Strategy {
		o := &appsv1.DaemonSet{}
		o.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxSurge: ptr.To(intstr.Parse(surge)), MaxUnavailable: ptr.To(intstr.Parse(unavailable))}
		manifests.SetDaemonSetDefaults(o)
		return OfDaemonSet(o, "")
	}
	replicaSet := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](7)}}
	for name, c := range map[string]struct {
		is   Strategy
		want string // surge, unavailable, partition
	}{
		"one pod":                       {deployment(1, "", ""), "1 0 0"},
		"three pods":                    {deployment(3, "", ""), "1 0 0"},
		"four pods":                     {deployment(4, "", ""), "1 1 0"},
		"ten pods":                      {deployment(10, "", ""), "3 2 0"},
		"none":                          {deployment(0, "", ""), "0 1 0"},
		"numbers":                       {deployment(3, "2", "1"), "2 1 0"},
		"what comes to nothing":         {deployment(1, "0", "50%"), "0 1 0"},
		"a stateful set":                {set(3, 0, 0, "1"), "0 1 0"},
		"a stateful set's percentage":   {set(5, 0, 2, "50%"), "0 3 2"},
		"a partition is an ordinal":     {set(5, 10, 12, "1"), "0 1 2"},
		"a partition before the first":  {set(5, 10, 3, "1"), "0 1 0"},
		"a daemon set":                  {daemons("0", "1"), "0 1 0"},
		"a daemon set with surge":       {daemons("10%", "0"), "1 0 0"},
		"a replica set's are all alike": {OfReplicaSet(replicaSet), "0 7 0"},
	} {
		if got := fmt.Sprint(c.is.Surge, c.is.Unavailable, c.is.Partition); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	recreate := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{MinReadySeconds: 3, Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}}}
	manifests.SetDeploymentDefaults(recreate)
	if s := OfDeployment(recreate, ""); !s.Recreate || s.MinReady != 3*time.Second || s.Deadline != 10*time.Minute {
		t.Errorf("%+v", s)
	}
	single := &appsv1.Deployment{}
	manifests.SetDeploymentDefaults(single)
	if s := OfDeployment(single, "they have the host's port 80"); s.Surge != 0 || s.Unavailable != 1 || s.Begins(1) != "pods to replace: 1; meanwhile there are at most 0 more than there should be, and 1 less; none begins beside them: they have the host's port 80" {
		t.Errorf("%+v %s", s, s.Begins(1))
	}
}

// What a pod has that two cannot have at the same time.
func TestAlone(t *testing.T) {
	claimed := func(readOnly bool) *v1.Pod {
		return &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data", ReadOnly: readOnly},
		}}}}}
	}
	with := func(c v1.Container) *v1.Pod { return &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{c}}} }
	limits := func(name v1.ResourceName) *v1.Pod {
		return with(v1.Container{Resources: v1.ResourceRequirements{Limits: v1.ResourceList{name: resource.MustParse("1")}}})
	}
	const writes = "they write to the claim data"
	for name, c := range map[string]struct {
		pod  *v1.Pod
		n    int
		mode v1.PersistentVolumeAccessMode
		want string
	}{
		"nothing":                  {with(v1.Container{Ports: []v1.ContainerPort{{ContainerPort: 80}}}), 1, "", ""},
		"the host's network":       {&v1.Pod{Spec: v1.PodSpec{HostNetwork: true}}, 1, "", "they have the host's network"},
		"a port of the host":       {with(v1.Container{Ports: []v1.ContainerPort{{HostPort: 80}}}), 1, "", "they have the host's port 80"},
		"memory":                   {limits(v1.ResourceMemory), 1, "", ""},
		"a device":                 {limits("vendor.example/gpu"), 1, "", "they have devices of vendor.example/gpu"},
		"a claim":                  {claimed(false), 1, v1.ReadWriteOnce, writes},
		"a claim of no manifest":   {claimed(false), 1, "", writes},
		"a claim that is read":     {claimed(true), 1, v1.ReadWriteOnce, ""},
		"a claim for many":         {claimed(false), 1, v1.ReadWriteMany, ""},
		"a claim that many have":   {claimed(false), 2, v1.ReadWriteOnce, ""},
		"a claim for a single one": {claimed(false), 2, v1.ReadWriteOncePod, writes},
	} {
		claim := func(string) *v1.PersistentVolumeClaim {
			if c.mode == "" {
				return nil
			}
			return &v1.PersistentVolumeClaim{Spec: v1.PersistentVolumeClaimSpec{AccessModes: []v1.PersistentVolumeAccessMode{c.mode}}}
		}
		if got := Alone(c.pod, c.n, claim); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
