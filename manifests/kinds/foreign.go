package kinds

import "bytes"

const (
	guarded = "would keep connections away, and Solopod cannot do what it says: leaving it out would open doors; write it as a NetworkPolicy of networking.k8s.io/v1, which is kept, and remove it"
	meshed  = "would have a mesh refuse connections, and there is none: leaving it out would open doors; write it as a NetworkPolicy of networking.k8s.io/v1, which is kept, and remove it"
)

// guards keep connections away from pods. They are never left out: whoever wrote one relies on it.
var guards = map[string]string{
	"projectcalico.org/NetworkPolicy":           "NetworkPolicy of projectcalico.org " + guarded,
	"projectcalico.org/GlobalNetworkPolicy":     "GlobalNetworkPolicy " + guarded,
	"crd.projectcalico.org/NetworkPolicy":       "NetworkPolicy of crd.projectcalico.org " + guarded,
	"crd.projectcalico.org/GlobalNetworkPolicy": "GlobalNetworkPolicy " + guarded,
	"cilium.io/CiliumNetworkPolicy":             "CiliumNetworkPolicy " + guarded,
	"cilium.io/CiliumClusterwideNetworkPolicy":  "CiliumClusterwideNetworkPolicy " + guarded,
	"crd.antrea.io/NetworkPolicy":               "NetworkPolicy of crd.antrea.io " + guarded,
	"crd.antrea.io/ClusterNetworkPolicy":        "ClusterNetworkPolicy " + guarded,
	"policy.networking.k8s.io/":                 "a policy of policy.networking.k8s.io " + guarded,
	"security.istio.io/":                        "a policy of security.istio.io " + meshed,
	"policy.linkerd.io/":                        "a policy of policy.linkerd.io " + meshed,
	"k8s.cni.cncf.io/MultiNetworkPolicy":        "MultiNetworkPolicy " + guarded,
}

const ofATool = "it is the configuration of a tool, not an object; it belongs elsewhere"

// ofTools are files that look like objects and are none, as group/Kind.
var ofTools = map[string]string{
	"/Config":   "this is a configuration for kubectl, with the addresses of clusters; it belongs into ~/.kube, and Solopod needs none",
	"/Template": "this is a template of OpenShift; render it (oc process) and put the manifests that come out of it here",
}

// toolGroups are groups of such files.
var toolGroups = map[string]string{
	"kustomize.config.k8s.io": "this is for kustomize, which makes manifests of files: put here what \"kubectl kustomize DIR\" prints",
	"kubeadm.k8s.io":          "this is a configuration for kubeadm; the manifests that kubeadm writes are taken as they are",
	"kubelet.config.k8s.io":   "this is a configuration of the kubelet; solopod's own has the same names for what both have",
	"kubeproxy.config.k8s.io": ofATool, "kubescheduler.config.k8s.io": ofATool, "kubecontrollermanager.config.k8s.io": ofATool,
	"apiserver.config.k8s.io": ofATool, "apiserver.k8s.io": ofATool, "audit.k8s.io": ofATool, "client.authentication.k8s.io": ofATool,
	"kind.x-k8s.io": ofATool, "k3d.io": ofATool, "eksctl.io": ofATool, "skaffold": ofATool, "credentialprovider.kubelet.k8s.io": ofATool,
	"config.karmada.io": ofATool,
}

// Without says what a document without apiVersion, or without kind, may be; keys are those at its top. It is empty where nothing is known.
func Without(keys []string) string {
	has := map[string]bool{}
	for _, k := range keys[:min(len(keys), 100)] {
		has[k] = true
	}
	switch {
	case has["services"]:
		return "this looks like a file for docker compose: \"solopod convert FILE\" makes manifests of it"
	case has["apiVersion"] && has["name"] && (has["version"] || has["dependencies"] || has["appVersion"]):
		return "this looks like the Chart.yaml of a Helm chart: put here what \"helm template NAME DIR\" prints"
	case has["resources"] && !has["spec"], has["patches"], has["patchesStrategicMerge"], has["configMapGenerator"], has["secretGenerator"], has["bases"]:
		return "this looks like a file for kustomize, which makes manifests of files: put here what \"kubectl kustomize DIR\" prints"
	case has["replicaCount"], has["image"] && has["fullnameOverride"], has["nameOverride"]:
		return "this looks like the values of a Helm chart: put here what \"helm template NAME DIR\" prints"
	}
	return ""
}

// Templated says what to do with a text that holds the marks of a template; it is empty where there are none.
func Templated(text []byte) string {
	if bytes.Contains(text, []byte("{{")) && bytes.Contains(text, []byte("}}")) {
		return "it holds {{ ... }} of a template: render it first (helm template, for instance) and put here what comes out"
	}
	return ""
}
