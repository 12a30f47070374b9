package spec

import (
	"fmt"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// SeccompProfile is the container's profile, or the pod's; nil when neither names one.
func SeccompProfile(pod *v1.Pod, c *v1.Container) *v1.SeccompProfile {
	if sc := c.SecurityContext; sc != nil && sc.SeccompProfile != nil {
		return sc.SeccompProfile
	}
	return pod.Spec.SecurityContext.SeccompProfile
}

// AppArmorProfile is the container's profile, or the pod's; nil when neither names one.
func AppArmorProfile(pod *v1.Pod, c *v1.Container) *v1.AppArmorProfile {
	if sc := c.SecurityContext; sc != nil && sc.AppArmorProfile != nil {
		return sc.AppArmorProfile
	}
	return pod.Spec.SecurityContext.AppArmorProfile
}

// SELinuxOptions are the container's, or the pod's; nil when neither has some, or the container is privileged: that is confined by
// nothing, as with containerd's CRI.
func SELinuxOptions(pod *v1.Pod, c *v1.Container) *v1.SELinuxOptions {
	if Privileged(c) {
		return nil
	}
	if sc := c.SecurityContext; sc != nil && sc.SELinuxOptions != nil {
		return sc.SELinuxOptions
	}
	return pod.Spec.SecurityContext.SELinuxOptions
}

// MustNotBeRoot says whether the container, or its pod, demands a user that is not root.
func MustNotBeRoot(pod *v1.Pod, c *v1.Container) bool {
	if sc := c.SecurityContext; sc != nil && sc.RunAsNonRoot != nil {
		return *sc.RunAsNonRoot
	}
	return pod.Spec.SecurityContext.RunAsNonRoot != nil && *pod.Spec.SecurityContext.RunAsNonRoot
}

// withSeccomp: without a profile the kubelet runs containers unconfined, unless its seccompDefault is set; a privileged container always is.
func withSeccomp(s *specs.Spec, in *Input) error {
	profile := SeccompProfile(in.Pod, in.Container)
	if profile == nil && in.SeccompDefault {
		profile = &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}
	}
	if profile == nil || Privileged(in.Container) {
		return nil
	}
	switch profile.Type {
	case v1.SeccompProfileTypeRuntimeDefault:
		s.Linux.Seccomp = seccomp.DefaultProfile(s)
	case v1.SeccompProfileTypeLocalhost:
		s.Linux.Seccomp = in.Seccomp
	}
	return nil
}

func withAppArmor(s *specs.Spec, in *Input) error {
	s.Process.ApparmorProfile = in.AppArmor
	return nil
}

func withSELinux(s *specs.Spec, in *Input) error {
	s.Process.SelinuxLabel, s.Linux.MountLabel = in.SELinuxProcess, in.SELinuxFiles
	return nil
}

// withSysctls: they belong to the pod's namespaces, and each container of the pod sets the same. In a network of its own a
// container needs no privilege for ports below 1024, and with the host's users none to ping, as with containerd's CRI.
func withSysctls(s *specs.Spec, in *Input) error {
	set := map[string]string{}
	if in.NetworkNamespace != "" {
		set["net.ipv4.ip_unprivileged_port_start"] = "0"
		if in.IDs == nil {
			set["net.ipv4.ping_group_range"] = "0 2147483647"
		}
	}
	for _, sysctl := range in.Pod.Spec.SecurityContext.Sysctls {
		set[sysctl.Name] = sysctl.Value
	}
	if len(set) > 0 {
		s.Linux.Sysctl = set
	}
	return nil
}

// mountedDevices are the rules for devices of the host that the container mounts by name: a hostPath of type CharDevice or
// BlockDevice is of no use to a container that may not open it.
func mountedDevices(in *Input) ([]specs.LinuxDeviceCgroup, error) {
	var out []specs.LinuxDeviceCgroup
	for i, m := range in.Container.VolumeMounts {
		for _, v := range in.Pod.Spec.Volumes {
			if v.Name != m.Name || v.HostPath == nil || v.HostPath.Type == nil {
				continue
			}
			kind := map[v1.HostPathType]string{v1.HostPathCharDev: "c", v1.HostPathBlockDev: "b"}[*v.HostPath.Type]
			if kind == "" {
				continue
			}
			var st unix.Stat_t
			if err := unix.Stat(in.Binds[i].Source, &st); err != nil { // what is mounted, whatever the path leads to meanwhile
				return nil, fmt.Errorf("volume %q: %w", v.Name, err)
			}
			major, minor, access := int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), "rwm"
			if m.ReadOnly {
				access = "rm"
			}
			out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: &major, Minor: &minor, Access: access})
		}
	}
	return out, nil
}
