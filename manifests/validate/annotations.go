package validate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
)

// Annotations that had a meaning before there were fields, or still have one (Kubernetes, ValidatePodSpecificAnnotations).
const (
	deletionCost       = "controller.kubernetes.io/pod-deletion-cost"
	seccompOfPod       = "seccomp.security.alpha.kubernetes.io/pod"
	seccompOfContainer = "container.seccomp.security.alpha.kubernetes.io/"
)

// checkPodAnnotations checks annotations of a pod whose meaning Kubernetes knows.
func checkPodAnnotations(out *findings.Collector, pod *v1.Pod) {
	for _, key := range slices.Sorted(maps.Keys(pod.Annotations)) {
		at, value := "metadata.annotations."+key, pod.Annotations[key]
		if name, ok := strings.CutPrefix(key, v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix); ok {
			checkAppArmorAnnotation(out, at, name, value, pod)
		}
		if name, ok := strings.CutPrefix(key, seccompOfContainer); ok {
			checkSeccompAnnotation(out, at, name, value, pod)
		}
		if key == seccompOfPod {
			checkSeccompAnnotation(out, at, "", value, pod)
		}
		if key == deletionCost {
			if n, err := strconv.ParseInt(value, 10, 32); err != nil || strconv.FormatInt(n, 10) != value {
				out.Errorf(at, "%q is no whole number of 32 bits", value)
			}
		}
	}
}

// checkAppArmorAnnotation checks the profile of a container that an annotation names; SetDefaults has made it the container's field where it
// could.
func checkAppArmorAnnotation(out *findings.Collector, at, container, value string, pod *v1.Pod) {
	all := manifests.AllContainers(pod)
	i := slices.IndexFunc(all, func(c *v1.Container) bool { return c.Name == container })
	if i < 0 {
		out.Errorf(at, "the pod has no container %q", container)
		return
	}
	named := manifests.AppArmorOf(value)
	if named == nil && value != "" {
		out.Errorf(at, "%q is no AppArmor profile; write runtime/default, unconfined, or localhost/NAME", value)
		return
	}
	profile := pod.Spec.SecurityContext.AppArmorProfile
	if sc := all[i].SecurityContext; sc != nil && sc.AppArmorProfile != nil {
		profile = sc.AppArmorProfile
	}
	if named == nil && profile == nil { // an empty one says nothing
		return
	}
	if named == nil || profile.Type != named.Type || profile.LocalhostProfile != nil && named.LocalhostProfile != nil && *profile.LocalhostProfile != *named.LocalhostProfile {
		out.Errorf(at, "it says %q, and appArmorProfile of container %s says otherwise; remove the annotation, which the field has replaced", value, container)
	}
}

// checkSeccompAnnotation checks the profile that an annotation gives a container, or the pod where there is no name: a kubelet has not looked at it since Kubernetes 1.27, and nor does Solopod. A pod that relies on it would run
// with less than it asks for.
func checkSeccompAnnotation(out *findings.Collector, at, container, value string, pod *v1.Pod) {
	field := pod.Spec.SecurityContext.SeccompProfile
	if container != "" {
		field = nil
		for _, c := range manifests.AllContainers(pod) {
			if c.Name == container && c.SecurityContext != nil {
				field = c.SecurityContext.SeccompProfile
			}
		}
	}
	named := seccompOf(value)
	switch {
	case named == nil:
		out.Errorf(at, "%q is no seccomp profile; remove the annotation, and write seccompProfile into the securityContext", value)
	case field == nil:
		out.Warnf(at, "has no effect since Kubernetes 1.27; write seccompProfile: {type: %s} into the securityContext", named.Type)
	case field.Type != named.Type || field.LocalhostProfile != nil && named.LocalhostProfile != nil && *field.LocalhostProfile != *named.LocalhostProfile:
		out.Errorf(at, "it says %s, and seccompProfile says otherwise; remove the annotation, which has no effect", value)
	}
}

// seccompOf is the profile that the value of an annotation names; nil when it names none.
func seccompOf(value string) *v1.SeccompProfile {
	switch value {
	case "runtime/default", "docker/default":
		return &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}
	case "unconfined":
		return &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}
	}
	name, ok := strings.CutPrefix(value, "localhost/")
	if !ok || manifests.CheckSubPath(name) != nil {
		return nil
	}
	return &v1.SeccompProfile{Type: v1.SeccompProfileTypeLocalhost, LocalhostProfile: &name}
}

// checkOfPod checks what a container may say only in some pods.
func checkOfPod(out *findings.Collector, at string, c *v1.Container, pod *v1.Pod) {
	if sc := c.SecurityContext; sc != nil && sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount && !manifests.OwnUsers(pod) {
		out.Errorf(at+".securityContext.procMount", "Unmasked shows the machine's settings to root: it goes with hostUsers: false of the pod")
	}
	if l := c.Lifecycle; l != nil && l.StopSignal != nil && pod.Spec.OS == nil {
		out.Errorf(at+".lifecycle.stopSignal", "signals differ between systems: it goes with os: {name: linux} of the pod")
	}
	seen := map[v1.ResourceName]bool{}
	for i, p := range c.ResizePolicy {
		at := fmt.Sprintf("%s.resizePolicy[%d]", at, i)
		if seen[p.ResourceName] {
			out.Errorf(at+".resourceName", "%q stands there twice", p.ResourceName)
		}
		seen[p.ResourceName] = true
		if p.RestartPolicy != v1.RestartContainer {
			continue
		}
		if pod.Spec.RestartPolicy == v1.RestartPolicyNever {
			out.Errorf(at+".restartPolicy", "in a pod whose restartPolicy is Never it must be NotRequired")
		}
	}
}
