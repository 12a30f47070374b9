// Package namespace makes the namespaces of a pod and pins them by bind mounts, so that they need no process that sleeps
// (a pause container) to stay. They lie in the state directory, which a reboot clears.
package namespace

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/thread"
)

// Namespaces are a pod's pinned namespaces: paths of bind mounts, which keep the namespaces alive without a process.
// An empty path means the host's.
type Namespaces struct {
	Network string `json:"network,omitempty"`
	IPC     string `json:"ipc,omitempty"`
	UTS     string `json:"uts,omitempty"`
	// PID is the process namespace that the pod's containers share; empty where each has its own, or the host's.
	PID string `json:"pid,omitempty"`
	// User is the namespace of users and groups; it owns the others.
	User string `json:"user,omitempty"`
}

// list is every namespace that the pod has of its own: the kernel's name (in /proc/PID/ns) and where it is pinned.
func (ns Namespaces) list() map[string]string {
	out := map[string]string{"net": ns.Network, "ipc": ns.IPC, "uts": ns.UTS, "pid": ns.PID, "user": ns.User}
	maps.DeleteFunc(out, func(_, path string) bool { return path == "" })
	return out
}

// Share says which namespaces a pod has of its own.
type Share struct {
	// HostNetwork: the pod has the host's network and host name, as in Kubernetes.
	HostNetwork bool
	HostIPC     bool
	// Processes: the pod's containers see each other's processes.
	Processes bool
	// Users are the pod's users and groups as the host has them; nil means the host's own.
	Users *specs.LinuxIDMapping
}

// PrepareDir makes dir a place where namespaces can be pinned: the binds must be seen by the shims, and by an outside
// containerd, so dir must be a mount that propagates. In a private mount the runtime would fail later with a message
// that says nothing of mounts. LeaveDir takes the mount away.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	dir, holder, _, err := holders(dir)
	if err != nil {
		return err
	}
	if strings.Contains(holder.Optional, "shared:") {
		return nil // as systemd makes all mounts
	}
	if holder.Mountpoint != dir {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot bind %s onto itself (namespaces are pinned there): %w", dir, err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("cannot make %s a shared mount (namespaces are pinned there): %w", dir, err)
	}
	return nil
}

// LeaveDir takes the mount of PrepareDir away where it is of no use any more: a pod that still has a namespace or a volume mounted
// there keeps it, for the next PrepareDir. A file system that somebody else has mounted at dir stays.
func LeaveDir(dir string) error {
	dir, holder, below, err := holders(dir)
	if err != nil {
		return err
	}
	if holder.Mountpoint != dir || !ontoItself(holder, below) {
		return nil
	}
	// Not detached: where something is mounted below, or open, the kernel says that it is busy.
	switch err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); { //nolint:forbidigo // nothing is mounted in it
	case err == nil, errors.Is(err, unix.EBUSY):
		return nil
	default:
		return fmt.Errorf("cannot unmount %s: %w", dir, err)
	}
}

// holders finds dir as the kernel knows it, the mount that it lies in, and the one that it would lie in if nothing were mounted at dir
// itself.
func holders(dir string) (path string, holder, below *mountinfo.Info, err error) {
	if path, err = filepath.EvalSymlinks(dir); err != nil {
		return "", nil, nil, err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return "", nil, nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	holder, below = &mountinfo.Info{}, &mountinfo.Info{}
	for _, m := range mounts { // of those at one place the last is on top
		if len(m.Mountpoint) >= len(holder.Mountpoint) {
			holder = m
		}
		if m.Mountpoint != path && len(m.Mountpoint) >= len(below.Mountpoint) {
			below = m
		}
	}
	return path, holder, below, nil
}

// ontoItself: the mount shows what its place had before.
func ontoItself(m, below *mountinfo.Info) bool {
	inside, err := filepath.Rel(below.Mountpoint, m.Mountpoint)
	return err == nil && m.Major == below.Major && m.Minor == below.Minor && m.Root == filepath.Join(below.Root, inside)
}

// Pin makes a pod's namespaces and pins them in dir. Where the pod's containers share their processes the namespace's first
// process, FirstProcess, runs from here on.
func Pin(dir, hostname string, share Share) (ns Namespaces, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Namespaces{}, err
	}
	defer func() {
		if err != nil {
			ns, err = Namespaces{}, errors.Join(err, Unpin(dir))
		}
	}()
	ns = Paths(dir, share)
	if share.Users != nil {
		return ns, pinOwned(dir, hostname, ns, share)
	}
	err = thread.Own(func() error { return unshareAndPin(ns, hostname) })
	if err == nil && share.Processes {
		var pid int
		if pid, err = startFirst(dir, unix.CLONE_NEWPID, nil); err == nil {
			err = bind(fmt.Sprintf("/proc/%d/ns/", pid), "pid", ns.PID)
		}
	}
	return ns, err
}

// pinOwned makes a user namespace, and the others as its own: only then root in the pod may set them up. A process of many
// threads cannot make or enter one (user_namespaces(7)), so a child is born into all of them.
func pinOwned(dir, hostname string, ns Namespaces, share Share) error {
	flags := uintptr(unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if share.Processes {
		flags |= unix.CLONE_NEWPID
	}
	pid, err := startFirst(dir, flags, share.Users)
	if err != nil {
		return fmt.Errorf("cannot make a user namespace (hostUsers: false), which the kernel must have and allow (/proc/sys/user/max_user_namespaces): %w", err)
	}
	for name, path := range ns.list() {
		if err := bind(fmt.Sprintf("/proc/%d/ns/", pid), name, path); err != nil {
			return err
		}
	}
	if !share.Processes {
		if err := endFirst(dir); err != nil { // the pins hold the namespaces
			return err
		}
	}
	return thread.Own(func() error {
		for path, kind := range map[string]int{ns.Network: unix.CLONE_NEWNET, ns.UTS: unix.CLONE_NEWUTS} {
			if err := enter(path, kind); err != nil {
				return err
			}
		}
		return nameAndLoopback(hostname)
	})
}

// InNetwork runs f in the network namespace that is pinned at path, on a thread of its own.
func InNetwork(path string, f func() error) error {
	return thread.Own(func() error {
		if err := enter(path, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

func enter(path string, kind int) error {
	f, err := foreign.OpenKernel(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only entered
	if err := unix.Setns(int(f.Fd()), kind); err != nil {
		return fmt.Errorf("cannot enter the pod's namespace %s: %w", filepath.Base(path), err)
	}
	return nil
}

// Paths are where the namespaces of a pod are pinned in dir, whether they are there or not.
func Paths(dir string, share Share) Namespaces {
	ns := Namespaces{}
	if !share.HostIPC {
		ns.IPC = filepath.Join(dir, "ipc")
	}
	if !share.HostNetwork {
		ns.Network, ns.UTS = filepath.Join(dir, "net"), filepath.Join(dir, "uts")
	}
	if share.Processes {
		ns.PID = filepath.Join(dir, "pid")
	}
	if share.Users != nil {
		ns.User = filepath.Join(dir, "user")
	}
	return ns
}

// Pinned finds the namespaces that an earlier run pinned; ok is false when one of them is missing.
func Pinned(dir string, share Share) (ns Namespaces, ok bool) {
	ns = Paths(dir, share)
	for _, path := range ns.list() {
		if !isPinned(path) {
			return Namespaces{}, false
		}
	}
	return ns, ns.PID == "" || FirstProcess(dir) != 0
}

// nsfsMagic is NSFS_MAGIC of linux/magic.h.
const nsfsMagic = 0x6e736673

func isPinned(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == nsfsMagic
}

func unshareAndPin(ns Namespaces, hostname string) error {
	flags := 0
	if ns.IPC != "" {
		flags |= unix.CLONE_NEWIPC
	}
	if ns.Network != "" {
		flags |= unix.CLONE_NEWNET | unix.CLONE_NEWUTS
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("cannot make the pod's namespaces: %w", err)
	}
	if ns.Network != "" {
		if err := nameAndLoopback(hostname); err != nil {
			return err
		}
	}
	for name, path := range ns.list() {
		if name == "pid" {
			continue // it begins with a child
		}
		if err := bind(fmt.Sprintf("/proc/self/task/%d/ns/", unix.Gettid()), name, path); err != nil {
			return err
		}
	}
	return nil
}

// nameAndLoopback sets up this thread's host name and loopback interface.
func nameAndLoopback(hostname string) error {
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("cannot set the pod's host name to %q: %w", hostname, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("cannot bring the pod's loopback interface up: %w", err)
	}
	return nil
}

// bind pins the namespace name of a process, whose namespaces lie in from.
func bind(from, name, path string) error {
	f, err := foreign.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	f.Close() //nolint:errcheck // only a place to mount on
	if err := unix.Mount(from+name, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot pin the pod's %s namespace: %w", name, err)
	}
	return nil
}

// Unpin lets the namespaces of dir go and removes dir. It can be repeated.
func Unpin(dir string) error {
	errs := []error{endFirst(dir)}
	for _, name := range []string{"net", "ipc", "uts", "pid", "user"} {
		path := filepath.Join(dir, name)
		for unix.Unmount(path, unix.MNT_DETACH) == nil { //nolint:forbidigo // a file
			continue // until nothing is mounted there
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			errs = append(errs, err)
		}
	}
	if err := foreign.RemoveAll(dir); err != nil { // a set-up that was cut off leaves files
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
