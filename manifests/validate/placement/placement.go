// Package placement checks where a pod says that it wants to run, before whom and as whom. On one machine that has no effect, but a manifest
// that a cluster refuses is not what its author meant. It is pure.
package placement

import (
	"fmt"
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// Check checks a pod's wishes as the API server does (Kubernetes, pkg/apis/core/validation, ValidatePodSpec).
func Check(out *findings.Collector, s *v1.PodSpec) {
	metadata.Labels(out, "spec.nodeSelector", s.NodeSelector)
	checkNames(out, s)
	if p := s.PreemptionPolicy; p != nil {
		findings.OneOf(out, "spec.preemptionPolicy", *p, v1.PreemptLowerPriority, v1.PreemptNever)
	}
	checkGates(out, s)
	for i := range s.Tolerations {
		checkToleration(out, fmt.Sprintf("spec.tolerations[%d]", i), &s.Tolerations[i])
	}
	checkSpread(out, s.TopologySpreadConstraints)
	if a := s.Affinity; a != nil {
		checkAffinity(out, a)
	}
}

func checkNames(out *findings.Collector, s *v1.PodSpec) {
	for _, f := range []struct{ name, value string }{
		{"nodeName", s.NodeName}, {"priorityClassName", s.PriorityClassName}, {"serviceAccountName", s.ServiceAccountName},
	} {
		if f.value != "" {
			out.All("spec."+f.name, f.value, validation.IsDNS1123Subdomain(f.value))
		}
	}
}

// checkGates: a pod that waits for others before it is placed.
func checkGates(out *findings.Collector, s *v1.PodSpec) {
	seen := map[string]bool{}
	for i, gate := range s.SchedulingGates {
		at := fmt.Sprintf("spec.schedulingGates[%d].name", i)
		out.All(at, gate.Name, validation.IsQualifiedName(gate.Name))
		if seen[gate.Name] {
			out.Errorf(at, "%q stands there twice", gate.Name)
		}
		seen[gate.Name] = true
	}
	if s.NodeName != "" && len(s.SchedulingGates) > 0 {
		out.Errorf("spec.nodeName", "it excludes schedulingGates: a pod that has its node is not waiting to be placed")
	}
}

func checkToleration(out *findings.Collector, at string, t *v1.Toleration) {
	if t.Key != "" {
		out.All(at+".key", t.Key, validation.IsQualifiedName(t.Key))
	} else if t.Operator != v1.TolerationOpExists {
		out.Errorf(at+".operator", "without a key, which stands for all taints, it must be Exists")
	}
	findings.OneOf(out, at+".operator", t.Operator, "", v1.TolerationOpEqual, v1.TolerationOpExists, v1.TolerationOpLt, v1.TolerationOpGt)
	switch t.Operator {
	case "", v1.TolerationOpEqual:
		out.All(at+".value", t.Value, validation.IsValidLabelValue(t.Value))
	case v1.TolerationOpExists:
		if t.Value != "" {
			out.Errorf(at+".value", "with operator Exists there is no value to compare")
		}
	case v1.TolerationOpLt, v1.TolerationOpGt:
		if n, err := strconv.ParseInt(t.Value, 10, 64); err != nil || strconv.FormatInt(n, 10) != t.Value {
			out.Errorf(at+".value", "%q is no whole number, which operator %s compares", t.Value, t.Operator)
		}
	}
	findings.OneOf(out, at+".effect", t.Effect, "", v1.TaintEffectNoSchedule, v1.TaintEffectPreferNoSchedule, v1.TaintEffectNoExecute)
	if t.TolerationSeconds != nil && t.Effect != v1.TaintEffectNoExecute {
		out.Errorf(at+".effect", "tolerationSeconds goes with effect NoExecute")
	}
}

func checkSpread(out *findings.Collector, constraints []v1.TopologySpreadConstraint) {
	for i := range constraints {
		c := &constraints[i]
		at := fmt.Sprintf("spec.topologySpreadConstraints[%d]", i)
		if c.MaxSkew < 1 {
			out.Errorf(at+".maxSkew", "must be at least 1")
		}
		if c.TopologyKey == "" {
			out.Errorf(at+".topologyKey", "a label of nodes is required, such as kubernetes.io/hostname")
		}
		findings.OneOf(out, at+".whenUnsatisfiable", c.WhenUnsatisfiable, v1.DoNotSchedule, v1.ScheduleAnyway)
		if slices.ContainsFunc(constraints[:i], func(o v1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			out.Errorf(at, "topologyKey and whenUnsatisfiable are those of another constraint")
		}
		if c.MinDomains != nil {
			if *c.MinDomains < 1 {
				out.Errorf(at+".minDomains", "must be at least 1")
			}
			if c.WhenUnsatisfiable != v1.DoNotSchedule {
				out.Errorf(at+".minDomains", "it goes with whenUnsatisfiable DoNotSchedule")
			}
		}
		for name, p := range map[string]*v1.NodeInclusionPolicy{"nodeAffinityPolicy": c.NodeAffinityPolicy, "nodeTaintsPolicy": c.NodeTaintsPolicy} {
			if p != nil {
				findings.OneOf(out, at+"."+name, *p, v1.NodeInclusionPolicyHonor, v1.NodeInclusionPolicyIgnore)
			}
		}
		metadata.Selector(out, at+".labelSelector", c.LabelSelector)
		checkLabelKeys(out, at+".matchLabelKeys", c.MatchLabelKeys, c.LabelSelector)
	}
}
