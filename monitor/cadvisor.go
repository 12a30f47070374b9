package monitor

import (
	"bytes"
	"strconv"
	"time"
)

// containerFamilies are those of a cgroup that show one number each. Names, types and meanings are cAdvisor's
// (docs/storage/prometheus.md of cAdvisor).
var containerFamilies = []struct {
	familyRow
	key   key
	extra []string
}{
	{familyRow{"container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds", true}, cpuUsage, []string{"cpu", "total"}},
	{familyRow{"container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds", true}, cpuUser, nil},
	{familyRow{"container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds", true}, cpuSystem, nil},
	{familyRow{"container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals", true}, cpuPeriods, nil},
	{familyRow{"container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals", true}, cpuThrottledPeriods, nil},
	{familyRow{"container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled", true}, cpuThrottled, nil},
	{familyRow{"container_spec_cpu_shares", "CPU share of the container", false}, cpuShares, nil},
	{familyRow{"container_spec_cpu_quota", "CPU quota of the container", false}, cpuQuota, nil},
	{familyRow{"container_spec_cpu_period", "CPU period of the container", false}, cpuPeriod, nil},
	{familyRow{"container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was accessed", false}, memoryUsage, nil},
	{familyRow{"container_memory_working_set_bytes", "Current working set in bytes", false}, memoryWorkingSet, nil},
	{familyRow{"container_memory_rss", "Size of RSS in bytes", false}, memoryRSS, nil},
	{familyRow{"container_memory_cache", "Number of bytes of page cache memory", false}, memoryCache, nil},
	{familyRow{"container_memory_mapped_file", "Size of memory mapped files in bytes", false}, memoryMapped, nil},
	{familyRow{"container_memory_swap", "Container swap usage in bytes", false}, memorySwap, nil},
	{familyRow{"container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", false}, memoryMax, nil},
	{familyRow{"container_memory_failcnt", "Number of memory usage hits limits", true}, memoryFailures, nil},
	{familyRow{"container_memory_failures_total", "Cumulative count of memory allocation failures", true}, ownPageFaults, []string{"failure_type", "pgfault", "scope", "container"}},
	{familyRow{"container_memory_failures_total", "", true}, ownMajorFaults, []string{"failure_type", "pgmajfault", "scope", "container"}},
	{familyRow{"container_memory_failures_total", "", true}, pageFaults, []string{"failure_type", "pgfault", "scope", "hierarchy"}},
	{familyRow{"container_memory_failures_total", "", true}, majorFaults, []string{"failure_type", "pgmajfault", "scope", "hierarchy"}},
	{familyRow{"container_memory_file_dirty_bytes", "File cache that has been modified but not yet written back to disk", false}, memoryDirty, nil},
	{familyRow{"container_memory_file_writeback_bytes", "File cache that is currently being written back to disk", false}, memoryWriteback, nil},
	{familyRow{"container_memory_pgscan_total", "Cumulative number of pages scanned by the page reclaim algorithm (cgroup v2)", true}, pageScans, nil},
	{familyRow{"container_memory_pgsteal_total", "Cumulative number of pages reclaimed by the page reclaim algorithm (cgroup v2)", true}, pageSteals, nil},
	{familyRow{"container_memory_workingset_refault_anon_total", "Cumulative number of refaults of previously evicted anonymous pages (cgroup v2)", true}, refaultsAnon, nil},
	{familyRow{"container_memory_workingset_refault_file_total", "Cumulative number of refaults of previously evicted file pages (cgroup v2)", true}, refaultsFile, nil},
	{familyRow{"container_spec_memory_limit_bytes", "Memory limit for the container; 0 means none", false}, memoryLimit, nil},
	{familyRow{"container_spec_memory_reservation_limit_bytes", "Memory reservation limit for the container; 0 means none", false}, memoryReservation, nil},
	{familyRow{"container_spec_memory_swap_limit_bytes", "Memory swap limit for the container; 0 means none", false}, memorySwapLimit, nil},
	{familyRow{"container_processes", "Number of processes running inside the container", false}, processes, nil},
	{familyRow{"container_threads", "Number of threads running inside the container", false}, threads, nil},
	{familyRow{"container_threads_max", "Maximum number of threads allowed inside the container; 0 means no limit", false}, threadsMax, nil},
	{familyRow{"container_file_descriptors", "Number of open file descriptors for the container (Linux 6.2 and later)", false}, filesOpen, nil},
	{familyRow{"container_ulimits_soft", "Soft ulimit values for the container root process", false}, filesLimit, []string{"ulimit", "max_open_files"}},
	{familyRow{"container_pressure_cpu_waiting_seconds_total", "Total time duration tasks in the container have waited due to CPU congestion", true}, cpuWaiting, nil},
	{familyRow{"container_pressure_cpu_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to CPU congestion", true}, cpuStalled, nil},
	{familyRow{"container_pressure_memory_waiting_seconds_total", "Total time duration tasks in the container have waited due to memory congestion", true}, memoryWaiting, nil},
	{familyRow{"container_pressure_memory_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to memory congestion", true}, memoryStalled, nil},
	{familyRow{"container_pressure_io_waiting_seconds_total", "Total time duration tasks in the container have waited due to IO congestion", true}, ioWaiting, nil},
	{familyRow{"container_pressure_io_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to IO congestion", true}, ioStalled, nil},
}

// networkFamilies in the order of an Interface's numbers.
var networkFamilies = [4][2]familyRow{
	{{"container_network_receive_bytes_total", "Cumulative count of bytes received", true},
		{"container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", true}},
	{{"container_network_receive_packets_total", "Cumulative count of packets received", true},
		{"container_network_transmit_packets_total", "Cumulative count of packets transmitted", true}},
	{{"container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", true},
		{"container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", true}},
	{{"container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving", true},
		{"container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting", true}},
}

// otherFamilies have values that are computed one by one.
var otherFamilies = []familyRow{
	{"container_start_time_seconds", "Start time of the container since unix epoch in seconds", false},
	{"container_last_seen", "Last time a container was seen by the exporter", false},
	{"container_oom_events_total", "Count of out of memory events observed for the container, over all of its attempts", true},
	{"container_fs_reads_bytes_total", "Cumulative count of bytes read", true},
	{"container_fs_reads_total", "Cumulative count of reads completed", true},
	{"container_fs_writes_bytes_total", "Cumulative count of bytes written", true},
	{"container_fs_writes_total", "Cumulative count of writes completed", true},
	{"container_fs_limit_bytes", "Number of bytes that can be consumed on this filesystem", false},
	{"container_fs_usage_bytes", "Number of bytes that are consumed on this filesystem", false},
	{"container_fs_inodes_total", "Number of Inodes", false},
	{"container_fs_inodes_free", "Number of available Inodes", false},
	{"container_fs_reads_merged_total", "Cumulative count of reads merged", true},
	{"container_fs_sector_reads_total", "Cumulative count of sector reads completed", true},
	{"container_fs_read_seconds_total", "Cumulative count of seconds spent reading", true},
	{"container_fs_writes_merged_total", "Cumulative count of writes merged", true},
	{"container_fs_sector_writes_total", "Cumulative count of sector writes completed", true},
	{"container_fs_write_seconds_total", "Cumulative count of seconds spent writing", true},
	{"container_fs_io_current", "Number of I/Os currently in progress", false},
	{"container_fs_io_time_seconds_total", "Cumulative count of seconds spent doing I/Os", true},
	{"container_fs_io_time_weighted_seconds_total", "Cumulative weighted I/O time in seconds", true},
	{"container_blkio_device_usage_total", "Blkio device bytes usage", true},
	{"machine_cpu_cores", "Number of logical CPU cores", false},
	{"machine_cpu_physical_cores", "Number of physical CPU cores", false},
	{"machine_cpu_sockets", "Number of CPU sockets", false},
	{"machine_memory_bytes", "Amount of memory installed on the machine", false},
	{"machine_swap_bytes", "Amount of swap memory available on the machine", false},
}

func cadvisorFamilies() []familyRow {
	rows := append([]familyRow{}, otherFamilies...)
	for _, f := range containerFamilies {
		if f.help != "" {
			rows = append(rows, f.familyRow)
		}
	}
	for _, f := range networkFamilies {
		rows = append(rows, f[0], f[1])
	}
	return rows
}

// WriteContainers writes what stands behind /metrics/cadvisor.
func (m *Monitor) WriteContainers(w *bytes.Buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.cadvisor
	e.begin()
	now := float64(time.Now().Unix())
	for _, p := range m.read(true) {
		for _, c := range p.containers {
			if c.stats != nil {
				o := cgroupOwner(e, c.Cgroup, c.Cgroup, c.Container, c.Image, c.ID, c.Namespace, c.Pod)
				m.addCgroup(e, o, c.stats)
				e.add("container_start_time_seconds", o, float64(c.StartedAt.UnixNano())/1e9)
				e.add("container_last_seen", o, now)
			}
			// Over all attempts, and with labels that stay, so that a kill is not lost between two scrapes.
			o := cgroupOwner(e, "oom "+c.UID+" "+c.Container+" "+c.Image, "", c.Container, c.Image, "", c.Namespace, c.Pod)
			e.add("container_oom_events_total", o, float64(c.OOMKills))
		}
		if p.pod == nil {
			continue
		}
		o := cgroupOwner(e, p.PodCgroup, p.PodCgroup, "", "", "", p.Namespace, p.Pod)
		m.addCgroup(e, o, p.pod)
		e.add("container_last_seen", o, now)
		for i := range p.network {
			n := &p.network[i]
			for kind, f := range networkFamilies {
				e.add(f[0].name, o, n.Receive[kind], "interface", n.Name)
				e.add(f[1].name, o, n.Transmit[kind], "interface", n.Name)
			}
		}
	}
	m.addMachine(e, now)
	e.write(w)
}

// cgroupOwner has the labels that cAdvisor's families share.
func cgroupOwner(e *exposition, key, id, container, image, name, namespace, pod string) *owner {
	return e.owner(key, "container", container, "id", id, "image", image, "name", name, "namespace", namespace, "pod", pod)
}

func (m *Monitor) addCgroup(e *exposition, o *owner, s *Stats) {
	for i := range containerFamilies {
		f := &containerFamilies[i]
		if v, ok := s.get(f.key); ok {
			e.add(f.name, o, v, f.extra...)
		}
	}
	for i := range s.devices {
		d := &s.devices[i]
		name := m.machine.device(d.major, d.minor)
		e.add("container_fs_reads_bytes_total", o, d.readBytes, "device", name)
		e.add("container_fs_reads_total", o, d.reads, "device", name)
		e.add("container_fs_writes_bytes_total", o, d.writeBytes, "device", name)
		e.add("container_fs_writes_total", o, d.writes, "device", name)
		major, minor := strconv.Itoa(int(d.major)), strconv.Itoa(int(d.minor))
		e.add("container_blkio_device_usage_total", o, d.readBytes, "device", name, "major", major, "minor", minor, "operation", "Read")
		e.add("container_blkio_device_usage_total", o, d.writeBytes, "device", name, "major", major, "minor", minor, "operation", "Write")
	}
}

// addMachine adds what is told of the whole machine: its root cgroup, its file systems, its hardware.
func (m *Monitor) addMachine(e *exposition, now float64) {
	o := cgroupOwner(e, "/", "/", "", "", "", "", "")
	m.addCgroup(e, o, m.root(true))
	e.add("container_last_seen", o, now)
	e.add("container_start_time_seconds", o, float64(m.machine.booted.Unix()))
	var devices []string
	for _, f := range m.machine.fileSystems() {
		devices = append(devices, f.device)
		e.add("container_fs_limit_bytes", o, f.capacity, "device", f.device)
		e.add("container_fs_usage_bytes", o, f.capacity-f.free, "device", f.device)
		e.add("container_fs_inodes_total", o, f.inodes, "device", f.device)
		e.add("container_fs_inodes_free", o, f.inodesFree, "device", f.device)
	}
	for _, d := range readDisks(devices) {
		e.add("container_fs_reads_merged_total", o, d.fields[1], "device", d.name)
		e.add("container_fs_sector_reads_total", o, d.fields[2], "device", d.name)
		e.add("container_fs_read_seconds_total", o, d.fields[3]/1000, "device", d.name)
		e.add("container_fs_writes_merged_total", o, d.fields[5], "device", d.name)
		e.add("container_fs_sector_writes_total", o, d.fields[6], "device", d.name)
		e.add("container_fs_write_seconds_total", o, d.fields[7]/1000, "device", d.name)
		e.add("container_fs_io_current", o, d.fields[8], "device", d.name)
		e.add("container_fs_io_time_seconds_total", o, d.fields[9]/1000, "device", d.name)
		e.add("container_fs_io_time_weighted_seconds_total", o, d.fields[10]/1000, "device", d.name)
	}
	for name, v := range m.machine.constants {
		e.add(name, m.machine.owner, v)
	}
}

// root samples the machine's root cgroup. Where that does not count memory, as in cgroup v2, the kernel's own figures stand in.
func (m *Monitor) root(details bool) *Stats {
	s := m.stats("/", details, "")
	if _, ok := s.get(memoryUsage); !ok {
		memory := readMemory()
		s.set(memoryUsage, memory.total-memory.free)
		s.set(memoryWorkingSet, memory.total-memory.available)
	}
	return s
}
