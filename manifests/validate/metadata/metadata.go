// Package metadata checks what all objects have: their names, labels and annotations, and selectors of labels. It is pure.
package metadata

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	selectors "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/solopod/solopod/manifests/validate/findings"
)

// mostOfAnnotations is how many bytes the annotations of an object may have, keys included (apimachinery, TotalAnnotationSizeLimitB).
const mostOfAnnotations = 256 << 10

// Check checks an object's metadata as the API server does (apimachinery, pkg/api/validation, ValidateObjectMetaAccessor). valid checks its
// name.
func Check(out *findings.Collector, object metav1.Object, valid func(string) []string) {
	if object.GetName() == "" {
		out.Errorf("metadata.name", "a name is required")
	} else {
		out.All("metadata.name", object.GetName(), valid(object.GetName()))
	}
	if ns := object.GetNamespace(); ns != "" {
		out.All("metadata.namespace", ns, validation.IsDNS1123Label(ns))
	}
	if uid := string(object.GetUID()); uid != "" && (len(uid) > 63 || len(validation.IsDNS1123Label(strings.ToLower(uid))) > 0) {
		out.Errorf("metadata.uid", "invalid value %q: use letters, digits and '-', at most 63", uid)
	}
	Labels(out, "metadata.labels", object.GetLabels())
	Annotations(out, "metadata.annotations", object.GetAnnotations())
	checkOwners(out, object.GetOwnerReferences())
	for i, name := range object.GetFinalizers() {
		checkFinalizer(out, fmt.Sprintf("metadata.finalizers[%d]", i), name)
	}
}

// Labels checks keys and values of labels.
func Labels(out *findings.Collector, at string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out.All(at+"."+key, key, validation.IsQualifiedName(key))
		out.All(at+"."+key, labels[key], validation.IsValidLabelValue(labels[key]))
	}
}

// Annotations checks keys of annotations, and how large all are together.
func Annotations(out *findings.Collector, at string, annotations map[string]string) {
	size := 0
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		size += len(key) + len(annotations[key])
		out.All(at+"."+key, key, validation.IsQualifiedName(strings.ToLower(key)))
	}
	if size > mostOfAnnotations {
		out.Errorf(at, "they have %d bytes together; at most %d are allowed: put large texts into a ConfigMap", size, mostOfAnnotations)
	}
}

// checkFinalizer: those that Kubernetes itself has need no prefix (ValidateFinalizerName).
func checkFinalizer(out *findings.Collector, at, name string) {
	out.All(at, name, validation.IsQualifiedName(name))
	own := []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(v1.FinalizerKubernetes)}
	if !strings.Contains(name, "/") && !slices.Contains(own, name) {
		out.Errorf(at, "%q has no prefix; write it like example.com/NAME, or remove it, for only a cluster gives it a meaning", name)
	}
}

// checkOwners checks references that only a cluster gives a meaning: a manifest that was copied out of one has them.
func checkOwners(out *findings.Collector, owners []metav1.OwnerReference) {
	controllers := 0
	for i, o := range owners {
		at := fmt.Sprintf("metadata.ownerReferences[%d]", i)
		for _, f := range []struct{ name, value string }{{"apiVersion", o.APIVersion}, {"kind", o.Kind}, {"name", o.Name}, {"uid", string(o.UID)}} {
			if f.value == "" {
				out.Errorf(at+"."+f.name, "it is required; or remove the reference, which only a cluster gives a meaning")
			}
		}
		if group, err := schema.ParseGroupVersion(o.APIVersion); o.APIVersion != "" && (err != nil || group.Version == "") {
			out.Errorf(at+".apiVersion", "%q is no version of an API, such as apps/v1", o.APIVersion)
		}
		if o.Controller != nil && *o.Controller {
			controllers++
		}
	}
	if controllers > 1 {
		out.Errorf("metadata.ownerReferences", "one owner can have controller: true, and %d have", controllers)
	}
}

// Selector reports what apimachinery has against a selector of labels; nil is none.
func Selector(out *findings.Collector, at string, s *metav1.LabelSelector) {
	for _, e := range selectors.ValidateLabelSelector(s, selectors.LabelSelectorValidationOptions{}, field.NewPath(at)) {
		message := e.ErrorBody()
		out.Errorf(e.Field, "%s", strings.ToLower(message[:1])+message[1:])
	}
}
