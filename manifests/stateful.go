package manifests

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
)

// Identify gives a StatefulSet's pod the name in the network that it has, and its claims.
func Identify(pod *v1.Pod, o *appsv1.StatefulSet) {
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, o.Spec.ServiceName
	// A claim takes precedence over the template's volume of its name (apps/v1, volumeClaimTemplates).
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		return slices.ContainsFunc(o.Spec.VolumeClaimTemplates, func(c v1.PersistentVolumeClaim) bool { return c.Name == v.Name })
	})
	for i := range o.Spec.VolumeClaimTemplates {
		name := o.Spec.VolumeClaimTemplates[i].Name
		pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: name, VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name + "-" + pod.Name},
		}})
	}
}
