package monitor

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// cadvisorNames are all names that cAdvisor has: of containers without their prefix, and of machines without theirs.
var cadvisorNames = map[string]string{
	"container_": `blkio_device_usage_total cpu_cfs_burst_periods_total cpu_cfs_burst_seconds_total cpu_cfs_periods_total
		cpu_cfs_throttled_periods_total cpu_cfs_throttled_seconds_total cpu_load_average_10s cpu_load_d_average_10s
		cpu_schedstat_run_periods_total cpu_schedstat_run_seconds_total cpu_schedstat_runqueue_seconds_total cpu_system_seconds_total
		cpu_usage_seconds_total cpu_user_seconds_total creation_time_seconds file_descriptors fs_inodes_free fs_inodes_total
		fs_io_cost_indebt_seconds_total fs_io_cost_indelay_seconds_total fs_io_cost_usage_seconds_total fs_io_cost_wait_seconds_total
		fs_io_current fs_io_time_seconds_total fs_io_time_weighted_seconds_total fs_limit_bytes fs_read_seconds_total
		fs_reads_bytes_total fs_reads_merged_total fs_reads_total fs_sector_reads_total fs_sector_writes_total fs_usage_bytes
		fs_write_seconds_total fs_writes_bytes_total fs_writes_merged_total fs_writes_total health_state hugetlb_failcnt
		hugetlb_max_usage_bytes hugetlb_usage_bytes last_seen llc_occupancy_bytes memory_bandwidth_bytes memory_bandwidth_local_bytes
		memory_cache memory_events_high_total memory_events_max_total memory_failcnt memory_failures_total memory_file_dirty_bytes
		memory_file_writeback_bytes memory_kernel_usage memory_mapped_file memory_max_usage_bytes memory_migrate memory_numa_pages
		memory_pgscan_total memory_pgsteal_total memory_rss memory_swap memory_total_active_file_bytes
		memory_total_inactive_file_bytes memory_usage_bytes memory_working_set_bytes memory_workingset_refault_anon_total
		memory_workingset_refault_file_total network_advance_tcp_stats_total network_receive_bytes_total network_receive_errors_total
		network_receive_packets_dropped_total network_receive_packets_total network_tcp6_usage_total network_tcp_usage_total
		network_transmit_bytes_total network_transmit_errors_total network_transmit_packets_dropped_total
		network_transmit_packets_total network_udp6_usage_total network_udp_usage_total oom_events_total perf_events_scaling_ratio
		perf_events_total perf_uncore_events_scaling_ratio perf_uncore_events_total pressure_cpu_stalled_seconds_total
		pressure_cpu_waiting_seconds_total pressure_io_stalled_seconds_total pressure_io_waiting_seconds_total
		pressure_memory_stalled_seconds_total pressure_memory_waiting_seconds_total processes referenced_bytes scrape_error sockets
		spec_cpu_period spec_cpu_quota spec_cpu_shares spec_memory_limit_bytes spec_memory_reservation_limit_bytes
		spec_memory_swap_limit_bytes start_time_seconds tasks_state threads threads_max ulimits_soft`,
	"machine_": `cpu_books cpu_cache_capacity_bytes cpu_cores cpu_drawers cpu_physical_cores cpu_sockets dimm_capacity_bytes dimm_count
		memory_bytes node_distance node_hugepages_count node_memory_capacity_bytes nvm_avg_power_budget_watts nvm_capacity scrape_error
		swap_bytes thread_siblings_count`,
	"cadvisor_": "version_info",
}

// Each of cAdvisor's families is told, or the documentation says why not.
func TestCadvisorIsComplete(t *testing.T) {
	docs, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(docs), "<!-- left out: begin -->")
	text, _, _ = strings.Cut(text, "<!-- left out: end -->")
	var leftOut []string
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`.*?`"+`)[^`+"`"+`|]* \| .+ \|$`).FindAllStringSubmatch(text, -1) {
		for _, name := range regexp.MustCompile("`([a-z0-9_*]+)`").FindAllStringSubmatch(row[1], -1) {
			leftOut = append(leftOut, name[1])
		}
	}
	if len(leftOut) < 20 {
		t.Fatalf("the documentation leaves out only %v", leftOut)
	}
	for prefix, names := range cadvisorNames {
		for name := range strings.FieldsSeq(names) {
			name = prefix + name
			told := slices.ContainsFunc(cadvisorFamilies, func(r cgroupRow) bool { return r.Name == name })
			explained := slices.ContainsFunc(leftOut, func(pattern string) bool {
				matches, err := path.Match(pattern, name)
				return err == nil && matches
			})
			if told == explained {
				t.Errorf("%s is told: %t, and left out by the documentation: %t", name, told, explained)
			}
		}
	}
}
