package manifests

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ownerKey names what a pod stands for, as deployment/namespace/name; empty when it stands for itself.
func ownerKey(pod *v1.Pod) string {
	kind, name, ok := strings.Cut(pod.Annotations[OwnerAnnotation], "/")
	if !ok {
		return ""
	}
	return kind + "/" + pod.Namespace + "/" + name
}

// OwnedBy says whether a pod stands for an object of a kind, as Deployment.
func OwnedBy(pod *v1.Pod, kind string, owner metav1.Object) bool {
	return pod.Namespace == owner.GetNamespace() && pod.Annotations[OwnerAnnotation] == ownerName(kind, owner.GetName())
}

// claimOwners notes the Deployments and the like of a file, and returns those that another file has, as ownerKey names them.
func (f *File) claimOwners(owner map[string]string, from *Contents, to *Snapshot) (lost map[string]bool) {
	lost = map[string]bool{}
	claimOwnersOf(f, owner, lost, "deployment", from.Deployments, to.Deployments)
	claimOwnersOf(f, owner, lost, "replicaset", from.ReplicaSets, to.ReplicaSets)
	claimOwnersOf(f, owner, lost, "statefulset", from.StatefulSets, to.StatefulSets)
	claimOwnersOf(f, owner, lost, "daemonset", from.DaemonSets, to.DaemonSets)
	return lost
}

func claimOwnersOf[T metav1.Object](f *File, owner map[string]string, lost map[string]bool, kind string, from []T, to map[string]T) {
	for _, object := range from {
		key := object.GetNamespace() + "/" + object.GetName()
		if f.claim(owner, kind, object) {
			to[key] = object
		} else {
			lost[kind+"/"+key] = true
		}
	}
}
