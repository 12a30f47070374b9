package monitor

import (
	"bufio"
	"bytes"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3"
)

const mountpoint = "/sys/fs/cgroup"

// Stats are what the kernel counts for one cgroup. A value that this kernel does not give is absent from the map, and
// so is its metric.
type Stats map[key]float64

type key int

const (
	cpuUsage key = iota // seconds
	cpuUser
	cpuSystem
	cpuPeriods
	cpuThrottledPeriods
	cpuThrottled
	memoryUsage // bytes
	memoryWorkingSet
	memoryRSS
	memoryCache
	memoryMapped
	memorySwap
	memoryMax
	memoryLimit
	memoryFailures // count
	processes
	cpuWaiting // seconds, as the next ones
	cpuStalled
	memoryWaiting
	memoryStalled
	ioWaiting
	ioStalled
)

// Read reads the counters of a cgroup, path as in /solopod/burstable/pod1234.
func Read(path string) Stats {
	s := Stats{}
	if cgroups.Mode() == cgroups.Unified {
		readUnified(s, filepath.Join(mountpoint, path))
	} else {
		readLegacy(s, mountpoint, path)
	}
	if usage, ok := s[memoryUsage]; ok {
		// As cAdvisor: what cannot be dropped at once is the working set.
		s[memoryWorkingSet] = max(usage-s[inactiveFile], 0)
	}
	delete(s, inactiveFile)
	return s
}

// inactiveFile is only used to compute the working set.
const inactiveFile key = -1

// userHZ is the unit of cpuacct.stat: a kernel constant on all architectures that Go runs on (time(7)).
const userHZ = 100

func readLegacy(s Stats, root, path string) {
	cpuacct, cpu, memory := filepath.Join(root, "cpuacct", path), filepath.Join(root, "cpu", path), filepath.Join(root, "memory", path)
	number(s, cpuUsage, filepath.Join(cpuacct, "cpuacct.usage"), 1e-9)
	table(s, filepath.Join(cpuacct, "cpuacct.stat"), map[string]target{"user": {cpuUser, 1.0 / userHZ}, "system": {cpuSystem, 1.0 / userHZ}})
	table(s, filepath.Join(cpu, "cpu.stat"), map[string]target{
		"nr_periods": {cpuPeriods, 1}, "nr_throttled": {cpuThrottledPeriods, 1}, "throttled_time": {cpuThrottled, 1e-9},
	})
	number(s, memoryUsage, filepath.Join(memory, "memory.usage_in_bytes"), 1)
	number(s, memoryMax, filepath.Join(memory, "memory.max_usage_in_bytes"), 1)
	number(s, memoryFailures, filepath.Join(memory, "memory.failcnt"), 1)
	number(s, memoryLimit, filepath.Join(memory, "memory.limit_in_bytes"), 1)
	if s[memoryLimit] > 1<<60 {
		s[memoryLimit] = 0 // no limit
	}
	table(s, filepath.Join(memory, "memory.stat"), map[string]target{
		"total_rss": {memoryRSS, 1}, "total_cache": {memoryCache, 1}, "total_mapped_file": {memoryMapped, 1},
		"total_swap": {memorySwap, 1}, "total_inactive_file": {inactiveFile, 1},
	})
	number(s, processes, filepath.Join(root, "pids", path, "pids.current"), 1)
}

func readUnified(s Stats, dir string) {
	table(s, filepath.Join(dir, "cpu.stat"), map[string]target{
		"usage_usec": {cpuUsage, 1e-6}, "user_usec": {cpuUser, 1e-6}, "system_usec": {cpuSystem, 1e-6},
		"nr_periods": {cpuPeriods, 1}, "nr_throttled": {cpuThrottledPeriods, 1}, "throttled_usec": {cpuThrottled, 1e-6},
	})
	number(s, memoryUsage, filepath.Join(dir, "memory.current"), 1)
	number(s, memoryMax, filepath.Join(dir, "memory.peak"), 1)
	number(s, memorySwap, filepath.Join(dir, "memory.swap.current"), 1)
	number(s, memoryLimit, filepath.Join(dir, "memory.max"), 1)
	table(s, filepath.Join(dir, "memory.stat"), map[string]target{
		"anon": {memoryRSS, 1}, "file": {memoryCache, 1}, "file_mapped": {memoryMapped, 1}, "inactive_file": {inactiveFile, 1},
	})
	table(s, filepath.Join(dir, "memory.events"), map[string]target{"max": {memoryFailures, 1}})
	number(s, processes, filepath.Join(dir, "pids.current"), 1)
	pressure(s, filepath.Join(dir, "cpu.pressure"), cpuWaiting, cpuStalled)
	pressure(s, filepath.Join(dir, "memory.pressure"), memoryWaiting, memoryStalled)
	pressure(s, filepath.Join(dir, "io.pressure"), ioWaiting, ioStalled)
}

// pressure reads how long some, and how long all, tasks have waited for a resource.
func pressure(s Stats, path string, some, full key) {
	withFile(path, func(b []byte) { parsePressure(s, b, some, full) })
}

// parsePressure reads lines like "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234", in microseconds
// (Documentation/accounting/psi.rst).
func parsePressure(s Stats, b []byte, some, full key) {
	for line := range bytes.Lines(b) {
		kind, rest, _ := bytes.Cut(line, []byte(" "))
		_, total, ok := bytes.Cut(rest, []byte("total="))
		if !ok {
			continue
		}
		usec, err := strconv.ParseFloat(string(bytes.TrimSpace(total)), 64)
		if err != nil {
			continue
		}
		switch string(kind) {
		case "some":
			s[some] = usec * 1e-6
		case "full":
			s[full] = usec * 1e-6
		}
	}
}

type target struct {
	key   key
	scale float64
}

func number(s Stats, k key, path string, scale float64) {
	withFile(path, func(b []byte) {
		text := string(bytes.TrimSpace(b))
		if text == "max" {
			s[k] = 0 // no limit
			return
		}
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			s[k] = v * scale
		}
	})
}

func table(s Stats, path string, rows map[string]target) {
	withFile(path, func(b []byte) { parseTable(s, b, rows) })
}

// parseTable reads "name number" lines.
func parseTable(s Stats, b []byte, rows map[string]target) {
	for line := range bytes.Lines(b) {
		name, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if !ok {
			continue
		}
		if t, wanted := rows[string(name)]; wanted {
			if v, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64); err == nil {
				s[t.key] = v * t.scale
			}
		}
	}
}

// Interface holds the counters of one network interface, in the order of /proc/net/dev: bytes, packets, errors and
// drops, received and sent.
type Interface struct {
	Name              string
	Receive, Transmit [4]float64
}

// ReadInterfaces reads the counters of the network namespace of a process; loopback is left out.
func ReadInterfaces(pid uint32) (list []Interface) {
	withFile("/proc/"+strconv.Itoa(int(pid))+"/net/dev", func(b []byte) { list = parseInterfaces(b) })
	return list
}

// parseInterfaces reads proc_pid_net(5)'s dev table.
func parseInterfaces(b []byte) []Interface {
	var out []Interface
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		name, rest, ok := strings.Cut(sc.Text(), ":")
		fields := strings.Fields(rest)
		name = strings.TrimSpace(name)
		if !ok || name == "lo" || len(fields) < 12 {
			continue
		}
		i := Interface{Name: name}
		valid := true
		for n := range 4 {
			var err1, err2 error
			i.Receive[n], err1 = strconv.ParseFloat(fields[n], 64)
			i.Transmit[n], err2 = strconv.ParseFloat(fields[n+8], 64)
			valid = valid && err1 == nil && err2 == nil
		}
		if valid {
			out = append(out, i)
		}
	}
	return out
}
