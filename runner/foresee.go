package runner

import (
	"context"

	"github.com/solopod/solopod/runner/allocate"
	imagepolicy "github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/pod"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/sandbox"
)

// foresee looks what an edit lacks before anything is stopped for it. Everything can change until it is needed, and is asked for again then.
func (e effects) foresee(ctx context.Context, w plan.Foresee) state.Result {
	var out state.Foreseen
	missing, err := e.r.policy.Foreseen(ctx, w.Pod, w.Refs, imagepolicy.Known(w.Known))
	if err != nil {
		return state.Foreseen{Problem: state.Problem{Message: err.Error()}}
	}
	for _, m := range missing {
		out.Missing = append(out.Missing, state.Lack(m))
	}
	if err := sandbox.Possible(w.Pod, e.r.sandboxes); err != nil {
		out.Problem = state.Problem{Message: err.Error()}
	} else if err := e.r.sandboxes.Claims.Keeps(w.Pod, wanted(e.r.owner.Snapshots())); err != nil {
		out.Problem = state.Problem{Message: err.Error()}
	}
	return out
}

// wanted are the pods as the manifests have them now, by UID.
func wanted(snapshots []*pod.Snapshot) map[string]allocate.Future {
	out := map[string]allocate.Future{}
	for _, s := range snapshots {
		switch {
		case s.State.Orphan, !s.State.DeletedAt.IsZero():
		case s.State.Coming != nil:
			out[string(s.State.Pod.UID)] = allocate.Future{Pod: s.State.Coming.Pod, Waits: true, Stuck: s.State.Coming.Stuck}
		default:
			out[string(s.State.Pod.UID)] = allocate.Future{Pod: s.State.Pod}
		}
	}
	return out
}
