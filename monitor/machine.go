package monitor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what does not change while it runs, and its file systems.
type machine struct {
	booted time.Time
	// constants are the machine_* families.
	constants map[string]float64
	owner     *owner
	dirs      []string
	names     map[uint64]string // of block devices
}

func newMachine(dirs []string) *machine {
	m := &machine{dirs: dirs, names: map[uint64]string{}, booted: bootTime()}
	total, _, _ := memoryInfo()
	m.constants = map[string]float64{"machine_cpu_cores": float64(runtime.NumCPU()), "machine_memory_bytes": total, "machine_swap_bytes": memInfo("SwapTotal")}
	if cores, sockets := topology("/sys/devices/system/cpu"); cores > 0 {
		m.constants["machine_cpu_physical_cores"], m.constants["machine_cpu_sockets"] = float64(cores), float64(sockets)
	}
	m.owner = &owner{key: "machine", labels: []string{
		"boot_id", line("/proc/sys/kernel/random/boot_id"), "machine_id", line("/etc/machine-id"), "system_uuid", line("/sys/class/dmi/id/product_uuid"),
	}}
	return m
}

// line is the content of a small file, or empty.
func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func bootTime() time.Time {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return time.Now()
	}
	return time.Now().Add(-time.Duration(info.Uptime) * time.Second).Truncate(time.Second)
}

// topology counts cores and sockets by what sysfs says of each processor.
func topology(root string) (cores, sockets int) {
	seenCores, seenSockets := map[string]bool{}, map[string]bool{}
	dirs, err := filepath.Glob(filepath.Join(root, "cpu[0-9]*", "topology"))
	if err != nil {
		return 0, 0
	}
	for _, dir := range dirs {
		socket, core := line(filepath.Join(dir, "physical_package_id")), line(filepath.Join(dir, "core_id"))
		seenSockets[socket], seenCores[socket+"/"+core] = true, true
	}
	return len(seenCores), len(seenSockets)
}

// memoryInfo is the machine's memory, what of it programs could still have, and what lies idle, in bytes.
func memoryInfo() (total, available, free float64) {
	return memInfo("MemTotal"), memInfo("MemAvailable"), memInfo("MemFree")
}

// memInfo reads a line of /proc/meminfo, which is in KiB, in bytes.
func memInfo(name string) float64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for len(b) > 0 {
		var l []byte
		l, b = cutLine(b)
		if rest, ok := bytes.CutPrefix(l, []byte(name+":")); ok {
			v, _, _ := parseUint(bytes.TrimLeft(rest, " "))
			return v * 1024
		}
	}
	return 0
}

// device is a block device's name, as /dev/vda.
func (m *machine) device(major, minor uint32) string {
	id := unix.Mkdev(major, minor)
	name, ok := m.names[id]
	if !ok {
		name = fmt.Sprintf("%d:%d", major, minor)
		text := line("/sys/dev/block/" + name + "/uevent")
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

// diskNames are the devices that the machine's file systems are on.
func (m *machine) diskNames() []string {
	var out []string
	for _, f := range m.fileSystems() {
		out = append(out, f.device)
	}
	return out
}

// fileSystems looks at the file systems of the machine's directories, each once.
func (m *machine) fileSystems() []fileSystem {
	var out []fileSystem
	seen := map[uint64]bool{}
	for _, dir := range m.dirs {
		var st unix.Stat_t
		var fs unix.Statfs_t
		if unix.Stat(dir, &st) != nil || seen[st.Dev] || unix.Statfs(dir, &fs) != nil {
			continue
		}
		seen[st.Dev] = true
		size := float64(fs.Bsize)
		out = append(out, fileSystem{
			dir: dir, device: m.device(unix.Major(st.Dev), unix.Minor(st.Dev)),
			capacity: float64(fs.Blocks) * size, free: float64(fs.Bfree) * size, available: float64(fs.Bavail) * size,
			inodes: float64(fs.Files), inodesFree: float64(fs.Ffree),
		})
	}
	return out
}
