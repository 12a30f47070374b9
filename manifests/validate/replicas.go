package validate

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
)

// MaxReplicas bounds how many pods one object can have: this is one machine.
const MaxReplicas = 64

// Replicas checks what Deployment, ReplicaSet, StatefulSet and DaemonSet have in common, but for the pods themselves.
func Replicas(kind string, meta metav1.Object, selector *metav1.LabelSelector, template *v1.PodTemplateSpec, replicas int32) manifests.Problems {
	out := &collector{}
	checkObjectMeta(out, meta)
	checkSelector(out, selector, template)
	if replicas < 0 || replicas > MaxReplicas {
		out.errorf("spec.replicas", "must lie between 0 and %d: this is one machine", MaxReplicas)
	}
	if p := template.Spec.RestartPolicy; p != "" && p != v1.RestartPolicyAlways {
		out.errorf("spec.template.spec.restartPolicy", "a %s's pods are always restarted; for work that ends use a Job", kind)
	}
	return out.problems
}

// checkSelector: a selector must match the template, as for the API server.
func checkSelector(out *collector, s *metav1.LabelSelector, t *v1.PodTemplateSpec) {
	if s == nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		out.errorf("spec.selector", "%v", err)
		return
	}
	if !selector.Matches(labelSet(t.Labels)) {
		out.errorf("spec.selector", "it does not match the labels of the template")
	}
	for key, value := range t.Labels {
		out.all("spec.template.metadata.labels."+key, key, validation.IsQualifiedName(key))
		out.all("spec.template.metadata.labels."+key, value, validation.IsValidLabelValue(value))
	}
}

// labelSet are labels as a selector wants to see them.
type labelSet map[string]string

func (l labelSet) Has(key string) bool              { _, ok := l[key]; return ok }
func (l labelSet) Get(key string) string            { return l[key] }
func (l labelSet) Lookup(key string) (string, bool) { value, ok := l[key]; return value, ok }
