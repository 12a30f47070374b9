// Package validate checks objects as the API server does, and refuses what is not implemented. It is pure.
package validate

import (
	"fmt"
	"math"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
	"github.com/solopod/solopod/manifests/validate/metadata"
	"github.com/solopod/solopod/manifests/validate/placement"
)

// Options are what the node allows.
type Options struct {
	// AllowedUnsafeSysctls are sysctls beside the safe set; a name may end with *.
	AllowedUnsafeSysctls []string
	// ClusterDomain ends the full names of pods that have a subdomain; empty where it is not known.
	ClusterDomain string
}

// Pod checks a defaulted pod as the API server does, and refuses values that are not implemented yet. The problems have a
// path and no place in a file. A sysctl's name is brought into its usual form, with dots.
func Pod(pod *v1.Pod, opts Options) manifests.Problems {
	out := &findings.Collector{}
	checkMetadata(out, pod)
	checkPodSpec(out, &pod.Spec, opts)
	if len(pod.Spec.Containers) == 0 {
		out.Errorf("spec.containers", "a pod needs at least one container")
	}
	volumes := checkVolumes(out, pod.Spec.Volumes)
	names := map[string]bool{}
	eachContainer(pod, func(at string, c *v1.Container) {
		if names[c.Name] {
			out.Errorf(at+".name", "duplicate container name %q", c.Name)
		}
		names[c.Name] = true
		checkContainer(out, at, c, volumes)
		checkOfPod(out, at, c, pod)
		checkLifecycle(out, at, c, *pod.Spec.TerminationGracePeriodSeconds)
	})
	for i := range pod.Spec.InitContainers {
		checkInitContainer(out, fmt.Sprintf("spec.initContainers[%d]", i), &pod.Spec.InitContainers[i])
	}
	if opts.ClusterDomain != "" {
		if _, err := manifests.FullHostname(pod, opts.ClusterDomain); err != nil {
			out.Warnf("spec.setHostnameAsFQDN", "the pod will not start: %v", err)
		}
	}
	checkHostPorts(out, pod)
	checkOwnUsers(out, pod)
	return out.Problems
}

// eachContainer walks init containers and containers.
func eachContainer(pod *v1.Pod, use func(at string, c *v1.Container)) {
	for i := range pod.Spec.InitContainers {
		use(fmt.Sprintf("spec.initContainers[%d]", i), &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		use(fmt.Sprintf("spec.containers[%d]", i), &pod.Spec.Containers[i])
	}
}

func checkMetadata(out *findings.Collector, pod *v1.Pod) {
	metadata.Check(out, pod, validation.IsDNS1123Subdomain)
	if choice, ok := pod.Annotations[manifests.RestartOnChangeAnnotation]; ok {
		findings.OneOf(out, "metadata.annotations."+manifests.RestartOnChangeAnnotation, choice, manifests.RestartOnEnvironment, manifests.RestartOnAnyChange)
	}
	if choice, ok := pod.Annotations[manifests.OOMGroupAnnotation]; ok {
		findings.OneOf(out, "metadata.annotations."+manifests.OOMGroupAnnotation, choice, "true", "false")
	}
	checkRollback(out, pod)
	checkOOMAction(out, pod)
	checkPodAnnotations(out, pod)
}

// checkOOMAction checks what the pod says of kills for memory.
func checkOOMAction(out *findings.Collector, pod *v1.Pod) {
	const annotations = "metadata.annotations."
	action, ok := pod.Annotations[manifests.OOMActionAnnotation]
	if ok {
		findings.OneOf(out, annotations+manifests.OOMActionAnnotation, action, manifests.OOMRestartsContainer, manifests.OOMRestartsPod, manifests.OOMStopsPod)
	}
	after, ok := pod.Annotations[manifests.OOMStopAfterAnnotation]
	if !ok {
		return
	}
	if action != manifests.OOMStopsPod {
		out.Errorf(annotations+manifests.OOMStopAfterAnnotation, "it holds for %s: %s alone; set that too, or take this away", manifests.OOMActionAnnotation, manifests.OOMStopsPod)
	}
	if _, err := manifests.ParseOOMStop(after); err != nil {
		out.Errorf(annotations+manifests.OOMStopAfterAnnotation, "%v", err)
	}
}

func checkPodSpec(out *findings.Collector, s *v1.PodSpec, opts Options) {
	findings.OneOf(out, "spec.restartPolicy", s.RestartPolicy, v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)
	findings.OneOf(out, "spec.dnsPolicy", s.DNSPolicy,
		v1.DNSClusterFirst, v1.DNSClusterFirstWithHostNet, v1.DNSDefault, v1.DNSNone)
	if *s.TerminationGracePeriodSeconds < 0 {
		out.Errorf("spec.terminationGracePeriodSeconds", "must not be negative")
	}
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		out.Errorf("spec.activeDeadlineSeconds", "must lie between 1 and %d", math.MaxInt32)
	}
	if s.Hostname != "" {
		out.All("spec.hostname", s.Hostname, validation.IsDNS1123Label(s.Hostname))
	}
	checkNames(out, s)
	placement.Check(out, s)
	if s.OS != nil && s.OS.Name != v1.Linux {
		out.Errorf("spec.os.name", "unsupported value %q; Solopod runs linux containers", s.OS.Name)
	}
	checkDNS(out, s)
	checkPodSecurity(out, s, opts)
	checkPodResources(out, s)
	if c := s.RuntimeClassName; c != nil {
		checkObjectName(out, "spec.runtimeClassName", *c)
	}
}

// checkNames checks what the pod and others are called.
func checkNames(out *findings.Collector, s *v1.PodSpec) {
	if s.Subdomain != "" {
		out.All("spec.subdomain", s.Subdomain, validation.IsDNS1123Label(s.Subdomain))
	}
	if name := s.HostnameOverride; name != nil && *name != "" {
		out.All("spec.hostnameOverride", *name, validation.IsDNS1123Subdomain(*name))
		switch {
		case len(*name) > 64:
			out.Errorf("spec.hostnameOverride", "at most 64 characters are allowed")
		case s.HostNetwork:
			out.Errorf("spec.hostnameOverride", "with hostNetwork the pod has the machine's name")
		case s.SetHostnameAsFQDN != nil && *s.SetHostnameAsFQDN:
			out.Errorf("spec.hostnameOverride", "it excludes setHostnameAsFQDN")
		}
	}
	for i, a := range s.HostAliases {
		at := fmt.Sprintf("spec.hostAliases[%d]", i)
		if !isIP(a.IP) {
			out.Errorf(at+".ip", "%q is not an IP address", a.IP)
		}
		for j, name := range a.Hostnames {
			out.All(fmt.Sprintf("%s.hostnames[%d]", at, j), name, validation.IsDNS1123Subdomain(name))
		}
	}
}

func checkDNS(out *findings.Collector, s *v1.PodSpec) {
	if s.DNSPolicy == v1.DNSNone && (s.DNSConfig == nil || len(s.DNSConfig.Nameservers) == 0) {
		out.Errorf("spec.dnsConfig.nameservers", "dnsPolicy None needs at least one name server")
	}
	if s.DNSConfig == nil {
		return
	}
	if len(s.DNSConfig.Nameservers) > 3 {
		out.Errorf("spec.dnsConfig.nameservers", "at most 3 name servers are allowed")
	}
	for i, ns := range s.DNSConfig.Nameservers {
		if !isIP(ns) {
			out.Errorf(fmt.Sprintf("spec.dnsConfig.nameservers[%d]", i), "%q is not an IP address", ns)
		}
	}
	checkSearches(out, s.DNSConfig.Searches)
	for i, o := range s.DNSConfig.Options {
		if o.Name == "" || strings.ContainsAny(o.Name, " \n\t:") {
			out.Errorf(fmt.Sprintf("spec.dnsConfig.options[%d].name", i), "a resolver option needs a name without blanks")
		}
	}
}

// What the API server takes of search domains (Kubernetes, MaxDNSSearchPaths, MaxDNSSearchListChars).
const (
	mostSearches    = 32
	mostSearchBytes = 2048
)

func checkSearches(out *findings.Collector, searches []string) {
	if len(searches) > mostSearches {
		out.Errorf("spec.dnsConfig.searches", "at most %d search domains are allowed; there are %d", mostSearches, len(searches))
	}
	if n := len(strings.Join(searches, " ")); n > mostSearchBytes {
		out.Errorf("spec.dnsConfig.searches", "at most %d characters are allowed in all search domains together; there are %d", mostSearchBytes, n)
	}
	for i, domain := range searches {
		if domain == "." { // the root: names are tried as they are
			continue
		}
		out.All(fmt.Sprintf("spec.dnsConfig.searches[%d]", i), domain, validation.IsDNS1123SubdomainWithUnderscore(strings.TrimSuffix(domain, ".")))
	}
}

// checkIDs checks numbers of users and groups, by the name of their field.
func checkIDs(out *findings.Collector, at string, ids map[string]*int64) {
	for name, id := range ids {
		if id != nil && (*id < 0 || *id > math.MaxInt32) {
			out.Errorf(at+"."+name, "must lie between 0 and %d", math.MaxInt32)
		}
	}
}

// checkHostPorts looks for two containers of the pod that want the same port of the host. An init container may want that of one which
// comes after it (Kubernetes, validateInitContainers).
func checkHostPorts(out *findings.Collector, pod *v1.Pod) {
	ofContainers := map[string]string{}
	eachContainer(pod, func(container string, c *v1.Container) {
		seen := ofContainers
		if strings.HasPrefix(container, "spec.initContainers") {
			seen = map[string]string{}
		}
		for j, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			at := fmt.Sprintf("%s.ports[%d]", container, j)
			key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if other, ok := seen[key]; ok {
				out.Errorf(at+".hostPort", "host port %d/%s is already taken by %s", p.HostPort, p.Protocol, other)
			}
			seen[key] = at
			if pod.Spec.HostNetwork && p.HostPort != p.ContainerPort {
				out.Errorf(at+".hostPort", "with hostNetwork it must be the same as containerPort (%d)", p.ContainerPort)
			}
		}
	})
}
