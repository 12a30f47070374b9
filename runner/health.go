package runner

import (
	"fmt"
	"time"

	"github.com/solopod/solopod/manifests"
)

// StuckAfter is how long one turn of a pod's worker may take for the daemon to count as healthy. A turn waits for nothing
// outside, so that it takes milliseconds; a minute is a fault of Solopod's own.
const StuckAfter = time.Minute

// Stuck returns an error when the runner makes no progress. What pods wait for is no reason: registries, plugins, runtimes,
// disks and containerd may hang, and a restart would not mend them. Who supervises the daemon may end it then; the pods run on.
func (r *Runner) Stuck(limit time.Duration) error {
	if _, worker, took := r.owner.Longest(); worker != nil && took > limit {
		return fmt.Errorf("pod %s has been at one turn for %s", manifests.Key(worker.Snapshot().Pod), took.Round(time.Second))
	}
	return nil
}

// Busy says how many workers there are, and how long the turn of the slowest takes by now.
func (r *Runner) Busy() (workers int, longest time.Duration) {
	workers, _, longest = r.owner.Longest()
	return workers, longest
}

// CloseStdin ends the input of a container: the one session has ended that it takes input from.
func (r *Runner) CloseStdin(id string) {
	r.containers.CloseStdin(r.ctx, id, func(err error) {
		for _, s := range r.owner.Snapshots() {
			for name, c := range s.State.Containers {
				if c.ID == id {
					r.events.Pod(s.Pod, name, "Warning", "StdinNotClosed", "cannot end the input of container %s: %v", name, err)
				}
			}
		}
	})
}

// Pid is the main process of a container that runs, by the container's id; zero when it does not.
func (r *Runner) Pid(id string) uint32 {
	for _, s := range r.owner.Snapshots() {
		for _, c := range s.State.Containers {
			if c.ID == id && c.Running {
				return c.Pid
			}
		}
	}
	return 0
}
