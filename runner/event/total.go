package event

import (
	"math"
	"strconv"

	v1 "k8s.io/api/core/v1"
)

// totalAnnotation says of an event how often what it tells had happened when that was last reported, where the object itself counts it.
const totalAnnotation = "solopod.io/total"

// PodTotal reports that something has happened to a container so many times by now, since its pod is there: what was not told before
// is counted. It may be said again, also by the next Solopod, which may not know how much of it was told.
func (e *Log) PodTotal(pod *v1.Pod, container, kind, reason, message string, total int) {
	if total > 0 {
		e.add(podRef(pod, container), kind, reason, message, total, "container", container)
	}
}

// Anew says that a pod is gone: one of its name counts from the beginning.
func (e *Log) Anew(pod *v1.Pod) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.list {
		if _, ok := ev.Annotations[totalAnnotation]; ok && ev.InvolvedObject.UID == pod.UID && ev.InvolvedObject.Name == pod.Name {
			ev.Annotations = nil
			e.tell(ev)
		}
	}
}

// count is how many repetitions a report tells of; total is zero where each report is one. A total that is less than before has begun
// anew: what was counted until then is lost, and what has come since is all new.
func count(ev *v1.Event, total int) (more int32) {
	if total == 0 {
		return 1
	}
	before, err := strconv.Atoi(ev.Annotations[totalAnnotation])
	if err != nil || before > total {
		before = 0
	}
	ev.Annotations = map[string]string{totalAnnotation: strconv.Itoa(total)}
	return int32(min(total-before, math.MaxInt32-int(ev.Count))) //nolint:gosec // it fits
}
