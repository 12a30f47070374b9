package simulation

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// checkStart looks at a container that is about to run. b.mu is held.
func (b *box) checkStart(c *container, p *v1.Pod) {
	name := c.uid + "/" + c.name
	for _, other := range b.containers {
		if other != c && other.uid == c.uid && other.name == c.name && other.status == state.FoundRunning {
			b.violatedLocked("%s runs twice: %.6s and %.6s", name, other.id, c.id)
		}
	}
	for _, other := range b.containers {
		if other.uid != c.uid && other.pod == c.pod && other.status == state.FoundRunning && !other.late && !c.late {
			b.violatedLocked("%s starts, and %s/%s %.6s of the other pod of that name runs", name, other.uid, other.name, other.id)
		}
	}
	s := b.sandboxes[c.uid]
	if s == nil || !s.mounted || !s.attached {
		b.violatedLocked("%s starts without a complete sandbox", name)
		return
	}
	for i := range p.Spec.InitContainers {
		before := &p.Spec.InitContainers[i]
		if before.Name == c.name {
			break
		}
		if !s.done[before.Name] && !b.stale[c.uid].After(b.cleared[c.uid]) {
			b.violatedLocked("%s starts before %s (sidecar: %v)", name, before.Name, manifests.IsSidecar(before))
		}
	}
	h := b.history(c.uid, c.name)
	want := 0
	if h.last != nil {
		want = h.last.attempt + 1
	}
	if (c.attempt < want || c.attempt > want+h.refused) && !h.free { // a refusal counts, unless it came when the attempt was no longer wanted
		b.violatedLocked("%s starts its attempt %d, and %d was next", name, c.attempt, want)
	}
	h.free = h.dropped
	h.attempts[c.attempt] = c.id
	b.checkBackoff(h, c, name)
}

// checkBackoff: a container that has crashed waits, longer each time. b.mu is held.
func (b *box) checkBackoff(h *history, c *container, name string) {
	last := h.last
	if last == nil || last.status != state.FoundStopped || last.signalled || last.late || last.revision != c.revision || last.boot != b.boot {
		h.streak = -1
		return
	}
	if last.ended.Sub(last.started) > 2*state.MaxBackoff {
		h.streak = 0
	}
	h.streak++
	if h.streak < 2 {
		return
	}
	least := state.InitialBackoff
	for range h.streak - 2 {
		least = min(2*least, state.MaxBackoff)
	}
	if waited := time.Since(last.ended); waited < least {
		b.violatedLocked("%s was restarted %s after its crash no. %d", name, waited, h.streak)
	}
}

// Reasons of stops that end the whole pod.
var podEnds = []string{
	"the pod's manifest is gone", "the pod's manifest changed in a part", "the machine goes down", "the pod has ended", "what the pod's containers share is gone",
}

// noteStop remembers that a container's stop has begun with the end of its pod, and when its grace period may be over.
func (d *daemon) noteStop(p *v1.Pod, r state.Report) {
	if r.Reason != "Killing" || !strings.HasPrefix(r.Message, "Stopping container") {
		return
	}
	ends := false
	for _, reason := range podEnds {
		ends = ends || strings.Contains(r.Message, reason)
	}
	uid, b := string(p.UID), d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.containers {
		if c.uid != uid || c.name != r.Container || c.status != state.FoundRunning || !ends {
			continue
		}
		now := time.Now()
		if d.endBegan[uid].IsZero() {
			d.endBegan[uid] = now
		}
		grace := state.GraceOf(p)
		if least, ok := b.hurried[uid]; ok {
			grace = min(grace, least)
		}
		if d.endBegan[uid].Before(now) { // it was being started when the end began
			grace = min(grace, state.MinimumGrace)
		}
		c.endsIn, c.stopAt, c.overAt, c.latestAt = d.n, now, now.Add(grace), now.Add(state.GraceOf(p)+state.MinimumGrace+time.Second)
		if !d.drainBy.IsZero() && d.drainBy.Before(c.overAt) {
			c.overAt = d.drainBy
		}
	}
}

// checkAsked: hooks that hang, and turns, hold a stop signal back for no longer than the grace period. b.mu is held.
func (d *daemon) checkAsked(w plan.Signal) {
	c := d.box.containers[w.ID]
	if c == nil || c.asked || c.endsIn != d.n || !d.alive || time.Since(d.panics[c.uid]) < tooLong || d.left[c.uid+"/"+c.name] {
		return
	}
	c.asked = true
	if late := time.Since(c.latestAt); late > 0 {
		d.box.violatedLocked("%s/%s is asked to end %s after the grace period", c.uid, c.name, late)
	}
}

// checkTurn: with the pod, its sidecars get their stop signals after all others have ended, in the reverse order of their start, or
// when the grace period is over. What goes on, or has started, because the pod has come back meanwhile does not count. A signal that
// failed is sent again, also then. b.mu is held.
func (d *daemon) checkTurn(w plan.Signal) {
	b := d.box
	c := b.containers[w.ID]
	if w.Signal == state.SIGKILL || c == nil || c.asked || !c.sidecar || c.endsIn != d.n || !time.Now().Before(c.overAt) || !d.alive {
		return
	}
	uid := c.uid
	if b.stale[uid].After(b.cleared[uid]) {
		return
	}
	for _, other := range b.running(uid) {
		if other == c || other.late {
			continue
		}
		if b.startsApart(uid, other.name) || other.endsIn != d.n && !b.changed[uid].Before(c.stopAt) {
			continue
		}
		if !other.sidecar || other.order > c.order {
			b.violatedLocked("sidecar %s/%s is signalled before %s has ended", uid, c.name, other.name)
		}
	}
}

// noteVerdict remembers that a container has to end for a probe or its hook.
func (d *daemon) noteVerdict(uid string, r state.Report) {
	if r.Reason != "Killing" || !strings.Contains(r.Message, "it failed its") && !strings.Contains(r.Message, "hook failed") {
		return
	}
	b := d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.containers {
		if c.uid == uid && c.name == r.Container && c.status == state.FoundRunning {
			c.judgedBy = d.n
		}
	}
}

// startsApart: a container's start was left behind, or forgotten when the pod's code panicked; what runs is killed when it returns.
// b.mu is held.
func (b *box) startsApart(uid, name string) bool {
	d := b.daemon
	began := d.begins[uid+" container/"+name+" Start"]
	return d.active[uid+" container/"+name] && time.Since(began[len(began)-1]) > 2*time.Minute || time.Since(d.panics[uid]) < tooLong
}

// checkHooks: the first start of a container waits for the postStart hooks of those before it. b.mu is held.
func (d *daemon) checkHooks(w plan.Create) {
	b, uid := d.box, string(w.Pod.UID)
	s := b.sandboxes[uid]
	if s == nil || s.begun[w.Name] || !d.alive || b.stale[uid].After(b.cleared[uid]) || time.Since(d.panics[uid]) < tooLong {
		return
	}
	place := slices.IndexFunc(w.Pod.Spec.Containers, func(c v1.Container) bool { return c.Name == w.Name })
	for i := range max(place, 0) {
		before := &w.Pod.Spec.Containers[i]
		id := d.hooks[uid+" hook/"+before.Name]
		if c := b.containers[id]; c != nil && c.status == state.FoundRunning && !d.left[uid+"/"+before.Name] {
			b.violatedLocked("%s/%s is created while the postStart hook of %s runs", uid, w.Name, before.Name)
		}
	}
}
