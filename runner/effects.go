package runner

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	imagepolicy "github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// effects does the pods' effects for real.
type effects struct{ r *Runner }

// Do implements pod.Doer.
func (e effects) Do(ctx context.Context, w plan.Work, say func(state.Result)) state.Result {
	name, begun := operation(w), time.Now()
	result := e.do(ctx, w, say)
	if name != "" {
		e.r.telemetry.Operation(name, time.Since(begun), failed(result))
	}
	e.r.root.look(result)
	return result
}

func (e effects) do(ctx context.Context, w plan.Work, say func(state.Result)) state.Result {
	s := e.r.sandboxes
	switch w := w.(type) {
	case plan.FindSandbox:
		return s.Find(ctx, w)
	case plan.Claim:
		return s.Claim(ctx, w)
	case plan.SetUp:
		if claims := claimsOf(w.Pod); len(claims) > 0 {
			e.r.claims.Wait(ctx, claims) // the set-up makes a claim whose record does not exist, and that would say less
		}
		return s.SetUp(ctx, w)
	case plan.Attach:
		if err := e.r.serves.await(ctx, w.Pod); err != nil {
			return state.Attached{Problem: state.Problem{Message: err.Error()}}
		}
		return s.Attach(ctx, w)
	case plan.Clear:
		return s.Clear(ctx, w)
	case plan.ShowVolumes:
		return s.ShowVolumes(ctx, w)
	case plan.ShowResolver:
		return s.ShowResolver(ctx, w)
	case plan.SetLimits:
		return s.SetLimits(ctx, w)
	case plan.Measure:
		return s.Measure(ctx, w)
	case plan.Foresee:
		return e.foresee(ctx, w)
	case plan.Pull:
		return e.pull(ctx, w)
	}
	return e.onContainer(ctx, w, say)
}

func (e effects) onContainer(ctx context.Context, w plan.Work, say func(state.Result)) state.Result {
	c := e.r.containers
	switch w := w.(type) {
	case plan.Create:
		return c.Create(ctx, w)
	case plan.Start:
		return c.Start(ctx, w)
	case plan.Resize:
		return c.Resize(ctx, w)
	case plan.ReadOutput:
		return c.ReadOutput(ctx, w)
	case plan.WatchKills:
		return c.WatchKills(ctx, w, say)
	case plan.Probe:
		return c.Probe(ctx, w, say)
	case plan.Hook:
		return c.Hook(ctx, w)
	case plan.Signal:
		return c.Signal(ctx, w)
	case plan.Examine:
		return c.Examine(ctx, w)
	case plan.Drain:
		return c.Drain(ctx, w)
	case plan.Delete:
		return c.Delete(ctx, w)
	}
	panic(fmt.Sprintf("an effect that nobody does: %T", w))
}

// claimsOf are the claims that a pod uses, by namespace and name.
func claimsOf(pod *v1.Pod) (keys []string) {
	for i := range pod.Spec.Volumes {
		if c := pod.Spec.Volumes[i].PersistentVolumeClaim; c != nil {
			keys = append(keys, pod.Namespace+"/"+c.ClaimName)
		}
	}
	return keys
}

// pull fetches an image.
func (e effects) pull(ctx context.Context, w plan.Pull) state.Result {
	if err := e.r.policy.Pull(ctx, w.Pod, w.Ref, imagepolicy.Known(w.Known)); err != nil {
		return state.ImagePulled{Problem: state.Problem{Reason: "ErrImagePull", Message: err.Error()}}
	}
	return state.ImagePulled{}
}
