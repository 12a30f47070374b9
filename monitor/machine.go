package monitor

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/host"
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
	m := &machine{dirs: dirs, names: map[uint64]string{}, booted: host.Booted()}
	memory := readMemory()
	m.constants = map[string]float64{"machine_cpu_cores": float64(runtime.NumCPU()), "machine_memory_bytes": memory.total, "machine_swap_bytes": memory.swapTotal}
	if cores, sockets := topology("/sys/devices/system/cpu"); cores > 0 {
		m.constants["machine_cpu_physical_cores"], m.constants["machine_cpu_sockets"] = float64(cores), float64(sockets)
	}
	boot, err := host.BootID()
	if err != nil {
		slog.Debug("the machine's metrics have no boot_id", "err", err)
	}
	m.owner = &owner{key: "machine", labels: []string{
		"boot_id", boot, "machine_id", host.ID(), "system_uuid", host.SystemUUID(),
	}}
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
	b, err := os.ReadFile("/proc/meminfo")
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
