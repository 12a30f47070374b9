package manifests

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// SetDeploymentDefaults fills in what the API server would (Kubernetes, pkg/apis/apps/v1/defaults.go). The pods' own are filled in when
// they are made.
func SetDeploymentDefaults(o *appsv1.Deployment) {
	SetNamespace(o)
	s := &o.Spec
	setDefaultPtr(&s.Replicas, 1)
	setDefaultPtr(&s.RevisionHistoryLimit, 10)
	setDefaultPtr(&s.ProgressDeadlineSeconds, 600)
	setDefault(&s.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		return
	}
	if s.Strategy.RollingUpdate == nil {
		s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
	}
	setDefaultPtr(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
	setDefaultPtr(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
}

// SetReplicaSetDefaults is SetDeploymentDefaults for a ReplicaSet.
func SetReplicaSetDefaults(o *appsv1.ReplicaSet) {
	SetNamespace(o)
	setDefaultPtr(&o.Spec.Replicas, 1)
}

// SetStatefulSetDefaults is SetDeploymentDefaults for a StatefulSet.
func SetStatefulSetDefaults(o *appsv1.StatefulSet) {
	SetNamespace(o)
	s := &o.Spec
	setDefaultPtr(&s.Replicas, 1)
	setDefaultPtr(&s.RevisionHistoryLimit, 10)
	setDefault(&s.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	setDefault(&s.UpdateStrategy.Type, appsv1.RollingUpdateStatefulSetStrategyType)
	if s.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return
	}
	if s.UpdateStrategy.RollingUpdate == nil {
		s.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
	}
	setDefaultPtr(&s.UpdateStrategy.RollingUpdate.Partition, 0)
	setDefaultPtr(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
}

// SetDaemonSetDefaults is SetDeploymentDefaults for a DaemonSet.
func SetDaemonSetDefaults(o *appsv1.DaemonSet) {
	SetNamespace(o)
	s := &o.Spec
	setDefaultPtr(&s.RevisionHistoryLimit, 10)
	setDefault(&s.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if s.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		return
	}
	if s.UpdateStrategy.RollingUpdate == nil {
		s.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
	}
	setDefaultPtr(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	setDefaultPtr(&s.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
}
