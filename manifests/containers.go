package manifests

import v1 "k8s.io/api/core/v1"

// Key names a pod as users do: namespace/name.
func Key(pod *v1.Pod) string { return pod.Namespace + "/" + pod.Name }

// AllContainers are a pod's init containers and the others, in the order of their start.
func AllContainers(pod *v1.Pod) []*v1.Container {
	out := make([]*v1.Container, 0, len(pod.Spec.InitContainers)+len(pod.Spec.Containers))
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			out = append(out, &list[i])
		}
	}
	return out
}

// Images are the references of the images that a pod's containers and volumes name, as often as they do.
func Images(pod *v1.Pod) (refs []string) {
	for _, c := range AllContainers(pod) {
		refs = append(refs, c.Image)
	}
	for i := range pod.Spec.Volumes {
		if v := pod.Spec.Volumes[i].Image; v != nil {
			refs = append(refs, v.Reference)
		}
	}
	return refs
}

// ContainerOf finds one of AllContainers by its name; nil when there is none, or no pod.
func ContainerOf(pod *v1.Pod, name string) *v1.Container {
	if pod == nil {
		return nil
	}
	for _, c := range AllContainers(pod) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// IsSidecar says whether an init container goes on running beside the others.
func IsSidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// Restartable says whether a container can be restarted by hand: init containers that run to their end cannot.
func Restartable(pod *v1.Pod, container string) bool {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == container {
			return IsSidecar(c)
		}
	}
	return ContainerOf(pod, container) != nil
}
