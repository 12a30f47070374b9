package runner

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/runner/pod/state"
)

// Workloads is a Runner as whoever decides about the pods of Jobs, Deployments and the like sees it.
type Workloads struct{ *Runner }

// Standings are the pods, also those that wait for another one's name, by UID.
func (w Workloads) Standings() map[types.UID]state.Standing {
	out := map[types.UID]state.Standing{}
	for _, s := range w.owner.Snapshots() {
		out[s.Pod.UID] = s.State.Standing(s.Pod)
	}
	return out
}
