// Package objects shows objects of the Kubernetes API, in lists and in watches: Services, their endpoints, and NetworkPolicies.
package objects

import (
	"net/http"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/api/answer"
)

// List is a list of objects of one kind, in the form of the Kubernetes API.
type List[T any] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []T `json:"items"`
}

// Change is a line of a watch of objects of one kind.
type Change[T any] struct {
	Type   string `json:"type"` // ADDED, MODIFIED or DELETED
	Object T      `json:"object"`
}

// object is a kind of the Kubernetes API; V is its struct.
type object[V any] interface {
	*V
	metav1.Object
	runtime.Object
}

// objects serves one kind of objects, which are not changed once they were handed on: as a list, and as a stream of changes.
type objects[V any, P object[V]] struct {
	kind      schema.GroupVersionKind
	all       func() []P
	subscribe func() (changes <-chan struct{}, cancel func())
}

func (o objects[V, P]) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "true" {
		o.watch(w, r)
		return
	}
	list := List[P]{Items: []P{}}
	list.APIVersion, list.Kind = o.kind.GroupVersion().String(), o.kind.Kind+"List"
	for _, item := range o.all() {
		list.Items = append(list.Items, o.named(item))
	}
	answer.JSON(w, list)
}

// named is the object with the name of its kind.
func (o objects[V, P]) named(item P) P {
	copied := *item
	named := P(&copied)
	named.GetObjectKind().SetGroupVersionKind(o.kind)
	return named
}

// watch streams changes as pods' are streamed: one JSON object a line, first ADDED for what exists.
func (o objects[V, P]) watch(w http.ResponseWriter, r *http.Request) {
	changes, cancel := o.subscribe()
	defer cancel()
	var known []P
	answer.Stream(w, r, changes, func() []Change[P] {
		now := o.all()
		lines := changesOf(known, now)
		for i := range lines {
			lines[i].Object = o.named(lines[i].Object)
		}
		known = now
		return lines
	})
}

// changesOf are those between two lists: first what is gone, then the rest in the order of the later one. An object that was made anew
// under its name (another UID) is gone, and added.
func changesOf[T metav1.Object](before, now []T) []Change[T] {
	type id struct {
		types.NamespacedName
		types.UID
	}
	idOf := func(o T) id {
		return id{types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, o.GetUID()}
	}
	old := make(map[id]T, len(before))
	for _, o := range before {
		old[idOf(o)] = o
	}
	var rest []Change[T]
	for _, o := range now {
		was, ok := old[idOf(o)]
		delete(old, idOf(o))
		switch {
		case !ok:
			rest = append(rest, Change[T]{"ADDED", o})
		case any(was) != any(o) && !apiequality.Semantic.DeepEqual(was, o):
			rest = append(rest, Change[T]{"MODIFIED", o})
		}
	}
	var gone []Change[T]
	for _, o := range before {
		if _, ok := old[idOf(o)]; ok {
			gone = append(gone, Change[T]{"DELETED", o})
		}
	}
	return slices.Concat(gone, rest)
}
