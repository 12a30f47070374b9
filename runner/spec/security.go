package spec

import (
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// defaultCapabilities are those that container runtimes give, and Kubernetes documents, where the manifest says nothing.
var defaultCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// capabilityNames in the order of their numbers in linux/capability.h.
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
	CHECKPOINT_RESTORE`)

// available returns the capabilities that this process may pass on: asking the runtime for others fails.
func available() []string {
	var out []string
	for n, name := range capabilityNames {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); err == nil && has == 1 {
			out = append(out, "CAP_"+name)
		}
	}
	return out
}

// HasCapability says whether this process may use or pass on a capability, named without CAP_.
func HasCapability(name string) bool { return slices.Contains(available(), "CAP_"+name) }

// MissingCapabilities lists what the container asks to add and this process may not pass on.
func MissingCapabilities(c *v1.Container) []string {
	if c.SecurityContext == nil || c.SecurityContext.Capabilities == nil {
		return nil
	}
	return missing(c.SecurityContext.Capabilities.Add, available())
}

func missing(add []v1.Capability, available []string) []string {
	var out []string
	for _, c := range add {
		if !isAll(c) && !slices.Contains(available, fullName(c)) {
			out = append(out, fullName(c))
		}
	}
	return out
}

func withCapabilities(s *specs.Spec, in *Input) error {
	var add, drop []v1.Capability
	if sc := in.Container.SecurityContext; sc != nil && sc.Capabilities != nil {
		add, drop = sc.Capabilities.Add, sc.Capabilities.Drop
	}
	list := capabilitySet(Privileged(in.Container), add, drop, available())
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list}
	return nil
}

// capabilitySet computes the set as containerd's CRI does: of ALL first add and then drop, then what is added by name, and last what is
// dropped by name, so that what a manifest both adds and drops is dropped. A privileged container has all.
func capabilitySet(all bool, add, drop []v1.Capability, available []string) []string {
	if all {
		return available
	}
	set := map[string]bool{}
	for _, c := range defaultCapabilities {
		set[c] = true
	}
	for _, c := range add {
		if isAll(c) {
			for _, a := range available {
				set[a] = true
			}
		}
	}
	for _, c := range drop {
		if isAll(c) {
			clear(set)
		}
	}
	for _, c := range add {
		if !isAll(c) {
			set[fullName(c)] = true
		}
	}
	for _, c := range drop {
		delete(set, fullName(c))
	}
	var out []string
	for c := range set {
		if slices.Contains(available, c) {
			out = append(out, c)
		}
	}
	sort.Strings(out)
	return out
}

func isAll(c v1.Capability) bool { return fullName(c) == "CAP_ALL" }

func fullName(c v1.Capability) string {
	return "CAP_" + strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_")
}

func withPrivileges(s *specs.Spec, in *Input) error {
	sc := in.Container.SecurityContext
	if sc == nil {
		return nil
	}
	if sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation {
		s.Process.NoNewPrivileges = true
	}
	s.Root.Readonly = readOnlyRoot(in.Container)
	return nil
}

// withPaths hides what a container has no business with; the lists are those of the kubelet and containerd.
func withPaths(s *specs.Spec, in *Input) error {
	if sc := in.Container.SecurityContext; Privileged(in.Container) || sc != nil && sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount {
		return nil
	}
	s.Linux.MaskedPaths = append([]string{
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap",
		"/proc/scsi",
	}, throttling()...)
	s.Linux.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	return nil
}

// throttling are the directories that tell how often a processor was throttled for its heat, which lets a container watch what others
// compute.
var throttling = sync.OnceValue(func() []string {
	found, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	if err != nil {
		return nil // not with this pattern
	}
	return found
})

// withDevices: the devices every container has come from the runtime; a privileged one gets all of the host's.
func withDevices(s *specs.Spec, in *Input) error {
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	if !Privileged(in.Container) {
		mounted, err := mountedDevices(in)
		s.Linux.Resources.Devices = slices.Concat([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, basicDevices(), mounted)
		return err
	}
	s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	devices, err := hostDevices("/dev")
	s.Linux.Devices = devices
	return err
}

func basicDevices() []specs.LinuxDeviceCgroup {
	allow := func(major, minor int64) specs.LinuxDeviceCgroup {
		d := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Access: "rwm", Major: &major}
		if minor >= 0 {
			d.Minor = &minor
		}
		return d
	}
	// null, zero, full, tty, random, urandom, ptmx and the pseudo terminals (Documentation/admin-guide/devices.txt)
	return []specs.LinuxDeviceCgroup{allow(1, 3), allow(1, 5), allow(1, 7), allow(5, 0), allow(1, 8), allow(1, 9), allow(5, 2), allow(136, -1)}
}

// hostDevices lists the device nodes below dir, without the terminals and shared memory that a container has itself.
func hostDevices(dir string) ([]specs.LinuxDevice, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []specs.LinuxDevice
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		if e.IsDir() {
			switch e.Name() {
			case "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev":
				continue
			}
			below, err := hostDevices(p)
			if err != nil {
				continue // a directory that went meanwhile
			}
			out = append(out, below...)
			continue
		}
		var st unix.Stat_t
		if e.Name() == "console" || unix.Lstat(p, &st) != nil {
			continue
		}
		kind := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			kind = "c"
		case unix.S_IFBLK:
			kind = "b"
		default:
			continue
		}
		mode := os.FileMode(st.Mode & 0o777)
		uid, gid := st.Uid, st.Gid
		out = append(out, specs.LinuxDevice{
			Path: p, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
			FileMode: &mode, UID: &uid, GID: &gid,
		})
	}
	return out, nil
}
