package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/status"
)

// check looks at what must hold at any time. Nothing runs meanwhile.
func (s *script) check() {
	d := s.box.daemon
	s.answered(false)
	if d == nil {
		return
	}
	if _, of, took := d.owner.Longest(); of != nil {
		s.box.violated("the worker of %s has been in one turn for %s", of.UID(), took)
	}
	s.unchanged()
	s.checkNames()
	for _, uid := range slices.Sorted(maps.Keys(s.latest)) {
		w := d.owner.Worker(uid)
		if w == nil {
			if s.wanted[uid] != nil && !s.applied.IsZero() {
				s.box.violated("nobody cares for %s", uid)
			}
			s.forget(uid)
			continue
		}
		snapshot := w.Snapshot()
		if gone := s.box.gone(uid); gone != s.gone[uid] {
			s.gone[uid] = gone
			s.forget(uid)
		}
		s.checkRemoval(uid, snapshot)
		s.checkAllStop(uid, snapshot)
		s.checkTurns(uid, snapshot)
		s.checkPhase(uid, snapshot)
		if snapshot.State.Adoption == (state.Adoption{}) && !snapshot.State.Over() { // the record may hang, too
			s.checkRemoved(uid)
		}
		s.checkCounts(uid, snapshot)
		s.checkTimes(uid, snapshot)
		s.checkEndings(uid, snapshot)
		s.checkReady(uid, snapshot)
		s.checkShown(uid, snapshot)
		s.checkHeld(uid, snapshot)
		s.keep(uid, snapshot)
	}
}

// checkNames: each name is shown once.
func (s *script) checkNames() {
	shown := map[string]bool{}
	for _, snapshot := range s.box.daemon.owner.Shown() {
		if name := manifests.Key(snapshot.Pod); shown[name] {
			s.box.violated("two pods %s are shown", name)
		} else {
			shown[name] = true
		}
	}
}

func (s *script) forget(uid string) {
	s.held.released(uid) // by an older record it is edited now
	delete(s.removed, uid)
	for key := range s.moved {
		if strings.HasPrefix(key, uid+" ") {
			delete(s.moved, key)
		}
	}
	for key := range s.restart {
		if strings.HasPrefix(key, uid+"/") {
			delete(s.restart, key)
		}
	}
}

// paused: the pod's code panicked not long ago.
func (s *script) paused(uid string) bool {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	at, ok := s.box.daemon.panics[uid]
	return ok && time.Since(at) < state.MaxBackoff+time.Second
}

// checkRemoval: that a pod is going shows at once, with one time.
func (s *script) checkRemoval(uid string, snapshot *pod.Snapshot) {
	if snapshot.State.Orphan { // nobody is shown it
		return
	}
	shown := snapshot.Pod.DeletionTimestamp
	if s.wanted[uid] != nil || s.applied.IsZero() {
		if shown != nil && s.wanted[uid] != nil && !s.paused(uid) && !s.applied.IsZero() {
			s.box.violated("%s is wanted, and shown as going", uid)
		}
		return
	}
	if shown == nil {
		if snapshot.State.Anything() && !s.paused(uid) {
			s.box.violated("%s is going, and that is not shown", uid)
		}
		return
	}
	if s.paused(uid) { // what is published may be of before the manifest came back, and went again
		delete(s.removed, uid)
		return
	}
	before, ok := s.removed[uid]
	if ok && !before.Equal(shown.Time) {
		s.box.violated("the deletionTimestamp of %s has moved from %s to %s", uid, before, shown.Time)
	}
	s.removed[uid] = shown.Time
}

// checkAllStop: with the pod, the stops of all its containers begin at once, so that their hooks do.
func (s *script) checkAllStop(uid string, snapshot *pod.Snapshot) {
	st := &snapshot.State
	going := st.Decided && !st.DeletedAt.IsZero() || !st.StopBy.IsZero()
	if !going || st.Adoption != (state.Adoption{}) || s.paused(uid) {
		return
	}
	for name, c := range st.Containers {
		if c.Running && !c.Now.Stopping && c.Now.Exit == nil {
			s.box.violated("%s ends, and the stop of %s has not begun", uid, name)
		}
	}
}

// checkTurns: a stop signal waits for its turn while something that ends before it has not ended, and no longer, also when the pod has
// come back meanwhile.
func (s *script) checkTurns(uid string, snapshot *pod.Snapshot) {
	st := &snapshot.State
	if st.Adoption != (state.Adoption{}) || st.Starting() || s.paused(uid) {
		return
	}
	awaits, ends := "", false
	for name, c := range st.Containers {
		switch {
		case c.Running && c.Now.Exit != nil:
			ends = true // its end is being looked at
		case !c.Running || !c.Now.Stopping:
		case c.Now.Awaits:
			awaits = name
		default:
			ends = true
		}
	}
	if awaits != "" && !ends {
		s.box.violated("the stop signal of %s/%s waits for nobody", uid, awaits)
	}
}

// checkPhase: a pod that is shown as ended has no process left, and nothing that has to come back.
func (s *script) checkPhase(uid string, snapshot *pod.Snapshot) {
	b := s.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if phase := snapshot.Pod.Status.Phase; phase != v1.PodSucceeded && phase != v1.PodFailed || b.stale[uid].After(b.cleared[uid]) || snapshot.State.Adoption != (state.Adoption{}) {
		return
	}
	for _, c := range snapshot.Pod.Status.ContainerStatuses {
		if snapshot.Pod.Spec.RestartPolicy == v1.RestartPolicyOnFailure && snapshot.Pod.Status.Phase == v1.PodSucceeded && b.condemned(uid, c) {
			b.violatedLocked("%s is Succeeded, and %s was ended for a probe or its hook", uid, c.Name)
		}
	}
	for _, c := range b.running(uid) {
		if !c.late && !b.startsApart(uid, c.name) {
			b.violatedLocked("%s is %s, and %s runs", uid, snapshot.Pod.Status.Phase, c.name)
		}
	}
}

const (
	// tooLong is how long after a panic a pod may pause.
	tooLong = 10 * time.Minute
	// still is how long nothing need happen in a removal: between tries.
	still = 2 * time.Minute
)

// checkRemoved: a removal waits for what works on the pod's own things, and for nothing else.
func (s *script) checkRemoved(uid string) {
	b := s.box
	if s.wanted[uid] != nil || s.applied.IsZero() || time.Since(s.since[uid]) < still || time.Since(s.applied) < still {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.running(uid)) > 0 || time.Since(b.daemon.panics[uid]) < tooLong || time.Since(b.cleared[uid]) < time.Minute {
		return
	}
	for key, on := range b.daemon.active {
		if on && strings.HasPrefix(key, uid+" ") && !strings.HasPrefix(key, uid+" image/") {
			return
		}
	}
	if time.Since(b.daemon.last[uid]) > still {
		b.violatedLocked("%s is not removed, and nothing but a pull can hold it", uid)
	}
}

// checkShown: what is published is what the state is, though it is not made anew for every step.
func (s *script) checkShown(uid string, snapshot *pod.Snapshot) {
	if s.n%6 != 1 {
		return
	}
	as := snapshot.State
	as.Conditions = snapshot.Pod.Status.Conditions // for their times
	now := status.Of(as, time.Now())
	now.ResourceVersion = snapshot.Pod.ResourceVersion
	if !reflect.DeepEqual(now, snapshot.Pod) {
		a, _ := json.Marshal(snapshot.Pod)
		b, _ := json.Marshal(now)
		s.box.violated("%s is published as\n%s\nand is\n%s", uid, a, b)
	}
}

// sighting is a condition as it was seen at a time.
type sighting struct {
	v1.PodCondition
	at time.Time
}

// panickedSince: the pod's code has panicked since a time, or was held back for that then; what had no record yet has forgotten all.
func (s *script) panickedSince(uid string, at time.Time) bool {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	return s.box.daemon.panics[uid].Add(state.MaxBackoff).After(at)
}

// checkTimes: the time of a condition moves with the condition, also when another daemon has taken the pod up. Those are looked at that
// cannot have come and gone without a trace.
func (s *script) checkTimes(uid string, snapshot *pod.Snapshot) {
	s.box.mu.Lock()
	cleared := s.box.cleared[uid]
	s.box.mu.Unlock()
	for _, c := range snapshot.Pod.Status.Conditions {
		traceless := c.Type != v1.PodScheduled && c.Type != v1.PodReadyToStartContainers
		if traceless || c.Type == v1.PodReadyToStartContainers && !cleared.Truncate(time.Second).Before(s.moved[uid+" "+string(c.Type)].LastTransitionTime.Time) {
			continue
		}
		key := uid + " " + string(c.Type)
		before, ok := s.moved[key]
		if at := before.LastTransitionTime; ok && before.Status == c.Status && !at.Equal(&c.LastTransitionTime) && !s.paused(uid) && !s.panickedSince(uid, before.at) && c.LastTransitionTime.Sub(s.box.wentAt(uid)) > 2*time.Minute {
			s.box.violated("%s was %s since %s, and is so since %s", key, c.Status, at, c.LastTransitionTime)
		}
		s.moved[key] = sighting{c, time.Now()}
	}
}

// checkCounts: restarts are counted, never back.
func (s *script) checkCounts(uid string, snapshot *pod.Snapshot) {
	all := append(slices.Clone(snapshot.Pod.Status.InitContainerStatuses), snapshot.Pod.Status.ContainerStatuses...)
	maps.DeleteFunc(s.restart, func(key string, _ int32) bool { // one that is no longer shown begins at 0 when it comes back
		name, ok := strings.CutPrefix(key, uid+"/")
		return ok && !slices.ContainsFunc(all, func(c v1.ContainerStatus) bool { return c.Name == name })
	})
	for _, c := range all {
		key := uid + "/" + c.Name
		// A daemon may learn later that all of a pod went, and shows until then what it had.
		if went := time.Since(s.box.wentAt(uid)) <= 2*time.Minute; snapshot.State.Containers[c.Name] == nil || s.paused(uid) || went {
			delete(s.restart, key)
			continue
		}
		if c.RestartCount < s.restart[key] {
			s.box.violated("the restart count of %s went from %d to %d", key, s.restart[key], c.RestartCount)
		}
		s.restart[key] = c.RestartCount
	}
}

// checkReady: what ran before the machine was restarted is not shown as ready.
func (s *script) checkReady(uid string, snapshot *pod.Snapshot) {
	b := s.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range snapshot.Pod.Status.ContainerStatuses {
		known := snapshot.State.Containers[c.Name]
		if !c.Ready || known == nil || !known.Running {
			continue
		}
		if of := b.containers[known.ID]; of != nil && of.boot != b.boot {
			b.violatedLocked("%s/%s %.6s is shown as ready, and has not run since the machine was restarted", uid, c.Name, known.ID)
		}
	}
}

// checkEndings: exit codes are those of the processes.
func (s *script) checkEndings(uid string, snapshot *pod.Snapshot) {
	b := s.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, c := range snapshot.State.Containers {
		for _, e := range []*state.Ending{c.Ended, c.Last} {
			if e == nil {
				continue
			}
			end, ok := b.ends[e.ID]
			switch {
			case !ok && e.Reason != state.ReasonUnknown:
				b.violatedLocked("the end of %s/%s %.6s is told, and was none: %+v", uid, name, e.ID, *e)
			case ok && e.Reason != state.ReasonUnknown && e.ExitCode != end.code:
				b.violatedLocked("%s/%s %.6s ended with %d, and %d is told", uid, name, e.ID, end.code, e.ExitCode)
			case ok && e.Reason == state.ReasonUnknown && end.at.After(b.lastCut) && end.at.After(b.stale[uid]) && !end.lost:
				b.violatedLocked("the end of %s/%s %.6s was lost: it ended with %d", uid, name, e.ID, end.code)
			}
		}
	}
}

// ending is how a process ended; lost: Solopod ended it without knowing it.
type ending struct {
	code int32
	at   time.Time
	lost bool
}

// keptState is a snapshot that nobody may change.
type keptState struct {
	uid      string
	snapshot *pod.Snapshot
	print    string
}

// keep remembers some snapshots.
func (s *script) keep(uid string, snapshot *pod.Snapshot) {
	if s.n%12 == 3 && len(s.kept) < 2 {
		s.kept = append(s.kept, keptState{uid, snapshot, fingerprint(snapshot)})
	}
}

// unchanged: neither Step nor Plan has changed what they were given.
func (s *script) unchanged() {
	if s.n%12 != 7 {
		return
	}
	for _, k := range s.kept {
		if after := fingerprint(k.snapshot); after != k.print {
			s.box.violated("a state of %s was changed:\n%s\n%s", k.uid, k.print, after)
		}
	}
	s.kept = nil
}

func fingerprint(snapshot *pod.Snapshot) string {
	s := snapshot.State
	record, err := s.Encode()
	parts := []any{string(record), err, s.Live, snapshot.Pod}
	for _, name := range slices.Sorted(maps.Keys(s.Containers)) {
		c := s.Containers[name]
		parts = append(parts, name, c.Making, c.Now)
	}
	for _, id := range slices.Sorted(maps.Keys(s.Leftovers)) {
		l := s.Leftovers[id]
		parts = append(parts, id, l.Step, l.Retry, l.Told)
	}
	text, err := json.Marshal(parts)
	return fmt.Sprint(string(text), err)
}

// answered: questions are answered in time, at the latest with the end of the daemon.
func (s *script) answered(all bool) {
	var left []question
	for _, q := range s.asked {
		select {
		case <-q.answer:
			continue
		default:
		}
		s.box.mu.Lock()
		alive := q.d.alive
		s.box.mu.Unlock()
		switch {
		case !alive && q.what != "Reconciled":
			s.box.violated("%s was not answered by the daemon's end", q.what)
		case all || time.Now().After(q.by):
			s.box.violated("%s was not answered", q.what)
		case alive:
			left = append(left, q)
		}
	}
	s.asked = left
}
