package manifests

import v1 "k8s.io/api/core/v1"

// VolumePlugin is the kubelet's name of a volume's kind, which its metrics have as a label (pkg/volume/*, pluginName).
func VolumePlugin(v *v1.Volume) string {
	switch {
	case v.HostPath != nil:
		return "kubernetes.io/host-path"
	case v.ConfigMap != nil:
		return "kubernetes.io/configmap"
	case v.Secret != nil:
		return "kubernetes.io/secret"
	case v.Projected != nil:
		return "kubernetes.io/projected"
	case v.DownwardAPI != nil:
		return "kubernetes.io/downward-api"
	case v.PersistentVolumeClaim != nil:
		return "kubernetes.io/local-volume" // a claim is a directory of this machine
	case v.Image != nil:
		return "kubernetes.io/image"
	}
	return "kubernetes.io/empty-dir" // also a volume without a source
}
