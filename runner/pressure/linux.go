package pressure

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
)

// Linux is this machine, but for its network.
type Linux struct{}

// Memory implements Machine. As the kubelet has it, what is available is all but the working set: what is free, and cached files that
// were not used lately.
func (Linux) Memory() (total, available uint64, err error) {
	text, err := foreign.ReadKernel("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	values := meminfo(text)
	total = values["MemTotal"]
	if total == 0 {
		return 0, 0, errors.New("/proc/meminfo does not tell the machine's memory")
	}
	return total, values["MemFree"] + values["Inactive(file)"], nil
}

// meminfo are the values of /proc/meminfo that have a unit, in bytes (proc_meminfo(5)).
func meminfo(text []byte) map[string]uint64 {
	out := map[string]uint64{}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[2]) != "kB" {
			continue
		}
		if n, err := strconv.ParseUint(string(fields[1]), 10, 54); err == nil {
			out[string(bytes.TrimSuffix(fields[0], []byte(":")))] = n << 10
		}
	}
	return out
}

// Free is the memory that can be used before the kernel takes from cached files, or from programs. It begins with that while some is free
// still: at the low watermark, which together with the high one is twice the least that it keeps, and some thousandths of the memory
// (Documentation/admin-guide/sysctl/vm.rst, min_free_kbytes and watermark_scale_factor).
func (Linux) Free() (uint64, error) {
	text, err := foreign.ReadKernel("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	least, err := foreign.ReadNumber("/proc/sys/vm/min_free_kbytes")
	if err != nil {
		return 0, err
	}
	values := meminfo(text)
	kept := 2*uint64(max(least, 0))<<10 + values["MemTotal"]/256
	return values["MemFree"] - min(values["MemFree"], kept), nil
}

// Disk implements Machine.
func (Linux) Disk(dir string) (Disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Disk{}, fmt.Errorf("%s: %w", dir, err)
	}
	size := uint64(st.Frsize) //nolint:gosec // a size
	return Disk{Size: st.Blocks * size, Available: st.Bavail * size, Files: st.Files, FilesFree: st.Ffree}, nil
}

// Processes implements Machine.
func (Linux) Processes() (count, most uint64, err error) { return host.Tasks() }
