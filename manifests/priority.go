package manifests

import v1 "k8s.io/api/core/v1"

// SystemCritical is where the API's priority class system-cluster-critical begins; system-node-critical is above it.
const SystemCritical = 2_000_000_000

// Priority is how much a pod counts beside others. An API server would have written down that of its class: of classes Solopod knows those
// that every cluster has.
func Priority(pod *v1.Pod) int32 {
	var own int32
	if pod.Spec.Priority != nil {
		own = *pod.Spec.Priority
	}
	switch pod.Spec.PriorityClassName {
	case "system-cluster-critical":
		return max(own, SystemCritical)
	case "system-node-critical":
		return max(own, SystemCritical+1000)
	}
	return own
}
