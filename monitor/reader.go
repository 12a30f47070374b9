package monitor

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/host"
)

const mountpoint = "/sys/fs/cgroup"

// userHZ is the unit of cpuacct.stat: a kernel constant on all architectures that Go runs on (time(7)).
const userHZ = 100

// file is one that a cgroup has, below its directory; in cgroup v1 below that of a controller.
type file struct {
	group            group
	controller, name string
	parse            parser
}

// group says what a file is read for.
type group int

const (
	// basic: processor time, memory, pressure.
	basic group = iota
	// detail: everything else that is counted.
	detail
	// limits change only when somebody changes them.
	limits
)

// legacyFiles are cgroup v1's.
var legacyFiles = []file{
	{basic, "cpuacct", "cpuacct.usage", number(cpuUsage, 1e-9)},
	{detail, "cpuacct", "cpuacct.stat", table(row{"user", cpuUser, 1.0 / userHZ}, row{"system", cpuSystem, 1.0 / userHZ})},
	{detail, "cpu", "cpu.stat", table(row{"nr_periods", cpuPeriods, 1}, row{"nr_throttled", cpuThrottledPeriods, 1}, row{"throttled_time", cpuThrottled, 1e-9},
		row{"nr_bursts", cpuBursts, 1}, row{"burst_time", cpuBurst, 1e-9})},
	{limits, "cpu", "cpu.shares", number(cpuShares, 1)},
	{limits, "cpu", "cpu.cfs_quota_us", negativeOrNumber(cpuQuota)},
	{limits, "cpu", "cpu.cfs_period_us", number(cpuPeriod, 1)},
	{basic, "memory", "memory.usage_in_bytes", number(memoryUsage, 1)},
	{detail, "memory", "memory.max_usage_in_bytes", number(memoryMax, 1)},
	{detail, "memory", "memory.failcnt", number(memoryFailures, 1)},
	{detail, "memory", "memory.kmem.usage_in_bytes", number(memoryKernel, 1)},
	{limits, "memory", "memory.limit_in_bytes", legacyLimit(memoryLimit)},
	{limits, "memory", "memory.soft_limit_in_bytes", legacyLimit(memoryReservation)},
	{limits, "memory", "memory.memsw.limit_in_bytes", legacyLimit(memorySwapLimit)},
	{basic, "memory", "memory.stat", table(
		row{"total_rss", memoryRSS, 1}, row{"total_cache", memoryCache, 1}, row{"total_mapped_file", memoryMapped, 1},
		row{"total_swap", memorySwap, 1}, row{"total_inactive_file", memoryInactiveFile, 1}, row{"total_active_file", memoryActiveFile, 1}, row{"total_dirty", memoryDirty, 1},
		row{"total_writeback", memoryWriteback, 1}, row{"pgfault", ownPageFaults, 1}, row{"pgmajfault", ownMajorFaults, 1},
		row{"total_pgfault", pageFaults, 1}, row{"total_pgmajfault", majorFaults, 1},
		row{"total_workingset_refault_anon", refaultsAnon, 1}, row{"total_workingset_refault_file", refaultsFile, 1},
	)},
	{detail, "pids", "pids.current", number(threads, 1)},
	{limits, "pids", "pids.max", number(threadsMax, 1)},
	{detail, "pids", "cgroup.procs", processList},
	{detail, "blkio", "blkio.throttle.io_service_bytes_recursive", blkio(true)},
	{detail, "blkio", "blkio.throttle.io_serviced_recursive", blkio(false)},
}

// unifiedFiles are cgroup v2's. It counts page faults of a cgroup with those below it.
var unifiedFiles = []file{
	{basic, "", "cpu.stat", table(
		row{"usage_usec", cpuUsage, 1e-6}, row{"user_usec", cpuUser, 1e-6}, row{"system_usec", cpuSystem, 1e-6},
		row{"nr_periods", cpuPeriods, 1}, row{"nr_throttled", cpuThrottledPeriods, 1}, row{"throttled_usec", cpuThrottled, 1e-6},
		row{"nr_bursts", cpuBursts, 1}, row{"burst_usec", cpuBurst, 1e-6},
	)},
	{limits, "", "cpu.weight", cpuWeight},
	{limits, "", "cpu.max", cpuMax},
	{basic, "", "memory.current", number(memoryUsage, 1)},
	{detail, "", "memory.peak", number(memoryMax, 1)},
	{limits, "", "memory.max", number(memoryLimit, 1)},
	{limits, "", "memory.low", number(memoryReservation, 1)},
	{basic, "", "memory.swap.current", number(memorySwap, 1)},
	{limits, "", "memory.swap.max", number(memorySwapLimit, 1)},
	{detail, "", "memory.events", table(row{"max", memoryFailures, 1}, row{"max", memoryMaxEvents, 1}, row{"high", memoryHighEvents, 1})},
	{basic, "", "memory.stat", table(
		row{"anon", memoryRSS, 1}, row{"file", memoryCache, 1}, row{"file_mapped", memoryMapped, 1}, row{"inactive_file", memoryInactiveFile, 1},
		row{"active_file", memoryActiveFile, 1}, row{"kernel", memoryKernel, 1},
		row{"file_dirty", memoryDirty, 1}, row{"file_writeback", memoryWriteback, 1}, row{"pgfault", pageFaults, 1}, row{"pgmajfault", majorFaults, 1},
		row{"pgscan", pageScans, 1}, row{"pgsteal", pageSteals, 1},
		row{"workingset_refault_anon", refaultsAnon, 1}, row{"workingset_refault_file", refaultsFile, 1},
	)},
	{detail, "", "pids.current", number(threads, 1)},
	{limits, "", "pids.max", number(threadsMax, 1)},
	{detail, "", "cgroup.procs", processList},
	{detail, "", "container/cgroup.procs", processList}, // crun's
	{detail, "", "io.stat", ioStat},
	{basic, "", "cpu.pressure", pressure(cpuWaiting, cpuStalled)},
	{basic, "", "memory.pressure", pressure(memoryWaiting, memoryStalled)},
	{basic, "", "io.pressure", pressure(ioWaiting, ioStalled)},
}

// reader reads one cgroup again and again, by descriptors that it holds.
type reader struct {
	files []held
	stats Stats
	// whole: it is the machine's root cgroup, whose own processes say nothing.
	whole bool
	// incomplete: a directory of the cgroup was missing when the files were opened, as while it is made.
	incomplete bool
	// gone: the cgroup was removed since. What is there under its path now is another one.
	gone bool
	// revision is that of the limits that were read.
	revision string
	limited  bool
}

type held struct {
	fd    int
	group group
	parse parser
}

// openReader opens what there is of a cgroup's files. path is as in /solopod/burstable/pod1234.
func openReader(path string) *reader {
	unified := cgroups.Mode() == cgroups.Unified
	files := legacyFiles
	if unified {
		files = unifiedFiles
	}
	return openFiles(mountpoint, path, append(files[:len(files):len(files)], hugepageFiles("/sys/kernel/mm/hugepages", unified)...))
}

// hugepageFiles are those of the sizes of huge pages that the machine has some of: most have none, and nothing to tell.
func hugepageFiles(root string, unified bool) (out []file) {
	dirs, err := filepath.Glob(filepath.Join(root, "hugepages-*kB"))
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), "hugepages-"), "kB"), 10, 64)
		if pages := host.Line(filepath.Join(dir, "nr_hugepages")); err != nil || pages == "" || pages == "0" {
			continue
		}
		size := pageSize(kib)
		if unified {
			out = append(out, file{detail, "", "hugetlb." + size + ".current", hugeNumber(size, hugeUsage)}, file{detail, "", "hugetlb." + size + ".events", hugeEvents(size)})
			continue
		}
		for name, of := range map[string]func(*hugeStats) *float64{"usage_in_bytes": hugeUsage, "max_usage_in_bytes": hugeMost, "failcnt": hugeFailed} {
			out = append(out, file{detail, "hugetlb", "hugetlb." + size + "." + name, hugeNumber(size, of)})
		}
	}
	return out
}

// pageSize is a size as the names of the kernel's files have it (mm/hugetlb_cgroup.c).
func pageSize(kib uint64) string {
	switch {
	case kib >= 1<<20:
		return strconv.FormatUint(kib>>20, 10) + "GB"
	case kib >= 1<<10:
		return strconv.FormatUint(kib>>10, 10) + "MB"
	}
	return strconv.FormatUint(kib, 10) + "KB"
}

func openFiles(root, path string, files []file) *reader {
	r := &reader{whole: path == "/"}
	for _, f := range files {
		fd, err := unix.Open(filepath.Join(root, f.controller, path, f.name), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err == nil {
			r.files = append(r.files, held{fd, f.group, f.parse})
		} else if f.group == basic && isThere(filepath.Join(root, f.controller)) && !isThere(filepath.Join(root, f.controller, path)) {
			r.incomplete = true
		}
	}
	return r
}

func isThere(path string) bool { return unix.Access(path, unix.F_OK) == nil }

func (r *reader) close() {
	for _, f := range r.files {
		unix.Close(f.fd) //nolint:errcheck // only read from
	}
	r.files = nil
}

// buffers hold what is read; memory.stat is the longest with some 2 KiB.
var buffers = sync.Pool{New: func() any { b := make([]byte, 8192); return &b }}

// read takes a new sample, with details or without; the answer is the reader's own, until the next one. Limits are read when
// their revision is another one than the last time.
func (r *reader) read(details bool, revision string) *Stats {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	again := !r.limited || r.revision != revision
	r.limited, r.revision = true, revision
	r.stats.reset(again)
	for _, f := range r.files {
		if f.group == detail && !details || f.group == limits && !again {
			continue
		}
		b, err := readAll(f.fd, buf)
		switch {
		case err == nil:
			f.parse(&r.stats, b)
		case errors.Is(err, unix.ENODEV): // fs/kernfs: the file was removed
			r.gone = true
		}
	}
	if usage, ok := r.stats.get(memoryUsage); ok {
		// As cAdvisor: what can be dropped at once does not count.
		r.stats.set(memoryWorkingSet, max(usage-r.stats.values[memoryInactiveFile], 0))
	}
	if details && !r.whole {
		r.countOpenFiles()
		r.readLimit()
	}
	return &r.stats
}

// short is less than a page, which is what the kernel makes of such a file at a time (fs/seq_file.c): less is all that there is.
// Asking for more would have it made a second time, only to learn that there is none.
const short = 2048

// longest is more than any of these files have; only cgroup.procs grows, by some 7 bytes for each of a cgroup's processes.
const longest = 1 << 20

var errTooLong = errors.New("the file is too long")

// readAll reads a file of the kernel's from its beginning, into *buf, which grows as is needed.
func readAll(fd int, buf *[]byte) ([]byte, error) {
	for n := 0; ; {
		if n >= longest {
			return nil, errTooLong
		}
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, n)...)
		}
		m, err := unix.Pread(fd, (*buf)[n:], int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case m == 0:
			return (*buf)[:n], nil
		default:
			n += m
			if n == m && m < short && n < len(*buf) {
				return (*buf)[:n], nil
			}
		}
	}
}

// readLimit asks how many files the first process may open.
func (r *reader) readLimit() {
	var limit unix.Rlimit
	if len(r.stats.pids) > 0 && unix.Prlimit(int(r.stats.pids[0]), unix.RLIMIT_NOFILE, nil, &limit) == nil && limit.Cur != unix.RLIM_INFINITY {
		r.stats.set(filesLimit, float64(limit.Cur))
	}
}

// countOpenFiles asks the kernel how many files the cgroup's processes have open. It says so since Linux 6.2, as the size of
// /proc/PID/fd; before, nothing is told.
func (r *reader) countOpenFiles() {
	var path [32]byte
	for _, pid := range r.stats.pids {
		var st unix.Stat_t
		name := append(strconv.AppendUint(append(path[:0], "/proc/"...), uint64(pid), 10), "/fd"...)
		if unix.Stat(string(name), &st) == nil && st.Size > 0 {
			r.stats.set(filesOpen, r.stats.values[filesOpen]+float64(st.Size))
		}
	}
}
