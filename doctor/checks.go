package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// What of a machine Solopod was tried with, and what it calls: openat2(2), pidfd_open(2) and mount_setattr(2) have substitutes below.
const (
	oldestMajor, oldestMinor = 4, 19
	triedMajor, triedMinor   = 5, 12
	leastInotify             = 64
	firstYear                = 2024
)

var checks = []check{
	{"root", judgeRights},
	{"runtime", judgeRuntimes},
	{"containerd", judgeContainerd},
	{"programs", judgeCompanions},
	{"kernel", judgeKernel},
	{"namespaces", judgeNamespaces},
	{"cgroups", judgeCgroups},
	{"overlayfs", judgeOverlay},
	{"mounts", judgeMounts},
	{"nftables", judgeNftables},
	{"network", judgeNetwork},
	{"directories", judgeDirectories},
	{"seccomp", judgeSeccomp},
	{"apparmor", judgeAppArmor},
	{"inotify", judgeInotify},
	{"kernel-log", judgeKernelLog},
	{"clock", judgeClock},
}

func judgeRights(f *Facts) []said {
	if slices.Contains(f.Kernel.Lacking, "CAP_SYS_ADMIN") || slices.Contains(f.Kernel.Lacking, "CAP_NET_ADMIN") {
		return []said{{Missing, "not all rights: without " + strings.Join(f.Kernel.Lacking, ", ") + " no pod can run", "run it as root, and not in a container without privileges"}}
	}
	if len(f.Kernel.Lacking) > 0 {
		return []said{{
			Warning, "without " + strings.Join(f.Kernel.Lacking, ", ") + " containers cannot be kept from the kernel's out-of-memory killer (oom_score_adj below 0), nor get limits above Solopod's own",
			"where Solopod runs in a container or under a service manager, have it leave the capability",
		}}
	}
	return fine("all rights that pods need")
}

func judgeRuntimes(f *Facts) (out []said) {
	for _, r := range f.Runtimes {
		out = append(out, judgeRuntime(r, f)...)
	}
	return out
}

func judgeRuntime(r Runtime, f *Facts) []said {
	switch {
	case errors.Is(r.Err, exec.ErrNotFound) || errors.Is(r.Err, fs.ErrNotExist):
		return []said{{Missing, fmt.Sprintf("there is no %s, and no container can start", r.Name), "install it (apt-get install runc), or name another with --runtime"}}
	case r.Err != nil:
		return []said{{Missing, fmt.Sprintf("%s cannot be run: %v", r.Name, r.Err), "mend or replace it; no container starts with it"}}
	}
	found := strings.TrimSpace(r.Program + " " + r.Version + " (" + r.Path + ")")
	v, err := version.ParseGeneric(r.Version)
	switch {
	case r.Program == "runc" && err == nil && v.LessThan(version.MustParseGeneric("1.1.0")):
		return []said{{Warning, found + " is older than any that Solopod was tried with", "update it to 1.1 or later"}}
	case r.Program == "crun" && f.Cgroups.Hybrid && !f.Cgroups.Unified:
		return []said{{Missing, found + " refuses machines with cgroups of both versions, as this one has them", "use runc (--runtime runc), or boot with systemd.unified_cgroup_hierarchy=1"}}
	case r.Features == nil && r.Program == "":
		return []said{{Warning, r.Path + " does not say which OCI runtime it is, as runc, crun and runsc do with --version", "see that it is one: with another program no container starts"}}
	case r.Features == nil && r.Program == "runc":
		return []said{{Warning, found + " does not say what it can do", "update it to 1.1 or later"}}
	case r.Features != nil && !r.Features.Seccomp:
		return []said{{Warning, found + " was built without seccomp: pods with a profile do not start", "use a build with seccomp, as distributions have it"}}
	case r.Features != nil && !r.Features.IDMap:
		return []said{{OK, found + "; it has no id-mapped mounts: pods with hostUsers: false do not start with it (runc has them from 1.2 on)", ""}}
	}
	return fine(found)
}

func judgeContainerd(f *Facts) []said {
	if f.Config.Containerd == "" {
		return fine("runs inside Solopod")
	}
	if f.Containerd != nil {
		return []said{{
			Missing, fmt.Sprintf("%s does not answer: %v", f.Config.Containerd, f.Containerd),
			"start it (systemctl start containerd), or leave --containerd away to have one inside Solopod",
		}}
	}
	return fine("answers at " + f.Config.Containerd)
}

func judgeCompanions(f *Facts) []said {
	var lost []string
	for _, name := range slices.Sorted(maps.Keys(f.Config.Companions)) {
		if f.Config.Companions[name] == "" && (name != "containerd-shim-runc-v2" || f.Config.Containerd == "") {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		return []said{{Missing, "not beside solopod: " + strings.Join(lost, ", "), "install them where solopod is, or in ../libexec/solopod (make build builds them together)"}}
	}
	return fine("all that belong beside solopod")
}

func judgeKernel(f *Facts) []said {
	k := f.Kernel
	older := func(major, minor int) bool { return k.Major < major || k.Major == major && k.Minor < minor }
	switch {
	case k.Major == 0:
		return []said{{Warning, "the kernel does not tell its release", ""}}
	case older(oldestMajor, oldestMinor):
		return []said{{Missing, k.Release + " is too old", fmt.Sprintf("use Linux %d.%d or later, better %d.%d", oldestMajor, oldestMinor, triedMajor, triedMinor)}}
	case older(triedMajor, triedMinor):
		return []said{{Warning, k.Release + " lacks calls that keep volumes' paths safe at no cost; slower ways are taken", fmt.Sprintf("use Linux %d.%d or later", triedMajor, triedMinor)}}
	}
	return fine("Linux " + k.Release)
}

func judgeNamespaces(f *Facts) (out []said) {
	var lost []string
	for _, kind := range []string{"net", "ipc", "uts", "pid", "mnt"} {
		if !slices.Contains(f.Kernel.Namespaces, kind) {
			lost = append(lost, kind)
		}
	}
	if len(lost) > 0 {
		out = append(out, said{Missing, "the kernel has no namespaces of the kinds " + strings.Join(lost, ", "), "use a kernel with CONFIG_NAMESPACES and its kinds"})
	}
	if !slices.Contains(f.Kernel.Namespaces, "user") || f.Kernel.UserNamespaces == 0 {
		out = append(out, said{Warning, "there can be no user namespaces: pods with hostUsers: false do not start", "set the sysctl user.max_user_namespaces above 0"})
	}
	if len(out) > 0 {
		return out
	}
	return fine("of all kinds")
}

// controllers are those that limits need, with what does not work without.
var controllers = []struct{ name, v2, without string }{
	{"memory", "memory", "memory limits do not hold, and kills for memory are not seen"},
	{"cpu", "cpu", "CPU limits and requests do not hold"},
	{"pids", "pids", "podPidsLimit does not hold"},
	{"cpuset", "cpuset", "containers cannot be kept to some processors"},
	{"devices", "", "containers cannot be kept from devices"},
	{"freezer", "", "containers cannot be paused for a checkpoint"},
}

func judgeCgroups(f *Facts) (out []said) {
	c := f.Cgroups
	if c.Writable != nil {
		return []said{{Missing, fmt.Sprintf("no cgroup can be made: %v", c.Writable), "mount the cgroup file system writable; in a container it must be started with its own cgroup namespace and rights"}}
	}
	for _, needed := range controllers {
		name := needed.name
		if c.Unified {
			name = needed.v2
		}
		if name == "" || slices.Contains(c.Controllers, name) {
			continue
		}
		verdict, advice := Warning, "use a kernel that has the controller"
		if name == "memory" {
			verdict = Missing
		}
		switch {
		case slices.Contains(c.Disabled, name) && c.BootFile != "":
			advice = fmt.Sprintf("add cgroup_enable=%s to the line in %s and reboot (Raspberry Pi OS switches it off)", name, c.BootFile)
		case slices.Contains(c.Disabled, name):
			advice = fmt.Sprintf("take cgroup_disable=%s from the kernel's command line and reboot", name)
		case c.Unified:
			advice = "have it delegated: the root cgroup's cgroup.controllers must name it"
		}
		out = append(out, said{verdict, fmt.Sprintf("there is no controller %s: %s", name, needed.without), advice})
	}
	if f.Config.SystemdCgroups && !f.Kernel.Systemd {
		out = append(out, said{Missing, "cgroupDriver is systemd, and systemd does not run here", "set cgroupDriver: cgroupfs"})
	}
	if len(out) > 0 {
		return out
	}
	is := "version 1"
	switch {
	case c.Unified:
		is = "version 2"
	case c.Hybrid:
		is = "version 1, with a tree of version 2 beside it"
	}
	return fine(is + ", with " + strings.Join(c.Controllers, ", "))
}

func judgeOverlay(f *Facts) []said {
	if f.Config.Containerd != "" {
		return fine("the outside containerd's matter")
	}
	if f.Writable[f.Config.Root] != nil {
		return []said{{Warning, "not tried: " + f.Config.Root + " cannot be written", "see directories"}}
	}
	if f.Overlay != nil {
		return []said{{Missing, fmt.Sprintf("containers' file systems cannot be mounted below %s: %v", f.Config.Root, f.Overlay), "load the module (modprobe overlay), and have root lie on a file system that overlayfs takes, as ext4 or xfs (with ftype=1)"}}
	}
	return fine("works below " + f.Config.Root)
}

func judgeMounts(f *Facts) []said {
	if f.Writable[f.Config.State] != nil {
		return []said{{Warning, "not tried: " + f.Config.State + " cannot be written", "see directories"}}
	}
	if f.Shared != nil {
		return []said{{Missing, fmt.Sprintf("mounts below %s cannot be shared: %v", f.Config.State, f.Shared), "mount --make-rshared /, or run Solopod outside of the container or mount namespace that it is in"}}
	}
	return fine("can be made and shared")
}

func judgeNftables(f *Facts) []said {
	if f.Nftables != nil {
		return []said{{Missing, fmt.Sprintf("the kernel has no nf_tables that Solopod can use: %v; host ports, Services and policies do not work", f.Nftables), "load the module (modprobe nf_tables), or give pods hostNetwork: true"}}
	}
	return fine("works")
}

func judgeNetwork(f *Facts) []said {
	n := f.Networks
	switch {
	case n.Err != nil:
		return []said{{Missing, fmt.Sprintf("the CNI configuration cannot be used: %v", n.Err), "mend it, or take it out of " + f.Config.CNIConfDir + " to have Solopod's own bridge"}}
	case len(n.Lost) > 0:
		return []said{{
			Missing, fmt.Sprintf("the CNI network %s names plugins that are nowhere in %s: %s", n.Name, strings.Join(f.Config.CNIBinDirs, ", "), strings.Join(n.Lost, ", ")),
			"install them (apt-get install containernetworking-plugins), or take the configuration out of " + f.Config.CNIConfDir,
		}}
	case n.Name != "":
		return fine("the CNI network " + n.Name)
	}
	return fine("Solopod's own bridge; there is no CNI configuration in " + f.Config.CNIConfDir)
}

func judgeDirectories(f *Facts) (out []said) {
	for _, dir := range slices.Sorted(maps.Keys(f.Writable)) {
		if err := f.Writable[dir]; err != nil {
			out = append(out, said{Missing, fmt.Sprintf("%s cannot be written: %v", dir, err), "make it writable, or have the configuration name another"})
		}
	}
	if f.StateOnDisk {
		out = append(out, said{Warning, f.Config.State + " is on a disk: what should end with a reboot may outlive it, and it costs writes", "have it on a tmpfs, as /run is"})
	}
	if len(out) > 0 {
		return out
	}
	return fine("can be written")
}

func judgeSeccomp(f *Facts) []said {
	if !f.Kernel.Seccomp {
		return []said{{Warning, "the kernel cannot filter system calls: pods with a seccomp profile do not start", "use a kernel with CONFIG_SECCOMP_FILTER"}}
	}
	return fine("works")
}

func judgeAppArmor(f *Facts) []said {
	switch {
	case !f.AppArmor:
		return fine("not enabled in the kernel; pods that demand a profile do not start")
	case f.Parser == "":
		return []said{{Warning, "enabled, but there is no apparmor_parser: containers run without its default profile", "install it (apt-get install apparmor)"}}
	}
	return fine("enabled")
}

func judgeInotify(f *Facts) []said {
	if n := f.Kernel.InotifyInstances; n > 0 && n < leastInotify {
		return []said{{Warning, fmt.Sprintf("a user may have %d instances of inotify: where others use them up, edits of manifests are noticed late", n), "set the sysctl fs.inotify.max_user_instances to 128 or more"}}
	}
	return fine("enough instances")
}

func judgeKernelLog(f *Facts) []said {
	if f.KernelLog != nil {
		return []said{{Warning, "cannot be read: kills for memory are counted, but nothing says which process was killed, and at whose limit", f.KernelLog.Error()}}
	}
	return fine("can be read")
}

func judgeClock(f *Facts) []said {
	if f.Year < firstYear {
		return []said{{Warning, fmt.Sprintf("the clock says %d: certificates will not be valid, and CronJobs come at the wrong time", f.Year), "set it; on a box without a clock of its own install a time daemon (apt-get install systemd-timesyncd)"}}
	}
	return fine("is set")
}
