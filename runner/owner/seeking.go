package owner

import v1 "k8s.io/api/core/v1"

// Seeking are the pods that are about to claim what they need of the machine, or wait for room on it.
func (o *Owner) Seeking() (pods []*v1.Pod) {
	for _, w := range o.all() {
		s := w.Snapshot()
		ended := s.Pod.Status.Phase == v1.PodSucceeded || s.Pod.Status.Phase == v1.PodFailed
		if s.State.Seeks() && (!ended || s.State.NoRoom != "") {
			pods = append(pods, s.State.Pod)
		}
	}
	return pods
}
