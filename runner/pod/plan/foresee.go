package plan

import (
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/edit"
	"github.com/solopod/solopod/runner/pod/state"
)

// foresee looks for what an edit lacks that waits, and fetches what it can. It is taken when all is there, or when there is nothing left
// that it would stop.
func foresee(p *planner, d *Desired, o *Observed) {
	c := p.s.Coming
	if c == nil || d == nil || !p.s.StopBy.IsZero() || edit.Evicted(p.s) { // it goes on waiting when the pod is let in again
		return
	}
	if c.Sure || p.s.Failed != nil || outcome(d, o) != "" {
		p.decide(state.EditDue{At: p.now})
		return
	}
	if absent := edit.Absent(p.s); absent != "" {
		if c.Message != absent {
			p.decide(state.EditLacks{Message: absent})
		}
		return // an object that comes is an event
	}
	needs := edit.Needs(p.s)
	lacking := false
	for _, ref := range needs {
		if p.s.Images[ref] != nil && p.s.Images[ref].Policy != v1.PullNever {
			pullFor(p, c.Pod, c.Objects, ref)
			lacking = true
		}
	}
	if !lacking && p.due(c.Retry) {
		p.want(Foresee{Pod: c.Pod, Refs: needs, Known: known(p.s, c.Pod, c.Objects), Key: c.Key})
	}
}
