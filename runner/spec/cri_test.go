package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// The containers of the table, as their manifests have them.
var kinds = map[string]*v1.SecurityContext{
	"default": nil,
	"restricted": {
		RunAsNonRoot: ptr.To(true), ReadOnlyRootFilesystem: ptr.To(true), AllowPrivilegeEscalation: ptr.To(false),
		Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}, SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault},
	},
	"privileged": {Privileged: ptr.To(true)},
}

// ofKind is what Build makes of one, in a pod with everything of its own, on a machine with cgroup v2 and AppArmor.
func ofKind(t *testing.T, kind string) *specs.Spec {
	t.Helper()
	in := Input{
		Pod:       &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{}}},
		Container: &v1.Container{SecurityContext: kinds[kind], TerminationMessagePath: "/dev/termination-log"},
		Image:     ocispec.ImageConfig{Entrypoint: []string{"/app"}, WorkingDir: "/srv", Env: []string{"PATH=/bin"}},
		User:      specs.User{AdditionalGids: []uint32{0}}, Hostname: "web",
		NetworkNamespace: "/ns/net", IPCNamespace: "/ns/ipc", UTSNamespace: "/ns/uts",
		Files: map[string]Bind{"/etc/hosts": {Source: "/pod/hosts"}, "/etc/hostname": {Source: "/pod/hostname"}, "/etc/resolv.conf": {Source: "/pod/resolv.conf"}, "/dev/termination-log": {Source: "/pod/message"}},
		Shm:   "/pod/shm", CgroupsPath: "/pods/c", OOMScoreAdj: 1000, Unified: true, CgroupOptions: []string{"nsdelegate"},
	}
	if kind != "privileged" { // whom it confines is decided where it is loaded
		in.AppArmor = "default-profile"
	}
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cri is what the kubelet and containerd's CRI plugin (2.4) make of it with their default configurations: the client's default spec
// (pkg/oci), what the plugin changes of it (internal/cri/server/container_create.go, internal/cri/opts), and what the kubelet asks of it
// (pkg/kubelet/kuberuntime/security_context.go, pkg/securitycontext/util.go). Namespaces' and files' places are this test's.
func cri(kind string) *specs.Spec {
	mode := map[string]string{"privileged": "rw"}
	sys, files := cmp.Or(mode[kind], "ro"), "rw"
	if kind == "restricted" {
		files = "ro" // CRI's for hostname and resolv.conf; the kubelet's for hosts is below
	}
	caps := []string{"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
		"CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}
	s := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: []string{"/app"}, Cwd: "/srv", Env: []string{"PATH=/bin", "HOSTNAME=web"}, User: specs.User{AdditionalGids: []uint32{0}},
			ApparmorProfile: "default-profile", OOMScoreAdj: ptr.To(1000),
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev/shm", Type: "bind", Source: "/pod/shm", Options: []string{"rbind", "rprivate", "rw"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", sys}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", sys}},
			{Destination: "/etc/hosts", Type: "bind", Source: "/pod/hosts", Options: []string{"rbind", "rprivate", "rw"}},
			{Destination: "/etc/hostname", Type: "bind", Source: "/pod/hostname", Options: []string{"rbind", "rprivate", files}},
			{Destination: "/etc/resolv.conf", Type: "bind", Source: "/pod/resolv.conf", Options: []string{"rbind", "rprivate", files}},
			{Destination: "/dev/termination-log", Type: "bind", Source: "/pod/message", Options: []string{"rbind", "rprivate", "rw"}},
		},
		Linux: &specs.Linux{
			MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			CgroupsPath:   "/pods/c",
			Resources:     &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Sysctl:        map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"},
			Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.CgroupNamespace},
				{Type: specs.NetworkNamespace, Path: "/ns/net"}, {Type: specs.IPCNamespace, Path: "/ns/ipc"}, {Type: specs.UTSNamespace, Path: "/ns/uts"}},
		},
	}
	throttled, _ := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle") // not with this pattern
	s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, throttled...)
	switch kind {
	case "restricted":
		caps = nil
		s.Root.Readonly, s.Process.NoNewPrivileges = true, true
	case "privileged":
		caps = available()
		s.Process.ApparmorProfile = ""
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
		s.Mounts[6].Options = append(s.Mounts[6].Options, "nsdelegate")
	}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	if kind == "restricted" {
		s.Linux.Seccomp = seccomp.DefaultProfile(s)
	}
	return s
}

// deviations are where Build's spec is another, and why that is at least as strict.
var deviations = map[string]map[string]struct{ want, why string }{
	"default": {
		"ociVersion":              {`"1.0.2"`, "older runtimes refuse a newer one; no field of a newer one is used"},
		"linux.resources.devices": {basicRules, "the runtime allows the same devices by itself, whatever the list says (runc, libcontainer/specconv)"},
	},
	"restricted": {
		"ociVersion":              {`"1.0.2"`, "as above"},
		"linux.resources.devices": {basicRules, "as above"},
		"mounts./etc/hosts":       {`{"destination":"/etc/hosts","options":["rbind","rprivate","ro"],"source":"/pod/hosts","type":"bind"}`, "stricter: the kubelet leaves this one file of a read-only root writable"},
	},
	"privileged": {
		"ociVersion": {`"1.0.2"`, "as above"},
	},
}

var basicRules = func() string {
	data, err := json.Marshal(append([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, basicDevices()...))
	if err != nil {
		panic(err)
	}
	return canonical(data)
}()

// canonical is JSON with its keys in order.
func canonical(data []byte) string {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		panic(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// fields are those of a spec by their paths, down to where something has a name of its own: a mount, a namespace. Sets are in order.
func fields(t *testing.T, s *specs.Spec) map[string]string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(strings.TrimPrefix(at+"."+key, "."), value)
			}
			return
		case []any:
			for name, key := range map[string]string{"mounts": "destination", "linux.namespaces": "type"} {
				if at == name {
					for _, item := range v {
						text, _ := json.Marshal(item) // it came from JSON
						out[at+"."+item.(map[string]any)[key].(string)] = string(text)
					}
					return
				}
			}
			if strings.HasSuffix(at, "Paths") || strings.HasPrefix(at, "process.capabilities") || at == "process.env" {
				slices.SortFunc(v, func(a, b any) int { return cmp.Compare(a.(string), b.(string)) })
			}
		}
		text, _ := json.Marshal(v) // it came from JSON
		out[at] = string(text)
	}
	walk("", tree)
	return out
}

// Each field of the spec is what the kubelet and containerd's CRI give, or a deviation that is listed with its reason.
func TestSpecsAreNoWeakerThanCRIs(t *testing.T) {
	for kind := range kinds {
		ours := ofKind(t, kind)
		if kind == "privileged" {
			if len(ours.Linux.Devices) == 0 {
				t.Error("a privileged container has no devices")
			}
			ours.Linux.Devices = nil // those of this machine, on both sides
		}
		got, want := fields(t, ours), fields(t, cri(kind))
		if len(want) < 30 {
			t.Errorf("%s: only %d fields are compared", kind, len(want))
		}
		for path, d := range deviations[kind] {
			if got[path] == want[path] {
				t.Errorf("%s: %s is CRI's: the table has a deviation too many", kind, path)
			}
			want[path] = d.want
		}
		for path := range got {
			if _, ok := want[path]; !ok {
				t.Errorf("%s: %s is %s, and CRI has no such field", kind, path, got[path])
			}
		}
		for path := range want {
			if got[path] != want[path] {
				t.Errorf("%s: %s is\n%s\nand should be\n%s", kind, path, got[path], want[path])
			}
		}
	}
}

// The default seccomp profile is containerd's for the capabilities that the container has.
func TestSeccompFollowsCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		capabilities v1.Capabilities
		allows       string // a system call that is allowed with no more conditions
		want         bool
	}{
		"default":     {allows: "mount"},
		"SYS_ADMIN":   {capabilities: v1.Capabilities{Add: []v1.Capability{"SYS_ADMIN"}}, allows: "mount", want: slices.Contains(available(), "CAP_SYS_ADMIN")},
		"chroot":      {allows: "chroot", want: true},
		"drop ALL":    {capabilities: v1.Capabilities{Drop: []v1.Capability{"ALL"}}, allows: "chroot"},
		"drop chroot": {capabilities: v1.Capabilities{Drop: []v1.Capability{"SYS_CHROOT"}}, allows: "chroot"},
	} {
		s, err := Build(Input{
			Pod:       &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}}}},
			Container: &v1.Container{Command: []string{"x"}, SecurityContext: &v1.SecurityContext{Capabilities: &c.capabilities}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := seccomp.DefaultProfile(s); !reflect.DeepEqual(s.Linux.Seccomp, want) || len(want.Architectures) == 0 || want.DefaultAction != specs.ActErrno {
			t.Errorf("%s: the profile is not containerd's for these capabilities and this architecture: %+v", name, s.Linux.Seccomp)
		}
		allowed := slices.ContainsFunc(s.Linux.Seccomp.Syscalls, func(r specs.LinuxSyscall) bool {
			return r.Action == specs.ActAllow && len(r.Args) == 0 && slices.Contains(r.Names, c.allows)
		})
		if allowed != c.want {
			t.Errorf("%s: %s is allowed: %t", name, c.allows, allowed)
		}
	}
}

// What a pod shares with the machine, and users of its own, leave the machine's sysctls as they are, as with CRI.
func TestSysctlsOfNamespaces(t *testing.T) {
	for name, c := range map[string]struct {
		network string
		ids     *specs.LinuxIDMapping
		own     []v1.Sysctl
		want    string
	}{
		"its own network": {network: "/ns/net", want: "map[net.ipv4.ip_unprivileged_port_start:0 net.ipv4.ping_group_range:0 2147483647]"},
		"the machine's":   {want: "map[]"},
		"its own users":   {network: "/ns/net", ids: &specs.LinuxIDMapping{HostID: 1 << 20, Size: 65536}, want: "map[net.ipv4.ip_unprivileged_port_start:0]"},
		"the manifest's": {network: "/ns/net", own: []v1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "512"}},
			want: "map[net.ipv4.ip_unprivileged_port_start:512 net.ipv4.ping_group_range:0 2147483647]"},
	} {
		s, err := Build(Input{
			Pod:       &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{Sysctls: c.own}}},
			Container: &v1.Container{Command: []string{"x"}}, NetworkNamespace: c.network, IDs: c.ids,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.Linux.Sysctl); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
