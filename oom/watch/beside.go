package watch

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/foreign"
)

// beside is what was read at once when the log told of a kill: all of it may be gone a moment later.
type beside struct {
	// cgroup is the process', where the log does not tell it; empty when it is not known.
	cgroup   string
	peak     *int64
	pressure *record.Pressure
}

// SeesAll says whether processes have the numbers here that the kernel's log has (include/linux/proc_ns.h, PROC_PID_INIT_INO).
var SeesAll = sync.OnceValue(func() bool {
	of, err := os.Readlink("/proc/self/ns/pid")
	return err == nil && of == "pid:[4026531836]"
})

// cgroupOf is the memory cgroup of a process that is ending; empty where it is gone, or the kernel no longer tells it, as with cgroup v1
// (kernel/cgroup/cgroup.c, proc_cgroup_show: of zombies only v2 tells).
func cgroupOf(pid int) string {
	text, err := foreign.ReadKernel("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return memoryCgroup(string(text), cgroup.Unified())
}

// memoryCgroup reads /proc/PID/cgroup (cgroups(7)): hierarchy:controllers:path in each line.
func memoryCgroup(text string, unified bool) string {
	for line := range strings.Lines(text) {
		number, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		controllers, of, _ := strings.Cut(rest, ":")
		if unified && number == "0" || !unified && strings.Contains(","+controllers+",", ",memory,") {
			if of = strings.TrimSuffix(of, " (deleted)"); of != "/" {
				return of
			}
		}
	}
	return ""
}

// look reads how much the cgroup that hit its limit has ever used, and the pressure that it is under; of an empty one the machine's.
func look(of string) (b beside) {
	if of == "" {
		b.pressure = pressureIn("/proc/pressure/memory")
		return b
	}
	dir := filepath.Join(cgroup.Mountpoint, path.Clean("/"+of))
	if !cgroup.Unified() {
		dir = filepath.Join(cgroup.Mountpoint, "memory", path.Clean("/"+of))
		b.peak = numberIn(filepath.Join(dir, "memory.max_usage_in_bytes"))
		b.pressure = pressureIn("/proc/pressure/memory") // v1 has none for each
		return b
	}
	b.peak, b.pressure = numberIn(filepath.Join(dir, "memory.peak")), pressureIn(filepath.Join(dir, "memory.pressure"))
	return b
}

func numberIn(path string) *int64 {
	text, err := foreign.ReadKernel(path)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

func pressureIn(path string) *record.Pressure {
	text, err := foreign.ReadKernel(path)
	if err != nil {
		return nil
	}
	return parsePressure(string(text))
}

// parsePressure reads "some avg10=0.12 avg60=..." and "full avg10=..." (Documentation/accounting/psi.rst).
func parsePressure(text string) *record.Pressure {
	var p record.Pressure
	found := false
	for line := range strings.Lines(text) {
		for name, to := range map[string]*float64{"some avg10=": &p.Some, "full avg10=": &p.Full} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				number, _, _ := strings.Cut(rest, " ")
				n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
				if err != nil {
					return nil
				}
				*to, found = n, true
			}
		}
	}
	if !found {
		return nil
	}
	return &p
}
