package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/plan"
)

// imageFor finds the container's image; ok is false when the container has to wait for it.
func (w *worker) imageFor(ctx context.Context, name string, c *v1.Container) (engine.Image, bool) {
	live := w.live[name]
	img, err := w.runner.images.Get(ctx, c.Image)
	if err == nil {
		return img, true
	}
	if !errors.Is(err, engine.ErrNotFound) {
		w.containerFailed(name, "ImageInspectError", err)
		return engine.Image{}, false
	}
	if !w.runner.scanned.Load() {
		live.awaitsScan, live.retry = true, time.Now().Add(plan.MaxBackoff)
		live.waitingReason, live.waitingMessage = "ContainerCreating", "image archives are being imported"
		return engine.Image{}, false
	}
	if c.ImagePullPolicy == v1.PullNever {
		w.containerFailed(name, "ErrImageNeverPull", fmt.Errorf(
			"image %s is not present and imagePullPolicy is Never; import it: solopod images import FILE", c.Image))
		return engine.Image{}, false
	}
	if live.pulling == nil {
		w.pull(ctx, name, c.Image)
	}
	return engine.Image{}, false
}

// pullTimeout bounds one try, so that a dead registry does not hold a container for ever.
const pullTimeout = 30 * time.Minute

func (w *worker) pull(ctx context.Context, name, ref string) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	live := w.live[name]
	live.pulling = cancel
	live.retry = time.Now().Add(2 * pullTimeout) // the answer comes as a message
	w.normal(name, "Pulling", "Pulling image %q", ref)
	credentials := w.credentials()
	w.background.Go(func() {
		defer cancel()
		_, err := w.runner.images.Pull(ctx, ref, credentials)
		if err != nil {
			err = fmt.Errorf("%w; without a registry import it: solopod images import FILE", err)
		}
		w.send(pulled{name, err})
	})
}

// credentials are those of the pod's imagePullSecrets.
func (w *worker) credentials() image.Credentials {
	out := image.Credentials{}
	for _, r := range w.rec.Pod.Spec.ImagePullSecrets {
		s := w.objects.Secrets[r.Name]
		if s == nil {
			w.warn("", "FailedToRetrieveImagePullSecret", "Secret %q of imagePullSecrets is not in the manifests directory; images are pulled without it", r.Name)
			continue
		}
		if err := out.Add(s); err != nil {
			w.warn("", "FailedToRetrieveImagePullSecret", "%v", err)
		}
	}
	return out
}
