package manifests

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// A pod with limits of its own requests what its containers do, and what it limits itself to where they request nothing.
func TestPodRequests(t *testing.T) {
	list := func(cpu, memory string) v1.ResourceList {
		out := v1.ResourceList{}
		for name, q := range map[v1.ResourceName]string{v1.ResourceCPU: cpu, v1.ResourceMemory: memory} {
			if q != "" {
				out[name] = resource.MustParse(q)
			}
		}
		return out
	}
	request := func(cpu, memory string) v1.Container {
		return v1.Container{Resources: v1.ResourceRequirements{Requests: list(cpu, memory)}}
	}
	sidecar := request("100m", "")
	sidecar.RestartPolicy = ptr.To(v1.ContainerRestartPolicyAlways)
	for name, c := range map[string]struct {
		pod         *v1.ResourceRequirements
		init, main  []v1.Container
		cpu, memory string
	}{
		"no resources of the pod": {main: []v1.Container{request("1", "")}},
		"limits alone":            {pod: &v1.ResourceRequirements{Limits: list("1", "1Gi")}, main: []v1.Container{{}}, cpu: "1", memory: "1Gi"},
		"requests alone":          {pod: &v1.ResourceRequirements{Requests: list("1", "")}, main: []v1.Container{request("", "1Mi")}, cpu: "1"},
		"a request of its own":    {pod: &v1.ResourceRequirements{Limits: list("1", "1Gi"), Requests: list("500m", "")}, main: []v1.Container{request("200m", "")}, cpu: "500m", memory: "1Gi"},
		"containers' requests":    {pod: &v1.ResourceRequirements{Limits: list("1", "1Gi")}, main: []v1.Container{request("200m", ""), request("100m", "")}, cpu: "300m", memory: "1Gi"},
		"a request without limit": {pod: &v1.ResourceRequirements{Limits: list("1", "")}, main: []v1.Container{request("", "1Mi")}, cpu: "1", memory: "1Mi"},
		"with a sidecar":          {pod: &v1.ResourceRequirements{Limits: list("1", "")}, init: []v1.Container{sidecar}, main: []v1.Container{request("200m", "")}, cpu: "300m"},
		"a large init container":  {pod: &v1.ResourceRequirements{Limits: list("1", "")}, init: []v1.Container{sidecar, request("800m", "")}, main: []v1.Container{request("200m", "")}, cpu: "900m"},
	} {
		pod := &v1.Pod{Spec: v1.PodSpec{Resources: c.pod, InitContainers: c.init, Containers: c.main}}
		SetDefaults(pod)
		if c.pod == nil {
			if pod.Spec.Resources != nil {
				t.Errorf("%s: %+v", name, pod.Spec.Resources)
			}
			continue
		}
		for resourceName, want := range map[v1.ResourceName]string{v1.ResourceCPU: c.cpu, v1.ResourceMemory: c.memory} {
			got, ok := pod.Spec.Resources.Requests[resourceName]
			if ok != (want != "") || ok && got.Cmp(resource.MustParse(want)) != 0 {
				t.Errorf("%s: the request of %s is %s, want %q", name, resourceName, got.String(), want)
			}
		}
	}
}
