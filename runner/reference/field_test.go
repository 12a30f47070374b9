package reference

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Amounts are told in units of a divisor, rounded up, and none is too large for that.
func TestResource(t *testing.T) {
	for _, c := range []struct{ name, amount, divisor, want string }{
		{"memory", "1Gi", "1Mi", "1024"}, {"memory", "1025", "1Ki", "2"}, {"memory", "1024", "1Ki", "1"}, {"memory", "100m", "", "1"}, {"memory", "64Mi", "", "67108864"},
		{"cpu", "1500m", "", "2"}, {"cpu", "1500m", "1m", "1500"}, {"cpu", "2", "1", "2"},
		{"memory", "1e30", "", "9223372036854775807"}, {"memory", "1e30", "1Ei", "8"}, {"cpu", "1e30", "", "9223372036854776"}, {"memory", "9007199254740993", "", "9007199254740993"},
	} {
		in := &Inputs{Pod: &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{
			Limits: v1.ResourceList{v1.ResourceName(c.name): resource.MustParse(c.amount)},
		}}}}}}
		s := &v1.ResourceFieldSelector{Resource: "limits." + c.name}
		if c.divisor != "" {
			s.Divisor = resource.MustParse(c.divisor)
		}
		if got, err := in.Resource(s, "c"); err != nil || got != c.want {
			t.Errorf("%s of %s in %q is %q, not %q (%v)", c.amount, c.name, c.divisor, got, c.want, err)
		}
	}
}
