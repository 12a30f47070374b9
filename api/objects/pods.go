package objects

import v1 "k8s.io/api/core/v1"

// Seen are the pods by UID, as who watches them sees them. All of a pod is gone a moment before its record, and its state is empty then:
// it is seen to the last as it was before, not as one that begins.
func Seen(before map[string]*v1.Pod, pods []*v1.Pod) map[string]*v1.Pod {
	now := make(map[string]*v1.Pod, len(pods))
	for _, pod := range pods {
		old := before[string(pod.UID)]
		if old != nil && old.Status.StartTime != nil && pod.DeletionTimestamp != nil && pod.Status.StartTime == nil {
			pod = old
		}
		now[string(pod.UID)] = pod
	}
	return now
}
