package manifests

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestPriority(t *testing.T) {
	for want, spec := range map[int32]v1.PodSpec{
		0:          {},
		-5:         {Priority: ptr.To[int32](-5), PriorityClassName: "mine"},
		2000000000: {PriorityClassName: "system-cluster-critical"},
		2000001000: {PriorityClassName: "system-node-critical"},
		2000000500: {PriorityClassName: "system-cluster-critical", Priority: ptr.To[int32](2000000500)},
	} {
		if got := Priority(&v1.Pod{Spec: spec}); got != want {
			t.Errorf("of %+v it is %d, not %d", spec, got, want)
		}
	}
}
