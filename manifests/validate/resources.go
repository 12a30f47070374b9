package validate

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/manifests/validate/findings"
)

// checkPodResources checks what is said of the pod as a whole, against what its containers ask for.
func checkPodResources(out *findings.Collector, s *v1.PodSpec) {
	if len(s.Overhead) > 0 && s.RuntimeClassName == nil {
		out.Errorf("spec.overhead", "it is the overhead of a runtime: it goes with runtimeClassName")
	}
	for name, q := range s.Overhead {
		checkAmount(out, "spec.overhead."+string(name), name, q)
	}
	if s.Resources == nil {
		return
	}
	const at = "spec.resources"
	checkResources(out, at, *s.Resources)
	told := map[v1.ResourceName]bool{} // what is limited is requested as well, by default
	for _, list := range []v1.ResourceList{s.Resources.Limits, s.Resources.Requests} {
		for name := range list {
			if (name == v1.ResourceEphemeralStorage || strings.Contains(string(name), "/")) && !told[name] {
				out.Errorf(at, "the pod as a whole has cpu, memory and hugepages-<size>; %s is the containers'", name)
				told[name] = true
			}
		}
	}
	containers := &v1.Pod{Spec: v1.PodSpec{InitContainers: s.InitContainers, Containers: s.Containers}}
	for name, whole := range s.Resources.Requests {
		sum, _ := manifests.Demand(containers, name, func(r *v1.ResourceRequirements) v1.ResourceList { return r.Requests })
		if sum.Cmp(whole) > 0 {
			out.Errorf(at+".requests."+string(name), "the containers ask for %s together, more than the pod", sum.String())
		}
	}
	for name, whole := range s.Resources.Limits {
		if strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix) {
			sum, _ := manifests.Demand(containers, name, func(r *v1.ResourceRequirements) v1.ResourceList { return r.Limits })
			if sum.Cmp(whole) > 0 {
				out.Errorf(at+".limits."+string(name), "the containers have limits of %s together, more than the pod; huge pages cannot be shared", sum.String())
			}
		}
		for i := range s.Containers {
			if limit, ok := s.Containers[i].Resources.Limits[name]; ok && limit.Cmp(whole) > 0 {
				out.Errorf(at+".limits."+string(name), "container %s has a limit of %s, more than the pod", s.Containers[i].Name, limit.String())
			}
		}
	}
}

func checkResizePolicy(out *findings.Collector, at string, policies []v1.ContainerResizePolicy) {
	for i, p := range policies {
		at := fmt.Sprintf("%s.resizePolicy[%d]", at, i)
		findings.OneOf(out, at+".resourceName", p.ResourceName, v1.ResourceCPU, v1.ResourceMemory)
		findings.OneOf(out, at+".restartPolicy", p.RestartPolicy, v1.NotRequired, v1.RestartContainer)
	}
}

// checkResources checks requests and limits of a container, or of a pod as a whole.
func checkResources(out *findings.Collector, at string, r v1.ResourceRequirements) {
	shared, huge := false, false
	for kind, list := range map[string]v1.ResourceList{"limits": r.Limits, "requests": r.Requests} {
		for name, q := range list {
			shared = shared || name == v1.ResourceCPU || name == v1.ResourceMemory
			huge = huge || strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
			field := at + "." + kind + "." + string(name)
			limit, limited := r.Limits[name]
			if kind == "requests" && limited && q.Cmp(limit) == 0 {
				continue // what is to be said of it is said of the limit, which may be where it comes from
			}
			if !checkAmount(out, field, name, q) {
				continue
			}
			switch {
			case strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix):
				checkHugepages(out, field, name, r)
			case strings.Contains(string(name), "/"):
				checkDevice(out, field, name, r)
			}
			if kind == "requests" && limited && q.Cmp(limit) > 0 {
				out.Errorf(field, "the request %s is above the limit %s", q.String(), limit.String())
			}
		}
	}
	if huge && !shared {
		out.Errorf(at, "huge pages go with a request or a limit of cpu or memory")
	}
}

// resourceWords are words of others for resources.
var resourceWords = map[string]v1.ResourceName{
	"cpus": v1.ResourceCPU, "mem": v1.ResourceMemory, "memory": v1.ResourceMemory, "cpu": v1.ResourceCPU, "ram": v1.ResourceMemory,
}

// checkAmount checks the name of a resource and how much of it there is, and says whether it is one that Solopod knows.
func checkAmount(out *findings.Collector, field string, name v1.ResourceName, q resource.Quantity) bool {
	switch {
	case name == v1.ResourceCPU, name == v1.ResourceMemory, name == v1.ResourceEphemeralStorage,
		strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix), strings.Contains(string(name), "/"):
	default:
		if near, ok := resourceWords[strings.ToLower(string(name))]; ok {
			out.Errorf(field, "there is no such resource; it is called %s", near)
			return false
		}
		out.Errorf(field, "this resource is not implemented by this version of Solopod; cpu, memory, ephemeral-storage, hugepages-<size> and CDI devices (vendor/class) are")
		return false
	}
	if q.Sign() < 0 {
		out.Errorf(field, "must not be negative")
	}
	if name == v1.ResourceMemory && !amount.IsWhole(q) {
		out.Warnf(field, "%s is a fraction of a byte; did you mean M or Mi?", q.String())
	}
	return true
}

// checkDevice: CDI devices are whole, and the request is the limit, as in Kubernetes.
func checkDevice(out *findings.Collector, field string, name v1.ResourceName, r v1.ResourceRequirements) {
	out.All(field, string(name), validation.IsQualifiedName(string(name)))
	if strings.HasPrefix(string(name), v1.DefaultResourceRequestsPrefix) {
		out.Errorf(field, "names that begin with %s are those of quotas", v1.DefaultResourceRequestsPrefix)
	}
	limit, limited := r.Limits[name]
	if request, ok := r.Requests[name]; !limited || ok && request.Cmp(limit) != 0 {
		out.Errorf(field, "set a limit, and no other request than that")
	}
	if !amount.IsWhole(limit) {
		out.Errorf(field, "%s is not a whole number of devices", limit.String())
	}
}

// checkHugepages: they cannot be shared out in time, so the request is the limit, as in Kubernetes.
func checkHugepages(out *findings.Collector, field string, name v1.ResourceName, r v1.ResourceRequirements) {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), v1.ResourceHugePagesPrefix))
	if err != nil || size.Sign() <= 0 || !amount.IsWhole(size) {
		out.Errorf(field, "huge pages are named by their size: hugepages-2Mi, hugepages-1Gi")
		return
	}
	limit, limited := r.Limits[name]
	if request, ok := r.Requests[name]; !limited || ok && request.Cmp(limit) != 0 {
		out.Errorf(field, "set a limit, and no other request than that")
	}
	if amount.Whole(limit)%amount.Whole(size) != 0 {
		out.Errorf(field, "%s is not a whole number of pages of %s", limit.String(), size.String())
	}
}
