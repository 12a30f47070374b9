package manifests

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// maxHostname is the kernel's (uname(2)).
const maxHostname = 64

// ShortHostname is the pod's host name without a domain: 63 bytes at most, as the kubelet cuts it.
func ShortHostname(pod *v1.Pod) string {
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}

// DomainName is the pod's name with its subdomain and the cluster's domain; empty without a subdomain. The pod
// itself knows it by its /etc/hosts, others where a headless Service has the subdomain's name.
func DomainName(pod *v1.Pod, clusterDomain string) string {
	spec := &pod.Spec
	if spec.Subdomain == "" || spec.HostnameOverride != nil && *spec.HostnameOverride != "" {
		return ""
	}
	return ShortHostname(pod) + "." + spec.Subdomain + "." + pod.Namespace + ".svc." + clusterDomain
}

// FullHostname is the domain name where it shall be the pod's host name; empty elsewhere. A pod whose name is too long for the kernel
// does not start, as with a kubelet (pkg/kubelet/util, GetNodenameForKernel).
func FullHostname(pod *v1.Pod, clusterDomain string) (string, error) {
	spec := &pod.Spec
	if spec.HostNetwork || spec.SetHostnameAsFQDN == nil || !*spec.SetHostnameAsFQDN {
		return "", nil
	}
	full := DomainName(pod, clusterDomain)
	if len(full) > maxHostname {
		return "", fmt.Errorf("with setHostnameAsFQDN the pod's host name is %s, of %d characters, and the kernel takes %d; "+
			"shorten the hostname or the subdomain, or remove setHostnameAsFQDN", full, len(full), maxHostname)
	}
	return full, nil
}
