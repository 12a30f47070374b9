package state

import (
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Standing is a pod as others see it, and how far it is on its way to its manifest.
type Standing struct {
	Pod *v1.Pod
	// Manifest identifies what its manifest says, as the pod's worker knows it (ManifestRevision).
	Manifest string
	// Current: what runs of it was made of that manifest.
	Current bool
	// Unclear: after a start, what runs of it was not found out yet.
	Unclear bool
	// Waits identifies what its manifest says where that waits until what it needs is there, and Lacks says what that is; what runs is as
	// Manifest says, and Runs is its form.
	Waits, Lacks string
	Runs         *v1.Pod
}

// Standing is that of a pod which is shown as pod.
func (s *State) Standing(pod *v1.Pod) Standing {
	out := Standing{Pod: pod, Manifest: s.Revisions.Manifest, Current: s.current(), Unclear: s.Adoption != (Adoption{}), Runs: s.Pod}
	if s.Coming != nil {
		out.Waits, out.Lacks = ManifestRevision(s.Coming.Pod), s.Coming.Message
	}
	return out
}

// current says whether all containers that the pod shall have were made of its manifest.
func (s *State) current() bool {
	if s.SharedRevision != s.Revisions.Shared {
		return false
	}
	made := func(name string) bool {
		c := s.Containers[name]
		return c != nil && c.Revision == s.Revisions.Containers[name]
	}
	for i := range s.Pod.Spec.InitContainers {
		if c := &s.Pod.Spec.InitContainers[i]; manifests.IsSidecar(c) && !made(c.Name) {
			return false
		}
	}
	for i := range s.Pod.Spec.Containers {
		if !made(s.Pod.Spec.Containers[i].Name) {
			return false
		}
	}
	return true
}
