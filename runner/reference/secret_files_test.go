package reference

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestSecretFiles: a container that mounts a Secret may have its value in its words.
func TestSecretFiles(t *testing.T) {
	secret := v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "s"}}
	projected := v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{ConfigMap: &v1.ConfigMapProjection{}}, {Secret: &v1.SecretProjection{}}}}}
	for name, test := range map[string]struct {
		source v1.VolumeSource
		mounts string
		want   bool
	}{
		"a Secret":             {secret, "v", true},
		"projected":            {projected, "v", true},
		"another's":            {secret, "other", false},
		"a ConfigMap":          {v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{}}, "v", false},
		"projected, of others": {v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{ConfigMap: &v1.ConfigMapProjection{}}}}}, "v", false},
	} {
		p := &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "v", VolumeSource: test.source}}}}
		if got := SecretFiles(p, &v1.Container{VolumeMounts: []v1.VolumeMount{{Name: test.mounts}}}); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
