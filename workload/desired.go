package workload

import "github.com/solopod/solopod/manifests"

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
