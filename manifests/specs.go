package manifests

import v1 "k8s.io/api/core/v1"

// PodSpecs calls see with what there is to say of the pods of each object that has some, or will have: with the object's kind, as it is
// written, and namespace/name. A Job's is that of its template.
func (s *Snapshot) PodSpecs(see func(kind, key string, spec *v1.PodSpec)) {
	for _, p := range s.Pods {
		if p.Pod != nil {
			see("pod", Key(p.Pod), &p.Pod.Spec)
		}
	}
	for key, o := range s.Jobs {
		see("Job", key, &o.Spec.Template.Spec)
	}
	for key, o := range s.CronJobs {
		see("CronJob", key, &o.Spec.JobTemplate.Spec.Template.Spec)
	}
	for key, o := range s.Deployments {
		see("Deployment", key, &o.Spec.Template.Spec)
	}
	for key, o := range s.ReplicaSets {
		see("ReplicaSet", key, &o.Spec.Template.Spec)
	}
	for key, o := range s.StatefulSets {
		see("StatefulSet", key, &o.Spec.Template.Spec)
	}
	for key, o := range s.DaemonSets {
		see("DaemonSet", key, &o.Spec.Template.Spec)
	}
}
