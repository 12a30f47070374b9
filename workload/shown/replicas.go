package shown

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

// Counts are of the pods of an object that has replicas.
type Counts struct {
	// Desired is how many there should be, Current how many exist and are not told to go; Ready, Updated and Available are how many of all,
	// with those beside the replicas, are ready, have the manifest's version, and are available.
	Desired, Current, Ready, Updated, Available int
}

// Replicas is what is known of an object that has replicas.
type Replicas struct {
	Counts
	// Enough: as many are available as the strategy wants at least, since or not since EnoughAt.
	Enough   bool
	EnoughAt time.Time
	// Done: all pods had the manifest's version and were available. Late: that takes longer than it may. Changed is when the rollout went
	// ahead last.
	Done, Late bool
	Changed    time.Time
	// Message says what is waited for.
	Message string
}

// defaulted is a template with the defaults of its pods, which are filled in when these are made.
func defaulted(t v1.PodTemplateSpec) v1.PodTemplateSpec {
	pod := &v1.Pod{Spec: *t.Spec.DeepCopy()}
	manifests.SetDefaults(pod)
	t.Spec = pod.Spec
	return t
}

func (m *maker) deployment(key string, _ *appsv1.Deployment) (any, func(*appsv1.Deployment)) {
	r, paused := m.Replicas[key], m.Notes[key].Paused
	return r, func(o *appsv1.Deployment) {
		o.Spec.Paused = paused
		o.Spec.Template = defaulted(o.Spec.Template)
		o.Status = appsv1.DeploymentStatus{
			ObservedGeneration: o.Generation, Replicas: int32(r.Current), UpdatedReplicas: int32(r.Updated), ReadyReplicas: int32(r.Ready),
			AvailableReplicas: int32(r.Available), UnavailableReplicas: int32(max(max(r.Desired, r.Current)-r.Available, 0)),
			Conditions: []appsv1.DeploymentCondition{r.availability(), r.progressing()},
		}
		if c := &o.Status.Conditions[1]; paused && !r.Done {
			c.Status, c.Reason, c.Message = v1.ConditionUnknown, "DeploymentPaused", "the rollout is paused"
		}
	}
}

// The conditions' reasons are the Deployment controller's (Kubernetes, pkg/controller/deployment/util).
func (r *Replicas) availability() appsv1.DeploymentCondition {
	c := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentAvailable, Status: v1.ConditionTrue, Reason: "MinimumReplicasAvailable", Message: "enough pods are available",
		LastUpdateTime: metav1.NewTime(r.EnoughAt), LastTransitionTime: metav1.NewTime(r.EnoughAt),
	}
	if !r.Enough {
		c.Status, c.Reason, c.Message = v1.ConditionFalse, "MinimumReplicasUnavailable", "fewer pods are available than the strategy allows"
	}
	return c
}

func (r *Replicas) progressing() appsv1.DeploymentCondition {
	c := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: v1.ConditionTrue, Reason: "ReplicaSetUpdated", Message: r.Message,
		LastUpdateTime: metav1.NewTime(r.Changed), LastTransitionTime: metav1.NewTime(r.Changed),
	}
	switch {
	case r.Done:
		c.Reason, c.Message = "NewReplicaSetAvailable", "all pods have the new version and were available"
	case r.Late:
		c.Status, c.Reason = v1.ConditionFalse, "ProgressDeadlineExceeded"
	}
	return c
}

func (m *maker) replicaSet(key string, _ *appsv1.ReplicaSet) (any, func(*appsv1.ReplicaSet)) {
	r := m.Replicas[key]
	return r.Counts, func(o *appsv1.ReplicaSet) {
		o.Spec.Template = defaulted(o.Spec.Template)
		o.Status = appsv1.ReplicaSetStatus{
			ObservedGeneration: o.Generation, Replicas: int32(r.Current), FullyLabeledReplicas: int32(r.Current), ReadyReplicas: int32(r.Ready),
			AvailableReplicas: int32(r.Available),
		}
	}
}

func (m *maker) statefulSet(key string, _ *appsv1.StatefulSet) (any, func(*appsv1.StatefulSet)) {
	r, s := m.Replicas[key], m.Seen[key]
	return r.Counts, func(o *appsv1.StatefulSet) {
		o.Spec.Template = defaulted(o.Spec.Template)
		o.Spec.VolumeClaimTemplates = slices.Clone(o.Spec.VolumeClaimTemplates)
		for i := range o.Spec.VolumeClaimTemplates {
			c := &o.Spec.VolumeClaimTemplates[i]
			c.Spec.VolumeMode = volumeMode(c)
			c.Status.Phase = v1.ClaimPending
		}
		o.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: o.Generation, Replicas: int32(r.Current), ReadyReplicas: int32(r.Ready), UpdatedReplicas: int32(r.Updated),
			AvailableReplicas: int32(r.Available), CurrentReplicas: int32(r.Current), CollisionCount: ptr.To[int32](0),
			CurrentRevision: o.Name + "-" + s.Current, UpdateRevision: o.Name + "-" + s.Template,
		}
		if s.Current != s.Template {
			o.Status.CurrentReplicas = int32(max(r.Current-r.Updated, 0))
		}
	}
}

// daemonSet: there is one machine, and the pod fits it.
func (m *maker) daemonSet(key string, _ *appsv1.DaemonSet) (any, func(*appsv1.DaemonSet)) {
	r := m.Replicas[key]
	return r.Counts, func(o *appsv1.DaemonSet) {
		o.Spec.Template = defaulted(o.Spec.Template)
		one := func(n int) int32 { return int32(min(n, 1)) } // a surge pod is on the same machine
		o.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: o.Generation, DesiredNumberScheduled: int32(r.Desired), CurrentNumberScheduled: one(r.Current), NumberReady: one(r.Ready),
			UpdatedNumberScheduled: one(r.Updated), NumberAvailable: one(r.Available), NumberUnavailable: int32(r.Desired) - one(r.Available),
		}
	}
}
