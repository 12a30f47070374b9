package doctor

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/foreign"
)

// used are the capabilities that Solopod has use for (capabilities(7)).
var used = []struct {
	name string
	bit  uint
}{{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_SYS_RESOURCE", unix.CAP_SYS_RESOURCE}}

func (l *looker) kernel() {
	k := &l.facts.Kernel
	var system unix.Utsname
	if unix.Uname(&system) == nil {
		k.Release = unix.ByteSliceToString(system.Release[:])
		k.Major, k.Minor = release(k.Release)
	}
	for _, kind := range []string{"net", "ipc", "uts", "pid", "mnt", "user"} {
		if _, err := os.Lstat("/proc/self/ns/" + kind); err == nil {
			k.Namespaces = append(k.Namespaces, kind)
		}
	}
	k.UserNamespaces = kernelNumber("/proc/sys/user/max_user_namespaces")
	k.InotifyInstances = kernelNumber("/proc/sys/fs/inotify/max_user_instances")
	k.Seccomp = kernelText("/proc/sys/kernel/seccomp/actions_avail") != ""
	k.Lacking = lacking(kernelText("/proc/self/status"))
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	k.Systemd = err == nil
}

// release are the numbers of a kernel's: 6.12.48+deb13-amd64.
func release(text string) (major, minor int) {
	first, rest, _ := strings.Cut(text, ".")
	second := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	major, err := strconv.Atoi(first)
	if err != nil || len(second) == 0 {
		return 0, 0
	}
	if minor, err = strconv.Atoi(second[0]); err != nil {
		return 0, 0
	}
	return major, minor
}

// lacking are the capabilities that are used and that a process does not have, by its status in /proc.
func lacking(status string) (out []string) {
	for line := range strings.Lines(status) {
		text, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		has, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil {
			return nil
		}
		for _, c := range used {
			if has&(1<<c.bit) == 0 {
				out = append(out, c.name)
			}
		}
	}
	return out
}

// bootFiles are where a Raspberry Pi has the kernel's command line, of newer systems first.
var bootFiles = []string{"/boot/firmware/cmdline.txt", "/boot/cmdline.txt"}

func (l *looker) cgroups() {
	c := &l.facts.Cgroups
	c.Unified = cgroup.Unified()
	if c.Unified {
		c.Controllers = strings.Fields(kernelText("/sys/fs/cgroup/cgroup.controllers"))
	} else {
		_, err := os.Stat("/sys/fs/cgroup/unified/cgroup.controllers")
		c.Hybrid = err == nil
		c.Controllers = enabled([]byte(kernelText("/proc/cgroups")))
	}
	for option := range strings.FieldsSeq(kernelText("/proc/cmdline")) {
		if names, ok := strings.CutPrefix(option, "cgroup_disable="); ok {
			c.Disabled = append(c.Disabled, strings.Split(names, ",")...)
		}
	}
	for _, file := range bootFiles {
		if c.BootFile == "" && l.isThere(file) { // it may be mounted when it is looked at
			c.BootFile = file
		}
	}
	c.Writable = l.do("cgroups", func() error { return tryCgroup(c.Unified, c.Controllers) })
}

// enabled are the controllers of /proc/cgroups that are not switched off and have a hierarchy of version 1 (cgroups(7)).
func enabled(text []byte) (out []string) {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) == 4 && !strings.HasPrefix(fields[0], "#") && fields[1] != "0" && fields[3] == "1" {
			out = append(out, fields[0])
		}
	}
	slices.Sort(out)
	return out
}

// tryCgroup makes a cgroup, where pods' would lie, and removes it.
func tryCgroup(unified bool, controllers []string) error {
	root := cgroup.Mountpoint
	if !unified {
		if len(controllers) == 0 {
			return fmt.Errorf("nothing is mounted at %s", root)
		}
		root = filepath.Join(root, controllers[0])
		for _, name := range controllers { // the pids' one has no demands
			if name == "pids" {
				root = filepath.Join(cgroup.Mountpoint, name)
			}
		}
	}
	if _, err := foreign.FindFollowing(root); err != nil {
		return err
	}
	dir := filepath.Join(root, fmt.Sprintf("solopod-doctor-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return unix.Rmdir(dir)
}
