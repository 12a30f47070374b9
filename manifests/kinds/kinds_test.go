package kinds

import (
	"strings"
	"testing"
)

var some = []string{"apps/v1/Deployment", "apps/v1/StatefulSet", "batch/v1/CronJob", "networking.k8s.io/v1/NetworkPolicy", "v1/Pod", "v1/Service"}

// What only a cluster serves, and resources of others, may be left out.
func TestIgnored(t *testing.T) {
	for object, says := range map[string]string{
		"v1 ServiceAccount":   noAPIServer,
		"v1 PersistentVolume": "use hostPath, or a PersistentVolumeClaim",
		"v1 LimitRange":       "write requests and limits",
		"rbac.authorization.k8s.io/v1beta1 ClusterRole":    noAPIServer,
		"rbac.authorization.k8s.io/v1 RoleBindingList":     noAPIServer,
		"networking.k8s.io/v1 Ingress":                     "run a proxy as a pod",
		"extensions/v1beta1 Ingress":                       "run a proxy as a pod",
		"policy/v1 PodDisruptionBudget":                    "strategy",
		"autoscaling/v2beta2 HorizontalPodAutoscaler":      "set replicas",
		"scheduling.k8s.io/v1 PriorityClass":               "write it as priority",
		"storage.k8s.io/v1 StorageClass":                   "directories of this machine",
		"apiextensions.k8s.io/v1 CustomResourceDefinition": "a kind of one's own",
		"node.k8s.io/v1 RuntimeClass":                      "runtimeClasses",
		"monitoring.coreos.com/v1 ServiceMonitor":          "Prometheus",
		"cert-manager.io/v1 Certificate":                   "kubernetes.io/tls",
		"bitnami.com/v1alpha1 SealedSecret":                "put the Secret itself",
		"gateway.networking.k8s.io/v1 HTTPRoute":           "run a proxy as a pod",
		"kustomize.toolkit.fluxcd.io/v1 Kustomization":     "render it",
		"argoproj.io/v1alpha1 Rollout":                     "write them as a Deployment",
		"serving.knative.dev/v1 Service":                   "write them as a Deployment",
		"apps.kruise.io/v1beta1 StatefulSet":               "write them as a Deployment",
		"networking.istio.io/v1beta1 VirtualService":       "no mesh",
		"example.com/v1 Widget":                            "no controller of it runs here",
		"a.b.c.d/v1alpha1 X-Y":                             "no controller of it runs here",
	} {
		apiVersion, kind, _ := strings.Cut(object, " ")
		if v := Of(apiVersion, kind, some); !v.Ignored || !strings.Contains(v.Text, says) {
			t.Errorf("%s: %+v", object, v)
		}
	}
}

// Slips of the pen, files of tools and what guards pods are errors.
func TestErrors(t *testing.T) {
	for object, says := range map[string]string{
		"v1 ServiceAcount":                                     `did you mean "ServiceAccount"?`,
		"apps/v1 Deploymnt":                                    `unknown kind "Deploymnt"; did you mean "Deployment"?`,
		"v1 pod":                                               `did you mean "Pod"?`,
		"v1 PersistentVolum":                                   `did you mean "PersistentVolume"?`,
		"v1 Foo":                                               `unknown kind "Foo" of apiVersion v1; what Solopod takes is apps/v1/Deployment`,
		"apps/v1beta2 Deployment":                              "Deployment is apps/v1, not apps/v1beta2",
		"extensions/v1beta1 Deployment":                        "Deployment is apps/v1, not extensions/v1beta1",
		"extensions/v1beta1 NetworkPolicy":                     "NetworkPolicy is networking.k8s.io/v1, not extensions/v1beta1",
		"v1 Deployment":                                        "Deployment is apps/v1, not v1",
		"v1beta Pod":                                           "Pod is v1, not v1beta",
		"app/v1 Deployment":                                    "Deployment is apps/v1, not app/v1",
		"apps.k8s.io/v1 Deployment":                            "Deployment is apps/v1, not apps.k8s.io/v1",
		"networking.k8s.i/v1 NetworkPolicy":                    "NetworkPolicy is networking.k8s.io/v1, not",
		"apps/v1 Ingress":                                      `Ingress is of the group "networking.k8s.io"`,
		"v1 ReplicationController":                             "use a Deployment",
		"app/v1 Widget":                                        "unknown apiVersion",
		"example.com Widget":                                   "unknown kind",
		"example.com/V1 Widget":                                "is not an apiVersion",
		"example.com/v1/x Widget":                              "is not an apiVersion",
		"example.com/v1 Wid\nget":                              "is not the name of a kind",
		"projectcalico.org/v3 NetworkPolicy":                   "would open doors",
		"crd.projectcalico.org/v1 GlobalNetworkPolicy":         "would open doors",
		"cilium.io/v2 CiliumNetworkPolicy":                     "would open doors",
		"security.istio.io/v1 AuthorizationPolicy":             "would open doors",
		"policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy": "would open doors",
		"kustomize.config.k8s.io/v1beta1 Kustomization":        "kubectl kustomize",
		"kubeadm.k8s.io/v1beta3 ClusterConfiguration":          "kubeadm",
		"kubelet.config.k8s.io/v1beta1 KubeletConfiguration":   "configuration of the kubelet",
		"v1 Config":                                            "~/.kube",
		"example.com/v1 " + strings.Repeat("x", 400):           "longer than",
	} {
		apiVersion, kind, _ := strings.Cut(object, " ")
		if v := Of(apiVersion, kind, some); v.Ignored || !strings.Contains(v.Text, says) {
			t.Errorf("%s: %+v", object, v)
		}
	}
}

// What has no kind is known by its keys.
func TestWithout(t *testing.T) {
	for keys, says := range map[string]string{
		"version services volumes":             "solopod convert",
		"apiVersion name version":              "helm template",
		"resources namePrefix":                 "kustomize",
		"replicaCount image service":           "helm template",
		"metadata spec":                        "",
		"image":                                "",
		"":                                     "",
		strings.Repeat("x ", 200) + "services": "",
	} {
		if got := Without(strings.Fields(keys)); (got == "") != (says == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %q", keys, got)
		}
	}
}

// Each row is of a group that is known, so that it is found.
func TestRowsAreFound(t *testing.T) {
	for key := range served {
		if group, kind, ok := strings.Cut(key, "/"); !ok || !groups[group] || kind == "" {
			t.Errorf("%s is never found", key)
		}
	}
	for _, table := range []map[string]string{others, guards} {
		for key := range table {
			if group, _, ok := strings.Cut(key, "/"); !ok || groups[group] {
				t.Errorf("%s is never found", key)
			}
		}
	}
}
