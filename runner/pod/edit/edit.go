// Package edit answers questions about an edit of a pod that runs, and about what it needs. It does no I/O, and changes nothing.
package edit

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
)

// Works says whether something of the pod runs, and it is not being ended as a whole.
func Works(s *state.State) bool {
	return (s.SetUp || s.Adoption.Sandbox) && s.Failed == nil && s.Eviction == nil && s.StopBy.IsZero() && s.AnyRuns()
}

// Comes is what an event says of the pod, where that is an edit that waits; nil when it is none. own are the objects of the pod as it is.
func Comes(s *state.State, e state.Desired, own reference.Objects) *state.Coming {
	waits := s.Coming != nil || s.EditWaits // also when nothing of the pod runs meanwhile
	if !waits && !Works(s) || s.Failed != nil && (!waits || !Evicted(s)) {
		return nil
	}
	if reflect.DeepEqual(e.Pod, s.Pod) && reflect.DeepEqual(e.Objects, s.Objects) || madeOf(s, e.Pod) {
		return nil
	}
	key, replaces := Replaces(s, own, e.Pod, e.Objects)
	if !replaces {
		return nil
	}
	if s.Failed != nil && s.Coming != nil && state.ManifestRevision(e.Pod) != state.ManifestRevision(s.Coming.Pod) {
		return nil // as ever, an edit lets a pod begin anew that was evicted
	}
	c := &state.Coming{Pod: e.Pod, File: e.File, Objects: e.Objects, Key: key}
	if old := s.Coming; old != nil && old.Key == key {
		c.Sure, c.Stuck, c.Message = old.Sure, old.Stuck, old.Message
		if reflect.DeepEqual(old.Objects, e.Objects) {
			c.Retry = old.Retry
		}
	}
	return c
}

// Evicted says whether the pod was, and has not begun anew. An edit that waits goes on waiting then.
func Evicted(s *state.State) bool { return s.Failed != nil && s.Failed.Reason == state.ReasonEvicted }

// madeOf says whether some container that runs was made of this form of the pod: it had been taken when Solopod ended.
func madeOf(s *state.State, pod *v1.Pod) bool {
	for name, c := range s.Containers {
		if c.Running && taken(s, pod, name, c.Revision) {
			return true
		}
	}
	return false
}

// taken says whether a container of that revision was made of this form of the pod, and not of the one that is known.
func taken(s *state.State, pod *v1.Pod, name, revision string) bool {
	return of(pod, name, revision) && !of(s.Pod, name, revision)
}

func of(pod *v1.Pod, name, revision string) bool {
	spec := manifests.ContainerOf(pod, name)
	return spec != nil && strings.HasPrefix(revision, state.ContainerRevision(spec))
}

// Found is an edit of which it was found out what it lacks, and the images of these that can be pulled.
func Found(c state.Coming, r state.Foreseen, at time.Time) (found state.Coming, pull []state.Lack) {
	c.Sure, c.Stuck = len(r.Missing) == 0 && !r.Problem.Failed(), len(r.Missing) > 0
	if !c.Sure {
		c.Retry = c.Retry.Failed(at) // what comes ends the wait
	}
	for _, l := range r.Missing {
		if PolicyOf(c.Pod, l.Ref) != v1.PullNever {
			pull = append(pull, l)
		}
	}
	return c, pull
}

// Again is the edit without a wait before the next look.
func Again(c *state.Coming) *state.Coming {
	if c == nil || c.Retry == (state.Backoff{}) {
		return c
	}
	next := *c
	next.Retry = state.Backoff{}
	return &next
}

// Replaces says whether something of the pod would be made anew if it were wanted like this, with these objects. own are those of the
// pod as it is. The key tells the edit from others.
func Replaces(s *state.State, own reference.Objects, pod *v1.Pod, objects reference.Objects) (key string, replaces bool) {
	is, r := revise(s, s.Pod, own), revise(s, pod, objects)
	replaces = r.Shared != is.Shared
	for name, revision := range r.Containers {
		before, had := is.Containers[name]
		replaces = replaces || had && before != revision
	}
	return state.Hash([]any{r.Manifest, r.Shared, r.Containers}), replaces
}

func revise(s *state.State, pod *v1.Pod, objects reference.Objects) state.Revisions {
	other := state.State{Pod: pod, Containers: s.Containers, Live: state.Live{Host: s.Host, Objects: objects}}
	return other.Revise()
}

// Own are the objects that the pod as it is refers to, where an edit waits: what there is of them now, and what it has had of others.
func Own(s *state.State, now reference.Objects) reference.Objects {
	out := reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{}}
	for _, o := range []reference.Objects{s.Objects, now} {
		maps.Copy(out.ConfigMaps, o.ConfigMaps)
		maps.Copy(out.Secrets, o.Secrets)
	}
	return reference.Select(s.Pod, out)
}

// Needs are the images without which the edit that waits does not begin: those of its containers and volumes, but for what the pod lacks
// already.
func Needs(s *state.State) (refs []string) {
	for _, spec := range manifests.AllContainers(s.Coming.Pod) {
		known, was := s.Containers[spec.Name], manifests.ContainerOf(s.Pod, spec.Name)
		if waits := was != nil && was.Image == spec.Image && (known == nil || !known.Running); waits && s.Images[spec.Image] != nil {
			continue
		}
		refs = append(refs, spec.Image)
	}
	for _, v := range s.Coming.Pod.Spec.Volumes {
		if v.Image != nil {
			refs = append(refs, v.Image.Reference)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Absent says which objects the edit that waits needs and does not have, but for those that the pod lacks already; empty when there are none.
func Absent(s *state.State) string {
	before := reference.Missing(s.Pod, s.Objects)
	var out []string
	for _, l := range reference.Missing(s.Coming.Pod, s.Coming.Objects) {
		if !slices.ContainsFunc(before, func(b reference.Lack) bool { return b.Secret == l.Secret && b.Name == l.Name }) {
			out = append(out, l.Err.Error())
		}
	}
	return strings.Join(out, "; ")
}

// TakenBefore says whether some container that was found was made of the edit that waits: it had been taken when Solopod ended.
func TakenBefore(s *state.State, found []state.Found) bool {
	return s.Coming != nil && slices.ContainsFunc(found, func(f state.Found) bool {
		return taken(s, s.Coming.Pod, f.Name, f.Revision)
	})
}

// Refs are the images that the pod names, and those of an edit that waits.
func Refs(s *state.State) []string {
	out := manifests.Images(s.Pod)
	if s.Coming != nil {
		out = append(out, manifests.Images(s.Coming.Pod)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Names says whether the pod names an image.
func Names(pod *v1.Pod, ref string) bool { return slices.Contains(manifests.Images(pod), ref) }

// ShowsInVolume says whether a volume of the pod shows an image.
func ShowsInVolume(pod *v1.Pod, ref string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool { return v.Image != nil && v.Image.Reference == ref })
}

// PolicyOf is the pull policy of the first of the pod that shows an image.
func PolicyOf(pod *v1.Pod, ref string) v1.PullPolicy {
	for _, c := range manifests.AllContainers(pod) {
		if c.Image == ref {
			return c.ImagePullPolicy
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil && v.Image.Reference == ref {
			return v.Image.PullPolicy
		}
	}
	return ""
}

// Lacks says in words what an edit lacks; empty when that is nothing.
func Lacks(pod *v1.Pod, r state.Foreseen) string {
	var out []string
	for _, l := range r.Missing {
		text := fmt.Sprintf("image %q is not present", l.Ref) + Instead(l.Instead)
		if PolicyOf(pod, l.Ref) == v1.PullNever {
			text += " (imagePullPolicy: Never; import it: solopod images import FILE)"
		}
		out = append(out, text)
	}
	if r.Problem.Failed() {
		out = append(out, r.Problem.Message)
	}
	return strings.Join(out, "; ")
}

// Instead tells of an image that is present with another digest than the one that was asked for.
func Instead(is string) string {
	if is == "" {
		return ""
	}
	return "; there is " + is
}

// SpecOf is what a container was made from, as far as can be told.
func SpecOf(s *state.State, f *state.Found) *v1.Container {
	spec := manifests.ContainerOf(s.Applied, f.Name)
	if wanted := manifests.ContainerOf(s.Pod, f.Name); wanted != nil && !of(s.Applied, f.Name, f.Revision) {
		return wanted
	}
	return spec
}
