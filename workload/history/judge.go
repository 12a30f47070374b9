package history

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/revisions"
)

// Proven notes that all pods of an object have the version that held at the last Apply, and are ready.
func (h *History) Proven(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.objects[key]; o != nil && !h.asked[key] && o.Proven() {
		h.dirty = true
	}
}

// Trial says how long an object's version has to become ready of a deadline, and how long it is ready before it counts; tried is false
// where there is nothing to go back to.
func (h *History) Trial(key string, deadline time.Duration) (allowed, settled time.Duration, tried bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.objects[key]
	if o == nil || !o.Tried() {
		return deadline, revisions.Settled(deadline), false
	}
	return o.Allowed(deadline), revisions.Settled(deadline), true
}

// Late has an object's last good version hold, as the one that held at the last Apply has not become ready in time; unless there is none.
// Where another was asked for since it is that one's turn.
func (h *History) Late(key, why string, now time.Time) (back bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.objects[key]
	if o != nil && h.asked[key] {
		return true
	}
	if o == nil || !o.Tried() {
		return false
	}
	h.back(key, o, why, now)
	return true
}

// Judge looks whether the versions of pods that stand for themselves have become ready. Those that have not in time go back. wake is when
// to look again; zero: when a pod changes.
func (h *History) Judge(pods map[string]manifests.Desired, standings map[types.UID]state.Standing, now time.Time) (wake time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for uid, d := range pods {
		key := Key("Pod", d.Pod.Namespace, d.Pod.Name)
		o := h.objects[key]
		if o == nil || o.Good == o.Current().Hash || string(o.Current().Pod.UID) != uid {
			continue
		}
		deadline, on := h.After(d.Pod)
		s, ok := standings[types.UID(uid)]
		if !on || !ok || !judged(&s, o.Current().Hash) {
			delete(h.since, key)
			continue
		}
		since, known := h.since[key]
		if !known {
			since = now
			h.since[key] = now
		}
		at, why := good(&s, revisions.Settled(deadline), now)
		switch {
		case !at.IsZero() && !at.After(now):
			h.dirty = o.Proven() || h.dirty
			delete(h.since, key)
			continue
		case !at.IsZero():
			wake = sooner(wake, at)
		}
		if !o.Tried() {
			continue
		}
		over := since.Add(o.Allowed(deadline))
		if at.IsZero() && !over.After(now) {
			h.back(key, o, late(o.Allowed(deadline), why), now)
			continue
		}
		if over.After(now) {
			wake = sooner(wake, over)
		}
	}
	return wake
}

// judged says whether something can be said of a version by its pod: it was taken, and is not kept from running by the machine.
func judged(s *state.Standing, hash string) bool {
	return s.Manifest == hash && s.Waits == "" && !s.Unclear && s.Pod.DeletionTimestamp == nil && s.Pod.Status.Reason != state.ReasonEvicted
}

// good says when a pod will have been ready for long enough; zero while it is not ready, and why that is.
func good(s *state.Standing, settled time.Duration, now time.Time) (at time.Time, why string) {
	if !s.Current {
		return time.Time{}, "not all containers have begun"
	}
	if s.Pod.Status.Phase == v1.PodSucceeded {
		return now, ""
	}
	for _, c := range s.Pod.Status.Conditions {
		if c.Type == v1.PodReady && c.Status == v1.ConditionTrue {
			return c.LastTransitionTime.Add(settled), ""
		}
	}
	return time.Time{}, waiting(s.Pod)
}

// waiting says what is wrong with a pod's containers, as far as their status tells.
func waiting(pod *v1.Pod) string {
	for _, list := range [][]v1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			switch c := &list[i]; {
			case c.State.Waiting != nil && c.State.Waiting.Message != "":
				return "container " + c.Name + ": " + c.State.Waiting.Reason + ": " + c.State.Waiting.Message
			case c.State.Waiting != nil && c.State.Waiting.Reason != "":
				return "container " + c.Name + ": " + c.State.Waiting.Reason
			case !c.Ready && c.State.Running != nil:
				return "container " + c.Name + " runs and is not ready"
			}
		}
	}
	return pod.Status.Message
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
