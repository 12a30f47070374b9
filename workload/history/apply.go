package history

import (
	"maps"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/rollback"
	"github.com/solopod/solopod/manifests/validate"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/revisions"
)

// causeAnnotation is where kubectl has why an object was changed.
const causeAnnotation = "kubernetes.io/change-cause"

// usualLimit is how many former versions are kept of what does not say it.
const usualLimit = 10

func parts(key string) (kind, namespace, name string) {
	kind, rest, _ := strings.Cut(key, "/")
	namespace, name, _ = strings.Cut(rest, "/")
	return kind, namespace, name
}

// After is how long an object's version may take to become ready before the one before comes back, and whether it may so at all.
func (h *History) After(o metav1.Object) (after time.Duration, on bool) {
	after = h.settings.After
	if text, given := o.GetAnnotations()[rollback.Annotation]; given {
		d, err := rollback.Parse(text)
		if err != nil {
			return 0, false // validation has refused it
		}
		after = d
	}
	return after, after > 0
}

// Apply notes what the manifests say, and returns what holds: the same, but for objects of which another version does.
func (h *History) Apply(s *manifests.Snapshot, unsure bool, now time.Time) manifests.Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = false
	clear(h.asked)
	a := applying{h: h, out: *s, now: now, keys: map[string]bool{}}
	for key, o := range s.Deployments {
		if t := a.template("Deployment/"+key, &o.ObjectMeta, &o.Spec.Template, o.Spec.RevisionHistoryLimit); t != nil {
			held := *o
			held.Spec.Template = *t
			a.out.Deployments = with(a.out.Deployments, s.Deployments, key, &held)
			a.pods("Deployment", &o.ObjectMeta, t, nil)
		}
	}
	for key, o := range s.StatefulSets {
		if t := a.template("StatefulSet/"+key, &o.ObjectMeta, &o.Spec.Template, o.Spec.RevisionHistoryLimit); t != nil {
			held := *o
			held.Spec.Template = *t
			a.out.StatefulSets = with(a.out.StatefulSets, s.StatefulSets, key, &held)
			a.pods("StatefulSet", &o.ObjectMeta, t, o)
		}
	}
	for key, o := range s.DaemonSets {
		if t := a.template("DaemonSet/"+key, &o.ObjectMeta, &o.Spec.Template, o.Spec.RevisionHistoryLimit); t != nil {
			held := *o
			held.Spec.Template = *t
			a.out.DaemonSets = with(a.out.DaemonSets, s.DaemonSets, key, &held)
			a.pods("DaemonSet", &o.ObjectMeta, t, nil)
		}
	}
	for uid, d := range s.Pods {
		if pod := a.pod(d.Pod); pod != nil {
			d.Pod = pod
			a.put(uid, d)
		}
	}
	if !unsure {
		before := len(h.objects)
		maps.DeleteFunc(h.objects, func(key string, _ *revisions.Object) bool { return !a.keys[key] })
		maps.DeleteFunc(h.since, func(key string, _ time.Time) bool { return !a.keys[key] })
		h.dirty = h.dirty || len(h.objects) != before
	}
	return a.out
}

// with is a map with another object; the one of the snapshot is not changed.
func with[T any](of, original map[string]T, key string, object T) map[string]T {
	if len(of) == len(original) {
		of = maps.Clone(of)
	}
	of[key] = object
	return of
}

// applying is one Apply.
type applying struct {
	h    *History
	out  manifests.Snapshot
	now  time.Time
	keys map[string]bool
	// own: out's pods are its own map.
	own bool
}

func (a *applying) put(uid string, d manifests.Desired) {
	if !a.own {
		a.out.Pods, a.own = maps.Clone(a.out.Pods), true
	}
	a.out.Pods[uid] = d
}

// template takes an object's, and returns the one that holds in its place; nil where it holds itself.
func (a *applying) template(key string, meta *metav1.ObjectMeta, t *v1.PodTemplateSpec, limit *int32) *v1.PodTemplateSpec {
	kept := usualLimit
	if limit != nil {
		kept = int(*limit)
	}
	o := a.take(key, revisions.Revision{Hash: digest(t), Template: t, Cause: meta.Annotations[causeAnnotation]}, kept, meta)
	if r := o.Current(); r.Hash != o.Given && r.Template != nil {
		return r.Template
	}
	return nil
}

// take notes what a manifest says of an object.
func (a *applying) take(key string, given revisions.Revision, limit int, meta metav1.Object) *revisions.Object {
	a.keys[key] = true
	o := a.h.objects[key]
	if o == nil {
		o = &revisions.Object{}
		a.h.objects[key] = o
	}
	changed, returned := o.Take(given, limit, a.now)
	a.h.dirty = a.h.dirty || changed
	if returned {
		a.h.said(key, v1.EventTypeNormal, "ManifestHolds", "the manifest was changed, and what it says holds again")
	}
	if _, on := a.h.After(meta); on && o.Tried() && o.Allowed(time.Hour) <= 0 {
		a.h.back(key, o, late(0, ""), a.now)
		a.h.changed = false // it is what this Apply returns
	}
	return o
}

// pods makes those of an object of the template that holds.
func (a *applying) pods(kind string, meta *metav1.ObjectMeta, t *v1.PodTemplateSpec, set *appsv1.StatefulSet) {
	for uid, d := range a.out.Pods {
		if !manifests.OwnedBy(d.Pod, kind, meta) {
			continue
		}
		pod := manifests.PodOf(t, meta, kind, d.Pod.Name)
		if set != nil {
			manifests.Identify(pod, set)
		}
		manifests.SetDefaults(pod)
		_ = validate.Pod(pod, validate.Options{}) // it brings names into their usual form; nothing was wrong when the template was read
		pod.UID = d.Pod.UID
		d.Pod = pod
		a.put(uid, d)
	}
}

// pod takes one that stands for itself, and returns what holds in its place; nil where it holds itself. Versions are kept of those alone
// that can go back.
func (a *applying) pod(pod *v1.Pod) *v1.Pod {
	if pod.Annotations[manifests.OwnerAnnotation] != "" {
		return nil
	}
	key := Key("Pod", pod.Namespace, pod.Name)
	was := a.h.objects[key]
	if was != nil && was.Current().Pod.UID != pod.UID { // another pod by now
		delete(a.h.objects, key)
		was = nil
	}
	if _, on := a.h.After(pod); !on && (was == nil || was.Instead == nil) {
		return nil
	}
	o := a.take(key, revisions.Revision{Hash: state.ManifestRevision(pod), Pod: pod}, 1, pod)
	r := o.Current()
	if r.Hash == o.Given {
		return nil
	}
	held := *r.Pod
	held.Annotations = maps.Clone(held.Annotations)
	if held.Annotations == nil {
		held.Annotations = map[string]string{}
	}
	reason, message := o.Held()
	held.Annotations[manifests.HeldAnnotation] = reason + ": " + message
	return &held
}
