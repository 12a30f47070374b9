package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
)

// box is a machine that has everything.
func box() *Facts {
	return &Facts{
		Config: Config{
			Runtimes: []string{"runc"}, Root: "/root-dir", State: "/state-dir", Logs: "/logs", CNIBinDirs: []string{"/cni"}, CNIConfDir: "/conf",
			Companions: map[string]string{"containerd-shim-runc-v2": "/bin/shim", "solopod-keep": "/bin/keep"},
		},
		Runtimes: []Runtime{{Name: "runc", Path: "/usr/sbin/runc", Program: "runc", Version: "1.3.6", Features: &Features{IDMap: true, Seccomp: true}}},
		Cgroups:  Cgroups{Unified: true, Controllers: []string{"cpuset", "cpu", "io", "memory", "pids"}},
		Kernel: Kernel{
			Release: "6.12.48+deb13-amd64", Major: 6, Minor: 12, Namespaces: []string{"net", "ipc", "uts", "pid", "mnt", "user"}, UserNamespaces: 100,
			Seccomp: true, InotifyInstances: 128, Systemd: true,
		},
		Writable: map[string]error{"/root-dir": nil, "/state-dir": nil, "/logs": nil}, AppArmor: true, Parser: "/sbin/apparmor_parser", Year: 2026,
	}
}

func TestJudge(t *testing.T) {
	for _, r := range Judge(box()) {
		if r.Verdict != OK || r.Found == "" || r.Advice != "" {
			t.Errorf("a machine that has everything: %+v", r)
		}
	}
	v1 := func(f *Facts) {
		f.Cgroups = Cgroups{Controllers: []string{"cpu", "cpuset", "devices", "freezer", "memory", "pids"}}
	}
	without := func(f *Facts, name string) {
		var left []string
		for _, c := range f.Cgroups.Controllers {
			if c != name {
				left = append(left, c)
			}
		}
		f.Cgroups.Controllers = left
	}
	for name, c := range map[string]struct {
		change  func(*Facts)
		check   string
		verdict Verdict
		found   string
		advice  string
	}{
		"no rights":  {func(f *Facts) { f.Kernel.Lacking = []string{"CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"} }, "root", Missing, "no pod can run", "run it as root"},
		"few rights": {func(f *Facts) { f.Kernel.Lacking = []string{"CAP_SYS_RESOURCE"} }, "root", Warning, "CAP_SYS_RESOURCE", "leave the capability"},
		"no runtime": {func(f *Facts) {
			f.Runtimes[0] = Runtime{Name: "runc", Err: &exec.Error{Name: "runc", Err: exec.ErrNotFound}}
		}, "runtime", Missing, "there is no runc", "apt-get install runc"},
		"a path without one": {func(f *Facts) { f.Runtimes[0] = Runtime{Name: "/opt/runc", Err: fs.ErrNotExist} }, "runtime", Missing, "there is no /opt/runc", "--runtime"},
		"a broken runtime":   {func(f *Facts) { f.Runtimes[0].Err = errors.New("exec format error") }, "runtime", Missing, "exec format error", "replace it"},
		"an old runtime":     {func(f *Facts) { f.Runtimes[0].Version = "1.0.0~rc93+ds1" }, "runtime", Warning, "older", "1.1 or later"},
		"one that is silent": {func(f *Facts) { f.Runtimes[0].Features = nil }, "runtime", Warning, "does not say", "update"},
		"without id maps":    {func(f *Facts) { f.Runtimes[0].Features.IDMap = false }, "runtime", OK, "hostUsers: false", ""},
		"without seccomp":    {func(f *Facts) { f.Runtimes[0].Features.Seccomp = false }, "runtime", Warning, "without seccomp", "build"},
		"another runtime": {func(f *Facts) {
			f.Runtimes[0] = Runtime{Name: "youki", Path: "/usr/bin/youki", Program: "youki", Version: "0.5"}
		}, "runtime", OK, "youki 0.5 (/usr/bin/youki)", ""},
		"no runtime at all":   {func(f *Facts) { f.Runtimes[0] = Runtime{Name: "/bin/true", Path: "/bin/true"} }, "runtime", Warning, "/bin/true does not say which", "is one"},
		"crun on a hybrid":    {func(f *Facts) { v1(f); f.Cgroups.Hybrid, f.Runtimes[0].Program = true, "crun" }, "runtime", Missing, "refuses", "--runtime runc"},
		"containerd is away":  {func(f *Facts) { f.Config.Containerd, f.Containerd = "/c.sock", errors.New("connection refused") }, "containerd", Missing, "/c.sock does not answer: connection refused", "systemctl start"},
		"containerd is there": {func(f *Facts) { f.Config.Containerd = "/c.sock" }, "containerd", OK, "/c.sock", ""},
		"no shim":             {func(f *Facts) { f.Config.Companions["containerd-shim-runc-v2"] = "" }, "programs", Missing, "containerd-shim-runc-v2", "make build"},
		"no shim is needed":   {func(f *Facts) { f.Config.Companions["containerd-shim-runc-v2"], f.Config.Containerd = "", "/c.sock" }, "programs", OK, "", ""},
		"an ancient kernel":   {func(f *Facts) { f.Kernel.Release, f.Kernel.Major, f.Kernel.Minor = "4.9.0", 4, 9 }, "kernel", Missing, "4.9.0 is too old", "Linux 4.19"},
		"an old kernel":       {func(f *Facts) { f.Kernel.Release, f.Kernel.Major, f.Kernel.Minor = "5.10.0", 5, 10 }, "kernel", Warning, "5.10.0", "Linux 5.12"},
		"an unknown kernel":   {func(f *Facts) { f.Kernel.Major = 0 }, "kernel", Warning, "does not tell", ""},
		"no pid namespaces":   {func(f *Facts) { f.Kernel.Namespaces = []string{"net", "ipc", "uts", "mnt", "user"} }, "namespaces", Missing, "kinds pid", "CONFIG_NAMESPACES"},
		"no user namespaces":  {func(f *Facts) { f.Kernel.UserNamespaces = 0 }, "namespaces", Warning, "hostUsers: false", "user.max_user_namespaces"},
		"a Raspberry Pi": {func(f *Facts) {
			without(f, "memory")
			f.Cgroups.Disabled, f.Cgroups.BootFile = []string{"memory"}, "/boot/firmware/cmdline.txt"
		}, "cgroups", Missing, "no controller memory", "add cgroup_enable=memory to the line in /boot/firmware/cmdline.txt"},
		"memory is switched off": {func(f *Facts) { without(f, "memory"); f.Cgroups.Disabled = []string{"memory"} }, "cgroups", Missing, "memory limits do not hold", "cgroup_disable=memory"},
		"no pids":                {func(f *Facts) { without(f, "pids") }, "cgroups", Warning, "podPidsLimit", "delegated"},
		"no devices":             {func(f *Facts) { v1(f); without(f, "devices") }, "cgroups", Warning, "kept from devices", "kernel"},
		"v1":                     {v1, "cgroups", OK, "version 1, with cpu", ""},
		"no cgroups":             {func(f *Facts) { f.Cgroups.Writable = errors.New("read-only file system") }, "cgroups", Missing, "read-only", "writable"},
		"no systemd":             {func(f *Facts) { f.Config.SystemdCgroups, f.Kernel.Systemd = true, false }, "cgroups", Missing, "systemd does not run", "cgroupfs"},
		"no overlayfs":           {func(f *Facts) { f.Overlay = unix.ENODEV }, "overlayfs", Missing, "no such device", "modprobe overlay"},
		"private mounts":         {func(f *Facts) { f.Shared = unix.EPERM }, "mounts", Missing, "/state-dir cannot be shared", "make-rshared"},
		"no nftables":            {func(f *Facts) { f.Nftables = errors.New("protocol not supported") }, "nftables", Missing, "protocol not supported", "modprobe nf_tables"},
		"a CNI network":          {func(f *Facts) { f.Networks.Name = "lan" }, "network", OK, "the CNI network lan", ""},
		"without its plugins":    {func(f *Facts) { f.Networks = CNI{Name: "lan", Lost: []string{"bridge"}} }, "network", Missing, "nowhere in /cni: bridge", "containernetworking-plugins"},
		"a bad configuration":    {func(f *Facts) { f.Networks.Err = errors.New("no JSON") }, "network", Missing, "no JSON", "/conf"},
		"a read-only root":       {func(f *Facts) { f.Writable["/root-dir"] = unix.EROFS }, "directories", Missing, "/root-dir cannot be written: read-only", "another"},
		"overlayfs not tried":    {func(f *Facts) { f.Writable["/root-dir"] = unix.EROFS }, "overlayfs", Warning, "not tried", "directories"},
		"mounts not tried":       {func(f *Facts) { f.Writable["/state-dir"] = unix.EROFS }, "mounts", Warning, "not tried", "directories"},
		"a state on a disk":      {func(f *Facts) { f.StateOnDisk = true }, "directories", Warning, "/state-dir is on a disk", "tmpfs"},
		"no seccomp":             {func(f *Facts) { f.Kernel.Seccomp = false }, "seccomp", Warning, "filter", "CONFIG_SECCOMP_FILTER"},
		"no apparmor":            {func(f *Facts) { f.AppArmor = false }, "apparmor", OK, "not enabled", ""},
		"no parser":              {func(f *Facts) { f.Parser = "" }, "apparmor", Warning, "apparmor_parser", "apt-get install apparmor"},
		"little inotify":         {func(f *Facts) { f.Kernel.InotifyInstances = 8 }, "inotify", Warning, "8 instances", "fs.inotify.max_user_instances"},
		"no kernel log":          {func(f *Facts) { f.KernelLog = errors.New("give it CAP_SYSLOG") }, "kernel-log", Warning, "whose limit", "give it CAP_SYSLOG"},
		"a clock that stopped":   {func(f *Facts) { f.Year = 1970 }, "clock", Warning, "1970", "time daemon"},
	} {
		f := box()
		c.change(f)
		ok := false
		for _, r := range Judge(f) {
			ok = ok || r.Check == c.check && r.Verdict == c.verdict && strings.Contains(r.Found, c.found) && strings.Contains(r.Advice, c.advice) && (r.Advice == "") == (c.advice == "")
		}
		if !ok {
			t.Errorf("%s: %+v", name, Judge(f))
		}
	}
}

// What programs and files of others say is bounded, and of one line.
func TestOneLine(t *testing.T) {
	f := box()
	f.Networks.Err = errors.New(strings.Repeat("a\nb", 10000))
	for _, r := range Judge(f) {
		if strings.ContainsAny(r.Found+r.Advice, "\n\r\t") || len(r.Found) > maxLine+10 {
			t.Errorf("%q", r.Found)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string][2]int{"6.12.48+deb13-amd64": {6, 12}, "4.19": {4, 19}, "5.10-rc1": {5, 10}, "": {}, "x.y": {}, "6": {}, "6.x": {}} {
		if major, minor := release(text); [2]int{major, minor} != want {
			t.Errorf("%q: %d.%d", text, major, minor)
		}
	}
	if got := lacking("Name:\tx\nCapEff:\t000001fffeffffff\n"); !reflect.DeepEqual(got, []string{"CAP_SYS_RESOURCE"}) {
		t.Error(got)
	}
	if got := lacking("CapEff:\t0000000000000000\n"); len(got) != len(used) {
		t.Error(got)
	}
	for _, text := range []string{"", "CapEff:\tx\n"} {
		if got := lacking(text); got != nil {
			t.Errorf("%q: %q", text, got)
		}
	}
	table := "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t3\t1\t1\nmemory\t0\t1\t0\npids\t5\t1\t1\ncpu\t0\t9\t1\nbad line\n"
	if got := enabled([]byte(table)); !reflect.DeepEqual(got, []string{"cpuset", "pids"}) {
		t.Error(got)
	}
	runc := `{"ociVersionMin":"1.0.0","ociVersionMax":"1.2.0","linux":{"seccomp":{"enabled":true},"apparmor":{"enabled":true},"mountExtensions":{"idmap":{"enabled":true}}}}`
	if got := parseFeatures([]byte(runc)); got == nil || *got != (Features{true, true, true}) {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "{}", "null", "[]", "usage: runc"} {
		if got := parseFeatures([]byte(text)); got != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

var nothing = Probe{
	Nftables: func() error { return nil }, CNI: func() (string, []string, error) { return "", nil, nil }, AppArmor: func() (bool, string) { return false, "" },
}

// script makes a runtime of a test's.
func script(t *testing.T, dir, name, script string) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// This machine runs pods in the tests, so it has what they need.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	c := Config{Runtimes: []string{"runc"}, Root: dir + "/root", State: dir, Logs: dir + "/not/there/yet", CNIConfDir: dir}
	f := Look(context.Background(), c, nothing)
	if missing := Judge(f).Missing(); len(missing) > 0 {
		t.Errorf("%+v", missing)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	bin := t.TempDir()
	plugin := script(t, bin, "here", "")
	lost := filepath.Join(dir, "lost")
	if err := os.WriteFile(lost, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.Runtimes = []string{
		script(t, dir, "flood", "yes"), script(t, dir, "quiet", "exit 0"), script(t, dir, "fails", "exit 3"), "no-such-runtime", plugin + "/x", lost,
	}
	c.Containerd, c.CNIBinDirs, c.Logs = dir+"/none.sock", []string{bin}, plugin
	p := nothing
	p.CNI = func() (string, []string, error) { return "lan", []string{"here", "away"}, nil }
	f = Look(context.Background(), c, p)
	for i, failed := range []bool{true, false, true, true, true, true} {
		if (f.Runtimes[i].Err != nil) != failed {
			t.Errorf("%+v", f.Runtimes[i])
		}
	}
	for i, says := range map[int]string{0: "too much", 2: "exit status 3", 3: "not found", 5: "interpreter"} {
		if got := fmt.Sprint(f.Runtimes[i].Err); !strings.Contains(got, says) {
			t.Errorf("%s: %s, not %q", f.Runtimes[i].Name, got, says)
		}
	}
	if f.Containerd == nil || !reflect.DeepEqual(f.Networks, CNI{Name: "lan", Lost: []string{"away"}}) || f.Writable[plugin] == nil {
		t.Errorf("%+v", f)
	}
}

// A runtime or a probe that hangs is told, and holds nothing up for longer than its limit and a moment.
func TestHanging(t *testing.T) {
	dir := t.TempDir()
	ended := make(chan struct{})
	defer close(ended)
	p := nothing
	p.Nftables = func() error { <-ended; return nil }
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	f := Look(ctx, Config{Runtimes: []string{script(t, dir, "hangs", "sleep 1000 & echo $! >"+dir+"/child; wait")}, Root: dir, State: dir, Logs: dir, CNIConfDir: dir}, p)
	if f.Runtimes[0].Err == nil || f.Nftables == nil {
		t.Errorf("%+v, %v", f.Runtimes, f.Nftables)
	}
	child, err := os.ReadFile(dir + "/child")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(child)))
	if err != nil {
		t.Fatal(err)
	}
	// What the runtime had started ends with it; whose it is then may take a moment to bury it.
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		defer unix.Close(fd)
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); n != 1 {
			t.Fatalf("what the runtime had started runs on (%v)", err)
		}
	} else if !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*lookLimit+5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := fmt.Sprint(f.Runtimes[0].Err); !strings.Contains(got, "does not answer") {
		t.Error(got)
	}
}

// A directory of plugins that does not answer, as one of the network, holds nobody up: what should be there counts as lost.
func TestStuckPlugins(t *testing.T) {
	dir := t.TempDir()
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	stuck.FileSystem(t, plugins)
	p := nothing
	p.CNI = func() (string, []string, error) { return "lan", []string{"bridge", "portmap"}, nil }
	looked := make(chan *Facts, 1)
	go func() {
		looked <- Look(context.Background(), Config{Root: dir, State: dir, Logs: dir, CNIConfDir: dir, CNIBinDirs: []string{plugins}}, p)
	}()
	select {
	case f := <-looked:
		if want := (CNI{Name: "lan", Lost: []string{"bridge", "portmap"}}); !reflect.DeepEqual(f.Networks, want) {
			t.Errorf("it says %+v, not %+v", f.Networks, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("the look waits for the directory")
	}
}

// What is tried leaves nothing, also when the process that tries it is killed: mounts are nobody else's, and directories go the next time.
func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	others := []string{fmt.Sprintf("%s%d-1", made, os.Getpid()), made + "x", "pods"}
	for _, name := range append(others, made+"4999999-1") { // above all numbers of processes
		if err := os.MkdirAll(filepath.Join(dir, name, "upper"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	err := within(dir, apart(func(dir string) error {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		here, err := os.ReadFile("/proc/thread-self/mounts")
		everywhere, err2 := os.ReadFile("/proc/self/mounts")
		if !strings.Contains(string(here), dir) || strings.Contains(string(everywhere), dir) {
			t.Error("a mount is not there, or is seen by others")
		}
		return errors.Join(err, err2)
	}))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(others) {
		t.Errorf("there are %v, %v", entries, err)
	}
}
