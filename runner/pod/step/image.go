package step

import (
	"slices"
	"time"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/edit"
	"github.com/solopod/solopod/runner/pod/state"
)

// lack notes that an image is not present.
func (s *next) lack(ref string, policy v1.PullPolicy) {
	if s.Images[ref] == nil {
		s.Images[ref] = &state.Image{AwaitsScan: !s.Scanned, Policy: policy}
	}
}

func applyPullBacksOff(s *next, e state.PullBacksOff) {
	image := s.Images[e.Ref]
	if image == nil {
		return
	}
	image.BacksOff = true
	for name, c := range s.Containers {
		if c.Now.Lacks == e.Ref {
			s.normal(name, "BackOff", "Back-off pulling image %q", e.Ref)
		}
	}
}

// present lets those go on that waited for an image.
func (s *next) present(ref string) {
	delete(s.Images, ref)
	lookAgain(s)
	for name, c := range s.Containers {
		if spec := manifests.ContainerOf(s.Pod, name); spec != nil && spec.Image == ref && (c.Now.Lacks == ref || c.Now.Retry.Failures > 0) {
			c.Hinder("", "")
		}
	}
	if edit.ShowsInVolume(s.Pod, ref) {
		s.Retry, s.LacksClaim = state.Backoff{}, false
	}
}

// pruneImages forgets images that the pod no longer names.
func (s *next) pruneImages() {
	named := edit.Refs(&s.State)
	for ref := range s.Images {
		if !slices.Contains(named, ref) {
			delete(s.Images, ref)
		}
	}
	for _, c := range s.Containers {
		if c.Now.Lacks != "" && !slices.Contains(named, c.Now.Lacks) {
			c.Hinder("", "")
		}
	}
}

func applyImagesReady(s *next, e state.ImagesReady) {
	for _, ref := range edit.Refs(&s.State) {
		if named, err := reference.ParseDockerRef(ref); err == nil && slices.Contains(e.Names, named.String()) {
			s.present(ref)
		}
	}
}

func applyImagesScanned(s *next, _ state.ImagesScanned) {
	s.Scanned = true
	lookAgain(s)
	for ref, image := range s.Images {
		if image.AwaitsScan {
			s.present(ref) // whether it is shows at the next try
		}
	}
}

func takeImagePulled(s *next, r state.ImagePulled, f *state.Flight, at time.Time) {
	ref := f.Name
	image := s.Images[ref]
	switch {
	case image == nil || !f.Cancelled.IsZero() && r.Problem.Failed():
		return
	case !r.Problem.Failed():
		s.present(ref)
		// Whoever says that it is missing all the same is not believed at once: the registry would be asked in a circle.
		thing := state.ThingOf(f.Kind, ref)
		s.Pauses[thing] = s.Pauses[thing].Failed(at)
		return
	}
	image.Retry, image.BacksOff = image.Retry.Failed(at), false
	image.Reason, image.Message = r.Problem.Reason, r.Problem.Message
	for name, c := range s.Containers {
		if c.Now.Lacks == ref {
			s.warn(name, "Failed", "%s: %s; next try in %s", image.Reason, image.Message, image.Retry.Delay)
		}
	}
	comingNotPulled(s, ref, image)
	if edit.ShowsInVolume(s.Pod, ref) && !s.SetUp {
		s.Message = r.Problem.Message
		s.warn("", "FailedMount", "%s", r.Problem.Message)
	}
}
