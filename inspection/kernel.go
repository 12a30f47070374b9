package inspection

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

const bySysctl = "set it in /etc/sysctl.d and run sysctl --system"

var kernelChecks = []check{
	{
		"seccomp", Critical, "the kernel cannot filter system calls: seccomp profiles have no effect", "use a kernel with CONFIG_SECCOMP_FILTER",
		func(f *Facts) []string { return when(!f.Kernel.Seccomp) },
	},
	{
		"security-module", Warning, "neither AppArmor nor SELinux is enforced: a container that runs as root is held by fewer walls", "boot with apparmor=1 security=apparmor, or with SELinux",
		func(f *Facts) []string { return when(f.Kernel.Module == "") },
	},
	{
		"cgroup-v1", Info, "the machine has cgroups of version 1, where pods' limits hold less", "boot with systemd.unified_cgroup_hierarchy=1",
		func(f *Facts) []string { return when(!f.Kernel.CgroupV2) },
	},
	{
		"swap", Warning, "what pods hold in memory, Secrets too, may be written to a disk in plain text", "encrypt swap, use zram, or swapoff",
		func(f *Facts) []string { return f.Kernel.Swap },
	},
	{
		"no-noswap", Info, "the kernel cannot keep the files of Secrets out of swap (tmpfs with noswap needs 6.4)", "use a newer kernel, or no swap",
		func(f *Facts) []string {
			return when(len(f.Kernel.Swap) > 0 && (f.Kernel.Major < 6 || f.Kernel.Major == 6 && f.Kernel.Minor < 4))
		},
	},
	sysctl("ptrace-scope", "kernel.yama.ptrace_scope", Info, 1, "a user's process can read the memory of all others of that user"),
	sysctl("dmesg", "kernel.dmesg_restrict", Info, 1, "each user, and each container, reads the kernel's log, with its addresses"),
	sysctl("protected-hardlinks", "fs.protected_hardlinks", Warning, 1, "users can make names for files of others"),
	sysctl("protected-symlinks", "fs.protected_symlinks", Warning, 1, "users can lead others through links in /tmp"),
	sysctl("protected-fifos", "fs.protected_fifos", Info, 1, "users can plant FIFOs in /tmp for others"),
	sysctl("protected-regular", "fs.protected_regular", Info, 1, "users can plant files in /tmp for others"),
	sysctl("bpf", "kernel.unprivileged_bpf_disabled", Warning, 1, "each user, and each container without seccomp, can load programs into the kernel"),
	{
		"user-namespaces", Info, "each user can make user namespaces, and be root there, which opens much of the kernel to attack",
		"set kernel.unprivileged_userns_clone=0 where it is, or kernel.apparmor_restrict_unprivileged_userns=1; pods with hostUsers: false do not need it",
		func(f *Facts) []string {
			clone, known := f.Kernel.Sysctls["kernel.unprivileged_userns_clone"]
			return when(f.Kernel.Sysctls["user.max_user_namespaces"] != "0" && (!known || clone != "0") &&
				f.Kernel.Sysctls["kernel.apparmor_restrict_unprivileged_userns"] != "1")
		},
	},
	{
		"core-pattern", Info, "a program of the host runs as root for each crash, of containers too", "set kernel.core_pattern to a file name if nobody reads the cores",
		func(f *Facts) []string {
			pattern := f.Kernel.Sysctls["kernel.core_pattern"]
			if !strings.HasPrefix(pattern, "|") {
				return nil
			}
			return []string{pattern}
		},
	},
	{
		"ip-forward", Info, "the machine forwards packets between networks, and no pod has a network of its own", "set net.ipv4.ip_forward=0 if it is no router",
		func(f *Facts) []string {
			own := slices.ContainsFunc(f.Pods, func(p v1.Pod) bool { return !p.Spec.HostNetwork })
			return when(f.Kernel.Sysctls["net.ipv4.ip_forward"] == "1" && f.Pods != nil && !own)
		},
	},
	{
		"route-localnet", Info, "packets to 127/8 are routed: what listens on loopback may be reached from pods or the link",
		"on Solopod's own bridge it serves hostPorts, and its rules drop the rest; elsewhere set net.ipv4.conf.NAME.route_localnet=0",
		func(f *Facts) []string { return f.Kernel.RouteLocalnet },
	},
}

// sysctl is a check that a sysctl is at least so. Where the kernel does not have it there is nothing to mend.
func sysctl(id, name string, severity Severity, least int, title string) check {
	return check{id, severity, title, bySysctl, func(f *Facts) []string {
		text, ok := f.Kernel.Sysctls[name]
		if !ok {
			return nil
		}
		if n, err := strconv.Atoi(text); err != nil || n < least {
			return []string{fmt.Sprintf("%s is %s, and should be %d", name, text, least)}
		}
		return nil
	}}
}

// sysctls are those that are asked for.
var sysctls = []string{
	"kernel.yama.ptrace_scope", "kernel.dmesg_restrict", "fs.protected_hardlinks", "fs.protected_symlinks", "fs.protected_fifos", "fs.protected_regular",
	"kernel.unprivileged_bpf_disabled", "kernel.unprivileged_userns_clone", "user.max_user_namespaces", "kernel.apparmor_restrict_unprivileged_userns",
	"kernel.core_pattern", "net.ipv4.ip_forward",
}

// parseSwaps are the areas of /proc/swaps (proc_swaps(5)).
func parseSwaps(text string) (out []string) {
	for i, line := range strings.Split(text, "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) >= 5 {
			out = append(out, fields[0])
		}
	}
	return out
}

// parseRelease are the first two numbers of a kernel's release.
func parseRelease(text string) (major, minor int) {
	fmt.Sscanf(text, "%d.%d", &major, &minor) //nolint:errcheck // zero is old
	return major, minor
}
