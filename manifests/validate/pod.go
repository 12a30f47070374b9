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

// validator collects problems with their field paths; the decoder adds file and position.
type validator struct {
	problems manifests.Problems
	errors   int
}

// full: enough has been found.
func (v *validator) full() bool { return v.errors >= maxErrors }

func (v *validator) errorf(path, format string, args ...any) {
	if v.full() {
		return
	}
	v.errors++
	v.problems = append(v.problems, manifests.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) warnf(path, format string, args ...any) {
	v.problems = append(v.problems, manifests.Problem{Path: path, Message: fmt.Sprintf(format, args...), Warning: true})
}

// all reports each message of one of apimachinery's validation functions.
func (v *validator) all(path, value string, messages []string) {
	for _, m := range messages {
		v.errorf(path, "invalid value %q: %s", value, m)
	}
}

func oneOf[T ~string](v *validator, path string, value T, allowed ...T) {
	if v.full() || slices.Contains(allowed, value) {
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
	v.errorf(path, "%s", message)
}

// Options are what the node allows.
type Options struct {
	// AllowedUnsafeSysctls are sysctls beside the safe set; a name may end with *.
	AllowedUnsafeSysctls []string
}

// Pod checks a defaulted pod as the API server does, and refuses values that are not implemented yet. The problems have a
// path and no place in a file. A sysctl's name is brought into its usual form, with dots.
func Pod(pod *v1.Pod, opts Options) manifests.Problems {
	v := &validator{}
	v.metadata(pod)
	v.podSpec(&pod.Spec, opts)
	if len(pod.Spec.Containers) == 0 {
		v.errorf("spec.containers", "a pod needs at least one container")
	}
	volumes := v.volumes(pod.Spec.Volumes)
	names := map[string]bool{}
	v.eachContainer(pod, func(at string, c *v1.Container) {
		if names[c.Name] {
			v.errorf(at+".name", "duplicate container name %q", c.Name)
		}
		names[c.Name] = true
		v.container(at, c, volumes)
		v.lifecycle(at, c, *pod.Spec.TerminationGracePeriodSeconds)
	})
	for i := range pod.Spec.InitContainers {
		v.initContainer(fmt.Sprintf("spec.initContainers[%d]", i), &pod.Spec.InitContainers[i])
	}
	v.hostPorts(pod)
	v.ownUsers(pod)
	return v.problems
}

// eachContainer walks init containers and containers.
func (v *validator) eachContainer(pod *v1.Pod, use func(at string, c *v1.Container)) {
	for i := range pod.Spec.InitContainers {
		use(fmt.Sprintf("spec.initContainers[%d]", i), &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		use(fmt.Sprintf("spec.containers[%d]", i), &pod.Spec.Containers[i])
	}
}

func (v *validator) metadata(pod *v1.Pod) {
	if pod.Name == "" {
		v.errorf("metadata.name", "a pod needs a name")
	} else {
		v.all("metadata.name", pod.Name, validation.IsDNS1123Subdomain(pod.Name))
	}
	v.all("metadata.namespace", pod.Namespace, validation.IsDNS1123Label(pod.Namespace))
	if uid := string(pod.UID); len(uid) > 63 || len(validation.IsDNS1123Label(strings.ToLower(uid))) > 0 {
		v.errorf("metadata.uid", "invalid value %q: use letters, digits and '-', at most 63", uid)
	}
	for key, value := range pod.Labels {
		v.all("metadata.labels."+key, key, validation.IsQualifiedName(key))
		v.all("metadata.labels."+key, value, validation.IsValidLabelValue(value))
	}
	for key := range pod.Annotations {
		v.all("metadata.annotations."+key, key, validation.IsQualifiedName(strings.ToLower(key)))
	}
	if choice, ok := pod.Annotations[manifests.RestartOnChangeAnnotation]; ok {
		oneOf(v, "metadata.annotations."+manifests.RestartOnChangeAnnotation, choice, manifests.RestartOnEnvironment, manifests.RestartOnAnyChange)
	}
	if choice, ok := pod.Annotations[manifests.OOMGroupAnnotation]; ok {
		oneOf(v, "metadata.annotations."+manifests.OOMGroupAnnotation, choice, "true", "false")
	}
}

func (v *validator) podSpec(s *v1.PodSpec, opts Options) {
	oneOf(v, "spec.restartPolicy", s.RestartPolicy, v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever)
	oneOf(v, "spec.dnsPolicy", s.DNSPolicy,
		v1.DNSClusterFirst, v1.DNSClusterFirstWithHostNet, v1.DNSDefault, v1.DNSNone)
	if *s.TerminationGracePeriodSeconds < 0 {
		v.errorf("spec.terminationGracePeriodSeconds", "must not be negative")
	}
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		v.errorf("spec.activeDeadlineSeconds", "must lie between 1 and %d", math.MaxInt32)
	}
	if s.Hostname != "" {
		v.all("spec.hostname", s.Hostname, validation.IsDNS1123Label(s.Hostname))
	}
	v.names(s)
	if s.OS != nil && s.OS.Name != v1.Linux {
		v.errorf("spec.os.name", "unsupported value %q; Solopod runs linux containers", s.OS.Name)
	}
	v.dns(s)
	v.podSecurity(s, opts)
	v.podResources(s)
	if c := s.RuntimeClassName; c != nil {
		v.object("spec.runtimeClassName", *c)
	}
}

// names checks what the pod and others are called.
func (v *validator) names(s *v1.PodSpec) {
	if s.Subdomain != "" {
		v.all("spec.subdomain", s.Subdomain, validation.IsDNS1123Label(s.Subdomain))
	}
	if name := s.HostnameOverride; name != nil && *name != "" {
		v.all("spec.hostnameOverride", *name, validation.IsDNS1123Subdomain(*name))
		switch {
		case len(*name) > 64:
			v.errorf("spec.hostnameOverride", "at most 64 characters are allowed")
		case s.HostNetwork:
			v.errorf("spec.hostnameOverride", "with hostNetwork the pod has the machine's name")
		case s.SetHostnameAsFQDN != nil && *s.SetHostnameAsFQDN:
			v.errorf("spec.hostnameOverride", "it excludes setHostnameAsFQDN")
		}
	}
	for i, a := range s.HostAliases {
		at := fmt.Sprintf("spec.hostAliases[%d]", i)
		if !isIP(a.IP) {
			v.errorf(at+".ip", "%q is not an IP address", a.IP)
		}
		for j, name := range a.Hostnames {
			v.all(fmt.Sprintf("%s.hostnames[%d]", at, j), name, validation.IsDNS1123Subdomain(name))
		}
	}
}

func (v *validator) dns(s *v1.PodSpec) {
	if s.DNSPolicy == v1.DNSNone && (s.DNSConfig == nil || len(s.DNSConfig.Nameservers) == 0) {
		v.errorf("spec.dnsConfig.nameservers", "dnsPolicy None needs at least one name server")
	}
	if s.DNSConfig == nil {
		return
	}
	if len(s.DNSConfig.Nameservers) > 3 {
		v.errorf("spec.dnsConfig.nameservers", "at most 3 name servers are allowed")
	}
	for i, ns := range s.DNSConfig.Nameservers {
		if !isIP(ns) {
			v.errorf(fmt.Sprintf("spec.dnsConfig.nameservers[%d]", i), "%q is not an IP address", ns)
		}
	}
	for i, domain := range s.DNSConfig.Searches {
		v.all(fmt.Sprintf("spec.dnsConfig.searches[%d]", i), domain,
			validation.IsDNS1123Subdomain(strings.TrimSuffix(strings.ReplaceAll(domain, "_", "-"), ".")))
	}
	for i, o := range s.DNSConfig.Options {
		if o.Name == "" || strings.ContainsAny(o.Name, " \n\t:") {
			v.errorf(fmt.Sprintf("spec.dnsConfig.options[%d].name", i), "a resolver option needs a name without blanks")
		}
	}
}

// identity checks numbers of users and groups, by the name of their field.
func (v *validator) identity(at string, ids map[string]*int64) {
	for name, id := range ids {
		if id != nil && (*id < 0 || *id > math.MaxInt32) {
			v.errorf(at+"."+name, "must lie between 0 and %d", math.MaxInt32)
		}
	}
}

// hostPorts looks for two containers of the pod that want the same port of the host.
func (v *validator) hostPorts(pod *v1.Pod) {
	seen := map[string]string{}
	v.eachContainer(pod, func(container string, c *v1.Container) {
		for j, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			at := fmt.Sprintf("%s.ports[%d]", container, j)
			key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if other, ok := seen[key]; ok {
				v.errorf(at+".hostPort", "host port %d/%s is already taken by %s", p.HostPort, p.Protocol, other)
			}
			seen[key] = at
			if pod.Spec.HostNetwork && p.HostPort != p.ContainerPort {
				v.errorf(at+".hostPort", "with hostNetwork it must be the same as containerPort (%d)", p.ContainerPort)
			}
		}
	})
}
