// Package kills says what kills for memory mean for a pod: how they count for its choice, and which of them a container has ended by. It
// does no I/O.
package kills

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// Window is how long before a container's end a kill for memory counts as its cause. The main process dies with the kill, or, as a shell
// does, soon after the child that was killed, with that one's exit code; a kill of a child some time before is another story.
const Window = 10 * time.Second

// CountsEach says whether each kill of a container's processes counts for the choice to stop its pod. Where a container is killed as a
// whole, that counts once. Of kills that an earlier Solopod may have counted it is not known.
func CountsEach(c *state.Container, group bool) bool { return !group && c.Now.Attached }

// WhileAway is how many kills count that came while Solopod was away, when known of them had been written down. They do where they must have
// been in the time that the pod's choice is about: when they were nobody knows but that the container has not run for longer.
func WhileAway(pod *v1.Pod, c *state.Container, group bool, known uint64, now time.Time) uint64 {
	stop, ok := manifests.OOMStopOf(pod)
	if !ok || !CountsEach(c, group) || c.StartedAt.IsZero() || now.Sub(c.StartedAt) > stop.Within {
		return 0
	}
	gap := uint64(1) // up to the next number that would have been written
	for known > 0 && state.NotedKills(known+gap) == known {
		gap <<= 1
	}
	return c.Now.Kills - min(c.Now.Kills, known+gap-1)
}

// OfEnd is how many kills count that show at a container's end; known were seen before.
func OfEnd(c *state.Container, group bool, known uint64, end *state.Ending) uint64 {
	switch {
	case CountsEach(c, group):
		return c.Now.Kills - known
	case end.ForMemory():
		return 1
	}
	return 0
}

// Stops counts kills of a container's processes, its children's and those run in it by exec, to those that a pod has had, and says with
// which words it is stopped for them; empty where it is not.
func Stops(pod *v1.Pod, had []time.Time, container string, kills uint64, when time.Time) (all []time.Time, message string) {
	stop, ok := manifests.OOMStopOf(pod)
	if kills == 0 || !ok {
		return had, ""
	}
	for _, t := range had {
		if when.Sub(t).Abs() <= stop.Within { // kills at nearly the same time may be learnt of in any order
			all = append(all, t)
		}
	}
	for range min(kills, uint64(stop.Kills)) { //nolint:gosec // above zero
		all = append(all, when)
	}
	if len(all) < stop.Kills {
		return all, ""
	}
	times := fmt.Sprintf("its processes were killed for memory %d times, which is as often as %s: %s allows", len(all), manifests.OOMStopAfterAnnotation, stop)
	return all, fmt.Sprintf("%s; the last one was in %s. The pod stays so until its manifest is edited, or it is restarted by hand: "+
		"raise the memory limit of %[2]s, or find out what grows (its log is kept)", times, container)
}

// told is by how much the times of a kill and of the end that it causes may differ: the kernel's log has a clock of its own.
const told = 10 * time.Second

// Explains says whether it is of the kill that the container has ended by at a time.
func Explains(e state.Explained, ended time.Time) bool {
	return e.Text != "" && e.At.Sub(ended).Abs() <= told
}

// Explain is the ending with why it was killed for memory, where that is of it and nothing is said yet: of several processes that were
// killed with one container the first counts, as the others follow from it.
func Explain(end *state.Ending, e state.Explained) *state.Ending {
	if !end.ForMemory() || end.ID != e.ID || end.Explained != "" || !Explains(e, end.FinishedAt) {
		return end
	}
	next := *end
	next.Explained = e.Text
	return &next
}
