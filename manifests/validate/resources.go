package validate

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// checkPodResources checks what is said of the pod as a whole, against what its containers ask for.
func checkPodResources(out *collector, s *v1.PodSpec) {
	if s.Resources == nil {
		if len(s.Overhead) > 0 && s.RuntimeClassName == nil {
			out.errorf("spec.overhead", "it is the overhead of a runtime: it goes with runtimeClassName")
		}
		return
	}
	const at = "spec.resources"
	checkResources(out, at, *s.Resources)
	for _, list := range []v1.ResourceList{s.Resources.Limits, s.Resources.Requests} {
		for name := range list {
			if name == v1.ResourceEphemeralStorage || strings.Contains(string(name), "/") {
				out.errorf(at, "the pod as a whole has cpu, memory and hugepages-<size>; %s is the containers'", name)
			}
		}
	}
	for name, whole := range s.Resources.Requests {
		sum := resource.Quantity{}
		for i := range s.Containers {
			sum.Add(s.Containers[i].Resources.Requests[name])
		}
		if sum.Cmp(whole) > 0 {
			out.errorf(at+".requests."+string(name), "the containers ask for %s together, more than the pod", sum.String())
		}
	}
	for name, whole := range s.Resources.Limits {
		for i := range s.Containers {
			if limit, ok := s.Containers[i].Resources.Limits[name]; ok && limit.Cmp(whole) > 0 {
				out.errorf(at+".limits."+string(name), "container %s has a limit of %s, more than the pod", s.Containers[i].Name, limit.String())
			}
		}
	}
}

func checkResizePolicy(out *collector, at string, policies []v1.ContainerResizePolicy) {
	for _, p := range policies {
		oneOf(out, at+".resizePolicy", p.ResourceName, v1.ResourceCPU, v1.ResourceMemory)
		oneOf(out, at+".resizePolicy", p.RestartPolicy, v1.NotRequired, v1.RestartContainer)
	}
}
