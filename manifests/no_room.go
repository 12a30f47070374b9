package manifests

import (
	"strings"

	v1 "k8s.io/api/core/v1"
)

// ReasonNoRoom begins the kubelet's reasons for pods that have no room on the machine: OutOfmemory, OutOfcpu ...
const ReasonNoRoom = "OutOf"

// AwaitsRoom says whether a pod that is shown as Failed has not begun: there is no room for it yet.
func AwaitsRoom(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodFailed && strings.HasPrefix(p.Status.Reason, ReasonNoRoom)
}
