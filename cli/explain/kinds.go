// Package explain says what a field of a manifest means, in the words of the Kubernetes API's own documentation, and what Solopod does with
// it. It knows the kinds that a manifests directory takes.
package explain

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/solopod/solopod/manifests/spelling"
)

// kind is one that a manifest may have.
type kind struct {
	group schema.GroupVersion
	typ   reflect.Type
	words []string // the plural first, and short names
}

func (k kind) name() string { return k.typ.Name() }

var kinds = []kind{
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.Pod](), []string{"pods", "po"}},
	{appsv1.SchemeGroupVersion, reflect.TypeFor[appsv1.Deployment](), []string{"deployments", "deploy"}},
	{appsv1.SchemeGroupVersion, reflect.TypeFor[appsv1.ReplicaSet](), []string{"replicasets", "rs"}},
	{appsv1.SchemeGroupVersion, reflect.TypeFor[appsv1.StatefulSet](), []string{"statefulsets", "sts"}},
	{appsv1.SchemeGroupVersion, reflect.TypeFor[appsv1.DaemonSet](), []string{"daemonsets", "ds"}},
	{batchv1.SchemeGroupVersion, reflect.TypeFor[batchv1.Job](), []string{"jobs"}},
	{batchv1.SchemeGroupVersion, reflect.TypeFor[batchv1.CronJob](), []string{"cronjobs", "cj"}},
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.ConfigMap](), []string{"configmaps", "cm"}},
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.Secret](), []string{"secrets"}},
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.PersistentVolumeClaim](), []string{"persistentvolumeclaims", "pvc"}},
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.Service](), []string{"services", "svc"}},
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.Endpoints](), []string{"endpoints", "ep"}}, //nolint:staticcheck // deprecated, and much used
	{discoveryv1.SchemeGroupVersion, reflect.TypeFor[discoveryv1.EndpointSlice](), []string{"endpointslices"}},
	{networkingv1.SchemeGroupVersion, reflect.TypeFor[networkingv1.NetworkPolicy](), []string{"networkpolicies", "netpol"}},
	{v1.SchemeGroupVersion, reflect.TypeFor[v1.Namespace](), []string{"namespaces", "ns"}},
}

// Words are the words for the kinds: singular, plural and short.
func Words() []string {
	var out []string
	for _, k := range kinds {
		out = append(out, strings.ToLower(k.name()))
		out = append(out, k.words...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func find(word string) (kind, error) {
	word, _, _ = strings.Cut(strings.ToLower(word), "/")
	for _, k := range kinds {
		if word == strings.ToLower(k.name()) || slices.Contains(k.words, word) {
			return k, nil
		}
	}
	var names []string
	for _, k := range kinds {
		names = append(names, strings.ToLower(k.name()))
	}
	return kind{}, fmt.Errorf("there is no kind %q; begin with one of %s%s", word, strings.Join(names, ", "), meant(word, Words()))
}

// meant says which name may have been meant, if one is near.
func meant(word string, among []string) string {
	if near := spelling.Nearest(word, among); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
