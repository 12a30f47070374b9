package objects

import (
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/monitor/exposition"
)

func nodeName(n *v1.Node) []string { return []string{"node", n.Name} }

// rolePrefix is that of the labels that say what a node is for.
const rolePrefix = "node-role.kubernetes.io/"

// nodeFamilies are kube-state-metrics' (docs/metrics/cluster/node-metrics.md).
var nodeFamilies = []exposition.Row[v1.Node]{
	created[v1.Node]("kube_node"),
	several("kube_node_info", "The machine's system and versions",
		[]string{"kernel_version", "os_image", "container_runtime_version", "kubelet_version", "kubeproxy_version", "provider_id", "pod_cidr", "system_uuid", "internal_ip"},
		func(n *v1.Node, to *exposition.Samples) {
			i, ip := n.Status.NodeInfo, ""
			for _, a := range n.Status.Addresses {
				if a.Type == v1.NodeInternalIP && ip == "" {
					ip = a.Address
				}
			}
			to.Add(1, i.KernelVersion, i.OSImage, i.ContainerRuntimeVersion, i.KubeletVersion, "", n.Spec.ProviderID, n.Spec.PodCIDR, i.SystemUUID, ip)
		}),
	several("kube_node_role", "What the node is for; a box is its own control plane", []string{"role"}, func(n *v1.Node, to *exposition.Samples) {
		// Alerts of others on requests that exceed the node ask for the control plane, to tell clusters with several of them.
		to.Add(1, "control-plane")
		for label := range n.Labels {
			if role, ok := strings.CutPrefix(label, rolePrefix); ok {
				to.Add(1, role)
			}
		}
	}),
	number("kube_node_spec_unschedulable", "Whether the node takes no further pods", func(n *v1.Node) float64 { return oneIf(n.Spec.Unschedulable) }),
	several("kube_node_spec_taint", "The node's taints", []string{"key", "value", "effect"}, func(n *v1.Node, to *exposition.Samples) {
		for _, t := range n.Spec.Taints {
			to.Add(1, t.Key, t.Value, string(t.Effect))
		}
	}),
	several("kube_node_status_addresses", "The node's addresses", []string{"type", "address"}, func(n *v1.Node, to *exposition.Samples) {
		for _, a := range n.Status.Addresses {
			to.Add(1, string(a.Type), a.Address)
		}
	}),
	several("kube_node_status_capacity", "What the node has", []string{"resource", "unit"}, func(n *v1.Node, to *exposition.Samples) { addResources(to, n.Status.Capacity) }),
	several("kube_node_status_allocatable", "What pods may have of the node", []string{"resource", "unit"}, func(n *v1.Node, to *exposition.Samples) {
		addResources(to, n.Status.Allocatable)
	}),
	several("kube_node_status_condition", "The node's conditions", []string{"condition", "status"}, func(n *v1.Node, to *exposition.Samples) {
		for _, c := range n.Status.Conditions {
			addStatus(to, c.Status, string(c.Type))
		}
	}),
}
