package manifests

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestVolumePlugin(t *testing.T) {
	for want, source := range map[string]v1.VolumeSource{
		"kubernetes.io/host-path":    {HostPath: &v1.HostPathVolumeSource{}},
		"kubernetes.io/configmap":    {ConfigMap: &v1.ConfigMapVolumeSource{}},
		"kubernetes.io/secret":       {Secret: &v1.SecretVolumeSource{}},
		"kubernetes.io/projected":    {Projected: &v1.ProjectedVolumeSource{}},
		"kubernetes.io/downward-api": {DownwardAPI: &v1.DownwardAPIVolumeSource{}},
		"kubernetes.io/local-volume": {PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{}},
		"kubernetes.io/image":        {Image: &v1.ImageVolumeSource{}},
		"kubernetes.io/empty-dir":    {},
	} {
		if got := VolumePlugin(&v1.Volume{VolumeSource: source}); got != want {
			t.Errorf("%+v is of %s, not %s", source, got, want)
		}
	}
}
