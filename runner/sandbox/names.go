package sandbox

import (
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// maxHostname is the kernel's (uname(2)).
const maxHostname = 64

// Hostname is the pod's host name: 63 bytes at most, as the kubelet cuts it; the machine's with the host's network.
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
	if full := s.domainName(pod); spec.SetHostnameAsFQDN != nil && *spec.SetHostnameAsFQDN && full != "" && len(full) <= maxHostname {
		return full
	}
	return shortName(pod)
}

func shortName(pod *v1.Pod) string {
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}

// domainName is the pod's name with its subdomain and the cluster's domain; empty without a subdomain. Nobody but the pod's
// own /etc/hosts knows it here.
func (s *Sandboxes) domainName(pod *v1.Pod) string {
	spec := &pod.Spec
	if spec.Subdomain == "" || spec.HostnameOverride != nil && *spec.HostnameOverride != "" {
		return ""
	}
	return shortName(pod) + "." + spec.Subdomain + "." + pod.Namespace + ".svc." + s.ClusterDomain
}
