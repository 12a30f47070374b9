package manifests

import v1 "k8s.io/api/core/v1"

// IDsPerPod is how many users, and groups, a pod with hostUsers: false has; their ids begin at 0. It is what the kubelet gives
// (idsPerPod).
const IDsPerPod = 1 << 16

// OwnUsers says whether the pod has users and groups of its own: a user namespace.
func OwnUsers(pod *v1.Pod) bool { return pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers }
