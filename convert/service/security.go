package service

import (
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/tree"
	"github.com/solopod/solopod/manifests/decode"
)

// security is the container's security context, made when it is first wanted.
func (s *Service) security() *v1.SecurityContext {
	if s.Container.SecurityContext == nil {
		s.Container.SecurityContext = &v1.SecurityContext{}
	}
	return s.Container.SecurityContext
}

// PodSecurity is the security context of its pod, made when it is first wanted.
func (s *Service) PodSecurity() *v1.PodSecurityContext {
	if s.Pod.Spec.SecurityContext == nil {
		s.Pod.Spec.SecurityContext = &v1.PodSecurityContext{}
	}
	return s.Pod.Spec.SecurityContext
}

func securityOf(s *Service) *v1.Capabilities {
	sc := s.security()
	if sc.Capabilities == nil {
		sc.Capabilities = &v1.Capabilities{}
	}
	return sc.Capabilities
}

func user(f Field) {
	name, group, grouped := strings.Cut(f.Text(), ":")
	id, err := strconv.ParseInt(name, 10, 64)
	if err != nil || id < 0 {
		f.Lost("a manifest names users by numbers; put that of %q into securityContext.runAsUser (docker run --rm IMAGE id)", name)
		return
	}
	f.Of.security().RunAsUser = &id
	if !grouped {
		return
	}
	gid, err := strconv.ParseInt(group, 10, 64)
	if err != nil || gid < 0 {
		f.Lost("a manifest names groups by numbers; put that of %q into securityContext.runAsGroup (docker run --rm IMAGE id)", group)
		return
	}
	f.Of.security().RunAsGroup = &gid
}

func groupAdd(f Field) {
	for _, item := range f.Items() {
		if id, ok := item.Int(); ok && id >= 0 {
			c := f.Of.PodSecurity()
			if !slices.Contains(c.SupplementalGroups, id) {
				c.SupplementalGroups = append(c.SupplementalGroups, id)
			}
			continue
		}
		item.Lost("a manifest names groups by numbers; put that of %q into the pod's securityContext.supplementalGroups", item.Text())
	}
}

func capabilities(f Field, to *[]v1.Capability) {
	for _, text := range f.Texts() {
		*to = append(*to, v1.Capability(strings.TrimPrefix(strings.ToUpper(text), "CAP_")))
	}
}

func securityOpt(f Field) {
	for _, item := range f.Items() {
		name, value, _ := strings.Cut(strings.Replace(item.Text(), "=", ":", 1), ":")
		switch {
		case name == "no-new-privileges":
			f.Of.security().AllowPrivilegeEscalation = pointer(value == "false")
		case name == "seccomp" && value == "unconfined":
			f.Of.security().SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}
		case name == "seccomp":
			item.Lost("put the profile into the directory seccomp of the root directory, and name it in securityContext.seccompProfile (type: Localhost)")
		case name == "apparmor" && value == "unconfined":
			f.Of.security().AppArmorProfile = &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
		case name == "apparmor" && value != "":
			f.Of.security().AppArmorProfile = &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &value}
			item.Todo("the profile %s must be loaded on the machine", value)
		case name == "label":
			selinux(item, value)
		default:
			item.Lost("this has no counterpart in a manifest")
		}
	}
}

func selinux(f Field, label string) {
	o := f.Of.security().SELinuxOptions
	if o == nil {
		o = &v1.SELinuxOptions{}
	}
	key, value, _ := strings.Cut(strings.Replace(label, "=", ":", 1), ":")
	switch key {
	case "disable":
		o.Type = "spc_t"
	case "type":
		o.Type = value
	case "level":
		o.Level = value
	case "user":
		o.User = value
	case "role":
		o.Role = value
	default:
		f.Lost("SELinux's labels have no such part")
		return
	}
	f.Of.security().SELinuxOptions = o
}

// sysctls keeps those that a pod may have, as the decoder of manifests says.
func sysctls(f Field) {
	for _, e := range f.Entries {
		v := Field{e.Value, f.Of, f.Path + "." + e.Key}
		sysctl := v1.Sysctl{Name: e.Key, Value: v.Text()}
		trial := &v1.Pod{}
		trial.APIVersion, trial.Kind, trial.Name = "v1", "Pod", "trial"
		trial.Spec.Containers = []v1.Container{{Name: "trial", Image: "trial"}}
		trial.Spec.HostNetwork = f.Of.Node.Get("network_mode").Text() == "host"
		trial.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{sysctl}}
		text, err := yaml.Marshal(trial)
		if err != nil {
			v.Failed("%v", err)
			continue
		}
		if _, problems := decode.Decode("", text, decode.Options{}); len(problems.Errors()) > 0 {
			v.Lost("%s", problems.Errors()[0].Message)
			continue
		}
		c := f.Of.PodSecurity()
		c.Sysctls = append(c.Sysctls, sysctl)
	}
}

func hostNamespace(f Field, to *bool) {
	switch text := f.Text(); {
	case text == "host":
		*to = true
	case text == "private", text == "shareable", text == "none", strings.HasPrefix(text, "service:"):
	default:
		f.Lost("namespaces of containers elsewhere cannot be joined; put both into one pod")
	}
}

func usernsMode(f Field) {
	if f.Text() != "host" {
		f.Lost("a pod is in a user namespace of its own with hostUsers: false")
	}
}

// limit sets a limit of resources, and no request beside it: Kubernetes takes the limit for that.
func limit(f Field, name v1.ResourceName) { amount(f, name, &f.Of.Container.Resources.Limits) }

func request(f Field, name v1.ResourceName) { amount(f, name, &f.Of.Container.Resources.Requests) }

func amount(f Field, name v1.ResourceName, to *v1.ResourceList) {
	var q *resource.Quantity
	var err error
	if name == v1.ResourceCPU {
		q, err = forms.CPUs(f.Text())
	} else {
		q, err = forms.Size(f.Text())
	}
	if err != nil {
		f.Failed("%v", err)
		return
	}
	if q.IsZero() {
		return // no limit
	}
	if *to == nil {
		*to = v1.ResourceList{}
	}
	(*to)[name] = *q
}

func cpuShares(f Field) {
	n, ok := f.Int()
	if !ok || n <= 0 {
		return
	}
	if f.Of.Container.Resources.Requests == nil {
		f.Of.Container.Resources.Requests = v1.ResourceList{}
	}
	f.Of.Container.Resources.Requests[v1.ResourceCPU] = *resource.NewMilliQuantity(max(1, min(n, 1<<18)*1000/1024), resource.DecimalSI)
	f.Changed("shares are a request of CPU: 1024 of them are one")
}

func cpuQuota(f Field) {
	quota, ok := f.Int()
	period := int64(100_000)
	if v, has := f.Of.Node.Get("cpu_period").Int(); has && v > 0 {
		period = v
	}
	if !ok || quota <= 0 || quota > 1e12 {
		return
	}
	if f.Of.Container.Resources.Limits == nil {
		f.Of.Container.Resources.Limits = v1.ResourceList{}
	}
	f.Of.Container.Resources.Limits[v1.ResourceCPU] = *resource.NewMilliQuantity(max(1, quota*1000/period), resource.DecimalSI)
	f.Changed("quota and period are a limit of CPU")
}

func runtimeClass(f Field) {
	if name, ok := forms.Label(f.Text()); ok && f.Text() != "runc" {
		f.Of.Pod.Spec.RuntimeClassName = &name
		f.Todo("runtimeClasses of the configuration must name the runtime's program: {%s: /path/of/runtime}", name)
	}
}

func platform(f Field) {
	f.Lost("images are of the machine's own platform; with another one the program must be emulated")
}

// gpus asks for devices by CDI, as nvidia-ctk describes them.
func gpus(f Field) {
	for _, item := range f.Items() {
		gpu(item)
	}
}

func gpu(f Field) {
	driver, wanted := "nvidia", []string{"all"}
	if f.Kind == tree.Map {
		if d := f.Get("driver").Text(); d != "" {
			driver = d
		}
		if ids := f.Get("device_ids").Texts(); len(ids) > 0 {
			wanted = ids
		} else if n := f.Get("count"); n.Text() != "" && n.Text() != "all" && n.Text() != "-1" {
			wanted = nil
			n, _ := n.Int()
			for i := range min(n, 16) {
				wanted = append(wanted, strconv.FormatInt(i, 10))
			}
		}
	}
	if driver != "nvidia" {
		f.Lost("name the devices by CDI (annotation cdi.k8s.io/NAME: vendor/class=device), or mount them by hostPath")
		return
	}
	for i, w := range wanted {
		wanted[i] = "nvidia.com/gpu=" + w
	}
	f.Of.Annotations["cdi.k8s.io/"+f.Of.Object] = strings.Join(wanted, ",")
	f.Todo("GPUs are asked for by CDI; have them described on the machine: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")
}
