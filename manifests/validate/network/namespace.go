package network

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
)

// podSecurityLabels begin the labels by which a cluster's namespaces choose levels of the Pod Security Standards.
const podSecurityLabels = "pod-security.kubernetes.io/"

// Namespace checks a defaulted Namespace. Where it says that it lies in one, that is taken away.
func Namespace(ns *v1.Namespace) manifests.Problems {
	out := &findings.Collector{}
	metadata.Check(out, ns, validation.IsDNS1123Label)
	if ns.Namespace != "" {
		out.Warnf("metadata.namespace", "accepted without effect: a Namespace lies in none; its own name is metadata.name")
		ns.Namespace = "" // as the API server does
	}
	for key := range ns.Labels {
		if strings.HasPrefix(key, podSecurityLabels) {
			out.Warnf("metadata.labels."+key, "accepted without effect: levels come from podSecurity of the configuration alone, so that no manifest loosens them")
		}
	}
	return out.Problems
}
