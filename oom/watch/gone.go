package watch

import (
	"context"
	"path"
	"time"
)

// Gone is how many kills are known of a container whose counter went before it was read at its end, as systemd removes an empty scope at
// once. Killed: its main process ended by a SIGKILL that none of ours sent. Then what tells of a kill is waited for, for at most as long as
// the log and counters wait for each other; and a kill that its pod's cgroup has counted, and nobody tells of, was this one.
func (w *Watcher) Gone(ctx context.Context, cgroupPath string, killed bool) uint64 {
	s, ok := w.containerOf(cgroupPath)
	if !ok {
		return 0
	}
	w.lookAbove(path.Dir(cgroupPath))
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		w.mu.Lock()
		kills, open := ofGone(&w.join, s), w.join.behind || untold(&w.join, s.Pod.UID) > 0
		said := w.said
		w.mu.Unlock()
		if !killed || !open {
			return kills
		}
		select {
		case <-said:
		case <-ctx.Done():
			return kills
		case <-limit.C:
			return w.claim(s, cgroupPath)
		}
	}
}

// claim has a container's be one of the kills that its pod has counted, if there is one that nobody tells of.
func (w *Watcher) claim(s Subject, cgroupPath string) uint64 {
	now := time.Now()
	w.mu.Lock()
	kills, more := ofGone(&w.join, s), false
	if w.join.nested && untold(&w.join, s.Pod.UID) > 0 {
		kills++
		more = w.join.counted(s, kills, now)
		placed(&w.join, s.ID, cgroupPath)
	}
	w.mu.Unlock()
	w.rouse(more)
	return kills
}

// tell tells those who wait that something was learned. w.mu is held.
func (w *Watcher) tell() {
	close(w.said)
	w.said = make(chan struct{})
}

// ofGone is how many kills are known of a container.
func ofGone(j *join, s Subject) uint64 {
	t := j.tallies[s.ID]
	if t == nil {
		return 0
	}
	return max(t.Counted, t.known())
}

// untold is how many kills a pod has counted that are none that any of its containers is known to have had; where pods do not count, what
// the machine has.
func untold(j *join, uid string) int {
	above := j.machine
	if j.nested {
		above = j.tallies[podKey(uid)]
	}
	if above == nil {
		return 0
	}
	n := above.missing(above.Counted)
	for _, t := range j.tallies { // what they lack is settled a moment later
		if !t.Whole && (!j.nested || t.Subject.Pod.UID == uid) {
			n -= t.missing(t.Counted)
		}
	}
	return max(n, 0)
}
