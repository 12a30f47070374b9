package manifests

import v1 "k8s.io/api/core/v1"

// QOSClass computes the pod's QoS class from cpu and memory, as the API defines it.
func QOSClass(pod *v1.Pod) v1.PodQOSClass {
	anything, guaranteed := false, true
	for _, r := range Requirements(pod) {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			if !request.IsZero() || !limit.IsZero() {
				anything = true
			}
			if limit.IsZero() || request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	switch {
	case !anything:
		return v1.PodQOSBestEffort
	case guaranteed:
		return v1.PodQOSGuaranteed
	default:
		return v1.PodQOSBurstable
	}
}

// Requirements are the requests and limits that count for the pod as a whole: its own where it has them, otherwise those of
// its containers.
func Requirements(pod *v1.Pod) []v1.ResourceRequirements {
	if pod.Spec.Resources != nil {
		return []v1.ResourceRequirements{*pod.Spec.Resources}
	}
	var out []v1.ResourceRequirements
	for _, c := range AllContainers(pod) {
		out = append(out, c.Resources)
	}
	return out
}
