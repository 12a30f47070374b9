package sandbox

import (
	"os"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Hostname is the pod's host name; the machine's with the host's network.
func (s *Sandboxes) Hostname(pod *v1.Pod) string {
	spec := &pod.Spec
	if spec.HostNetwork {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	if spec.HostnameOverride != nil && *spec.HostnameOverride != "" {
		return *spec.HostnameOverride
	}
	if full, err := manifests.FullHostname(pod, s.ClusterDomain); err == nil && full != "" {
		return full // one that is too long is not set up
	}
	return manifests.ShortHostname(pod)
}
