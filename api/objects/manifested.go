package objects

import (
	"maps"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/solopod/solopod/workload"
)

// Manifests knows the objects of the manifests that are not served to pods over a network, as they are now; the workloads' Controller
// does. They are not changed once they were handed on.
type Manifests interface {
	Objects() workload.Objects
	// Subscribe returns a channel that gets a token whenever one of the lists may have changed; several changes may share one.
	Subscribe() (changes <-chan struct{}, cancel func())
}

// Manifested shows the objects of the manifests.
type Manifested struct{ Manifests }

// Readers adds the paths for those who may read.
func (m Manifested) Readers(mux *http.ServeMux) {
	apps, batch := appsv1.SchemeGroupVersion, batchv1.SchemeGroupVersion
	handle(mux, "/deployments", objects[appsv1.Deployment, *appsv1.Deployment]{
		apps.WithKind("Deployment"), func() []*appsv1.Deployment { return m.Objects().Deployments }, m.Subscribe,
	})
	handle(mux, "/replicasets", objects[appsv1.ReplicaSet, *appsv1.ReplicaSet]{
		apps.WithKind("ReplicaSet"), func() []*appsv1.ReplicaSet { return m.Objects().ReplicaSets }, m.Subscribe,
	})
	handle(mux, "/statefulsets", objects[appsv1.StatefulSet, *appsv1.StatefulSet]{
		apps.WithKind("StatefulSet"), func() []*appsv1.StatefulSet { return m.Objects().StatefulSets }, m.Subscribe,
	})
	handle(mux, "/daemonsets", objects[appsv1.DaemonSet, *appsv1.DaemonSet]{
		apps.WithKind("DaemonSet"), func() []*appsv1.DaemonSet { return m.Objects().DaemonSets }, m.Subscribe,
	})
	handle(mux, "/jobs", objects[batchv1.Job, *batchv1.Job]{batch.WithKind("Job"), func() []*batchv1.Job { return m.Objects().Jobs }, m.Subscribe})
	handle(mux, "/cronjobs", objects[batchv1.CronJob, *batchv1.CronJob]{
		batch.WithKind("CronJob"), func() []*batchv1.CronJob { return m.Objects().CronJobs }, m.Subscribe,
	})
	handle(mux, "/configmaps", objects[v1.ConfigMap, *v1.ConfigMap]{
		v1.SchemeGroupVersion.WithKind("ConfigMap"), func() []*v1.ConfigMap { return m.Objects().ConfigMaps }, m.Subscribe,
	})
	handle(mux, "/persistentvolumeclaims", objects[v1.PersistentVolumeClaim, *v1.PersistentVolumeClaim]{
		v1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"), func() []*v1.PersistentVolumeClaim { return m.Objects().Claims }, m.Subscribe,
	})
	handle(mux, "/namespaces", objects[v1.Namespace, *v1.Namespace]{
		v1.SchemeGroupVersion.WithKind("Namespace"), func() []*v1.Namespace { return m.Objects().Namespaces }, m.Subscribe,
	})
}

// Admins adds the paths for admins alone: whoever may only read learns no more of Secrets than pods tell, as with Kubernetes' role "view".
func (m Manifested) Admins(mux *http.ServeMux) {
	handle(mux, "/secrets", objects[Secret, *Secret]{v1.SchemeGroupVersion.WithKind("Secret"), m.secrets, m.Subscribe})
}

func handle[V any, P object[V]](mux *http.ServeMux, path string, o objects[V, P]) {
	mux.HandleFunc("GET "+path, o.serve)
}

// Secret is what is shown of one: how long its values are, not the values.
type Secret struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Type              v1.SecretType `json:"type,omitempty"`
	Immutable         *bool         `json:"immutable,omitempty"`
	// Sizes are the values' lengths in bytes, by key.
	Sizes map[string]int `json:"sizes"`
}

// DeepCopyObject copies it.
func (s *Secret) DeepCopyObject() runtime.Object {
	out := *s
	s.DeepCopyInto(&out.ObjectMeta)
	out.Sizes = maps.Clone(s.Sizes)
	return &out
}

func (m Manifested) secrets() []*Secret {
	var out []*Secret
	for _, s := range m.Objects().Secrets {
		shown := &Secret{ObjectMeta: s.ObjectMeta, Type: s.Type, Immutable: s.Immutable, Sizes: make(map[string]int, len(s.Data))}
		if _, has := s.Annotations[v1.LastAppliedConfigAnnotation]; has { // a second copy of it all
			shown.Annotations = maps.Clone(s.Annotations)
			delete(shown.Annotations, v1.LastAppliedConfigAnnotation)
		}
		for key, value := range s.Data {
			shown.Sizes[key] = len(value)
		}
		out = append(out, shown)
	}
	return out
}
