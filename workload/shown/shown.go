// Package shown makes the objects of the manifests as an API server would show them: with defaults, ages, generations and a status. It is
// pure, but that it keeps what it has made; what is known of the objects package workload hands in.
package shown

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

// Objects are those of the manifests, each kind by namespace and name. They are shared: whoever gets them must not change them. An object
// that has not changed is the same one as before.
type Objects struct {
	Deployments  []*appsv1.Deployment
	ReplicaSets  []*appsv1.ReplicaSet
	StatefulSets []*appsv1.StatefulSet
	DaemonSets   []*appsv1.DaemonSet
	// Jobs are also those of CronJobs, which own them.
	Jobs       []*batchv1.Job
	CronJobs   []*batchv1.CronJob
	ConfigMaps []*v1.ConfigMap
	// Secrets have their values; whoever shows them leaves those out.
	Secrets []*v1.Secret
	Claims  []*v1.PersistentVolumeClaim
	// Namespaces are also those that no file declares and that something lies in, and default.
	Namespaces []*v1.Namespace
}

// View is what is known of the objects. Nothing of it is changed later. Keys are namespace/name, and kind/namespace/name where a map is of
// several kinds.
type View struct {
	Snapshot manifests.Snapshot
	Replicas map[string]Replicas // of Deployments and the like
	Jobs     []Job
	Cron     map[string]Cron
	Seen     map[string]Seen
	Files    map[string]string // which file has an object
	Notes    map[string]Note   // of objects with versions
}

// Note is what is known of an object's versions.
type Note struct {
	// Revision is the number of the one that holds. Held says why that is not the manifest's; Paused, that none takes its place.
	Revision int64
	Held     string
	Paused   bool
}

// Seen is what outlives the daemon of an object and its manifest does not say.
type Seen struct {
	// Since is when it was seen first.
	Since time.Time `json:"since"`
	// Generation counts the versions of its spec, of which Spec identifies the newest; of kinds without one both are empty.
	Generation int64  `json:"generation,omitempty"`
	Spec       string `json:"spec,omitempty"`
	// Template identifies a StatefulSet's template, and Current the one that all of its pods had last.
	Template string `json:"template,omitempty"`
	Current  string `json:"current,omitempty"`
}

// Gallery makes the objects of a view, when somebody asks. What has not changed since is not made again.
type Gallery struct {
	mu    sync.Mutex
	of    *View
	shown Objects
	made  map[string]exhibit
}

// exhibit is an object as it is shown, and what it was made of.
type exhibit struct {
	source, status any
	seen           Seen
	file           string
	note           Note
	object         any
}

// Show makes the objects of a view; that of before makes nothing.
func (g *Gallery) Show(v *View) Objects {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == v {
		return g.shown
	}
	m := &maker{View: v, before: g.made, made: map[string]exhibit{}}
	g.of, g.shown, g.made = v, m.objects(), m.made
	return g.shown
}

// maker makes the objects of a view.
type maker struct {
	*View
	before, made map[string]exhibit
}

func (m *maker) objects() (out Objects) {
	s := &m.Snapshot
	out.Deployments = madeOf(m, "deployment", s.Deployments, m.deployment)
	out.ReplicaSets = madeOf(m, "replicaset", s.ReplicaSets, m.replicaSet)
	out.StatefulSets = madeOf(m, "statefulset", s.StatefulSets, m.statefulSet)
	out.DaemonSets = madeOf(m, "daemonset", s.DaemonSets, m.daemonSet)
	out.Jobs = m.allJobs()
	out.CronJobs = madeOf(m, "cronjob", s.CronJobs, m.cronJob)
	out.ConfigMaps = madeOf(m, "configmap", s.ConfigMaps, func(string, *v1.ConfigMap) (any, func(*v1.ConfigMap)) { return nil, nil })
	out.Secrets = madeOf(m, "secret", s.Secrets, func(string, *v1.Secret) (any, func(*v1.Secret)) { return nil, nil })
	out.Claims = madeOf(m, "persistentvolumeclaim", s.Claims, func(string, *v1.PersistentVolumeClaim) (any, func(*v1.PersistentVolumeClaim)) { return nil, bind })
	out.Namespaces = m.namespaces()
	return out
}

// madeOf makes the objects of a kind. status says what an object's status is made of, and how it is set.
func madeOf[V any, P interface {
	*V
	metav1.Object
}](m *maker, kind string, of map[string]P, status func(key string, source P) (from any, set func(P))) []P {
	out := make([]P, 0, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		from, set := status(kind+"/"+key, of[key])
		out = append(out, made(m, kind, key, of[key], from, set))
	}
	return out
}

// made is one object: that of before, if it is made of the same.
func made[V any, P interface {
	*V
	metav1.Object
}](m *maker, kind, key string, source P, status any, set func(P)) P {
	key = kind + "/" + key
	e := exhibit{source: source, status: status, seen: m.Seen[key], file: m.Files[key], note: m.Notes[key]}
	if was, ok := m.before[key]; ok && was.source == e.source && was.seen == e.seen && was.file == e.file && was.note == e.note && reflect.DeepEqual(was.status, e.status) {
		m.made[key] = was
		return was.object.(P)
	}
	copied := *source
	o := P(&copied)
	if o.GetUID() == "" {
		o.SetUID(uidOf(kind, o.GetNamespace(), o.GetName()))
	}
	if at := o.GetCreationTimestamp(); at.IsZero() {
		o.SetCreationTimestamp(metav1.NewTime(e.seen.Since))
	}
	o.SetGeneration(e.seen.Generation)
	annotate(o, e.file, e.note)
	if set != nil {
		set(o)
	}
	e.object = o
	m.made[key] = e
	return o
}

// revisionAnnotation is the Deployment controller's, which kubectl's rollout history reads.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// annotate notes what nobody has written into the manifest.
func annotate(o metav1.Object, file string, n Note) {
	notes := map[string]string{manifests.FileAnnotation: file, manifests.HeldAnnotation: n.Held}
	if n.Revision > 0 {
		notes[revisionAnnotation] = strconv.FormatInt(n.Revision, 10)
	}
	annotations := maps.Clone(o.GetAnnotations())
	for key, value := range notes {
		if value == "" {
			continue
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[key] = value
	}
	o.SetAnnotations(annotations)
}

func volumeMode(c *v1.PersistentVolumeClaim) *v1.PersistentVolumeMode {
	if c.Spec.VolumeMode != nil {
		return c.Spec.VolumeMode
	}
	return ptr.To(v1.PersistentVolumeFilesystem)
}

// bind: a claim is a directory that is made for whoever names it first, and so as good as bound.
func bind(c *v1.PersistentVolumeClaim) {
	c.Spec.VolumeMode = volumeMode(c)
	if c.Spec.VolumeName == "" {
		c.Spec.VolumeName = "pvc-" + string(c.UID)
	}
	c.Status = v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound, AccessModes: c.Spec.AccessModes}
	if size, ok := c.Spec.Resources.Requests[v1.ResourceStorage]; ok {
		c.Status.Capacity = v1.ResourceList{v1.ResourceStorage: size}
	}
}

// namespaces are the declared ones, and those that something lies in.
func (m *maker) namespaces() []*v1.Namespace {
	var out []*v1.Namespace
	for _, name := range NamespacesOf(&m.Snapshot) {
		source := m.Snapshot.Namespaces[name]
		if source == nil {
			source = m.undeclared(name)
		}
		out = append(out, made(m, "namespace", name, source, nil, func(ns *v1.Namespace) {
			ns.Namespace = "" // whatever its file says
			ns.Spec.Finalizers = []v1.FinalizerName{v1.FinalizerKubernetes}
			ns.Status.Phase = v1.NamespaceActive
		}))
	}
	return out
}

// undeclared is a namespace that no file declares: that of before, if there was one.
func (m *maker) undeclared(name string) *v1.Namespace {
	if was, ok := m.before["namespace/"+name]; ok && was.file == "" {
		return was.source.(*v1.Namespace)
	}
	ns := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	manifests.SetNamespaceDefaults(ns)
	return ns
}

// NamespacesOf are the names of all namespaces that something lies in, and default.
func NamespacesOf(s *manifests.Snapshot) []string {
	names := map[string]bool{v1.NamespaceDefault: true}
	for _, d := range s.Pods {
		names[d.Pod.Namespace] = true
	}
	namespacesIn(names, s.ConfigMaps)
	namespacesIn(names, s.Secrets)
	namespacesIn(names, s.Claims)
	namespacesIn(names, s.Jobs)
	namespacesIn(names, s.CronJobs)
	namespacesIn(names, s.Deployments)
	namespacesIn(names, s.ReplicaSets)
	namespacesIn(names, s.StatefulSets)
	namespacesIn(names, s.DaemonSets)
	namespacesIn(names, s.Services)
	namespacesIn(names, s.EndpointSlices)
	namespacesIn(names, s.NetworkPolicies)
	for name := range s.Namespaces {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func namespacesIn[T interface{ GetNamespace() string }](names map[string]bool, of map[string]T) {
	for _, o := range of {
		names[o.GetNamespace()] = true
	}
}

// uidOf is the UID of an object that has none of its own, as the pods' references to their controllers have it.
func uidOf(kind, namespace, name string) types.UID {
	return manifests.DeriveUID(namespace, kind+"/"+name)
}
