package monitor

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
)

// machine is what does not change while it runs, and its file systems.
type machine struct {
	booted    time.Time
	constants constants
	owner     *exposition.Owner
	dirs      []directory
	names     map[uint64]string // of block devices
}

// constants are numbers of the machine's parts, and bytes of memory; zero where the machine does not tell.
type constants struct{ processors, cores, sockets, memory, swap float64 }

func newMachine(dirs []string) *machine {
	m := &machine{names: map[uint64]string{}, booted: host.Booted()}
	for _, dir := range dirs {
		m.dirs = append(m.dirs, directory{path: dir})
	}
	memory := readMemory()
	m.constants = constants{processors: float64(runtime.NumCPU()), memory: memory.total, swap: memory.swapTotal}
	if cores, sockets := topology("/sys/devices/system/cpu"); cores > 0 {
		m.constants.cores, m.constants.sockets = float64(cores), float64(sockets)
	}
	boot, err := host.BootID()
	if err != nil {
		slog.Debug("the machine's metrics have no boot_id", "err", err)
	}
	m.owner = exposition.NewOwner("machine",
		"boot_id", boot, "machine_id", host.ID(), "system_uuid", host.SystemUUID(),
	)
	return m
}

// topology counts cores and sockets by what sysfs says of each processor.
func topology(root string) (cores, sockets int) {
	seenCores, seenSockets := map[string]bool{}, map[string]bool{}
	dirs, err := filepath.Glob(filepath.Join(root, "cpu[0-9]*", "topology"))
	if err != nil {
		return 0, 0
	}
	for _, dir := range dirs {
		socket, core := host.Line(filepath.Join(dir, "physical_package_id")), host.Line(filepath.Join(dir, "core_id"))
		seenSockets[socket], seenCores[socket+"/"+core] = true, true
	}
	return len(seenCores), len(seenSockets)
}

// memoryInfo is the machine's memory in bytes: what of it programs could still have is available, what lies idle is free.
type memoryInfo struct{ total, available, free, swapTotal, swapFree float64 }

// readMemory reads /proc/meminfo, which is in KiB.
func readMemory() (m memoryInfo) {
	b, err := foreign.ReadKernel("/proc/meminfo")
	if err != nil {
		return m
	}
	wanted := map[string]*float64{"MemTotal": &m.total, "MemAvailable": &m.available, "MemFree": &m.free, "SwapTotal": &m.swapTotal, "SwapFree": &m.swapFree}
	for l := range bytes.Lines(b) {
		name, rest, _ := bytes.Cut(l, []byte(":"))
		if to := wanted[string(name)]; to != nil {
			v, _, _ := parseUint(bytes.TrimLeft(rest, " "))
			*to = v * 1024
		}
	}
	return m
}

// device is a block device's name, as /dev/vda.
func (m *machine) device(major, minor uint32) string {
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

// fileSystem is one that Solopod's directories lie on.
type fileSystem struct {
	dir, device               string
	capacity, free, available float64 // bytes; available to others than root
	inodes, inodesFree        float64
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

// fileSystems looks at the file systems of the machine's directories, each once. Those that do not answer are left out.
func (m *machine) fileSystems() []fileSystem {
	var out []fileSystem
	seen := map[uint64]bool{}
	for i := range m.dirs {
		d := &m.dirs[i]
		fs, answered := d.look.ask(func() statfs { return lookAt(d.path) })
		if !answered || !fs.ok || seen[fs.device] {
			continue
		}
		seen[fs.device] = true
		size := float64(fs.Bsize)
		out = append(out, fileSystem{
			dir: d.path, device: m.device(unix.Major(fs.device), unix.Minor(fs.device)),
			capacity: float64(fs.Blocks) * size, free: float64(fs.Bfree) * size, available: float64(fs.Bavail) * size,
			inodes: float64(fs.Files), inodesFree: float64(fs.Ffree),
		})
	}
	return out
}
