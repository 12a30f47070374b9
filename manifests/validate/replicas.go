package validate

import (
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// MaxReplicas bounds how many pods one object can have: this is one machine.
const MaxReplicas = 64

// Replicas checks what Deployment, ReplicaSet, StatefulSet and DaemonSet have in common, but for the pods themselves.
func Replicas(kind string, meta metav1.Object, selector *metav1.LabelSelector, template *v1.PodTemplateSpec, replicas int32) manifests.Problems {
	out := &findings.Collector{}
	valid := validation.IsDNS1123Subdomain
	if kind == "StatefulSet" { // its name begins its pods' host names
		valid = validation.IsDNS1123Label
	}
	metadata.Check(out, meta, valid)
	checkSelector(out, selector, template)
	if replicas < 0 || replicas > MaxReplicas {
		out.Errorf("spec.replicas", "must lie between 0 and %d: this is one machine", MaxReplicas)
	}
	if p := template.Spec.RestartPolicy; p != "" && p != v1.RestartPolicyAlways {
		out.Errorf("spec.template.spec.restartPolicy", "a %s's pods are always restarted; for work that ends use a Job", kind)
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		out.Errorf("spec.template.spec.activeDeadlineSeconds", "a %s's pods run for ever; for work that ends use a Job", kind)
	}
	return out.Problems
}

// WithoutNames leaves out what is said of names that a pod, its host and its volumes have from their object: of one that is wrong it is said there.
func WithoutNames(found manifests.Problems) manifests.Problems {
	return slices.DeleteFunc(found, func(p manifests.Problem) bool {
		return p.Path == "metadata.name" || p.Path == "spec.hostname" || p.Path == "spec.subdomain" ||
			strings.HasPrefix(p.Path, "spec.volumes[") && (strings.HasSuffix(p.Path, ".name") || strings.HasSuffix(p.Path, ".persistentVolumeClaim.claimName"))
	})
}

// checkSelector: a selector must match the template, as for the API server, and there must be one.
func checkSelector(out *findings.Collector, s *metav1.LabelSelector, t *v1.PodTemplateSpec) {
	const at = "spec.selector"
	switch {
	case s == nil && len(t.Labels) == 0:
		out.Errorf(at, "a selector is required, and labels of the template that it matches: selector: {matchLabels: {app: NAME}}, and in the template metadata: {labels: {app: NAME}}")
		return
	case s == nil:
		out.Errorf(at, "a selector is required that matches the labels of the template: selector: {matchLabels: {%s}}", asPairs(t.Labels))
		return
	case len(s.MatchLabels)+len(s.MatchExpressions) == 0:
		out.Errorf(at, "an empty selector would match all pods; write matchLabels with labels of the template")
		return
	}
	metadata.Selector(out, at, s)
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err == nil && !selector.Matches(labels.Set(t.Labels)) {
		out.Errorf(at, "it does not match the labels of the template")
	}
}

// asPairs writes labels as they stand in a manifest, a few of them.
func asPairs(labels map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if out = append(out, key+": "+labels[key]); len(out) == 3 {
			break
		}
	}
	return strings.Join(out, ", ")
}
