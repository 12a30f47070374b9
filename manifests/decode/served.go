package decode

import (
	"go.yaml.in/yaml/v3"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/network"
)

func (d *decoder) decodeService(node *yaml.Node, path string) {
	take(d, node, path, "Service", &d.contents.Services, manifests.SetServiceDefaults, func(s *v1.Service) manifests.Problems {
		found := network.Service(s, d.opts.NodePorts)
		if s.Spec.SessionAffinity == v1.ServiceAffinityNone { // the API server drops it before it looks; here it was told
			s.Spec.SessionAffinityConfig = nil
		}
		if d.opts.JudgeService != nil {
			found = append(found, d.opts.JudgeService(s)...)
		}
		return found
	})
}

func (d *decoder) decodeEndpoints(node *yaml.Node, path string) {
	take(d, node, path, "Endpoints", &d.contents.Endpoints, manifests.SetEndpointsDefaults, network.Endpoints)
}

func (d *decoder) decodeEndpointSlice(node *yaml.Node, path string) {
	take(d, node, path, "EndpointSlice", &d.contents.EndpointSlices, manifests.SetEndpointSliceDefaults, network.EndpointSlice)
}

func (d *decoder) decodeNetworkPolicy(node *yaml.Node, path string) {
	take(d, node, path, "NetworkPolicy", &d.contents.NetworkPolicies, manifests.SetNetworkPolicyDefaults, network.Policy)
}

// decodeNamespace: namespaces need no object; one gives a namespace its labels.
func (d *decoder) decodeNamespace(node *yaml.Node, path string) {
	take(d, node, path, "Namespace", &d.contents.Namespaces, manifests.SetNamespaceDefaults, network.Namespace)
}
