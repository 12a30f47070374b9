package workload

import (
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/workload/history"
	"github.com/solopod/solopod/workload/rollout"
	"github.com/solopod/solopod/workload/shown"
)

// progress is how far an object is on the way to its manifest's version.
type progress struct {
	// target identifies that version, and how many pods shall have it.
	target string
	// mark is what has come of it, and at when that has changed last.
	mark string
	at   time.Time
	// rolling: there were pods of another version; done: all had the new one, and were available; late: it was said that it takes too long.
	rolling, done, late bool
	// enough: as many pods were available as the strategy wants at least, since or not since enoughAt.
	enough   bool
	enoughAt time.Time
}

// look notes whether enough pods are available.
func (p *progress) look(enough bool, now time.Time) {
	if enough != p.enough || p.enoughAt.IsZero() {
		p.enough, p.enoughAt = enough, now
	}
}

// follow tells how a rollout goes, and shows the object. slots and surge are what d was decided about.
func (c *Controller) follow(r *rolling, d rollout.Decision, slots, surge []rollout.Member) {
	status := Status{Kind: r.kind, Namespace: r.meta.Namespace, Name: r.meta.Name}
	held := c.History.Show(r.versions())
	status.Revision, status.HeldBy, status.Held = held.Revision, held.Reason, held.Message
	counted := r.counted(slots, surge)
	status.Replicas = &counted
	p, target := c.progress[r.key()], strings.Join(r.revisions, " ")
	if p == nil || p.target != target {
		former := p
		p = &progress{target: target, at: r.now}
		if former != nil {
			p.enough, p.enoughAt = former.enough, former.enoughAt
		}
		c.progress[r.key()] = p
	}
	old := 0
	for i, m := range slots {
		if m.Version == rollout.Old && i >= r.strategy.Partition {
			old++
		}
	}
	if old > 0 && !p.rolling {
		p.rolling, p.done = true, false
		c.report(r.kind, r.meta.Namespace, r.meta.Name, v1.EventTypeNormal, "RolloutStarted", r.strategy.Begins(old))
	}
	fresh := 0 // those of the new version that are available
	for _, m := range append(slots[:len(slots):len(slots)], surge...) {
		if m.Version == rollout.New && m.Available {
			fresh++
		}
	}
	if mark := fmt.Sprint(counted.Updated, fresh, old, len(surge)); mark != p.mark {
		p.mark, p.at, p.late = mark, r.now, false
	}
	switch {
	case d.Done:
		if p.rolling {
			c.report(r.kind, r.meta.Namespace, r.meta.Name, v1.EventTypeNormal, "RolloutCompleted", "all pods have the new version and are available")
		}
		p.rolling, p.done, p.late = false, true, false
		if counted.Updated > 0 { // no pod proves nothing
			c.History.Proven(r.versions())
		}
		counted.Complete = !held.Waits
	case !p.done:
		status.Message = r.awaited(old)
		c.deadline(r, p, &status)
	}
	p.look(counted.Available >= r.replicas-r.strategy.Unavailable, r.now)
	c.looked.replicas[r.key()] = shown.Replicas{
		Counts: shown.Counts{Desired: counted.Desired, Current: counted.Current, Ready: counted.Ready, Updated: counted.Updated, Available: counted.Available},
		Enough: p.enough, EnoughAt: p.enoughAt.Round(0), Done: p.done, Late: p.late, Changed: p.at.Round(0), Message: status.Message,
	}
	c.next = append(c.next, status)
}

// versions names the object in the history.
func (r *rolling) versions() string { return history.Key(r.kind, r.meta.Namespace, r.meta.Name) }

// tryObjects gives objects whose versions may go back what that needs: a time in which to become ready, and one for which to be so.
func tryObjects(c *Controller) {
	for _, o := range c.objects {
		o.strategy = o.asked
		key := history.Key(o.kind, o.meta.Namespace, o.meta.Name)
		o.paused, o.tried = c.History.Show(key).Paused, false
		if o.paused {
			o.strategy.Deadline = 0
		}
		after, on := c.History.After(o.meta)
		if !on || o.kind == "ReplicaSet" || o.paused {
			continue
		}
		if o.kind != "Deployment" {
			o.strategy.Deadline = after
		}
		var settled time.Duration
		o.strategy.Deadline, settled, o.tried = c.History.Trial(key, o.strategy.Deadline)
		o.strategy.MinReady = max(o.strategy.MinReady, settled)
	}
}

// deadline says once that a rollout has not gone on for its deadline.
func (c *Controller) deadline(r *rolling, p *progress, status *Status) {
	if r.strategy.Deadline == 0 {
		return
	}
	over := p.at.Add(r.strategy.Deadline)
	if r.now.Before(over) {
		c.wakeAt(over)
		return
	}
	message := fmt.Sprintf("nothing has gone ahead for %s: %s", r.strategy.Deadline, status.Message)
	status.Message = message
	status.Replicas.Late = true
	if r.tried && c.History.Late(r.versions(), message, r.now) {
		p.late = true
		return
	}
	if !p.late {
		p.late = true
		c.report(r.kind, r.meta.Namespace, r.meta.Name, v1.EventTypeWarning, "ProgressDeadlineExceeded",
			message+"; what is left of the old version stays, until the manifest is mended or the pods become ready")
	}
}

// awaited says what a rollout, with so many pods of the old version left, waits for.
func (r *rolling) awaited(old int) string {
	var waits []string
	lacks := ""
	for i, t := range append(r.slots[:len(r.slots):len(r.slots)], r.surge...) {
		if t == nil {
			if i < len(r.slots) {
				waits = append(waits, r.replicated.slots[i].Pod.Name)
			}
			continue
		}
		since, ready := r.ready(t)
		if !ready || since.Add(r.strategy.MinReady).After(r.now) {
			waits = append(waits, t.Pod.Name)
		}
		if lacks == "" && r.waits(t) {
			lacks = r.standings[t.Pod.UID].Lacks
		}
	}
	out := ""
	if old > 0 {
		out = fmt.Sprintf("%d of %d pods have the old version", old, len(r.slots))
	}
	if len(waits) > 0 {
		if out != "" {
			out += "; "
		}
		out += "waiting for " + names(waits)
	}
	if lacks != "" {
		out += ", which cannot begin yet and runs on as it was: " + lacks
	}
	return out
}
