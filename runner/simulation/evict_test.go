package simulation

import (
	"maps"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
)

// held is what the script knows of pods that were evicted, by UID.
type held struct {
	// may: it was evicted, and nothing has happened since that lets it begin anew. seen: it was seen to be held.
	may, seen map[string]bool
	// none: all were readmitted.
	none bool
}

func newHeld() held { return held{may: map[string]bool{}, seen: map[string]bool{}} }

// released: a pod may begin anew.
func (h *held) released(uid string) {
	delete(h.may, uid)
	delete(h.seen, uid)
}

// evict ends a pod because the machine runs short of something.
func (s *script) evict(uid string) {
	b := s.box
	w := b.daemon.owner.Worker(uid)
	if w == nil || b.spared(uid) {
		return
	}
	e := state.Evicted{At: time.Now(), Signal: "memory.available", Message: "The node was low on resource: memory."}
	if s.r.IntN(3) > 0 {
		e.Grace = ptr.To([]time.Duration{time.Second, 5 * time.Second, time.Minute}[s.r.IntN(3)])
		b.hurry(uid, *e.Grace)
	}
	b.wasEvicted(uid)
	b.note("---- %s is evicted (%v)", uid, e.Grace)
	s.held.released(uid)
	s.held.may[uid] = true
	s.question("eviction of "+uid, w.Ask(e), 6*time.Minute)
}

// hurry: what ends of a pod has no more time than the grace period of its eviction.
func (b *box) hurry(uid string, grace time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if least, ok := b.hurried[uid]; !ok || grace < least {
		b.hurried[uid] = grace
	}
	for _, c := range b.containers {
		if end := time.Now().Add(grace); c.uid == uid && c.overAt.After(end) {
			c.overAt = end
		}
	}
}

// readmit lets a pod begin anew that was evicted.
func (s *script) readmit(uid string) {
	w := s.box.daemon.owner.Worker(uid)
	if w == nil {
		return
	}
	s.box.note("---- %s is readmitted", uid)
	s.held.released(uid)
	s.question("readmission of "+uid, w.Ask(state.Readmitted{At: time.Now()}), 6*time.Minute)
}

// checkHeld: a pod that is held stays so, over crashes too, until something happens that lets it begin anew.
func (s *script) checkHeld(uid string, snapshot *pod.Snapshot) {
	st := &snapshot.State
	is := st.Failed != nil && st.Failed.Held
	switch {
	case s.paused(uid):
		delete(s.held.seen, uid)
	case is && s.held.may[uid]:
		s.held.seen[uid] = true
	case !is && s.held.seen[uid]:
		s.box.violated("%s was evicted, and is not held any more", uid)
	}
}

// begunAnew: what was evicted, and is readmitted at last, runs again.
func (s *script) begunAnew() {
	some := false
	for _, uid := range slices.Sorted(maps.Keys(s.latest)) {
		if w := s.box.daemon.owner.Worker(uid); w != nil {
			f := w.Snapshot().State.Failed
			some = some || f != nil && f.Held
		}
	}
	if !some {
		return
	}
	s.box.note("==== all are readmitted")
	for _, uid := range slices.Sorted(maps.Keys(s.latest)) {
		s.readmit(uid)
	}
	s.held.none = true
	s.likeManifests()
}
