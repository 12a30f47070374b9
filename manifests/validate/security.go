package validate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/validate/findings"
)

func checkPodSecurity(out *findings.Collector, s *v1.PodSpec, opts Options) {
	const at = "spec.securityContext"
	c := s.SecurityContext
	checkIDs(out, at, map[string]*int64{"runAsUser": c.RunAsUser, "runAsGroup": c.RunAsGroup, "fsGroup": c.FSGroup})
	for i := range c.SupplementalGroups {
		checkIDs(out, at, map[string]*int64{fmt.Sprintf("supplementalGroups[%d]", i): &c.SupplementalGroups[i]})
	}
	if p := c.FSGroupChangePolicy; p != nil {
		findings.OneOf(out, at+".fsGroupChangePolicy", *p, v1.FSGroupChangeOnRootMismatch, v1.FSGroupChangeAlways)
	}
	if p := c.SupplementalGroupsPolicy; p != nil {
		findings.OneOf(out, at+".supplementalGroupsPolicy", *p, v1.SupplementalGroupsPolicyMerge, v1.SupplementalGroupsPolicyStrict)
	}
	if p := c.SELinuxChangePolicy; p != nil {
		findings.OneOf(out, at+".seLinuxChangePolicy", *p, v1.SELinuxChangePolicyRecursive, v1.SELinuxChangePolicyMountOption)
	}
	checkSeLinux(out, at+".seLinuxOptions", c.SELinuxOptions)
	checkSeccomp(out, at+".seccompProfile", c.SeccompProfile)
	checkAppArmor(out, at+".appArmorProfile", c.AppArmorProfile)
	checkSysctls(out, s, opts)
	if s.ShareProcessNamespace != nil && *s.ShareProcessNamespace && s.HostPID {
		out.Errorf("spec.shareProcessNamespace", "it excludes hostPID")
	}
}

// checkOwnUsers: what cannot be had together with a user namespace.
func checkOwnUsers(out *findings.Collector, pod *v1.Pod) {
	if !manifests.OwnUsers(pod) {
		return
	}
	s := &pod.Spec
	if s.HostNetwork || s.HostPID || s.HostIPC {
		out.Errorf("spec.hostUsers", "false excludes hostNetwork, hostPID and hostIPC: root in the pod has no power over the host's namespaces")
	}
	exists := func(at string, id *int64) {
		if id != nil && *id >= manifests.IDsPerPod {
			out.Errorf(at, "with hostUsers: false there are the ids 0 to %d", manifests.IDsPerPod-1)
		}
	}
	const at = "spec.securityContext"
	exists(at+".runAsUser", s.SecurityContext.RunAsUser)
	exists(at+".runAsGroup", s.SecurityContext.RunAsGroup)
	exists(at+".fsGroup", s.SecurityContext.FSGroup)
	for i := range s.SecurityContext.SupplementalGroups {
		exists(fmt.Sprintf("%s.supplementalGroups[%d]", at, i), &s.SecurityContext.SupplementalGroups[i])
	}
	eachContainer(pod, func(at string, c *v1.Container) {
		if sc := c.SecurityContext; sc != nil {
			exists(at+".securityContext.runAsUser", sc.RunAsUser)
			exists(at+".securityContext.runAsGroup", sc.RunAsGroup)
		}
		for i, m := range c.VolumeMounts {
			if p := m.MountPropagation; p != nil && *p == v1.MountPropagationBidirectional {
				out.Errorf(fmt.Sprintf("%s.volumeMounts[%d].mountPropagation", at, i), "with hostUsers: false no mount of the pod reaches the host")
			}
		}
	})
}

func checkSeccomp(out *findings.Collector, at string, p *v1.SeccompProfile) {
	if p == nil {
		return
	}
	findings.OneOf(out, at+".type", p.Type, v1.SeccompProfileTypeRuntimeDefault, v1.SeccompProfileTypeUnconfined, v1.SeccompProfileTypeLocalhost)
	switch local := p.LocalhostProfile != nil; {
	case local != (p.Type == v1.SeccompProfileTypeLocalhost), local && *p.LocalhostProfile == "":
		out.Errorf(at+".localhostProfile", "it goes with type Localhost, and that with it")
	case local:
		if err := manifests.CheckSubPath(*p.LocalhostProfile); err != nil {
			out.Errorf(at+".localhostProfile", "%q is a file below <root>/seccomp: %v", *p.LocalhostProfile, err)
		}
	}
}

func checkSeLinux(out *findings.Collector, at string, o *v1.SELinuxOptions) {
	if o == nil {
		return
	}
	for name, value := range map[string]string{"user": o.User, "role": o.Role, "type": o.Type} {
		if strings.ContainsAny(value, ": \t\n") {
			out.Errorf(at+"."+name, "%q is more than one part of a label (user:role:type:level)", value)
		}
	}
	if strings.ContainsAny(o.Level, " \t\n") {
		out.Errorf(at+".level", "%q is no level, such as s0:c123,c456", o.Level)
	}
}

// mostOfProfileName is how long a path may be in Linux (PATH_MAX).
const mostOfProfileName = 4095

func checkAppArmor(out *findings.Collector, at string, p *v1.AppArmorProfile) {
	if p == nil {
		return
	}
	findings.OneOf(out, at+".type", p.Type, v1.AppArmorProfileTypeRuntimeDefault, v1.AppArmorProfileTypeUnconfined, v1.AppArmorProfileTypeLocalhost)
	switch local := p.LocalhostProfile != nil; {
	case local != (p.Type == v1.AppArmorProfileTypeLocalhost), local && *p.LocalhostProfile == "":
		out.Errorf(at+".localhostProfile", "it goes with type Localhost, and that with it")
	case local && strings.TrimSpace(*p.LocalhostProfile) != *p.LocalhostProfile:
		out.Errorf(at+".localhostProfile", "%q has blanks around it", *p.LocalhostProfile)
	case local && len(*p.LocalhostProfile) > mostOfProfileName:
		out.Errorf(at+".localhostProfile", "at most %d characters are allowed", mostOfProfileName)
	}
}

// safeSysctls concern the pod alone (kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster).
var safeSysctls = strings.Fields("kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range " +
	"net.ipv4.ip_unprivileged_port_start net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout " +
	"net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem net.ipv4.tcp_wmem")

var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

func checkSysctls(out *findings.Collector, s *v1.PodSpec, opts Options) {
	seen := map[string]bool{}
	for i, sysctl := range s.SecurityContext.Sysctls {
		at := fmt.Sprintf("spec.securityContext.sysctls[%d].name", i)
		name := strings.ReplaceAll(sysctl.Name, "/", ".")
		s.SecurityContext.Sysctls[i].Name = name
		namespaced := sysctlNamespace(name)
		switch {
		case len(name) > 253 || !sysctlName.MatchString(name):
			out.Errorf(at, "%q is no sysctl's name", sysctl.Name)
		case seen[name]:
			out.Errorf(at, "%q is set twice", name)
		case namespaced == "":
			out.Errorf(at, "%s concerns the whole machine, not a pod; set it in /etc/sysctl.d", name)
		case namespaced == "ipc" && s.HostIPC, namespaced == "net" && s.HostNetwork:
			out.Errorf(at, "%s would concern the whole machine, whose namespace the pod shares", name)
		case !slices.Contains(safeSysctls, name) && !allowed(name, opts.AllowedUnsafeSysctls):
			out.Errorf(at, "%s is not in the safe set; allow it with allowedUnsafeSysctls in the configuration", name)
		}
		seen[name] = true
	}
}

// sysctlNamespace is the namespace that holds a sysctl: ipc, net, or "" for the whole machine.
func sysctlNamespace(name string) string {
	switch {
	case strings.HasPrefix(name, "net."):
		return "net"
	case name == "kernel.sem", strings.HasPrefix(name, "kernel.shm"), strings.HasPrefix(name, "kernel.msg"), strings.HasPrefix(name, "fs.mqueue."):
		return "ipc"
	}
	return ""
}

// allowed: a pattern may end with *.
func allowed(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return p == name || wild && strings.HasPrefix(name, prefix)
	})
}
