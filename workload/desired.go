package workload

import (
	"maps"

	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// Desired is the desired state that was decided about last, with Secrets as they are; nothing before the first. It is shared, and not to be
// changed.
func (c *Controller) Desired() manifests.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		return manifests.Snapshot{}
	}
	return c.view.Snapshot
}

// Waiting are the pods whose edits wait for what they need, by UID.
func Waiting(c *Controller) map[types.UID]state.Standing {
	out := c.runner.Standings()
	maps.DeleteFunc(out, func(_ types.UID, s state.Standing) bool { return s.Waits == "" })
	return out
}
