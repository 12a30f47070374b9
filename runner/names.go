package runner

import (
	"os"
	"strings"
)

// maxHostname is the kernel's (uname(2)).
const maxHostname = 64

// hostname is the pod's host name: 63 bytes at most, as the kubelet cuts it; the machine's with the host's network.
func (w *worker) hostname() string {
	spec := &w.rec.Pod.Spec
	if spec.HostNetwork {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	if spec.HostnameOverride != nil && *spec.HostnameOverride != "" {
		return *spec.HostnameOverride
	}
	if full := w.domainName(); spec.SetHostnameAsFQDN != nil && *spec.SetHostnameAsFQDN && full != "" && len(full) <= maxHostname {
		return full
	}
	return w.shortName()
}

func (w *worker) shortName() string {
	name := w.rec.Pod.Spec.Hostname
	if name == "" {
		name = w.rec.Pod.Name
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}

// domainName is the pod's name with its subdomain and the cluster's domain; empty without a subdomain. Nobody but the pod's
// own /etc/hosts knows it here.
func (w *worker) domainName() string {
	spec := &w.rec.Pod.Spec
	if spec.Subdomain == "" || spec.HostnameOverride != nil && *spec.HostnameOverride != "" {
		return ""
	}
	return w.shortName() + "." + spec.Subdomain + "." + w.rec.Pod.Namespace + ".svc." + w.runner.config.ClusterDomain
}
