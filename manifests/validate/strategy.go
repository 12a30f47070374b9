package validate

import (
	"fmt"
	"math"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/rollback"
	"github.com/solopod/solopod/manifests/validate/findings"
)

// Deployment checks how a defaulted Deployment's pods are replaced (Kubernetes, pkg/apis/apps/validation); Replicas checks the rest.
func Deployment(o *appsv1.Deployment) manifests.Problems {
	out := &findings.Collector{}
	s := &o.Spec
	checkRollback(out, o)
	notNegative(out, "spec.minReadySeconds", s.MinReadySeconds)
	checkHistory(out, s.RevisionHistoryLimit)
	notNegative(out, "spec.progressDeadlineSeconds", *s.ProgressDeadlineSeconds)
	if *s.ProgressDeadlineSeconds <= s.MinReadySeconds {
		out.Errorf("spec.progressDeadlineSeconds", "must be greater than minReadySeconds, which is %d", s.MinReadySeconds)
	}
	const at = "spec.strategy"
	findings.OneOf(out, at+".type", s.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType, appsv1.RecreateDeploymentStrategyType)
	r := s.Strategy.RollingUpdate
	if s.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		if r != nil {
			out.Errorf(at+".rollingUpdate", "it has a meaning with type RollingUpdate alone; remove it, or the type")
		}
		return out.Problems
	}
	unavailable := share(out, at+".rollingUpdate.maxUnavailable", r.MaxUnavailable, 100)
	surge := share(out, at+".rollingUpdate.maxSurge", r.MaxSurge, 0)
	if unavailable == 0 && surge == 0 {
		out.Errorf(at+".rollingUpdate.maxUnavailable", "must not be 0 when maxSurge is 0: no pod could be replaced")
	}
	return out.Problems
}

// StatefulSet is Deployment for a StatefulSet.
func StatefulSet(o *appsv1.StatefulSet) manifests.Problems {
	out := &findings.Collector{}
	s := &o.Spec
	checkRollback(out, o)
	notNegative(out, "spec.minReadySeconds", s.MinReadySeconds)
	checkIdentity(out, s)
	findings.OneOf(out, "spec.podManagementPolicy", s.PodManagementPolicy, appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)
	const at = "spec.updateStrategy"
	findings.OneOf(out, at+".type", s.UpdateStrategy.Type, appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType)
	r := s.UpdateStrategy.RollingUpdate
	switch s.UpdateStrategy.Type {
	case appsv1.OnDeleteStatefulSetStrategyType:
		onDelete(out, at, r != nil)
	case appsv1.RollingUpdateStatefulSetStrategyType:
		notNegative(out, at+".rollingUpdate.partition", *r.Partition)
		if share(out, at+".rollingUpdate.maxUnavailable", r.MaxUnavailable, 100) == 0 {
			out.Errorf(at+".rollingUpdate.maxUnavailable", "must not be 0: no pod could be replaced")
		}
	}
	return out.Problems
}

// DaemonSet is Deployment for a DaemonSet.
func DaemonSet(o *appsv1.DaemonSet) manifests.Problems {
	out := &findings.Collector{}
	s := &o.Spec
	checkRollback(out, o)
	notNegative(out, "spec.minReadySeconds", s.MinReadySeconds)
	checkHistory(out, s.RevisionHistoryLimit)
	const at = "spec.updateStrategy"
	findings.OneOf(out, at+".type", s.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType)
	r := s.UpdateStrategy.RollingUpdate
	switch s.UpdateStrategy.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		onDelete(out, at, r != nil)
	case appsv1.RollingUpdateDaemonSetStrategyType:
		unavailable := share(out, at+".rollingUpdate.maxUnavailable", r.MaxUnavailable, 100)
		surge := share(out, at+".rollingUpdate.maxSurge", r.MaxSurge, 100)
		switch {
		case unavailable == 0 && surge == 0:
			out.Errorf(at+".rollingUpdate.maxUnavailable", "must not be 0 when maxSurge is 0: no pod could be replaced")
		case unavailable != 0 && surge != 0:
			out.Errorf(at+".rollingUpdate.maxSurge", "must be 0 when maxUnavailable is not, which is 1 by default; set maxUnavailable: 0")
		}
	}
	return out.Problems
}

// ReplicaSet is Deployment for a ReplicaSet.
func ReplicaSet(o *appsv1.ReplicaSet) manifests.Problems {
	out := &findings.Collector{}
	notNegative(out, "spec.minReadySeconds", o.Spec.MinReadySeconds)
	return out.Problems
}

// checkRollback checks when a version that does not become ready gives way to the one before.
func checkRollback(out *findings.Collector, o metav1.Object) {
	if text, ok := o.GetAnnotations()[rollback.Annotation]; ok {
		if _, err := rollback.Parse(text); err != nil {
			out.Errorf("metadata.annotations."+rollback.Annotation, "%v", err)
		}
	}
}

func checkHistory(out *findings.Collector, limit *int32) {
	if limit != nil {
		notNegative(out, "spec.revisionHistoryLimit", *limit)
	}
}

// checkIdentity checks what gives each pod of a StatefulSet its name and its claims.
func checkIdentity(out *findings.Collector, s *appsv1.StatefulSetSpec) {
	if o := s.Ordinals; o != nil && (o.Start < 0 || o.Start > math.MaxInt32-MaxReplicas) {
		out.Errorf("spec.ordinals.start", "must lie between 0 and %d", math.MaxInt32-MaxReplicas)
	}
	if s.ServiceName != "" {
		out.All("spec.serviceName", s.ServiceName, validation.IsDNS1123Label(s.ServiceName))
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p != nil {
		for name, when := range map[string]appsv1.PersistentVolumeClaimRetentionPolicyType{"whenDeleted": p.WhenDeleted, "whenScaled": p.WhenScaled} {
			findings.OneOf(out, "spec.persistentVolumeClaimRetentionPolicy."+name, when,
				"", appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType)
		}
	}
	for i := range s.VolumeClaimTemplates {
		claim, at := &s.VolumeClaimTemplates[i], fmt.Sprintf("spec.volumeClaimTemplates[%d]", i)
		if claim.Name == "" {
			out.Errorf(at+".metadata.name", "a name is required, by which containers mount it")
		} else {
			out.All(at+".metadata.name", claim.Name, validation.IsDNS1123Label(claim.Name))
		}
		checkClaim(out, at+".spec", &claim.Spec)
	}
}

// onDelete: here nobody deletes a pod by hand, after which it would begin with the new template.
func onDelete(out *findings.Collector, at string, rolling bool) {
	if rolling {
		out.Errorf(at+".rollingUpdate", "it has a meaning with type RollingUpdate alone; remove it, or the type")
	}
	out.Warnf(at+".type", "no pod can be deleted by hand here; after an edit pods are replaced as with RollingUpdate")
}

func notNegative(out *findings.Collector, at string, n int32) {
	if n < 0 {
		out.Errorf(at, "must not be negative")
	}
}

// share checks a number of pods or a percentage, which is at most most unless that is zero. It returns the number, or -1 when it is none.
func share(out *findings.Collector, at string, v *intstr.IntOrString, most int) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, 100, true)
	switch {
	case err != nil:
		out.Errorf(at, "%q is neither a number nor a percentage; write it like 1 or 25%%", v.String())
		return -1
	case n < 0:
		out.Errorf(at, "must not be negative")
	case v.Type == intstr.String && most > 0 && n > most:
		out.Errorf(at, "must not be more than %d%%", most)
	}
	return n
}
