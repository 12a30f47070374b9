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

// IsSidecar says whether an init container goes on running beside the others.
func IsSidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}
