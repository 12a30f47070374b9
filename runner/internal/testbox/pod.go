package testbox

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/manifests"
)

// Pod is a pod of the default namespace with the UID of its name, with this spec in YAML, and the API's defaults.
func Pod(t testing.TB, name, spec string) *v1.Pod {
	t.Helper()
	pod := &v1.Pod{}
	pod.Name, pod.UID = name, types.UID("uid-of-"+name)
	if err := yaml.UnmarshalStrict([]byte(spec), &pod.Spec); err != nil {
		t.Fatal(err)
	}
	manifests.SetDefaults(pod)
	return pod
}
