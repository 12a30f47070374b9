package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// remove ends everything of the box. A test that passed must leave nothing by Solopod's own means: its pods are taken
// away, and what is still there fails it. After a failed test the rest is removed by force.
func (b *box) remove() {
	defer b.removeByForce() // also when a check below ends the test
	defer func() {
		if b.t.Failed() {
			b.t.Logf("the daemon's output:\n%s", tail(b.daemonOutput(), 120))
		}
	}()
	if !b.t.Failed() {
		b.emptyManifests()
	}
	if _, race, found := strings.Cut(b.daemonOutput(), "WARNING: DATA RACE\n"); found { // of a binary built with -race
		report, _, _ := strings.Cut(race, "\n==================")
		b.t.Errorf("the daemon has a data race:\n%s", report)
	}
	if b.daemon != nil {
		if err := b.daemon.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			b.t.Error(err)
		}
		b.daemon.Wait() //nolint:errcheck // it was killed
	}
	if !b.t.Failed() {
		b.eventually("nothing is left behind", func() error { // the keeper sees the daemon's end, and follows
			if left := b.leftovers(); len(left) > 0 {
				return fmt.Errorf("left are:\n%s", strings.Join(left, "\n"))
			}
			return nil
		})
	}
}

func (b *box) removeByForce() {
	if b.daemon != nil && b.daemon.ProcessState == nil {
		b.daemon.Process.Kill() //nolint:errcheck // it may have ended
		b.daemon.Wait()         //nolint:errcheck // it was killed
	}
	b.force()
	if b.containerd != nil {
		b.containerd.Process.Kill() //nolint:errcheck // it may have ended
		b.containerd.Wait()         //nolint:errcheck // it was killed
	}
	b.unmount()
	b.output.Close()
	if err := os.RemoveAll(b.dir); err != nil {
		b.t.Error(err)
	}
}

func (b *box) emptyManifests() {
	// A test may have made the directory unusable.
	if err := os.MkdirAll(b.path("manifests"), 0o755); err != nil {
		b.t.Error(err)
	}
	os.Chmod(b.path("manifests"), 0o755) //nolint:errcheck // the check below tells
	entries, err := os.ReadDir(b.path("manifests"))
	if err != nil {
		b.t.Error(err)
	}
	// Pods outlive a directory that is emptied as a whole, for a while.
	b.writeFile("manifests/kept.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\n")
	for _, e := range entries {
		if err := os.RemoveAll(b.path("manifests/" + e.Name())); err != nil {
			b.t.Error(err)
		}
	}
	if b.daemon == nil {
		b.start()
	}
	b.eventually("all pods are gone", func() error {
		var list v1.PodList
		if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
			return err
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("%d pods are left, the first is %s", len(list.Items), list.Items[0].Name)
		}
		if left := append(b.interfaces(), b.tables()...); len(left) > 0 { // of services, which are taken away beside their pods
			return fmt.Errorf("of the machine's network there are still %q", left)
		}
		for _, m := range b.mounts() { // a daemon that is killed in the middle of an import leaves them to the next one
			if strings.HasPrefix(m, b.path("state/tmp")) {
				return fmt.Errorf("an image is being unpacked in %s", m)
			}
		}
		return nil
	})
}

// leftovers lists what no pod should leave: mounts, cgroups, interfaces, firewall tables, processes, files.
func (b *box) leftovers() []string {
	var left []string
	for _, m := range b.mounts() {
		if m != b.path("state/pods") && !slices.Contains(b.disks, m) && !strings.HasPrefix(m, b.path("containerd-")) {
			left = append(left, "mount "+m)
		}
	}
	for _, c := range b.cgroups() {
		left = append(left, "cgroup "+c)
	}
	for _, name := range b.interfaces() {
		left = append(left, "interface "+name)
	}
	for _, name := range b.tables() {
		left = append(left, "firewall table "+name)
	}
	for _, pid := range b.processes() {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil {
			left = append(left, fmt.Sprintf("process %d %s, %s", pid, bytes.ReplaceAll(cmdline, []byte{0}, []byte(" ")), whence(pid)))
		}
	}
	for _, pattern := range []string{"root/pods/*", "state/pods/*", "log/pods/*", "log/containers/*"} {
		matches, err := filepath.Glob(b.path(pattern))
		if err != nil {
			left = append(left, err.Error())
		}
		left = append(left, matches...)
	}
	return left
}

func (b *box) mounts() []string {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		b.t.Error(err)
	}
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], b.dir+"/") {
			out = append(out, f[1])
		}
	}
	return out
}

func (b *box) unmount() {
	for {
		mounts := b.mounts()
		if len(mounts) == 0 {
			return
		}
		if err := unix.Unmount(mounts[len(mounts)-1], unix.MNT_DETACH); err != nil {
			b.t.Errorf("cannot unmount %s: %v", mounts[len(mounts)-1], err)
			return
		}
	}
}

// interfaces finds this daemon's bridge: its name is derived from the state directory.
func (b *box) interfaces() []string {
	links, err := netlink.LinkList()
	for try := 0; try < 100 && errors.Is(err, netlink.ErrDumpInterrupted); try++ { // other tests make links, too
		links, err = netlink.LinkList()
	}
	if err != nil {
		b.t.Error(err)
		return nil
	}
	var out []string
	for _, l := range links {
		if name := l.Attrs().Name; name == b.bridge() || name == b.serviceLink() {
			out = append(out, name)
		}
	}
	return out
}

// processes of the box: shims, the keeper and the server of names know its directory, containers its cgroup.
func (b *box) processes() []int {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.t.Error(err)
	}
	var out []int
	for _, dir := range entries {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || b.containerd != nil && pid == b.containerd.Process.Pid {
			continue
		}
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		cgroup, _ := os.ReadFile(dir + "/cgroup")
		if bytes.Contains(cmdline, []byte(b.dir+"/")) && bytes.Contains(cmdline, []byte("shim")) ||
			bytes.HasSuffix(cmdline, []byte("keep\x00"+b.path("state")+"\x00")) || bytes.HasSuffix(cmdline, []byte("names\x00"+b.path("state")+"\x00")) || bytes.Contains(cgroup, []byte(b.cgroupRoot()+"/")) {
			out = append(out, pid)
		}
	}
	return out
}

// tables are those of nftables that are the box's, with their families.
func (b *box) tables() (out []string) {
	list, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		b.t.Errorf("nft list tables: %v", err)
	}
	for line := range strings.Lines(string(list)) {
		family, name, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "table "), " ")
		if of, _, _ := strings.Cut(strings.TrimPrefix(name, "solopod-"), "-"); "solopod-"+of == b.bridge() {
			out = append(out, family+" "+name)
		}
	}
	return out
}

// whence says in which cgroups a process is, and what the kernel tells of it.
func whence(pid int) string {
	cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // both may be gone
	return fmt.Sprintf("in %q: %s", cgroup, stat)
}

// force ends processes and removes what a failed test has left.
func (b *box) force() {
	for range 50 { // what is killed may just have begun another
		pids := b.processes()
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		}
		if len(pids) == 0 {
			break
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 20_000_000}, nil) //nolint:errcheck // a killed process takes a moment
	}
	for _, name := range b.interfaces() {
		if link, err := netlink.LinkByName(name); err == nil {
			netlink.LinkDel(link) //nolint:errcheck // gone is gone
		}
	}
	for _, table := range b.tables() {
		exec.Command("nft", "delete table "+table).Run() //nolint:errcheck // gone is gone
	}
	b.unmount()
	b.stopSlices()
	for _, c := range backwards(b.cgroups()) {
		for range 50 {
			if err := os.Remove(c); err == nil || os.IsNotExist(err) {
				break
			}
			unix.Nanosleep(&unix.Timespec{Nsec: 20_000_000}, nil) //nolint:errcheck // killed processes take a moment
		}
	}
}

func backwards(list []string) []string {
	var out []string
	for i := len(list) - 1; i >= 0; i-- {
		out = append(out, list[i])
	}
	return out
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// bridge is the name that Solopod derives from the state directory (FNV-1a, 24 bits).
func (b *box) bridge() string { return instanceOf(b.path("state")) }

// serviceLink is the name of the link that belongs to the bridge's name.
func (b *box) serviceLink() string { return fmt.Sprintf("svc%08x", hash(b.bridge())) }

// instanceOf is the name that a daemon with this state directory gives to its bridge, its tables and its cgroup.
func instanceOf(state string) string { return fmt.Sprintf("solopod-%06x", hash(state)&0xffffff) }

func hash(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}
