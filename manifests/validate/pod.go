// Package validate checks objects as the API server does, and refuses what is not implemented. It is pure.
package validate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/spelling"
)

// maxErrors bounds what is said of one object: looking for what a thousand misspelt names could have meant takes time.
const maxErrors = 100

// collector collects problems with their field paths; the decoder adds file and position.
type collector struct {
	problems manifests.Problems
	errors   int
}

// full: enough has been found.
func (out *collector) full() bool { return out.errors >= maxErrors }

func (out *collector) errorf(path, format string, args ...any) {
	if out.full() {
		return
	}
	out.errors++
	out.problems = append(out.problems, manifests.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (out *collector) warnf(path, format string, args ...any) {
	out.problems = append(out.problems, manifests.Problem{Path: path, Message: fmt.Sprintf(format, args...), Warning: true})
}

// all reports each message of one of apimachinery's validation functions.
func (out *collector) all(path, value string, messages []string) {
	for _, m := range messages {
		out.errorf(path, "invalid value %q: %s", value, m)
	}
}

func oneOf[T ~string](out *collector, path string, value T, allowed ...T) {
	if out.full() || slices.Contains(allowed, value) {
		return
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	message := fmt.Sprintf("unsupported value %q; choose one of %s", value, strings.Join(names, ", "))
	if near := spelling.Nearest(string(value), names); near != "" {
		message = fmt.Sprintf("unsupported value %q; did you mean %q?", value, near)
	}
	out.errorf(path, "%s", message)
}

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
	out := &collector{}
	checkMetadata(out, pod)
	checkPodSpec(out, &pod.Spec, opts)
	if len(pod.Spec.Containers) == 0 {
		out.errorf("spec.containers", "a pod needs at least one container")
	}
	volumes := checkVolumes(out, pod.Spec.Volumes)
	names := map[string]bool{}
	eachContainer(pod, func(at string, c *v1.Container) {
		if names[c.Name] {
			out.errorf(at+".name", "duplicate container name %q", c.Name)
		}
		names[c.Name] = true
		checkContainer(out, at, c, volumes)
		checkLifecycle(out, at, c, *pod.Spec.TerminationGracePeriodSeconds)
	})
	for i := range pod.Spec.InitContainers {
		checkInitContainer(out, fmt.Sprintf("spec.initContainers[%d]", i), &pod.Spec.InitContainers[i])
	}
	if opts.ClusterDomain != "" {
		if _, err := manifests.FullHostname(pod, opts.ClusterDomain); err != nil {
			out.warnf("spec.setHostnameAsFQDN", "the pod will not start: %v", err)
		}
	}
	checkHostPorts(out, pod)
	checkOwnUsers(out, pod)
	return out.problems
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

func checkMetadata(out *collector, pod *v1.Pod) {
	if pod.Name == "" {
		out.errorf("metadata.name", "a pod needs a name")
	} else {
		out.all("metadata.name", pod.Name, validation.IsDNS1123Subdomain(pod.Name))
	}
	out.all("metadata.namespace", pod.Namespace, validation.IsDNS1123Label(pod.Namespace))
	if uid := string(pod.UID); len(uid) > 63 || len(validation.IsDNS1123Label(strings.ToLower(uid))) > 0 {
		out.errorf("metadata.uid", "invalid value %q: use letters, digits and '-', at most 63", uid)
	}
	for key, value := range pod.Labels {
		out.all("metadata.labels."+key, key, validation.IsQualifiedName(key))
		out.all("metadata.labels."+key, value, validation.IsValidLabelValue(value))
	}
	for key := range pod.Annotations {
		out.all("metadata.annotations."+key, key, validation.IsQualifiedName(strings.ToLower(key)))
	}
	if choice, ok := pod.Annotations[manifests.RestartOnChangeAnnotation]; ok {
		oneOf(out, "metadata.annotations."+manifests.RestartOnChangeAnnotation, choice, manifests.RestartOnEnvironment, manifests.RestartOnAnyChange)
	}
	if choice, ok := pod.Annotations[manifests.OOMGroupAnnotation]; ok {
		oneOf(out, "metadata.annotations."+manifests.OOMGroupAnnotation, choice, "true", "false")
	}
}

func checkPodSpec(out *collector, s *v1.PodSpec, opts Options) {
	oneOf(out, "spec.restartPolicy", s.RestartPolicy, v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)
	oneOf(out, "spec.dnsPolicy", s.DNSPolicy,
		v1.DNSClusterFirst, v1.DNSClusterFirstWithHostNet, v1.DNSDefault, v1.DNSNone)
	if *s.TerminationGracePeriodSeconds < 0 {
		out.errorf("spec.terminationGracePeriodSeconds", "must not be negative")
	}
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		out.errorf("spec.activeDeadlineSeconds", "must lie between 1 and %d", math.MaxInt32)
	}
	if s.Hostname != "" {
		out.all("spec.hostname", s.Hostname, validation.IsDNS1123Label(s.Hostname))
	}
	checkNames(out, s)
	if s.OS != nil && s.OS.Name != v1.Linux {
		out.errorf("spec.os.name", "unsupported value %q; Solopod runs linux containers", s.OS.Name)
	}
	checkDNS(out, s)
	checkPodSecurity(out, s, opts)
	checkPodResources(out, s)
	if c := s.RuntimeClassName; c != nil {
		checkObjectName(out, "spec.runtimeClassName", *c)
	}
}

// checkNames checks what the pod and others are called.
func checkNames(out *collector, s *v1.PodSpec) {
	if s.Subdomain != "" {
		out.all("spec.subdomain", s.Subdomain, validation.IsDNS1123Label(s.Subdomain))
	}
	if name := s.HostnameOverride; name != nil && *name != "" {
		out.all("spec.hostnameOverride", *name, validation.IsDNS1123Subdomain(*name))
		switch {
		case len(*name) > 64:
			out.errorf("spec.hostnameOverride", "at most 64 characters are allowed")
		case s.HostNetwork:
			out.errorf("spec.hostnameOverride", "with hostNetwork the pod has the machine's name")
		case s.SetHostnameAsFQDN != nil && *s.SetHostnameAsFQDN:
			out.errorf("spec.hostnameOverride", "it excludes setHostnameAsFQDN")
		}
	}
	for i, a := range s.HostAliases {
		at := fmt.Sprintf("spec.hostAliases[%d]", i)
		if !isIP(a.IP) {
			out.errorf(at+".ip", "%q is not an IP address", a.IP)
		}
		for j, name := range a.Hostnames {
			out.all(fmt.Sprintf("%s.hostnames[%d]", at, j), name, validation.IsDNS1123Subdomain(name))
		}
	}
}

func checkDNS(out *collector, s *v1.PodSpec) {
	if s.DNSPolicy == v1.DNSNone && (s.DNSConfig == nil || len(s.DNSConfig.Nameservers) == 0) {
		out.errorf("spec.dnsConfig.nameservers", "dnsPolicy None needs at least one name server")
	}
	if s.DNSConfig == nil {
		return
	}
	if len(s.DNSConfig.Nameservers) > 3 {
		out.errorf("spec.dnsConfig.nameservers", "at most 3 name servers are allowed")
	}
	for i, ns := range s.DNSConfig.Nameservers {
		if !isIP(ns) {
			out.errorf(fmt.Sprintf("spec.dnsConfig.nameservers[%d]", i), "%q is not an IP address", ns)
		}
	}
	for i, domain := range s.DNSConfig.Searches {
		out.all(fmt.Sprintf("spec.dnsConfig.searches[%d]", i), domain,
			validation.IsDNS1123Subdomain(strings.TrimSuffix(strings.ReplaceAll(domain, "_", "-"), ".")))
	}
	for i, o := range s.DNSConfig.Options {
		if o.Name == "" || strings.ContainsAny(o.Name, " \n\t:") {
			out.errorf(fmt.Sprintf("spec.dnsConfig.options[%d].name", i), "a resolver option needs a name without blanks")
		}
	}
}

// checkIDs checks numbers of users and groups, by the name of their field.
func checkIDs(out *collector, at string, ids map[string]*int64) {
	for name, id := range ids {
		if id != nil && (*id < 0 || *id > math.MaxInt32) {
			out.errorf(at+"."+name, "must lie between 0 and %d", math.MaxInt32)
		}
	}
}

// checkHostPorts looks for two containers of the pod that want the same port of the host.
func checkHostPorts(out *collector, pod *v1.Pod) {
	seen := map[string]string{}
	eachContainer(pod, func(container string, c *v1.Container) {
		for j, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			at := fmt.Sprintf("%s.ports[%d]", container, j)
			key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if other, ok := seen[key]; ok {
				out.errorf(at+".hostPort", "host port %d/%s is already taken by %s", p.HostPort, p.Protocol, other)
			}
			seen[key] = at
			if pod.Spec.HostNetwork && p.HostPort != p.ContainerPort {
				out.errorf(at+".hostPort", "with hostNetwork it must be the same as containerPort (%d)", p.ContainerPort)
			}
		}
	})
}
