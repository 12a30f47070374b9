package runner

import (
	"context"
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/eviction"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/owner"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pressure"
)

// Evictions are what is done to pods when the machine runs short of something. It implements eviction.Pods.
type Evictions struct {
	owner      *owner.Owner
	cgroups    *cgroup.Manager
	conditions *pressure.Conditions
}

// Short tells the node's conditions that the machine is short of something. A change is an event, at once.
func (e *Evictions) Short(kind v1.NodeConditionType, message string) {
	if e.conditions.Note(kind, message) {
		e.conditions.Get()
	}
}

// Cgroup is the path of the cgroup that all pods are in.
func (e *Evictions) Cgroup() string { return e.cgroups.Root() }

// errGone says that there is no such pod any more.
var errGone = errors.New("the pod is gone")

// List implements eviction.Pods: those that could be evicted, or readmitted, and those that have ended.
func (e *Evictions) List() []eviction.Pod {
	var out []eviction.Pod
	for _, s := range e.owner.Snapshots() {
		out = append(out, candidate(s))
	}
	return out
}

func candidate(s *pod.Snapshot) eviction.Pod {
	p, st := s.Pod, &s.State
	out := eviction.Pod{
		UID: string(p.UID), Name: manifests.Key(p), Priority: manifests.Priority(p), Grace: state.GraceOf(p), Evictions: st.Evictions,
		Request: manifests.TotalRequests(p), Requests: map[string]v1.ResourceList{},
	}
	for _, c := range manifests.AllContainers(p) {
		out.Requests[c.Name] = c.Resources.Requests
	}
	if f := st.Failed; f != nil && f.Signal != "" {
		out.Held, out.HeldFor, out.HeldSince = f.Held && st.Restarts(), threshold.Signal(f.Signal), f.At
	}
	ends := ends(st)
	out.Ending = ends && givesBack(st)
	out.Ended = !out.Ending && (ends || !st.Wanted() || !st.Evictable())
	return out
}

// ends says whether a pod ends, or has ended, whatever the reason. Of one of which the manifests have not spoken yet it is not known.
func ends(st *state.State) bool {
	switch {
	case st.Failed != nil, !st.StopBy.IsZero(), st.Orphan:
		return true
	case !st.Decided:
		return false
	}
	return !st.Wanted() || plan.Phase(plan.Described(st), plan.ObservedOf(st)).Terminal()
}

// givesBack says whether the end of a pod has yet to free something: what runs does, and where its data goes, that. It does where the pod is
// removed, was evicted, or failed otherwise and is about to begin anew: as one that was edited while it ended.
func givesBack(st *state.State) bool {
	f := st.Failed
	anew := f != nil && !f.Revive.IsZero() && !f.Revive.After(time.Now())
	removed := st.Orphan || st.Decided && !st.Wanted() || f.Discards() || anew
	return st.AnyRuns() || removed && st.Anything()
}

// Evict implements eviction.Pods. It returns when the end has begun, or nothing comes of it: the pod has ended, or ends, anyway.
func (e *Evictions) Evict(ctx context.Context, o eviction.Order) error {
	return e.ask(ctx, o.UID, state.Evicted{At: time.Now(), Signal: string(o.Signal), Message: o.Message, Grace: &o.Grace})
}

// Readmit implements eviction.Pods. It lets a pod begin anew that was evicted. Others it leaves as they are.
func (e *Evictions) Readmit(ctx context.Context, uid string) error {
	return e.ask(ctx, uid, state.Readmitted{At: time.Now()})
}

func (e *Evictions) ask(ctx context.Context, uid string, event state.Event) error {
	w := e.owner.Worker(uid)
	if w == nil {
		return errGone
	}
	select {
	case <-w.Ask(event):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
