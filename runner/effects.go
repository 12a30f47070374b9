package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/image"
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

// pull fetches an image with the credentials of the pod's imagePullSecrets.
func (e effects) pull(ctx context.Context, w plan.Pull) state.Result {
	name := ""
	all := manifests.AllContainers(w.Pod)
	if i := slices.IndexFunc(all, func(c *v1.Container) bool { return c.Image == w.Ref }); i >= 0 {
		name = all[i].Name
	}
	e.r.events.Pod(w.Pod, name, v1.EventTypeNormal, "Pulling", "Pulling image %q", w.Ref)
	if _, err := e.r.images.Pull(ctx, w.Ref, e.credentials(w)); err != nil {
		return state.ImagePulled{Problem: state.Problem{
			Reason: "ErrImagePull", Message: fmt.Sprintf("%v; without a registry import it: solopod images import FILE", err),
		}}
	}
	return state.ImagePulled{}
}

func (e effects) credentials(w plan.Pull) image.Credentials {
	out := image.Credentials{}
	for _, ref := range w.Pod.Spec.ImagePullSecrets {
		s := w.Secrets[ref.Name]
		if s == nil {
			e.r.events.Pod(w.Pod, "", v1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
				"Secret %q of imagePullSecrets is not in the manifests directory; images are pulled without it", ref.Name)
			continue
		}
		if err := out.Add(s); err != nil {
			e.r.events.Pod(w.Pod, "", v1.EventTypeWarning, "FailedToRetrieveImagePullSecret", "%v", err)
		}
	}
	return out
}
