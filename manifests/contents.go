package manifests

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Contents are the objects of one file.
type Contents struct {
	Pods       []*v1.Pod
	ConfigMaps []*v1.ConfigMap
	Secrets    []*v1.Secret
	Claims     []*v1.PersistentVolumeClaim
	Jobs       []*batchv1.Job
	CronJobs   []*batchv1.CronJob

	Services        []*v1.Service                 `json:",omitempty"`
	Endpoints       []*v1.Endpoints               `json:",omitempty"` //nolint:staticcheck // deprecated, and much used
	EndpointSlices  []*discoveryv1.EndpointSlice  `json:",omitempty"`
	NetworkPolicies []*networkingv1.NetworkPolicy `json:",omitempty"`
	Namespaces      []*v1.Namespace               `json:",omitempty"`

	// Deployments and the like stand here beside their pods.
	Deployments  []*appsv1.Deployment  `json:",omitempty"`
	ReplicaSets  []*appsv1.ReplicaSet  `json:",omitempty"`
	StatefulSets []*appsv1.StatefulSet `json:",omitempty"`
	DaemonSets   []*appsv1.DaemonSet   `json:",omitempty"`

	// Version is that of the VersionAnnotation; zero where no object has one.
	Version uint64 `json:"version,omitempty"`
	// Declared names the objects as the file has them, as deployment/namespace/name, also where others stand for them.
	Declared []string `json:"declared,omitempty"`
}

// ObjectName names an object as lists of a file's objects do: configmap/namespace/name, and namespace/name where it has no namespace.
func ObjectName(kind string, object metav1.Object) string {
	name := strings.ToLower(kind) + "/"
	if ns := object.GetNamespace(); ns != "" {
		name += ns + "/"
	}
	return name + object.GetName()
}
