// Package machine reads what is told of the machine as a whole: its parts, its memory, its tasks, its file systems and their disks, and
// which of its network interfaces are pods'. It reads when it is asked.
package machine

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
)

// Machine is what does not change while it runs, and its file systems. One question is asked at a time.
type Machine struct {
	Booted time.Time
	Parts  Parts
	// BootID, ID and SystemUUID name it.
	BootID, ID, SystemUUID string

	dirs  []directory
	names map[uint64]string // of block devices
	links links
}

// New makes a Machine. dirs are directories whose file systems count as the machine's.
func New(dirs []string) *Machine {
	m := &Machine{names: map[uint64]string{}, Booted: host.Booted(), ID: host.ID(), SystemUUID: host.SystemUUID(), links: links{root: "/sys/class/net"}}
	for _, dir := range dirs {
		m.dirs = append(m.dirs, directory{path: dir})
	}
	m.Parts = readParts("/sys/devices/system")
	boot, err := host.BootID()
	if err != nil {
		slog.Debug("the machine's metrics have no boot_id", "err", err)
	}
	m.BootID = boot
	return m
}

// Memory is the machine's memory in bytes: what of it programs could still have is available, what lies idle is free.
type Memory struct{ Total, Available, Free, SwapTotal, SwapFree float64 }

// ReadMemory reads /proc/meminfo, which is in KiB.
func ReadMemory() (m Memory) {
	b, err := foreign.ReadKernel("/proc/meminfo")
	if err != nil {
		return m
	}
	wanted := map[string]*float64{"MemTotal": &m.Total, "MemAvailable": &m.Available, "MemFree": &m.Free, "SwapTotal": &m.SwapTotal, "SwapFree": &m.SwapFree}
	for l := range bytes.Lines(b) {
		name, rest, _ := bytes.Cut(l, []byte(":"))
		if to := wanted[string(name)]; to != nil {
			*to = number(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB")) * 1024
		}
	}
	return m
}

// number reads a whole number; zero when there is none.
func number(text string) float64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return float64(n)
}

// Device is a block device's name, as /dev/vda.
func (m *Machine) Device(major, minor uint32) string {
	id := unix.Mkdev(major, minor)
	name, ok := m.names[id]
	if !ok {
		name = fmt.Sprintf("%d:%d", major, minor)
		text := host.Line("/sys/dev/block/" + name + "/uevent")
		for l := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(l, "DEVNAME="); ok {
				name = "/dev/" + strings.TrimSpace(rest)
			}
		}
		m.names[id] = name
	}
	return name
}

// FileSystem is one that Solopod's directories lie on.
type FileSystem struct {
	Device                    string
	Capacity, Free, Available float64 // bytes; available to others than root
	Inodes, InodesFree        float64
}

// directory is one of Solopod's, on some file system, which may not answer.
type directory struct {
	path string
	look aside[statfs]
}

// statfs is what a file system says of itself, and the device that it is on.
type statfs struct {
	device uint64
	unix.Statfs_t
	ok bool
}

func lookAt(path string) (out statfs) {
	var st unix.Stat_t
	out.ok = unix.Stat(path, &st) == nil && unix.Statfs(path, &out.Statfs_t) == nil
	out.device = st.Dev
	return out
}

// FileSystems looks at the file systems of the machine's directories, each once. Those that do not answer are left out.
func (m *Machine) FileSystems() []FileSystem {
	var out []FileSystem
	seen := map[uint64]bool{}
	for i := range m.dirs {
		d := &m.dirs[i]
		fs, answered := d.look.ask(func() statfs { return lookAt(d.path) })
		if !answered || !fs.ok || seen[fs.device] {
			continue
		}
		seen[fs.device] = true
		size := float64(fs.Frsize)
		out = append(out, FileSystem{
			Device:   m.Device(unix.Major(fs.device), unix.Minor(fs.device)),
			Capacity: float64(fs.Blocks) * size, Free: float64(fs.Bfree) * size, Available: float64(fs.Bavail) * size,
			Inodes: float64(fs.Files), InodesFree: float64(fs.Ffree),
		})
	}
	return out
}
