// Package policy does what imagePullPolicy Always asks for, as the kubelet: a container starts with the image that its registry has now.
// Unlike there a registry that does not answer need not stop what has run before.
package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/image"
)

// What becomes of an image that is present where the policy is Always and its registry does not answer.
const (
	// Ran has it used by pods that have run with it.
	Ran = "ran"
	// Present has it used by all.
	Present = "present"
	// Refuse has it used by none, as the kubelet.
	Refuse = "refuse"
)

// Offline are these values.
func Offline() []string { return []string{Ran, Present, Refuse} }

// Store is where images are. Package image implements it.
type Store interface {
	Get(ctx context.Context, ref string) (engine.Image, error)
	Pull(ctx context.Context, ref string, logins image.Credentials) (engine.Image, error)
	Update(ctx context.Context, ref string, logins image.Credentials) (engine.Image, error)
	Newest(ctx context.Context, ref string, present engine.Image, logins image.Credentials) (bool, error)
}

// Images gets the images of pods. It is safe for concurrent use.
type Images struct {
	store   Store
	events  *event.Log
	offline string

	mu sync.Mutex
	// sure are the digests that a pod has just pulled, or found to be the newest, by pod and reference: the start that follows asks for
	// nothing.
	sure map[string]string
	// silent are until when registries are not asked again that have not answered, where that stops nobody.
	silent map[string]time.Time
	// told are the pods and references of which it was told that the registry does not answer.
	told map[string]bool
}

// Known is what there is, beside a pod, to ask registries with: its imagePullSecrets, and the images that its containers have had.
type Known struct {
	Secrets map[string]*v1.Secret
	Had     []string
}

// New makes it; offline is Ran where it is empty.
func New(store Store, events *event.Log, offline string) *Images {
	if offline == "" {
		offline = Ran
	}
	return &Images{store: store, events: events, offline: offline, sure: map[string]string{}, silent: map[string]time.Time{}, told: map[string]bool{}}
}

// silence is for how long a registry that has not answered is not asked again, where an image is present.
const silence = 30 * time.Second

// most bounds what is remembered.
const most = 1000

// Current returns no error when a container, or a volume, of the pod may have the image that is present; else one that is
// engine.ErrNotFound: it is to be pulled.
func (i *Images) Current(ctx context.Context, pod *v1.Pod, ref string, present engine.Image, known Known) error {
	k := key(pod, ref)
	i.mu.Lock()
	sure := i.sure[k] == present.Digest
	delete(i.sure, k)
	falls := i.falls(present, known.Had)
	silent := falls && time.Now().Before(i.silent[registryOf(present.Name)])
	i.mu.Unlock()
	if sure || silent {
		return nil
	}
	same, err := i.store.Newest(ctx, ref, present, i.credentials(pod, known))
	switch {
	case err == nil && same:
		i.answered(pod, ref, present)
		return nil
	case err == nil:
		return fmt.Errorf("%w: the registry has another image %s by now", engine.ErrNotFound, ref)
	case falls && remote.NoAnswer(err):
		i.unanswered(pod, ref, present, err)
		return nil
	}
	return fmt.Errorf("%w: %w", engine.ErrNotFound, err)
}

// Pull fetches an image that a pod lacks, or of which its registry has another. It returns no error when the pod may go on.
func (i *Images) Pull(ctx context.Context, pod *v1.Pod, ref string, known Known) error {
	container := ""
	all := manifests.AllContainers(pod)
	if n := slices.IndexFunc(all, func(c *v1.Container) bool { return c.Image == ref }); n >= 0 {
		container = all[n].Name
	}
	i.events.Pod(pod, container, v1.EventTypeNormal, "Pulling", "Pulling image %q", ref)
	logins := i.credentials(pod, known)
	if !always(pod, ref) {
		_, err := i.store.Pull(ctx, ref, logins)
		return pulled(err, "without a registry import it: solopod images import FILE")
	}
	got, err := i.store.Update(ctx, ref, logins)
	if err == nil {
		i.answered(pod, ref, got)
		i.mu.Lock()
		defer i.mu.Unlock()
		bound(i.sure)
		i.sure[key(pod, ref)] = got.Digest
		return nil
	}
	present, absent := i.store.Get(ctx, ref)
	if absent != nil || ctx.Err() != nil {
		return pulled(err, "without a registry import it: solopod images import FILE")
	}
	if remote.NoAnswer(err) {
		if i.falls(present, known.Had) {
			i.unanswered(pod, ref, present, err)
			return nil
		}
		return pulled(err, "the image is present, and used without its registry with imagePullPolicy: IfNotPresent, or imagePullOffline: present in the configuration")
	}
	return pulled(err, "the image is present, and used whatever its registry says with imagePullPolicy: IfNotPresent")
}

func pulled(err error, advice string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; %s", err, advice)
}

// Missing is an image that is to be pulled, and what there is in its place.
type Missing struct{ Ref, Instead string }

// Foreseen looks whether what an edit needs is present, and the newest where it is to be.
func (i *Images) Foreseen(ctx context.Context, pod *v1.Pod, refs []string, known Known) (missing []Missing, err error) {
	for _, ref := range refs {
		present, err := i.store.Get(ctx, ref)
		if err == nil && always(pod, ref) {
			err = i.Current(ctx, pod, ref, present, known)
		}
		switch {
		case errors.Is(err, engine.ErrNotFound):
			missing = append(missing, Missing{ref, image.Instead(err)})
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// always says whether some container or volume of the pod wants the newest image of that name.
func always(pod *v1.Pod, ref string) bool {
	return slices.ContainsFunc(manifests.AllContainers(pod), func(c *v1.Container) bool {
		return c.Image == ref && c.ImagePullPolicy == v1.PullAlways
	}) || slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		return v.Image != nil && v.Image.Reference == ref && v.Image.PullPolicy == v1.PullAlways
	})
}

// falls says whether a pod whose containers have had these images may go on with the one that is present when its registry does not answer.
func (i *Images) falls(present engine.Image, had []string) bool {
	switch i.offline {
	case Present:
		return true
	case Ran:
		return slices.Contains(had, present.Name)
	}
	return false
}

// unanswered notes that a registry does not answer, and tells a pod that goes on all the same, once until it does.
func (i *Images) unanswered(pod *v1.Pod, ref string, present engine.Image, err error) {
	i.mu.Lock()
	bound(i.silent)
	i.silent[registryOf(present.Name)] = time.Now().Add(silence)
	k := key(pod, ref)
	told := i.told[k]
	bound(i.told)
	i.told[k] = true
	i.mu.Unlock()
	if !told {
		i.events.Pod(pod, "", v1.EventTypeWarning, "ImageNotChecked",
			"imagePullPolicy is Always, and it is not known whether image %q is the newest; the one that is present is used: %v", ref, err)
	}
}

func (i *Images) answered(pod *v1.Pod, ref string, present engine.Image) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.told, key(pod, ref))
	delete(i.silent, registryOf(present.Name))
}

func key(pod *v1.Pod, ref string) string { return string(pod.UID) + " " + ref }

func registryOf(name string) string {
	host, _, _ := strings.Cut(name, "/")
	return host
}

// bound forgets everything when it is too much: then it is asked, or told, once more.
func bound[T any](m map[string]T) {
	if len(m) >= most {
		clear(m)
	}
}

// credentials are the logins of the pod's imagePullSecrets.
func (i *Images) credentials(pod *v1.Pod, known Known) image.Credentials {
	out := image.Credentials{}
	for _, ref := range pod.Spec.ImagePullSecrets {
		s := known.Secrets[ref.Name]
		if s == nil {
			i.events.Pod(pod, "", v1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
				"Secret %q of imagePullSecrets is not in the manifests directory; images are pulled without it", ref.Name)
			continue
		}
		if err := out.Add(s); err != nil {
			i.events.Pod(pod, "", v1.EventTypeWarning, "FailedToRetrieveImagePullSecret", "%v", err)
		}
	}
	return out
}
