package monitor

import (
	"slices"
	"strconv"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/monitor/machine"
)

// cgroupSource is what /metrics/cadvisor tells of one owner. What does not apply to it is nil, empty or zero.
type cgroupSource struct {
	stats   *Stats
	machine *machine.Machine // it names devices
	// started is in seconds since 1970; seen is that of the scrape.
	started, seen float64
	// kills is told where counted.
	kills       uint64
	counted     bool
	network     []Interface
	fileSystems []fileSystem
	disks       []machine.Disk
	parts       *machine.Parts
}

// fileSystem is one, and what of it is used: by everybody, or by a container.
type fileSystem struct {
	device                          string
	limit, used, inodes, inodesFree float64
}

type cgroupRow = familyRow[cgroupSource]

// cadvisorFamilies are those of /metrics/cadvisor. Names, types and meanings are cAdvisor's (docs/storage/prometheus.md of
// cAdvisor).
var cadvisorFamilies = slices.Concat(cgroupFamilies, deviceFamilies, networkFamilies, diskFamilies, machineFamilies)

// of takes one number of a cgroup.
func of(k key, labels ...string) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) { stat(to, s.stats, k, labels...) }
}

// withQuota takes a number that says something only where the use of processors is limited; as in cAdvisor there is none without.
func withQuota(k key) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		if s.stats == nil {
			return
		}
		if quota, limited := s.stats.get(cpuQuota); limited && quota > 0 {
			stat(to, s.stats, k)
		}
	}
}

// cgroupFamilies are those of a cgroup.
var cgroupFamilies = []cgroupRow{
	{"container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds", true, []string{"cpu"}, of(cpuUsage, "total")},
	{"container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds", true, nil, of(cpuUser)},
	{"container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds", true, nil, of(cpuSystem)},
	{"container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals", true, nil, withQuota(cpuPeriods)},
	{"container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals", true, nil, withQuota(cpuThrottledPeriods)},
	{"container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled", true, nil, withQuota(cpuThrottled)},
	{"container_cpu_cfs_burst_periods_total", "Number of periods when burst occurs", true, nil, withQuota(cpuBursts)},
	{"container_cpu_cfs_burst_seconds_total", "Total time duration the container has been bursted", true, nil, withQuota(cpuBurst)},
	{"container_spec_cpu_shares", "CPU share of the container", false, nil, of(cpuShares)},
	{"container_spec_cpu_quota", "CPU quota of the container", false, nil, of(cpuQuota)},
	{"container_spec_cpu_period", "CPU period of the container", false, nil, of(cpuPeriod)},
	{"container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was accessed", false, nil, of(memoryUsage)},
	{"container_memory_working_set_bytes", "Current working set in bytes", false, nil, of(memoryWorkingSet)},
	{"container_memory_rss", "Size of RSS in bytes", false, nil, of(memoryRSS)},
	{"container_memory_cache", "Number of bytes of page cache memory", false, nil, of(memoryCache)},
	{"container_memory_kernel_usage", "Size of kernel memory allocated in bytes", false, nil, of(memoryKernel)},
	{"container_memory_total_active_file_bytes", "Page cache in use lately in bytes", false, nil, of(memoryActiveFile)},
	{"container_memory_total_inactive_file_bytes", "Page cache not in use lately, which the working set does not count, in bytes", false, nil, of(memoryInactiveFile)},
	{"container_memory_mapped_file", "Size of memory mapped files in bytes", false, nil, of(memoryMapped)},
	{"container_memory_swap", "Container swap usage in bytes", false, nil, of(memorySwap)},
	{"container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", false, nil, of(memoryMax)},
	{"container_memory_failcnt", "Number of memory usage hits limits", true, nil, of(memoryFailures)},
	{"container_memory_failures_total", "Cumulative count of memory allocation failures", true, []string{"failure_type", "scope"}, func(s *cgroupSource, to *exposition.Samples) {
		stat(to, s.stats, ownPageFaults, "pgfault", "container")
		stat(to, s.stats, ownMajorFaults, "pgmajfault", "container")
		stat(to, s.stats, pageFaults, "pgfault", "hierarchy")
		stat(to, s.stats, majorFaults, "pgmajfault", "hierarchy")
	}},
	{"container_memory_events_high_total", "Number of times the cgroup was held back for its memory.high (cgroup v2)", true, nil, of(memoryHighEvents)},
	{"container_memory_events_max_total", "Number of times the cgroup was about to exceed its memory.max (cgroup v2)", true, nil, of(memoryMaxEvents)},
	{"container_memory_file_dirty_bytes", "File cache that has been modified but not yet written back to disk", false, nil, of(memoryDirty)},
	{"container_memory_file_writeback_bytes", "File cache that is currently being written back to disk", false, nil, of(memoryWriteback)},
	{"container_memory_pgscan_total", "Cumulative number of pages scanned by the page reclaim algorithm (cgroup v2)", true, nil, of(pageScans)},
	{"container_memory_pgsteal_total", "Cumulative number of pages reclaimed by the page reclaim algorithm (cgroup v2)", true, nil, of(pageSteals)},
	{"container_memory_workingset_refault_anon_total", "Cumulative number of refaults of previously evicted anonymous pages", true, nil, of(refaultsAnon)},
	{"container_memory_workingset_refault_file_total", "Cumulative number of refaults of previously evicted file pages", true, nil, of(refaultsFile)},
	{"container_spec_memory_limit_bytes", "Memory limit for the container; 0 means none", false, nil, of(memoryLimit)},
	{"container_spec_memory_reservation_limit_bytes", "Memory reservation limit for the container; 0 means none", false, nil, of(memoryReservation)},
	{"container_spec_memory_swap_limit_bytes", "Memory swap limit for the container; 0 means none", false, nil, of(memorySwapLimit)},
	{"container_hugetlb_usage_bytes", "Current use of huge pages in bytes, where the machine has some", false, pagesizeLabel, ofHugepages(hugeUsage)},
	{"container_hugetlb_max_usage_bytes", "Maximum use of huge pages recorded in bytes (cgroup v1)", false, pagesizeLabel, ofHugepages(hugeMost)},
	{"container_hugetlb_failcnt", "Number of times the use of huge pages hit its limit", true, pagesizeLabel, ofHugepages(hugeFailed)},
	{"container_processes", "Number of processes running inside the container", false, nil, of(processes)},
	{"container_threads", "Number of threads running inside the container", false, nil, of(threads)},
	{"container_threads_max", "Maximum number of threads allowed inside the container; 0 means no limit", false, nil, of(threadsMax)},
	{"container_file_descriptors", "Number of open file descriptors for the container (Linux 6.2 and later)", false, nil, of(filesOpen)},
	{"container_ulimits_soft", "Soft ulimit values for the container root process", false, []string{"ulimit"}, of(filesLimit, "max_open_files")},
	{"container_pressure_cpu_waiting_seconds_total", "Total time duration tasks in the container have waited due to CPU congestion", true, nil, of(cpuWaiting)},
	{"container_pressure_cpu_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to CPU congestion", true, nil, of(cpuStalled)},
	{"container_pressure_memory_waiting_seconds_total", "Total time duration tasks in the container have waited due to memory congestion", true, nil, of(memoryWaiting)},
	{"container_pressure_memory_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to memory congestion", true, nil, of(memoryStalled)},
	{"container_pressure_io_waiting_seconds_total", "Total time duration tasks in the container have waited due to IO congestion", true, nil, of(ioWaiting)},
	{"container_pressure_io_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to IO congestion", true, nil, of(ioStalled)},
	{"container_start_time_seconds", "Start time of the container since unix epoch in seconds", false, nil, func(s *cgroupSource, to *exposition.Samples) {
		if s.started != 0 {
			to.Add(s.started)
		}
	}},
	{"container_last_seen", "Last time a container was seen by the exporter", false, nil, func(s *cgroupSource, to *exposition.Samples) {
		if s.seen != 0 {
			to.Add(s.seen)
		}
	}},
	{"container_oom_events_total", "Count of out of memory events observed for the container, over all of its attempts", true, nil, func(s *cgroupSource, to *exposition.Samples) {
		if s.counted {
			to.Add(float64(s.kills))
		}
	}},
}

var pagesizeLabel = []string{"pagesize"}

// ofHugepages takes a number of each size of huge pages.
func ofHugepages(value func(*hugeStats) *float64) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		if s.stats == nil {
			return
		}
		for i := range s.stats.huge {
			h := &s.stats.huge[i]
			if v := *value(h); v >= 0 {
				to.Add(v, h.size)
			}
		}
	}
}

// ofCosts takes a number of the kernel's model of each device.
func ofCosts(n int) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		if s.stats == nil {
			return
		}
		for i := range s.stats.devices {
			if d := &s.stats.devices[i]; d.costed {
				to.Add(d.costs[n], s.machine.Device(d.major, d.minor))
			}
		}
	}
}

// ofDevices takes a number of each block device that a cgroup has used.
func ofDevices(value func(*deviceStats) float64) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		if s.stats == nil {
			return
		}
		for i := range s.stats.devices {
			d := &s.stats.devices[i]
			to.Add(value(d), s.machine.Device(d.major, d.minor))
		}
	}
}

var deviceLabel = []string{"device"}

// deviceFamilies are what a cgroup reads from and writes to block devices.
var deviceFamilies = []cgroupRow{
	{"container_fs_reads_bytes_total", "Cumulative count of bytes read", true, deviceLabel, ofDevices(func(d *deviceStats) float64 { return d.readBytes })},
	{"container_fs_reads_total", "Cumulative count of reads completed", true, deviceLabel, ofDevices(func(d *deviceStats) float64 { return d.reads })},
	{"container_fs_writes_bytes_total", "Cumulative count of bytes written", true, deviceLabel, ofDevices(func(d *deviceStats) float64 { return d.writeBytes })},
	{"container_fs_writes_total", "Cumulative count of writes completed", true, deviceLabel, ofDevices(func(d *deviceStats) float64 { return d.writes })},
	{"container_fs_io_cost_usage_seconds_total", "Cumulative cost of I/O in seconds of the device, by the kernel's model (cgroup v2)", true, deviceLabel, ofCosts(0)},
	{"container_fs_io_cost_wait_seconds_total", "Cumulative seconds of waiting for the device, by the kernel's model (cgroup v2)", true, deviceLabel, ofCosts(1)},
	{"container_fs_io_cost_indebt_seconds_total", "Cumulative seconds in debt for I/O, by the kernel's model (cgroup v2)", true, deviceLabel, ofCosts(2)},
	{"container_fs_io_cost_indelay_seconds_total", "Cumulative seconds of delay for a debt of I/O, by the kernel's model (cgroup v2)", true, deviceLabel, ofCosts(3)},
	{"container_blkio_device_usage_total", "Blkio device bytes usage", true, []string{"device", "major", "minor", "operation"}, func(s *cgroupSource, to *exposition.Samples) {
		if s.stats == nil {
			return
		}
		for i := range s.stats.devices {
			d := &s.stats.devices[i]
			name, major, minor := s.machine.Device(d.major, d.minor), strconv.Itoa(int(d.major)), strconv.Itoa(int(d.minor))
			to.Add(d.readBytes, name, major, minor, "Read")
			to.Add(d.writeBytes, name, major, minor, "Write")
		}
	}},
}

// received and transmitted take a number of each interface of a pod, by its place in an Interface's numbers.
func received(n int) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		for i := range s.network {
			to.Add(s.network[i].Receive[n], s.network[i].Name)
		}
	}
}

func transmitted(n int) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		for i := range s.network {
			to.Add(s.network[i].Transmit[n], s.network[i].Name)
		}
	}
}

var interfaceLabel = []string{"interface"}

var networkFamilies = []cgroupRow{
	{"container_network_receive_bytes_total", "Cumulative count of bytes received", true, interfaceLabel, received(0)},
	{"container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", true, interfaceLabel, transmitted(0)},
	{"container_network_receive_packets_total", "Cumulative count of packets received", true, interfaceLabel, received(1)},
	{"container_network_transmit_packets_total", "Cumulative count of packets transmitted", true, interfaceLabel, transmitted(1)},
	{"container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", true, interfaceLabel, received(2)},
	{"container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", true, interfaceLabel, transmitted(2)},
	{"container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving", true, interfaceLabel, received(3)},
	{"container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting", true, interfaceLabel, transmitted(3)},
}

// ofFileSystems takes a number of each file system.
func ofFileSystems(value func(*fileSystem) float64) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		for i := range s.fileSystems {
			to.Add(value(&s.fileSystems[i]), s.fileSystems[i].device)
		}
	}
}

// ofDisks takes a number of each of the machine's disks, by its place in a disk's numbers, in some unit.
func ofDisks(n int, unit float64) func(*cgroupSource, *exposition.Samples) {
	return func(s *cgroupSource, to *exposition.Samples) {
		for i := range s.disks {
			to.Add(s.disks[i].Fields[n]/unit, s.disks[i].Name)
		}
	}
}

// diskFamilies are those of file systems, and of the machine's disks.
var diskFamilies = []cgroupRow{
	{"container_fs_limit_bytes", "Number of bytes that can be consumed on this filesystem", false, deviceLabel, ofFileSystems(func(f *fileSystem) float64 { return f.limit })},
	{"container_fs_usage_bytes", "Number of bytes that are consumed on this filesystem", false, deviceLabel, ofFileSystems(func(f *fileSystem) float64 { return f.used })},
	{"container_fs_inodes_total", "Number of Inodes", false, deviceLabel, ofFileSystems(func(f *fileSystem) float64 { return f.inodes })},
	{"container_fs_inodes_free", "Number of available Inodes", false, deviceLabel, ofFileSystems(func(f *fileSystem) float64 { return f.inodesFree })},
	{"container_fs_reads_merged_total", "Cumulative count of reads merged", true, deviceLabel, ofDisks(1, 1)},
	{"container_fs_sector_reads_total", "Cumulative count of sector reads completed", true, deviceLabel, ofDisks(2, 1)},
	{"container_fs_read_seconds_total", "Cumulative count of seconds spent reading", true, deviceLabel, ofDisks(3, 1000)},
	{"container_fs_writes_merged_total", "Cumulative count of writes merged", true, deviceLabel, ofDisks(5, 1)},
	{"container_fs_sector_writes_total", "Cumulative count of sector writes completed", true, deviceLabel, ofDisks(6, 1)},
	{"container_fs_write_seconds_total", "Cumulative count of seconds spent writing", true, deviceLabel, ofDisks(7, 1000)},
	{"container_fs_io_current", "Number of I/Os currently in progress", false, deviceLabel, ofDisks(8, 1)},
	{"container_fs_io_time_seconds_total", "Cumulative count of seconds spent doing I/Os", true, deviceLabel, ofDisks(9, 1000)},
	{"container_fs_io_time_weighted_seconds_total", "Cumulative weighted I/O time in seconds", true, deviceLabel, ofDisks(10, 1000)},
}
