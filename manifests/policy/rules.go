package policy

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Rules is the setting "policy": what of the machine pods may use. A rule that is left out (nil) restricts nothing; an empty list
// allows none.
type Rules struct {
	// Privileged: containers may be.
	Privileged *bool `json:"privileged,omitempty"`
	// HostNamespaces are those of the host that pods may share: network, pid, ipc.
	HostNamespaces []HostNamespace `json:"hostNamespaces,omitzero"`
	// HostPorts are ranges of the host's ports that pods may take, and Services.
	HostPorts []PortRange `json:"hostPorts,omitzero"`
	// ServiceAddresses are ranges of those that Services may name for themselves.
	ServiceAddresses []string `json:"serviceAddresses,omitzero"`
	// HostPaths are the directories and files of the host that pods may mount.
	HostPaths []HostPath `json:"hostPaths,omitzero"`
	// Devices are those that pods may have: a path, of the device or a directory above it, or the kind of CDI devices as
	// vendor.example/class.
	Devices []string `json:"devices,omitzero"`
	// Capabilities may be added to a container's; ALL stands for all of them.
	Capabilities []v1.Capability `json:"capabilities,omitzero"`
	// Registries are those whose images may run: a host name, or *.example.com for those below it.
	Registries []string `json:"registries,omitzero"`
	// Images are names of images that may run, without tag and digest: * stands for a part of a name, ** for any parts.
	Images []string `json:"images,omitzero"`
	// Namespaces have rules of their own instead, all of them.
	Namespaces map[string]Rules `json:"namespaces,omitempty"`
}

// UnmarshalJSON reads an object, strictly.
func (r *Rules) UnmarshalJSON(data []byte) error {
	type plain Rules
	return strictly(data, (*plain)(r))
}

// HostNamespace is a namespace of the host's.
type HostNamespace string

// The namespaces that a pod can share with the host.
const (
	Network HostNamespace = "network"
	PID     HostNamespace = "pid"
	IPC     HostNamespace = "ipc"
)

// PortRange is from Min to Max, both included. A Max of zero means Min alone.
type PortRange struct {
	Min int32 `json:"min"`
	Max int32 `json:"max,omitempty"`
}

// UnmarshalJSON reads an object, strictly.
func (r *PortRange) UnmarshalJSON(data []byte) error {
	type plain PortRange
	return strictly(data, (*plain)(r))
}

// HostPath is a path of the host, and what lies below it. Of several that match, the longest counts.
type HostPath struct {
	PathPrefix string `json:"pathPrefix"`
	// ReadOnly: each mount of it, or of a directory above it, must be, and is with what is mounted below; nothing is made there.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// UnmarshalJSON reads an object, strictly.
func (h *HostPath) UnmarshalJSON(data []byte) error {
	type plain HostPath
	return strictly(data, (*plain)(h))
}

// ruleSet is a Rules that has been read: those of all pods, and of single namespaces.
type ruleSet struct {
	node       Rules
	namespaces map[string]Rules
}

func newRuleSet(r Rules) (ruleSet, error) {
	out := ruleSet{namespaces: map[string]Rules{}}
	var err error
	if out.node, err = readRules(r); err != nil {
		return out, fmt.Errorf("policy.%w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Namespaces)) {
		own := r.Namespaces[name]
		if err := checkNamespace(name); err != nil {
			return out, fmt.Errorf("policy.namespaces: %w", err)
		}
		if own.Namespaces != nil {
			return out, fmt.Errorf("policy.namespaces.%s.namespaces: a namespace has no others in it", name)
		}
		if out.namespaces[name], err = readRules(own); err != nil {
			return out, fmt.Errorf("policy.namespaces.%s.%w", name, err)
		}
	}
	return out, nil
}

// readRules checks rules and brings them into the form that they are compared in.
func readRules(r Rules) (Rules, error) {
	for i, n := range r.HostNamespaces {
		if n != Network && n != PID && n != IPC {
			return r, fmt.Errorf("hostNamespaces[%d] is network, pid or ipc, not %q", i, n)
		}
	}
	r.HostPorts = slices.Clone(r.HostPorts)
	for i, p := range r.HostPorts {
		if p.Max == 0 {
			p.Max = p.Min
		}
		if p.Min < 1 || p.Max > 65535 || p.Min > p.Max {
			return r, fmt.Errorf("hostPorts[%d] is a range {min: 8000, max: 8999} of the ports 1 to 65535, not %d to %d", i, p.Min, p.Max)
		}
		r.HostPorts[i] = p
	}
	r.HostPaths = slices.Clone(r.HostPaths)
	for i, h := range r.HostPaths {
		if !path.IsAbs(h.PathPrefix) || slices.Contains(strings.Split(h.PathPrefix, "/"), "..") {
			return r, fmt.Errorf("hostPaths[%d].pathPrefix is an absolute path without \"..\", not %q", i, h.PathPrefix)
		}
		r.HostPaths[i].PathPrefix = path.Clean(h.PathPrefix)
	}
	r.Devices = slices.Clone(r.Devices)
	for i, d := range r.Devices {
		switch {
		case path.IsAbs(d) && path.Clean(d) != "/":
			r.Devices[i] = path.Clean(d)
		case path.IsAbs(d) || strings.Count(d, "/") != 1:
			return r, fmt.Errorf("devices[%d] is a path like /dev/fuse, or the kind of CDI devices like vendor.example/class, not %q", i, d)
		}
	}
	r.Capabilities = slices.Clone(r.Capabilities)
	for i, c := range r.Capabilities {
		if r.Capabilities[i] = capability(c); r.Capabilities[i] == "" {
			return r, fmt.Errorf("capabilities[%d] is a name like NET_ADMIN, not %q", i, c)
		}
	}
	if err := checkServiceAddresses(r.ServiceAddresses); err != nil {
		return r, err
	}
	return readImages(r)
}

// capability is the name as Kubernetes writes it.
func capability(c v1.Capability) v1.Capability {
	return v1.Capability(strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_"))
}

func (s *ruleSet) of(namespace string) *Rules {
	if own, ok := s.namespaces[namespace]; ok {
		return &own
	}
	return &s.node
}

// finding collects what is not allowed.
type finding struct{ problems manifests.Problems }

// forbid notes a field that breaks a rule.
func (f *finding) forbid(rule, path, format string, args ...any) {
	if len(f.problems) >= maxProblems {
		return
	}
	f.problems = append(f.problems, manifests.Problem{Path: path, Control: "policy/" + rule, Message: "policy." + rule + " does not allow it: " + fmt.Sprintf(format, args...)})
}

// judge says what of the pod the rules forbid.
func (r *Rules) judge(pod *v1.Pod) manifests.Problems {
	f := &finding{}
	spec := &pod.Spec
	if r.HostNamespaces != nil {
		for _, n := range hostNamespaces(spec) {
			if !slices.Contains(r.HostNamespaces, n.namespace) {
				f.forbid("hostNamespaces", "spec."+n.field, "pods may not share the host's %s namespace", n.namespace)
			}
		}
	}
	eachContainer(spec, func(at string, c *v1.Container) { r.judgeContainer(f, at, c) })
	for i := range spec.Volumes {
		r.judgeVolume(f, fmt.Sprintf("spec.volumes[%d]", i), pod, &spec.Volumes[i])
	}
	r.judgeAnnotations(f, pod)
	return f.problems
}

// shared is a namespace of the host's that a pod shares, and the field that says so.
type shared struct {
	field     string
	namespace HostNamespace
}

func hostNamespaces(spec *v1.PodSpec) (out []shared) {
	if spec.HostNetwork {
		out = append(out, shared{"hostNetwork", Network})
	}
	if spec.HostPID {
		out = append(out, shared{"hostPID", PID})
	}
	if spec.HostIPC {
		out = append(out, shared{"hostIPC", IPC})
	}
	return out
}

func (r *Rules) judgeContainer(f *finding, at string, c *v1.Container) {
	r.judgeImage(f, at+".image", c.Image)
	for i, p := range c.Ports {
		if p.HostPort != 0 && !r.takesPort(p.HostPort) {
			f.forbid("hostPorts", fmt.Sprintf("%s.ports[%d].hostPort", at, i), "host port %d is none of those that pods may take", p.HostPort)
		}
	}
	for name := range c.Resources.Limits {
		if r.Devices != nil && strings.Contains(string(name), "/") && !slices.Contains(r.Devices, string(name)) {
			f.forbid("devices", at+".resources.limits."+string(name), "pods may not have devices of the kind %s", name)
		}
	}
	s := c.SecurityContext
	if s == nil {
		return
	}
	if r.Privileged != nil && !*r.Privileged && s.Privileged != nil && *s.Privileged {
		f.forbid("privileged", at+".securityContext.privileged", "containers may not be privileged")
	}
	if s.Capabilities != nil && r.Capabilities != nil && !slices.Contains(r.Capabilities, "ALL") {
		for i, added := range s.Capabilities.Add {
			if !slices.Contains(r.Capabilities, capability(added)) {
				f.forbid("capabilities", fmt.Sprintf("%s.securityContext.capabilities.add[%d]", at, i), "containers may not add %s", added)
			}
		}
	}
}

// cdiAnnotation begins the annotations that name devices for all containers of a pod (KEP-3063).
const cdiAnnotation = "cdi.k8s.io/"

func (r *Rules) judgeAnnotations(f *finding, pod *v1.Pod) {
	if r.Devices == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(pod.Annotations)) {
		if !strings.HasPrefix(key, cdiAnnotation) {
			continue
		}
		for _, device := range strings.Split(pod.Annotations[key], ",") {
			kind, _, _ := strings.Cut(strings.TrimSpace(device), "=")
			if !slices.Contains(r.Devices, kind) {
				f.forbid("devices", "metadata.annotations."+key, "pods may not have devices of the kind %s", kind)
			}
		}
	}
}

func (r *Rules) judgeVolume(f *finding, at string, pod *v1.Pod, v *v1.Volume) {
	if v.Image != nil {
		r.judgeImage(f, at+".image.reference", v.Image.Reference)
	}
	if v.HostPath == nil {
		return
	}
	place := r.place(v.HostPath)
	switch {
	case place.device && r.Devices != nil && !place.allowedDevice:
		f.forbid("devices", at+".hostPath.path", "pods may not have the device %s", v.HostPath.Path)
	case place.allowedDevice, r.HostPaths == nil:
	case place.rule == nil:
		f.forbid("hostPaths", at+".hostPath.path", "%q lies below none of %s", v.HostPath.Path, r.prefixes())
	case place.readOnly != nil:
		only, advice := place.readOnly.PathPrefix, "set readOnly: true"
		if place.readOnly != place.rule {
			only += ", which lies below it,"
			advice += ", or mount only what may be written"
		}
		eachContainer(&pod.Spec, func(container string, c *v1.Container) {
			for i, m := range c.VolumeMounts {
				if m.Name != v.Name {
					continue
				}
				at := fmt.Sprintf("%s.volumeMounts[%d].", container, i)
				if !m.ReadOnly {
					f.forbid("hostPaths", at+"readOnly", "%s may only be read; %s", only, advice)
				}
				if p := m.MountPropagation; p != nil && *p != v1.MountPropagationNone {
					f.forbid("hostPaths", at+"mountPropagation", "%s may only be read, and what is mounted there later could be written to; remove it", only)
				}
			}
		})
	}
}

func (r *Rules) prefixes() string {
	if len(r.HostPaths) == 0 {
		return "the paths that pods may mount, for there are none"
	}
	names := make([]string, len(r.HostPaths))
	for i, h := range r.HostPaths {
		names[i] = h.PathPrefix
	}
	return strings.Join(names, ", ")
}
