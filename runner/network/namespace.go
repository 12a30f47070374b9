package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespaces are a pod's pinned namespaces: paths of bind mounts, which keep the namespaces alive without a process.
// An empty path means the host's.
type Namespaces struct {
	Network string `json:"network,omitempty"`
	IPC     string `json:"ipc,omitempty"`
	UTS     string `json:"uts,omitempty"`
	// PID is the process namespace that the pod's containers share; empty where each has its own, or the host's.
	PID string `json:"pid,omitempty"`
}

// Share says which namespaces a pod has of its own.
type Share struct {
	// HostNetwork: the pod has the host's network and host name, as in Kubernetes.
	HostNetwork bool
	HostIPC     bool
	// Processes: the pod's containers see each other's processes.
	Processes bool
}

// PrepareDir makes dir a place where namespaces can be pinned: the binds must be seen by the shims, and by an outside
// containerd, so dir must be a mount that propagates. In a private mount the runtime would fail later with a message
// that says nothing of mounts.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(dir))
	if err != nil {
		return fmt.Errorf("cannot read the mounts: %w", err)
	}
	holder := &mountinfo.Info{}
	for _, m := range mounts {
		if len(m.Mountpoint) >= len(holder.Mountpoint) { // of those at one place the last is on top
			holder = m
		}
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

// Pin makes a pod's namespaces and pins them in dir; a shared process namespace is made by PinProcesses.
func Pin(dir, hostname string, share Share) (Namespaces, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return Namespaces{}, err
	}
	ns := paths(dir, share)
	ns.PID = ""
	result := make(chan error, 1)
	go func() {
		// The thread has other namespaces now. It is never unlocked, so the Go runtime ends it with the goroutine.
		runtime.LockOSThread()
		result <- unshareAndPin(ns, hostname)
	}()
	if err := <-result; err != nil {
		return Namespaces{}, errors.Join(err, Unpin(dir))
	}
	return ns, nil
}

func paths(dir string, share Share) Namespaces {
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
	return ns
}

// Pinned finds the namespaces that an earlier run pinned; ok is false when one of them is missing.
func Pinned(dir string, share Share) (ns Namespaces, ok bool) {
	ns = paths(dir, share)
	for _, path := range []string{ns.Network, ns.IPC, ns.UTS, ns.PID} {
		if path != "" && !isPinned(path) {
			return Namespaces{}, false
		}
	}
	return ns, ns.PID == "" || InitLives(dir)
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
	}
	self := fmt.Sprintf("/proc/self/task/%d/ns/", unix.Gettid())
	for name, path := range map[string]string{"net": ns.Network, "ipc": ns.IPC, "uts": ns.UTS} {
		if path == "" {
			continue
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
		if err != nil {
			return err
		}
		f.Close() //nolint:errcheck // only a place to mount on
		if err := unix.Mount(self+name, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot pin the pod's %s namespace: %w", name, err)
		}
	}
	return nil
}

// Unpin lets the namespaces of dir go and removes dir. It can be repeated.
func Unpin(dir string) error {
	errs := []error{endInit(dir)}
	for _, name := range []string{"net", "ipc", "uts", "pid"} {
		path := filepath.Join(dir, name)
		for unix.Unmount(path, unix.MNT_DETACH) == nil {
			continue // until nothing is mounted there
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			errs = append(errs, err)
		}
	}
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
