package objects

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/monitor/exposition"
)

// object is a pointer to a T that is an object of the API.
type object[T any] interface {
	*T
	metav1.Object
}

// kind tells of the objects of one kind, which are named by labels.
type kind[T any, P object[T]] struct {
	families *exposition.Endpoint[T]
	// labels is the family of the objects' own labels, which differ from one to the next.
	labels *exposition.Endpoint[struct{}]
	// name gives an object's naming labels: names and values in turn.
	name func(P) []string
}

// newKind makes a kind. prefix is that of its families' names, as kube_pod.
func newKind[T any, P object[T]](prefix string, name func(P) []string, rows []exposition.Row[T]) *kind[T, P] {
	return &kind[T, P]{families: exposition.New(rows), name: name, labels: exposition.New([]exposition.Row[struct{}]{{
		Name: prefix + "_labels", Help: "The object's labels, as labels of the metric",
		Values: func(_ *struct{}, to *exposition.Samples) { to.Add(1) },
	}})}
}

// named names objects of a namespace, by the label that is the kind's.
func named[T any, P object[T]](label string) func(P) []string {
	return func(o P) []string { return []string{"namespace", o.GetNamespace(), label, o.GetName()} }
}

// tell writes the families of all objects.
func (k *kind[T, P]) tell(w *bytes.Buffer, all []P) {
	k.families.Begin()
	k.labels.Begin()
	for _, o := range all {
		name := k.name(o)
		key := strings.Join(name, "\x00")
		k.families.Add(k.families.Owner(key, name...), o)
		k.tellLabels(key, name, o.GetLabels())
	}
	k.families.Write(w)
	k.labels.Write(w)
}

func (k *kind[T, P]) tellLabels(key string, name []string, labels map[string]string) {
	for _, l := range slices.Sorted(maps.Keys(labels)) {
		key += "\x00" + l + "\x00" + labels[l]
	}
	owner := k.labels.Find(key)
	if owner == nil {
		names, values := objectLabels(labels)
		all := slices.Clone(name)
		for i := range names {
			all = append(all, names[i], values[i])
		}
		owner = k.labels.Owner(key, all...)
	}
	k.labels.Add(owner, &struct{}{})
}

func (k *kind[T, P]) reset() {
	k.families.Reset()
	k.labels.Reset()
}

// number is a family with one sample for each object.
func number[T any](name, help string, value func(*T) float64) exposition.Row[T] {
	return exposition.Row[T]{Name: name, Help: help, Values: func(o *T, to *exposition.Samples) { to.Add(value(o)) }}
}

// integer is a number that an object may not have.
func integer[T any, N int32 | int64](name, help string, value func(*T) *N) exposition.Row[T] {
	return exposition.Row[T]{Name: name, Help: help, Values: func(o *T, to *exposition.Samples) {
		if v := value(o); v != nil {
			to.Add(float64(*v))
		}
	}}
}

// moment is a time in seconds since 1970; objects without it have no sample.
func moment[T any](name, help string, value func(*T) *metav1.Time) exposition.Row[T] {
	return exposition.Row[T]{Name: name, Help: help, Values: func(o *T, to *exposition.Samples) { addTime(to, value(o)) }}
}

// several is a family with further labels, of which an object has none, one or several samples.
func several[T any](name, help string, labels []string, values func(*T, *exposition.Samples)) exposition.Row[T] {
	return exposition.Row[T]{Name: name, Help: help, Labels: labels, Values: values}
}

// created and deleted are the families that tell when an object was made, and when it began to go.
func created[T any, P object[T]](prefix string) exposition.Row[T] {
	return moment(prefix+"_created", "When the object was made, in seconds since 1970", func(o *T) *metav1.Time {
		at := P(o).GetCreationTimestamp()
		return &at
	})
}

func deleted[T any, P object[T]](prefix string) exposition.Row[T] {
	return moment(prefix+"_deletion_timestamp", "When the object's removal began, in seconds since 1970", func(o *T) *metav1.Time { return P(o).GetDeletionTimestamp() })
}

// generation is the family of an object's version as it is wanted.
func generation[T any, P object[T]](prefix string) exposition.Row[T] {
	return number(prefix+"_metadata_generation", "Which version of the object is wanted", func(o *T) float64 { return float64(P(o).GetGeneration()) })
}

// owners is the family of an object's owners; one without any has a sample with empty labels.
func owners[T any](prefix string, of func(*T) []metav1.OwnerReference) exposition.Row[T] {
	return several(prefix+"_owner", "What the object was made from; empty for one of a manifest's own", ownerLabels, func(o *T, to *exposition.Samples) {
		all := of(o)
		for _, r := range all {
			to.Add(1, r.Kind, r.Name, strconv.FormatBool(r.Controller != nil && *r.Controller))
		}
		if len(all) == 0 {
			to.Add(1, "", "", "")
		}
	})
}

var ownerLabels = []string{"owner_kind", "owner_name", "owner_is_controller"}

func ownersOf[T any, P object[T]](o *T) []metav1.OwnerReference { return P(o).GetOwnerReferences() }

func addTime(to *exposition.Samples, at *metav1.Time, labels ...string) {
	if !at.IsZero() {
		to.Add(float64(at.Unix()), labels...)
	}
}

// addStatus adds a condition's status: a sample for each that there can be. labels come before that of the status.
func addStatus(to *exposition.Samples, status v1.ConditionStatus, labels ...string) {
	for _, s := range []v1.ConditionStatus{v1.ConditionTrue, v1.ConditionFalse, v1.ConditionUnknown} {
		to.Add(oneIf(status == s), append(slices.Clone(labels), strings.ToLower(string(s)))...)
	}
}

// resourceEscapes makes a resource's name what kube-state-metrics writes.
var resourceEscapes = strings.NewReplacer("-", "_", "/", "_", ".", "_")

// addResources tells processors in cores and the rest in bytes; a device, or whatever else is counted, is an integer. labels come before
// those of the resource and its unit.
func addResources(to *exposition.Samples, list v1.ResourceList, labels ...string) {
	for _, name := range slices.Sorted(maps.Keys(list)) { // in the order of the last time
		q, unit := list[name], "integer"
		switch {
		case name == v1.ResourceCPU:
			unit = "core"
		case name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage || strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix):
			unit = "byte"
		}
		to.Add(q.AsApproximateFloat64(), append(slices.Clone(labels), resourceEscapes.Replace(string(name)), unit)...)
	}
}

func decimal(n int32) string { return strconv.Itoa(int(n)) }

func valueOf[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
