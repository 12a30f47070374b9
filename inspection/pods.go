package inspection

import (
	"cmp"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

var podChecks = []check{
	{
		"pod-privileged", Warning, "a privileged container: root in it is root on the box", "give it the capabilities and devices that it needs instead",
		containers(func(c *v1.Container, _ *v1.Pod) string {
			return yes(c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged)
		}),
	},
	{
		"pod-runtime-socket", Critical, "a pod has a socket or directory of a container runtime: who uses it is root", "remove the volume",
		hostPaths(func(p string, _ bool, f *Facts) bool { return p != "/" && touches(p, runtimePaths(f)) }),
	},
	{
		"pod-host-root", Warning, "a pod has the whole file system of the box: as root it can use the sockets there, read-only or not", "mount the directories that it needs, and set runAsNonRoot: true",
		hostPaths(func(p string, _ bool, _ *Facts) bool { return p == "/" }),
	},
	{
		"pod-host-path", Warning, "a pod can write to a directory of the system: it can become root", "mount it readOnly, or use another directory",
		hostPaths(func(p string, writable bool, f *Facts) bool {
			return p != "/" && writable && within(p, append(slices.Clone(systemPaths), f.Settings.Text("manifests"))) && !touches(p, runtimePaths(f))
		}),
	},
	{
		"pod-host-processes", Warning, "a pod sees the processes, or the memory (IPC), of the box", "leave hostPID and hostIPC away",
		pods(func(p *v1.Pod) string {
			return join(words{"hostPID": p.Spec.HostPID, "hostIPC": p.Spec.HostIPC})
		}),
	},
	{
		"pod-host-network", Info, "a pod has the network of the box, with what listens on loopback", "use hostPort where a port is all it needs",
		pods(func(p *v1.Pod) string { return yes(p.Spec.HostNetwork) }),
	},
	{
		"pod-capabilities", Warning, "a container has capabilities that lead out of it", "drop those that it does not need",
		containers(func(c *v1.Container, _ *v1.Pod) string {
			if c.SecurityContext == nil || c.SecurityContext.Capabilities == nil {
				return ""
			}
			var out []string
			for _, capability := range c.SecurityContext.Capabilities.Add {
				if name := strings.TrimPrefix(strings.ToUpper(string(capability)), "CAP_"); slices.Contains(strongCapabilities, name) {
					out = append(out, name)
				}
			}
			return strings.Join(out, " ")
		}),
	},
	{
		"pod-unconfined", Warning, "a container asks for no seccomp or AppArmor profile", "use RuntimeDefault, or a profile of its own",
		containers(func(c *v1.Container, p *v1.Pod) string {
			seccomp, appArmor := v1.SeccompProfileType(""), v1.AppArmorProfileType("")
			if s := p.Spec.SecurityContext; s != nil {
				seccomp, appArmor = kindOf(s.SeccompProfile), armorOf(s.AppArmorProfile)
			}
			if s := c.SecurityContext; s != nil {
				seccomp, appArmor = cmp.Or(kindOf(s.SeccompProfile), seccomp), cmp.Or(armorOf(s.AppArmorProfile), appArmor)
			}
			return join(words{"seccomp": seccomp == v1.SeccompProfileTypeUnconfined, "AppArmor": appArmor == v1.AppArmorProfileTypeUnconfined})
		}),
	},
	{
		"pod-root", Info, "a container may run as root", "set runAsNonRoot: true, or hostUsers: false",
		containers(func(c *v1.Container, p *v1.Pod) string {
			return yes(mayBeRoot(c, p) && (p.Spec.HostUsers == nil || *p.Spec.HostUsers))
		}),
	},
	{
		"pod-escalation", Info, "a container's processes can gain rights by set-uid programs", "set allowPrivilegeEscalation: false",
		containers(func(c *v1.Container, _ *v1.Pod) string {
			return yes(c.SecurityContext == nil || c.SecurityContext.AllowPrivilegeEscalation == nil || *c.SecurityContext.AllowPrivilegeEscalation)
		}),
	},
	{
		"pod-image", Info, "an image without a fixed version: what runs changes with the registry", "name a version, or better a digest (@sha256:...)",
		containers(func(c *v1.Container, _ *v1.Pod) string {
			if strings.Contains(c.Image, "@") {
				return ""
			}
			if tag := c.Image[strings.LastIndex(c.Image, "/")+1:]; strings.Contains(tag, ":") && !strings.HasSuffix(tag, ":latest") {
				return ""
			}
			return c.Image
		}),
	},
	{
		"pod-memory", Info, "a container without a limit of memory can take all of it", "set resources.limits.memory",
		containers(func(c *v1.Container, p *v1.Pod) string {
			ofPod := p.Spec.Resources != nil && !p.Spec.Resources.Limits.Memory().IsZero()
			return yes(c.Resources.Limits.Memory().IsZero() && !ofPod)
		}),
	},
}

// strongCapabilities lead out of a container, or to the box's secrets (capabilities(7)).
var strongCapabilities = []string{
	"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_BOOT", "DAC_READ_SEARCH", "BPF", "PERFMON", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN", "SYSLOG",
}

// systemPaths: who writes there becomes root.
var systemPaths = []string{
	"/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run/systemd", "/sbin", "/srv", "/sys", "/usr", "/var/lib", "/var/spool/cron",
}

// runtimePaths are sockets and directories by which one controls containers.
func runtimePaths(f *Facts) []string {
	out := []string{"/run/containerd", "/run/docker.sock", "/run/docker", "/run/crio", "/run/podman", "/var/lib/containerd", "/var/lib/docker", "/var/lib/kubelet", "/run/runc"}
	for _, name := range []string{"socket", "root", "state"} {
		if p := f.Settings.Text(name); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// within says whether a path is one of the directories, or below one.
func within(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
}

// touches says whether a path is one of those, or below or above one.
func touches(p string, those []string) bool {
	return within(p, those) || slices.ContainsFunc(those, func(one string) bool { return strings.HasPrefix(one, p+"/") })
}

// mayBeRoot says whether neither the container nor the pod says that it is not.
func mayBeRoot(c *v1.Container, p *v1.Pod) bool {
	var user *int64
	var never *bool
	if s := p.Spec.SecurityContext; s != nil {
		user, never = s.RunAsUser, s.RunAsNonRoot
	}
	if s := c.SecurityContext; s != nil {
		user, never = cmp.Or(s.RunAsUser, user), cmp.Or(s.RunAsNonRoot, never)
	}
	return (user == nil || *user == 0) && (never == nil || !*never)
}

func kindOf(p *v1.SeccompProfile) v1.SeccompProfileType {
	if p == nil {
		return ""
	}
	return p.Type
}

func armorOf(p *v1.AppArmorProfile) v1.AppArmorProfileType {
	if p == nil {
		return ""
	}
	return p.Type
}

const found = " "

// yes is a finding that needs no words.
func yes(is bool) string {
	if is {
		return found
	}
	return ""
}

type words map[string]bool

// join are the words that hold, sorted.
func join(w words) string {
	var out []string
	for word, is := range w {
		if is {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// subject names a pod, or a container of it, and what was found.
func subject(name, what string) string {
	if what == found {
		return name
	}
	return name + ": " + what
}

// pods judges each pod; bad says what is found, empty for nothing.
func pods(bad func(*v1.Pod) string) func(*Facts) []string {
	return func(f *Facts) (out []string) {
		for i := range f.Pods {
			if what := bad(&f.Pods[i]); what != "" {
				out = append(out, subject(manifests.Key(&f.Pods[i]), what))
			}
		}
		return out
	}
}

// containers judges each container.
func containers(bad func(*v1.Container, *v1.Pod) string) func(*Facts) []string {
	return func(f *Facts) (out []string) {
		for i := range f.Pods {
			p := &f.Pods[i]
			for _, c := range manifests.AllContainers(p) {
				if what := bad(c, p); what != "" {
					out = append(out, subject(manifests.Key(p)+"/"+c.Name, what))
				}
			}
		}
		return out
	}
}

// hostPaths judges each hostPath volume. writable: a container mounts it so, or none mounts it.
func hostPaths(bad func(p string, writable bool, f *Facts) bool) func(*Facts) []string {
	return func(f *Facts) []string {
		return pods(func(p *v1.Pod) string {
			var out []string
			for _, v := range p.Spec.Volumes {
				if v.HostPath == nil {
					continue
				}
				clean := path.Clean("/" + v.HostPath.Path)
				if rest, ok := strings.CutPrefix(clean, "/var/run"); ok { // a link on every system of today
					clean = "/run" + rest
				}
				if bad(clean, isWritten(p, v.Name), f) {
					out = append(out, v.HostPath.Path)
				}
			}
			return strings.Join(out, " ")
		})(f)
	}
}

// isWritten says whether a container may write to a volume.
func isWritten(p *v1.Pod, volume string) bool {
	for _, c := range manifests.AllContainers(p) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume && !m.ReadOnly {
				return true
			}
		}
	}
	return false
}
