package placement

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

const (
	required  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferred = "preferredDuringSchedulingIgnoredDuringExecution"
)

func checkAffinity(out *findings.Collector, a *v1.Affinity) {
	if n := a.NodeAffinity; n != nil {
		checkNodeAffinity(out, "spec.affinity.nodeAffinity.", n)
	}
	if p := a.PodAffinity; p != nil {
		checkPodTerms(out, "spec.affinity.podAffinity.", p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		checkPodTerms(out, "spec.affinity.podAntiAffinity.", p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

func checkNodeAffinity(out *findings.Collector, at string, n *v1.NodeAffinity) {
	if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		at := at + required + ".nodeSelectorTerms"
		if len(r.NodeSelectorTerms) == 0 {
			out.Errorf(at, "at least one term is required")
		}
		for i := range r.NodeSelectorTerms {
			checkNodeTerm(out, fmt.Sprintf("%s[%d]", at, i), &r.NodeSelectorTerms[i], true)
		}
	}
	for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
		p := &n.PreferredDuringSchedulingIgnoredDuringExecution[i]
		at := fmt.Sprintf("%s%s[%d]", at, preferred, i)
		checkWeight(out, at, p.Weight)
		checkNodeTerm(out, at+".preference", &p.Preference, false) // its values may be anything, as for the API server
	}
}

func checkWeight(out *findings.Collector, at string, weight int32) {
	if weight < 1 || weight > 100 {
		out.Errorf(at+".weight", "must lie between 1 and 100")
	}
}

func checkNodeTerm(out *findings.Collector, at string, t *v1.NodeSelectorTerm, values bool) {
	for i, r := range t.MatchExpressions {
		at := fmt.Sprintf("%s.matchExpressions[%d]", at, i)
		checkRequirement(out, at, r)
		out.All(at+".key", r.Key, validation.IsQualifiedName(r.Key))
		for j, value := range r.Values {
			if values {
				out.All(fmt.Sprintf("%s.values[%d]", at, j), value, validation.IsValidLabelValue(value))
			}
		}
	}
	for i, r := range t.MatchFields {
		at := fmt.Sprintf("%s.matchFields[%d]", at, i)
		findings.OneOf(out, at+".operator", r.Operator, v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn)
		if len(r.Values) != 1 {
			out.Errorf(at+".values", "one value is needed, and there are %d", len(r.Values))
		}
		findings.OneOf(out, at+".key", r.Key, metav1.ObjectNameField)
		for j, value := range r.Values {
			out.All(fmt.Sprintf("%s.values[%d]", at, j), value, validation.IsDNS1123Subdomain(value))
		}
	}
}

func checkRequirement(out *findings.Collector, at string, r v1.NodeSelectorRequirement) {
	findings.OneOf(out, at+".operator", r.Operator, v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn, v1.NodeSelectorOpExists, v1.NodeSelectorOpDoesNotExist,
		v1.NodeSelectorOpGt, v1.NodeSelectorOpLt)
	switch n := len(r.Values); r.Operator {
	case v1.NodeSelectorOpIn, v1.NodeSelectorOpNotIn:
		if n == 0 {
			out.Errorf(at+".values", "operator %s needs values", r.Operator)
		}
	case v1.NodeSelectorOpExists, v1.NodeSelectorOpDoesNotExist:
		if n > 0 {
			out.Errorf(at+".values", "operator %s has none", r.Operator)
		}
	case v1.NodeSelectorOpGt, v1.NodeSelectorOpLt:
		if n != 1 {
			out.Errorf(at+".values", "operator %s compares with one value, and there are %d", r.Operator, n)
		}
	}
}

func checkPodTerms(out *findings.Collector, at string, need []v1.PodAffinityTerm, wish []v1.WeightedPodAffinityTerm) {
	for i := range need {
		checkPodTerm(out, fmt.Sprintf("%s%s[%d]", at, required, i), &need[i])
	}
	for i := range wish {
		at := fmt.Sprintf("%s%s[%d]", at, preferred, i)
		checkWeight(out, at, wish[i].Weight)
		checkPodTerm(out, at+".podAffinityTerm", &wish[i].PodAffinityTerm)
	}
}

func checkPodTerm(out *findings.Collector, at string, t *v1.PodAffinityTerm) {
	metadata.Selector(out, at+".labelSelector", t.LabelSelector)
	metadata.Selector(out, at+".namespaceSelector", t.NamespaceSelector)
	for i, name := range t.Namespaces {
		out.All(fmt.Sprintf("%s.namespaces[%d]", at, i), name, validation.IsDNS1123Label(name))
	}
	if t.TopologyKey == "" {
		out.Errorf(at+".topologyKey", "a label of nodes is required, such as kubernetes.io/hostname")
	} else {
		out.All(at+".topologyKey", t.TopologyKey, validation.IsQualifiedName(t.TopologyKey))
	}
	checkLabelKeys(out, at+".matchLabelKeys", t.MatchLabelKeys, t.LabelSelector)
	checkLabelKeys(out, at+".mismatchLabelKeys", t.MismatchLabelKeys, t.LabelSelector)
	for i, key := range t.MatchLabelKeys {
		if slices.Contains(t.MismatchLabelKeys, key) {
			out.Errorf(fmt.Sprintf("%s.matchLabelKeys[%d]", at, i), "%q stands in mismatchLabelKeys as well", key)
		}
	}
}

// checkLabelKeys checks labels of the pod itself that are to be those of the others.
func checkLabelKeys(out *findings.Collector, at string, keys []string, selector *metav1.LabelSelector) {
	if len(keys) > 0 && selector == nil {
		out.Errorf(at, "it goes with labelSelector")
		return
	}
	for i, key := range keys {
		out.All(fmt.Sprintf("%s[%d]", at, i), key, validation.IsQualifiedName(key))
	}
}
