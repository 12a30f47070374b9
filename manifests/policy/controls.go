package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	standards "k8s.io/pod-security-admission/policy"
)

// control is one control of the Pod Security Standards: its published name, and how to find the fields that break it.
type control struct {
	name  string
	parts parts
}

// parts yields the pod in parts, each with one of the fields that a control looks at and no other, and the field's path. What the
// control says of a part it says of that field: the library alone judges, and its answers, which name containers, come to have places.
type parts func(meta *metav1.ObjectMeta, spec *v1.PodSpec, yield part)

type part func(path string, meta *metav1.ObjectMeta, spec *v1.PodSpec)

// controls has a row for each check of the library, by its id. Names are those of
// kubernetes.io/docs/concepts/security/pod-security-standards.
var controls = map[standards.CheckID]control{
	// baseline
	"windowsHostProcess": {"HostProcess", inherited("windowsOptions.hostProcess",
		func(c *v1.PodSecurityContext) bool { return c.WindowsOptions != nil },
		func(c *v1.SecurityContext) bool { return c.WindowsOptions != nil })},
	"hostNamespaces":             {"Host Namespaces", hostNamespaceParts},
	"privileged":                 {"Privileged Containers", ofContainers("privileged")},
	"capabilities_baseline":      {"Capabilities", capabilityParts},
	"hostPathVolumes":            {"HostPath Volumes", volumeParts},
	"hostPorts":                  {"Host Ports", hostPortParts},
	"hostProbesAndHostLifecycle": {"Host Probes / Lifecycle Hooks", probeParts},
	"appArmorProfile": {"AppArmor", both(annotations(v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix), withoutAnnotated(inherited("appArmorProfile.type",
		func(c *v1.PodSecurityContext) bool { return c.AppArmorProfile != nil },
		func(c *v1.SecurityContext) bool { return c.AppArmorProfile != nil })))},
	"seLinuxOptions":          {"SELinux", seLinuxParts},
	"procMount":               {"/proc Mount Type", ofContainers("procMount")},
	"seccompProfile_baseline": {"Seccomp", both(annotations("seccomp.security.alpha.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/"), seccompParts)},
	"sysctls":                 {"Sysctls", sysctlParts},

	// restricted
	"restrictedVolumes":        {"Volume Types", volumeParts},
	"allowPrivilegeEscalation": {"Privilege Escalation", ofContainers("allowPrivilegeEscalation")},
	"runAsNonRoot": {"Running as Non-root", inherited("runAsNonRoot",
		func(c *v1.PodSecurityContext) bool { return c.RunAsNonRoot != nil },
		func(c *v1.SecurityContext) bool { return c.RunAsNonRoot != nil })},
	"runAsUser": {"Running as Non-root user", inherited("runAsUser",
		func(c *v1.PodSecurityContext) bool { return c.RunAsUser != nil },
		func(c *v1.SecurityContext) bool { return c.RunAsUser != nil })},
	"seccompProfile_restricted": {"Seccomp", seccompParts},
	"procMount_restricted":      {"/proc Mount Type", ofContainers("procMount")},
	"capabilities_restricted":   {"Capabilities", capabilityParts},
}

// eachContainer walks init containers, sidecars among them, and containers.
func eachContainer(spec *v1.PodSpec, use func(at string, c *v1.Container)) {
	for i := range spec.InitContainers {
		use(fmt.Sprintf("spec.initContainers[%d]", i), &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		use(fmt.Sprintf("spec.containers[%d]", i), &spec.Containers[i])
	}
}

// bare is a pod's spec without what controls look at, but for what exempts a whole pod: its operating system and users. It has no
// containers either: a pod may have very many, and is judged once for each of its parts.
func bare(spec *v1.PodSpec) *v1.PodSpec {
	return &v1.PodSpec{OS: spec.OS, HostUsers: spec.HostUsers}
}

// alone is a pod's spec with one container and nothing else.
func alone(spec *v1.PodSpec, c v1.Container) *v1.PodSpec {
	only := bare(spec)
	only.Containers = []v1.Container{c}
	return only
}

var noMeta = &metav1.ObjectMeta{}

func both(first, second parts) parts {
	return func(meta *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
		first(meta, spec, yield)
		second(meta, spec, yield)
	}
}

// ofContainers: a field of each container's securityContext, also where it is missing.
func ofContainers(field string) parts {
	return func(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
		eachContainer(spec, func(at string, c *v1.Container) {
			yield(at+".securityContext."+field, noMeta, alone(spec, v1.Container{Name: c.Name, SecurityContext: c.SecurityContext}))
		})
	}
}

// inherited: a field of the pod's securityContext which counts for the containers that do not have it.
func inherited(field string, ofPod func(*v1.PodSecurityContext) bool, ofContainer func(*v1.SecurityContext) bool) parts {
	return func(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
		pods := spec.SecurityContext != nil && ofPod(spec.SecurityContext)
		if pods {
			only := bare(spec)
			only.SecurityContext = spec.SecurityContext
			yield("spec.securityContext."+field, noMeta, only)
		}
		eachContainer(spec, func(at string, c *v1.Container) {
			if own := c.SecurityContext != nil && ofContainer(c.SecurityContext); own || !pods {
				yield(at+".securityContext."+field, noMeta, alone(spec, v1.Container{Name: c.Name, SecurityContext: c.SecurityContext}))
			}
		})
	}
}

var seccompParts = inherited("seccompProfile.type",
	func(c *v1.PodSecurityContext) bool { return c.SeccompProfile != nil },
	func(c *v1.SecurityContext) bool { return c.SeccompProfile != nil })

// annotations that begin with one of the prefixes; they were fields of today in early versions.
func annotations(prefixes ...string) parts {
	return func(meta *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
		for key, value := range meta.Annotations {
			for _, prefix := range prefixes {
				if name, ok := strings.CutPrefix(key, prefix); ok { // of the container, if it is of one
					yield("metadata.annotations."+key, &metav1.ObjectMeta{Annotations: map[string]string{key: value}}, alone(spec, v1.Container{Name: name}))
				}
			}
		}
	}
}

// withoutAnnotated leaves out the AppArmor profiles of containers that annotations give one: it has become their field by default, and is
// judged where it stands.
func withoutAnnotated(fields parts) parts {
	return func(meta *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
		changed := false
		own := *spec
		own.InitContainers, own.Containers = slices.Clone(spec.InitContainers), slices.Clone(spec.Containers)
		eachContainer(&own, func(_ string, c *v1.Container) {
			if _, ok := meta.Annotations[v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]; ok && c.SecurityContext != nil {
				without := *c.SecurityContext
				without.AppArmorProfile = nil
				c.SecurityContext, changed = &without, true
			}
		})
		if changed {
			spec = &own
		}
		fields(meta, spec, yield)
	}
}

func hostNamespaceParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	for _, n := range hostNamespaces(spec) {
		only := bare(spec)
		only.HostNetwork, only.HostPID, only.HostIPC = n.field == "hostNetwork", n.field == "hostPID", n.field == "hostIPC"
		yield("spec."+n.field, noMeta, only)
	}
}

func capabilityParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	eachContainer(spec, func(at string, c *v1.Container) {
		var has v1.Capabilities
		if c.SecurityContext != nil && c.SecurityContext.Capabilities != nil {
			has = *c.SecurityContext.Capabilities
		}
		with := func(path string, set v1.Capabilities) {
			yield(at+".securityContext.capabilities."+path, noMeta,
				alone(spec, v1.Container{Name: c.Name, SecurityContext: &v1.SecurityContext{Capabilities: &set}}))
		}
		with("drop", v1.Capabilities{Drop: has.Drop})
		for i := range has.Add {
			with(fmt.Sprintf("add[%d]", i), v1.Capabilities{Add: has.Add[i : i+1], Drop: []v1.Capability{"ALL"}})
		}
	})
}

func volumeParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	for i := range spec.Volumes {
		only := bare(spec)
		only.Volumes = spec.Volumes[i : i+1]
		yield(fmt.Sprintf("spec.volumes[%d]%s", i, sourceOf(&spec.Volumes[i])), noMeta, only)
	}
}

// sourceOf is the field that says what a volume is.
func sourceOf(v *v1.Volume) string {
	source := reflect.ValueOf(v.VolumeSource)
	for i := range source.NumField() {
		if !source.Field(i).IsNil() {
			name, _, _ := strings.Cut(source.Type().Field(i).Tag.Get("json"), ",")
			return "." + name
		}
	}
	return ""
}

func hostPortParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	eachContainer(spec, func(at string, c *v1.Container) {
		for i := range c.Ports {
			yield(fmt.Sprintf("%s.ports[%d].hostPort", at, i), noMeta, alone(spec, v1.Container{Name: c.Name, Ports: c.Ports[i : i+1]}))
		}
	})
}

func probeParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	eachContainer(spec, func(at string, c *v1.Container) {
		probe := func(field string, p *v1.Probe, only v1.Container) {
			if p != nil {
				only.Name = c.Name
				yield(at+"."+field+"."+hostOf(p.HTTPGet != nil, p.TCPSocket != nil), noMeta, alone(spec, only))
			}
		}
		probe("livenessProbe", c.LivenessProbe, v1.Container{LivenessProbe: c.LivenessProbe})
		probe("readinessProbe", c.ReadinessProbe, v1.Container{ReadinessProbe: c.ReadinessProbe})
		probe("startupProbe", c.StartupProbe, v1.Container{StartupProbe: c.StartupProbe})
		hook := func(field string, h *v1.LifecycleHandler, only v1.Lifecycle) {
			if h != nil {
				yield(at+".lifecycle."+field+"."+hostOf(h.HTTPGet != nil, h.TCPSocket != nil), noMeta, alone(spec, v1.Container{Name: c.Name, Lifecycle: &only}))
			}
		}
		if l := c.Lifecycle; l != nil {
			hook("postStart", l.PostStart, v1.Lifecycle{PostStart: l.PostStart})
			hook("preStop", l.PreStop, v1.Lifecycle{PreStop: l.PreStop})
		}
	})
}

func hostOf(http, tcp bool) string {
	switch {
	case http:
		return "httpGet.host"
	case tcp:
		return "tcpSocket.host"
	}
	return "exec"
}

func seLinuxParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	each := func(at string, o *v1.SELinuxOptions, with func(*v1.SELinuxOptions) *v1.PodSpec) {
		if o != nil {
			yield(at+".seLinuxOptions.type", noMeta, with(&v1.SELinuxOptions{Type: o.Type}))
			yield(at+".seLinuxOptions.user", noMeta, with(&v1.SELinuxOptions{User: o.User}))
			yield(at+".seLinuxOptions.role", noMeta, with(&v1.SELinuxOptions{Role: o.Role}))
		}
	}
	if spec.SecurityContext != nil {
		each("spec.securityContext", spec.SecurityContext.SELinuxOptions, func(o *v1.SELinuxOptions) *v1.PodSpec {
			only := bare(spec)
			only.SecurityContext = &v1.PodSecurityContext{SELinuxOptions: o}
			return only
		})
	}
	eachContainer(spec, func(at string, c *v1.Container) {
		if c.SecurityContext != nil {
			each(at+".securityContext", c.SecurityContext.SELinuxOptions, func(o *v1.SELinuxOptions) *v1.PodSpec {
				return alone(spec, v1.Container{Name: c.Name, SecurityContext: &v1.SecurityContext{SELinuxOptions: o}})
			})
		}
	})
}

func sysctlParts(_ *metav1.ObjectMeta, spec *v1.PodSpec, yield part) {
	if spec.SecurityContext == nil {
		return
	}
	for i := range spec.SecurityContext.Sysctls {
		only := bare(spec)
		only.SecurityContext = &v1.PodSecurityContext{Sysctls: spec.SecurityContext.Sysctls[i : i+1]}
		yield(fmt.Sprintf("spec.securityContext.sysctls[%d].name", i), noMeta, only)
	}
}
