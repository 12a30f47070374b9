package manifests

import (
	"strings"

	v1 "k8s.io/api/core/v1"
)

// defaultAppArmor makes profiles that annotations name fields of their containers, where these and the pod name none (Kubernetes,
// pkg/registry/core/pod, applyAppArmorVersionSkew). A value that names none is left for validation.
func defaultAppArmor(pod *v1.Pod) {
	for _, c := range AllContainers(pod) {
		value, ok := pod.Annotations[v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]
		if !ok || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			continue
		}
		profile := AppArmorOf(value)
		if profile == nil || sameProfile(profile, pod.Spec.SecurityContext.AppArmorProfile) {
			continue
		}
		if c.SecurityContext == nil {
			c.SecurityContext = &v1.SecurityContext{}
		}
		c.SecurityContext.AppArmorProfile = profile
	}
}

func sameProfile(a, b *v1.AppArmorProfile) bool { return b != nil && same(a, b) }

// AppArmorOf is the profile that the value of an annotation names: runtime/default, unconfined or localhost/NAME; nil when it names none.
func AppArmorOf(value string) *v1.AppArmorProfile {
	switch value {
	case v1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeRuntimeDefault}
	case v1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
	}
	name, ok := strings.CutPrefix(value, v1.DeprecatedAppArmorBetaProfileNamePrefix)
	if !ok || name == "" {
		return nil
	}
	return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
}
