package objects

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/monitor/exposition"
)

// Names and labels are kube-state-metrics' (docs/metrics/workload).
var deploymentFamilies = []exposition.Row[appsv1.Deployment]{
	created[appsv1.Deployment]("kube_deployment"),
	deleted[appsv1.Deployment]("kube_deployment"),
	generation[appsv1.Deployment]("kube_deployment"),
	integer("kube_deployment_spec_replicas", "How many pods of the Deployment are wanted", func(d *appsv1.Deployment) *int32 { return d.Spec.Replicas }),
	number("kube_deployment_spec_paused", "Whether the Deployment is paused", func(d *appsv1.Deployment) float64 { return oneIf(d.Spec.Paused) }),
	rolling("kube_deployment_spec_strategy_rollingupdate_max_unavailable", "How many pods may be missing while the Deployment's are replaced",
		func(r *appsv1.RollingUpdateDeployment) *intstr.IntOrString { return r.MaxUnavailable }, false),
	rolling("kube_deployment_spec_strategy_rollingupdate_max_surge", "How many pods more there may be while the Deployment's are replaced",
		func(r *appsv1.RollingUpdateDeployment) *intstr.IntOrString { return r.MaxSurge }, true),
	number("kube_deployment_status_replicas", "How many pods the Deployment has", func(d *appsv1.Deployment) float64 { return float64(d.Status.Replicas) }),
	number("kube_deployment_status_replicas_ready", "How many pods of the Deployment are ready", func(d *appsv1.Deployment) float64 { return float64(d.Status.ReadyReplicas) }),
	number("kube_deployment_status_replicas_available", "How many pods of the Deployment are available", func(d *appsv1.Deployment) float64 { return float64(d.Status.AvailableReplicas) }),
	number("kube_deployment_status_replicas_unavailable", "How many pods of the Deployment are not available", func(d *appsv1.Deployment) float64 { return float64(d.Status.UnavailableReplicas) }),
	number("kube_deployment_status_replicas_updated", "How many pods of the Deployment are of its present version", func(d *appsv1.Deployment) float64 { return float64(d.Status.UpdatedReplicas) }),
	number("kube_deployment_status_observed_generation", "Which version of the Deployment is taken up", func(d *appsv1.Deployment) float64 { return float64(d.Status.ObservedGeneration) }),
	several("kube_deployment_status_condition", "The Deployment's conditions", []string{"reason", "condition", "status"}, func(d *appsv1.Deployment, to *exposition.Samples) {
		for _, c := range d.Status.Conditions {
			addStatus(to, c.Status, c.Reason, string(c.Type))
		}
	}),
}

// rolling is the family of a number of pods, or a share of all, in a Deployment's strategy.
func rolling(name, help string, of func(*appsv1.RollingUpdateDeployment) *intstr.IntOrString, up bool) exposition.Row[appsv1.Deployment] {
	return several(name, help, nil, func(d *appsv1.Deployment, to *exposition.Samples) {
		if d.Spec.Strategy.RollingUpdate == nil || d.Spec.Replicas == nil {
			return
		}
		if n, err := intstr.GetScaledValueFromIntOrPercent(of(d.Spec.Strategy.RollingUpdate), int(*d.Spec.Replicas), up); err == nil {
			to.Add(float64(n))
		}
	})
}

var replicaSetFamilies = []exposition.Row[appsv1.ReplicaSet]{
	created[appsv1.ReplicaSet]("kube_replicaset"),
	owners("kube_replicaset", ownersOf[appsv1.ReplicaSet]),
	generation[appsv1.ReplicaSet]("kube_replicaset"),
	integer("kube_replicaset_spec_replicas", "How many pods of the ReplicaSet are wanted", func(r *appsv1.ReplicaSet) *int32 { return r.Spec.Replicas }),
	number("kube_replicaset_status_replicas", "How many pods the ReplicaSet has", func(r *appsv1.ReplicaSet) float64 { return float64(r.Status.Replicas) }),
	number("kube_replicaset_status_fully_labeled_replicas", "How many pods of the ReplicaSet have all labels of its template", func(r *appsv1.ReplicaSet) float64 { return float64(r.Status.FullyLabeledReplicas) }),
	number("kube_replicaset_status_ready_replicas", "How many pods of the ReplicaSet are ready", func(r *appsv1.ReplicaSet) float64 { return float64(r.Status.ReadyReplicas) }),
	number("kube_replicaset_status_observed_generation", "Which version of the ReplicaSet is taken up", func(r *appsv1.ReplicaSet) float64 { return float64(r.Status.ObservedGeneration) }),
}

// replicaSets are the manifests' own, and one for each Deployment, of its name: here none stands between a Deployment and its pods, but
// the rules of others look for one that the Deployment owns.
func replicaSets(w *Workloads) []*appsv1.ReplicaSet {
	out := slices.Clone(w.ReplicaSets)
	taken := map[string]bool{}
	for _, r := range out {
		taken[r.Namespace+"/"+r.Name] = true
	}
	for _, d := range w.Deployments {
		if taken[d.Namespace+"/"+d.Name] {
			continue
		}
		out = append(out, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Name: d.Name, Namespace: d.Namespace, Labels: d.Labels, CreationTimestamp: d.CreationTimestamp, Generation: d.Generation,
				OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Name: d.Name, Controller: ptr.To(true)}},
			},
			Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas},
			Status: appsv1.ReplicaSetStatus{
				Replicas: d.Status.Replicas, FullyLabeledReplicas: d.Status.Replicas, ReadyReplicas: d.Status.ReadyReplicas, ObservedGeneration: d.Status.ObservedGeneration,
			},
		})
	}
	return out
}

var statefulSetFamilies = []exposition.Row[appsv1.StatefulSet]{
	created[appsv1.StatefulSet]("kube_statefulset"),
	deleted[appsv1.StatefulSet]("kube_statefulset"),
	generation[appsv1.StatefulSet]("kube_statefulset"),
	integer("kube_statefulset_replicas", "How many pods of the StatefulSet are wanted", func(s *appsv1.StatefulSet) *int32 { return s.Spec.Replicas }),
	integer("kube_statefulset_ordinals_start", "The number of the StatefulSet's first pod", func(s *appsv1.StatefulSet) *int32 {
		if s.Spec.Ordinals != nil {
			return &s.Spec.Ordinals.Start
		}
		return nil
	}),
	number("kube_statefulset_status_replicas", "How many pods the StatefulSet has", func(s *appsv1.StatefulSet) float64 { return float64(s.Status.Replicas) }),
	number("kube_statefulset_status_replicas_ready", "How many pods of the StatefulSet are ready", func(s *appsv1.StatefulSet) float64 { return float64(s.Status.ReadyReplicas) }),
	number("kube_statefulset_status_replicas_available", "How many pods of the StatefulSet are available", func(s *appsv1.StatefulSet) float64 { return float64(s.Status.AvailableReplicas) }),
	number("kube_statefulset_status_replicas_current", "How many pods of the StatefulSet are of the version before the update", func(s *appsv1.StatefulSet) float64 { return float64(s.Status.CurrentReplicas) }),
	number("kube_statefulset_status_replicas_updated", "How many pods of the StatefulSet are of its present version", func(s *appsv1.StatefulSet) float64 { return float64(s.Status.UpdatedReplicas) }),
	number("kube_statefulset_status_observed_generation", "Which version of the StatefulSet is taken up", func(s *appsv1.StatefulSet) float64 { return float64(s.Status.ObservedGeneration) }),
	several("kube_statefulset_status_current_revision", "The revision of the pods before the update", []string{"revision"}, func(s *appsv1.StatefulSet, to *exposition.Samples) {
		to.Add(1, s.Status.CurrentRevision)
	}),
	several("kube_statefulset_status_update_revision", "The revision of the pods after the update", []string{"revision"}, func(s *appsv1.StatefulSet, to *exposition.Samples) {
		to.Add(1, s.Status.UpdateRevision)
	}),
	several("kube_statefulset_persistentvolumeclaim_retention_policy", "What becomes of the claims of the StatefulSet's templates", []string{"when_deleted", "when_scaled"}, func(s *appsv1.StatefulSet, to *exposition.Samples) {
		if p := s.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
			to.Add(1, string(p.WhenDeleted), string(p.WhenScaled))
		}
	}),
}

var daemonSetFamilies = []exposition.Row[appsv1.DaemonSet]{
	created[appsv1.DaemonSet]("kube_daemonset"),
	deleted[appsv1.DaemonSet]("kube_daemonset"),
	generation[appsv1.DaemonSet]("kube_daemonset"),
	number("kube_daemonset_status_current_number_scheduled", "On how many nodes the DaemonSet has its pod", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.CurrentNumberScheduled) }),
	number("kube_daemonset_status_desired_number_scheduled", "On how many nodes the DaemonSet wants its pod", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.DesiredNumberScheduled) }),
	number("kube_daemonset_status_number_available", "On how many nodes the DaemonSet's pod is available", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.NumberAvailable) }),
	number("kube_daemonset_status_number_misscheduled", "On how many nodes the DaemonSet has its pod that should not", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.NumberMisscheduled) }),
	number("kube_daemonset_status_number_ready", "On how many nodes the DaemonSet's pod is ready", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.NumberReady) }),
	number("kube_daemonset_status_number_unavailable", "On how many nodes the DaemonSet's pod is not available", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.NumberUnavailable) }),
	number("kube_daemonset_status_updated_number_scheduled", "On how many nodes the DaemonSet's pod is of its present version", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.UpdatedNumberScheduled) }),
	number("kube_daemonset_status_observed_generation", "Which version of the DaemonSet is taken up", func(d *appsv1.DaemonSet) float64 { return float64(d.Status.ObservedGeneration) }),
}

var namespaceFamilies = []exposition.Row[v1.Namespace]{
	created[v1.Namespace]("kube_namespace"),
	several("kube_namespace_status_phase", "The namespace's phase", []string{"phase"}, func(n *v1.Namespace, to *exposition.Samples) {
		to.Add(oneIf(n.Status.Phase != v1.NamespaceTerminating), string(v1.NamespaceActive))
		to.Add(oneIf(n.Status.Phase == v1.NamespaceTerminating), string(v1.NamespaceTerminating))
	}),
}

func namespaceName(n *v1.Namespace) []string { return []string{"namespace", n.Name} }
