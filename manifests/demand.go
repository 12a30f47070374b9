package manifests

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Demand is what the pod as a whole asks for of a resource (component-helpers, resource.PodRequests): the pod's own word, or
// else what its containers ask for. complete: every container says something.
func Demand(pod *v1.Pod, name v1.ResourceName, of func(*v1.ResourceRequirements) v1.ResourceList) (total resource.Quantity, complete bool) {
	total, complete = demandOfContainers(pod, name, of)
	if pod.Spec.Resources != nil {
		if q, ok := of(pod.Spec.Resources)[name]; ok {
			total, complete = q.DeepCopy(), !q.IsZero()
		}
	}
	if q, ok := pod.Spec.Overhead[name]; ok && !total.IsZero() {
		total.Add(q)
	}
	return total, complete
}

// demandOfContainers is the larger one of what the containers and sidecars take together, and what each init container takes
// beside the sidecars that were started before it.
func demandOfContainers(pod *v1.Pod, name v1.ResourceName, of func(*v1.ResourceRequirements) v1.ResourceList) (total resource.Quantity, complete bool) {
	complete = true
	take := func(r *v1.ResourceRequirements) resource.Quantity {
		q := of(r)[name]
		complete = complete && !q.IsZero()
		return q.DeepCopy()
	}
	var sidecars, peak resource.Quantity
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		q := take(&c.Resources)
		if IsSidecar(c) {
			sidecars.Add(q)
			q = sidecars.DeepCopy()
		} else {
			q.Add(sidecars)
		}
		if q.Cmp(peak) > 0 {
			peak = q
		}
	}
	total = sidecars
	for i := range pod.Spec.Containers {
		total.Add(take(&pod.Spec.Containers[i].Resources))
	}
	if peak.Cmp(total) > 0 {
		total = peak
	}
	return total, complete
}

func requestsOf(r *v1.ResourceRequirements) v1.ResourceList { return r.Requests }

// TotalRequests are the requests of the pod as a whole; nil when it has none.
func TotalRequests(pod *v1.Pod) v1.ResourceList {
	var out v1.ResourceList
	for _, r := range Requirements(pod) {
		for name := range r.Requests {
			if _, known := out[name]; known {
				continue
			}
			if out == nil {
				out = v1.ResourceList{}
			}
			out[name], _ = Demand(pod, name, requestsOf)
		}
	}
	return out
}
