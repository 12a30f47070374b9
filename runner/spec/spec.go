// Package spec turns a pod, one of its containers and an image's configuration into an OCI runtime spec. It does no I/O
// beyond looking at devices for privileged containers: users are looked up by the caller.
package spec

import (
	"fmt"
	"path"
	"slices"
	"sort"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/reference"
)

// specVersion is old on purpose: crun 1.8 refuses the versions that containerd's client writes today.
const specVersion = "1.0.2"

// Input is everything that a container's spec depends on.
type Input struct {
	Pod       *v1.Pod
	Container *v1.Container
	Image     ocispec.ImageConfig
	// User is the identity that RunAs found.
	User specs.User
	// Namespaces holds paths; an empty one means the host's.
	NetworkNamespace, IPCNamespace, UTSNamespace string
	// Env are the manifest's variables, resolved, as name=value.
	Env []string
	// PIDNamespace is the one that the pod's containers share; empty where each has its own, or the host's.
	PIDNamespace string
	// UserNamespace owns the pod's other namespaces; empty means the host's users. IDs are its users on the host.
	UserNamespace string
	IDs           *specs.LinuxIDMapping
	// Hostname for the environment.
	Hostname string
	// Binds are what the container's volume mounts show, one for each.
	Binds []Bind
	// ImageVolumes are what the image's own volumes show: path inside -> directory of the host.
	ImageVolumes map[string]Bind
	// Files that are bound into the container, by the path inside.
	Files map[string]Bind
	// Shm is the pod's shared memory directory on the host.
	Shm string
	// CgroupsPath is the container's cgroup.
	CgroupsPath string
	Resources   *specs.LinuxResources
	OOMScoreAdj int
	Annotations map[string]string
	// Seccomp is the content of a profile of this machine, where the manifest names one.
	Seccomp *specs.LinuxSeccomp
	// SeccompDefault: a container that names no profile gets RuntimeDefault.
	SeccompDefault bool
	// AppArmor is the name of a loaded profile; empty means none.
	AppArmor string
	// SELinuxProcess and SELinuxFiles are labels; empty means that SELinux does not confine the container.
	SELinuxProcess, SELinuxFiles string
	// Unified: cgroup v2; the container gets a cgroup namespace, unless it is privileged.
	Unified bool
	// CgroupOptions are those of the machine's mount of cgroups that the kernel has once for all mounts: a container without a cgroup
	// namespace would take them away from the machine otherwise.
	CgroupOptions []string
}

// Bind is a path of the host and the options that it must be mounted with.
type Bind struct {
	Source  string
	Options []string
	// ReadOnlyBelow: where the mount is read-only, what is mounted below it is, too.
	ReadOnlyBelow bool
}

// Option changes a spec.
type Option func(*specs.Spec, *Input) error

// Build composes the spec.
func Build(in Input) (*specs.Spec, error) {
	s := &specs.Spec{
		Version:     specVersion,
		Process:     &specs.Process{},
		Root:        &specs.Root{Path: "rootfs"},
		Linux:       &specs.Linux{},
		Annotations: in.Annotations,
	}
	for _, option := range []Option{
		withProcess, withUser, withNamespaces, withSystemMounts, withVolumes, withFiles, withImageVolumes, withCgroup, withDevices,
		withCapabilities, withPaths, withPrivileges, withSeccomp, withAppArmor, withSELinux, withSysctls, withMountOrder,
	} {
		if err := option(s, &in); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// withProcess sets command, environment, working directory and terminal.
func withProcess(s *specs.Spec, in *Input) error {
	args, err := command(in.Image, in.Container, EnvMap(in.Env))
	if err != nil {
		return err
	}
	s.Process.Args = args
	s.Process.Env = Environment(in.Image.Env, in.Env, in.Hostname, in.Container.TTY)
	s.Process.Terminal = in.Container.TTY
	s.Process.Cwd = "/"
	if in.Image.WorkingDir != "" {
		s.Process.Cwd = in.Image.WorkingDir
	}
	if in.Container.WorkingDir != "" {
		s.Process.Cwd = in.Container.WorkingDir
	}
	if !path.IsAbs(s.Process.Cwd) {
		s.Process.Cwd = "/" + s.Process.Cwd
	}
	s.Process.OOMScoreAdj = &in.OOMScoreAdj
	return nil
}

// command: the manifest's command replaces the image's entrypoint and its arguments; args replace the image's
// arguments. $(VAR) is expanded from the manifest's environment, as by the kubelet.
func command(image ocispec.ImageConfig, c *v1.Container, env map[string]string) ([]string, error) {
	entrypoint, args := image.Entrypoint, image.Cmd
	if len(c.Command) > 0 {
		entrypoint, args = expandAll(c.Command, env), nil
	}
	if len(c.Args) > 0 {
		args = expandAll(c.Args, env)
	}
	out := append(slices.Clone(entrypoint), args...)
	if len(out) == 0 {
		return nil, fmt.Errorf("neither the manifest nor the image names a command; set command")
	}
	return out, nil
}

func expandAll(list []string, env map[string]string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = reference.Expand(s, env)
	}
	return out
}

func withUser(s *specs.Spec, in *Input) error {
	s.Process.User = in.User
	return nil
}

func withNamespaces(s *specs.Spec, in *Input) error {
	s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	if !in.Pod.Spec.HostPID {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: in.PIDNamespace})
	}
	for kind, p := range map[specs.LinuxNamespaceType]string{
		specs.NetworkNamespace: in.NetworkNamespace, specs.IPCNamespace: in.IPCNamespace, specs.UTSNamespace: in.UTSNamespace,
		specs.UserNamespace: in.UserNamespace,
	} {
		if p != "" {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: p})
		}
	}
	sort.Slice(s.Linux.Namespaces, func(i, j int) bool { return s.Linux.Namespaces[i].Type < s.Linux.Namespaces[j].Type })
	if ownCgroups(in) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	if in.IDs != nil {
		s.Linux.UIDMappings, s.Linux.GIDMappings = []specs.LinuxIDMapping{*in.IDs}, []specs.LinuxIDMapping{*in.IDs}
	}
	return nil
}

// ownCgroups: the container sees no cgroups but its own. As with containerd's CRI a privileged one sees the machine's.
func ownCgroups(in *Input) bool {
	return in.Unified && (!Privileged(in.Container) || in.UserNamespace != "")
}

func withSystemMounts(s *specs.Spec, in *Input) error {
	sys := "ro"
	if Privileged(in.Container) {
		sys = "rw"
	}
	cgroup := []string{"nosuid", "noexec", "nodev", "relatime", sys}
	if !ownCgroups(in) {
		cgroup = append(cgroup, in.CgroupOptions...)
	}
	s.Mounts = []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", sys}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: cgroup},
		{Destination: "/dev/shm", Type: "bind", Source: in.Shm, Options: []string{"rbind", "rprivate", "rw"}},
	}
	return nil
}

func withCgroup(s *specs.Spec, in *Input) error {
	s.Linux.CgroupsPath = in.CgroupsPath
	s.Linux.Resources = in.Resources
	return nil
}

// Privileged says whether the container is; it is confined by nothing but what its manifest names.
func Privileged(c *v1.Container) bool {
	return c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
}
