package monitor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/solopod/solopod/monitor/exposition"
	"github.com/solopod/solopod/monitor/machine"
)

// everything is a cgroup of which all is known; the number of a key is its value.
func everything() *Stats {
	s := &Stats{
		devices: []deviceStats{{8, 0, 1, 2, 3, 4, [4]float64{1, 2, 3, 4}, true}, {8, 16, 5, 6, 7, 8, [4]float64{}, false}},
		huge:    []hugeStats{{"2MB", 1, 2, 3}, {"1GB", 4, -1, 5}},
	}
	for k := range keyCount {
		s.set(k, float64(k)+0.5)
	}
	return s
}

// check parses what an exposition has written as Prometheus does, and compares it with the rows.
func check[S any](t *testing.T, rows []familyRow[S], text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, r := range rows {
		f := families[r.Name]
		if f == nil {
			t.Errorf("%s is not written", r.Name)
			continue
		}
		want := dto.MetricType_GAUGE
		if r.Counter {
			want = dto.MetricType_COUNTER
		}
		if f.GetType() != want || f.GetHelp() != r.Help || r.Help == "" {
			t.Errorf("%s is a %s, %q", r.Name, f.GetType(), f.GetHelp())
		}
		seen := map[string]bool{}
		for _, m := range f.Metric {
			var names []string
			for _, l := range m.Label {
				names = append(names, l.GetName())
			}
			for _, name := range r.Labels {
				if !slices.Contains(names, name) {
					t.Errorf("a series of %s has no label %s: %v", r.Name, name, m.Label)
				}
			}
			if key := fmt.Sprint(m.Label); seen[key] {
				t.Errorf("%s has two series %s", r.Name, key)
			} else {
				seen[key] = true
			}
		}
	}
	if len(families) != len(rows) {
		t.Errorf("%d families are written of %d rows", len(families), len(rows))
	}
	return families
}

// Every row of /metrics/cadvisor is written, and Prometheus reads what was meant, whatever stands in a label.
func TestCadvisorFamilies(t *testing.T) {
	const image = "a \"quoted\"\\path\nof two lines, \xff"
	m := machine.New(nil)
	owner := exposition.NewOwner("machine", "machine_id", "id")
	parts := machine.Parts{
		Processors: 2, Cores: 1, Sockets: 1, Memory: 1 << 30,
		Caches:     []machine.Part[machine.CacheID]{{Of: machine.CacheID{Node: "0", Core: "0", Level: "1", Type: "Data"}, Value: 32768}, {Of: machine.CacheID{Node: "0", Level: "3", Type: "Unified"}, Value: 1 << 25}},
		Siblings:   []machine.Part[machine.ThreadID]{{Of: machine.ThreadID{Node: "0", Core: "0", Thread: "0"}, Value: 2}},
		NodeMemory: []machine.Part[string]{{Of: "0", Value: 1 << 30}},
		Distances:  []machine.Part[[2]string]{{Of: [2]string{"0", "0"}, Value: 10}, {Of: [2]string{"0", "1"}, Value: 20}},
		Hugepages:  []machine.Part[[2]string]{{Of: [2]string{"0", "2048"}, Value: 0}},
		Modules:    []machine.Part[string]{{Of: "Unbuffered-DDR4", Value: 2}}, ModuleBytes: []machine.Part[string]{{Of: "Unbuffered-DDR4", Value: 1 << 30}},
	}
	e := newEndpoint(cadvisorFamilies)
	var text string
	for range 2 { // the second time from what the first has kept
		e.Begin()
		e.Add(cgroupOwner(e, "key", "/pod/c", "c", image, "id", "ns", "web"), &cgroupSource{
			stats: everything(), machine: m, started: 1.25, seen: 1e9, kills: 3, counted: true,
			network:     []Interface{{"eth0", [4]float64{1, 2, 3, 4}, [4]float64{5, 6, 7, 8}}},
			fileSystems: []fileSystem{{device: "/dev/vda", limit: 100, used: 60, inodes: 10, inodesFree: 5}},
			disks:       []machine.Disk{{Name: "/dev/vda", Fields: [11]float64{0, 1, 2, 3000, 4, 5, 6, 7000, 8, 9000, 10000}}},
		})
		e.Add(owner, &cgroupSource{parts: &parts})
		var out bytes.Buffer
		e.Write(&out)
		text = out.String()
	}
	families := check(t, cadvisorFamilies, text)
	for name, want := range map[string]float64{
		"container_cpu_usage_seconds_total": float64(cpuUsage) + 0.5, "container_oom_events_total": 3, "container_start_time_seconds": 1.25,
		"container_fs_usage_bytes": 60, "container_fs_io_time_seconds_total": 9, "container_network_transmit_errors_total": 7, "machine_memory_bytes": 1 << 30,
		"container_fs_io_cost_wait_seconds_total": 2, "container_hugetlb_usage_bytes": 1, "machine_cpu_cache_capacity_bytes": 32768,
	} {
		metric := families[name].Metric[0]
		if got := metric.GetCounter().GetValue() + metric.GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	for name, want := range map[string]int{"container_memory_failures_total": 4, "container_blkio_device_usage_total": 4, "container_fs_reads_total": 2,
		"container_fs_io_cost_usage_seconds_total": 1, "container_hugetlb_max_usage_bytes": 1, "container_hugetlb_failcnt": 2} {
		if got := len(families[name].Metric); got != want {
			t.Errorf("%s has %d series, not %d", name, got, want)
		}
	}
	for _, l := range families["container_last_seen"].Metric[0].Label {
		if l.GetName() == "image" && l.GetValue() != exposition.Text(image) {
			t.Errorf("the image is %q", l.GetValue())
		}
	}
	// What is not sampled is forgotten.
	e.Begin()
	var out bytes.Buffer
	if e.Write(&out); out.Len() > 0 {
		t.Errorf("without a sample there is %q", out.String())
	}
}

func TestResourceFamilies(t *testing.T) {
	e := newEndpoint(resourceFamilies)
	e.Begin()
	e.Add(e.Owner("p", "namespace", "ns", "pod", "web"), &resourceSource{pod: everything()})
	e.Add(e.Owner("c", "container", "c", "namespace", "ns", "pod", "web"), &resourceSource{container: everything(), started: 2})
	e.Add(e.Owner(""), &resourceSource{node: everything(), swap: 7})
	all := everything()
	for k, v := range map[key]float64{memoryUsage: 90, memoryActiveFile: 20, memoryInactiveFile: 10, memoryLimit: 80} {
		all.set(k, v)
	}
	e.Add(e.Owner("all"), &resourceSource{pods: all})
	free := everything()
	free.set(memoryLimit, 0)
	e.Add(e.Owner("free", "namespace", "ns", "pod", "free"), &resourceSource{pod: free})
	var out bytes.Buffer
	e.Write(&out)
	families := check(t, resourceFamilies, out.String())
	if got := families["node_swap_usage_bytes"].Metric[0]; got.GetGauge().GetValue() != 7 || len(got.Label) > 0 {
		t.Errorf("the node's swap is %v", got)
	}
	near := families["solopod_memory_limit_ratio"].Metric
	if of := slices.IndexFunc(near, func(m *dto.Metric) bool { return len(m.Label) == 0 }); len(near) != 3 || of < 0 || near[of].GetGauge().GetValue() != 0.75 {
		t.Errorf("near their limits are %v", near)
	}
}

// Only what is known is told.
func TestAbsentNumbers(t *testing.T) {
	e := newEndpoint(cadvisorFamilies)
	e.Begin()
	s := &Stats{}
	s.set(memoryRSS, 1)
	e.Add(e.Owner("key"), &cgroupSource{stats: s})
	var out bytes.Buffer
	e.Write(&out)
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 3 || lines[2] != "container_memory_rss 1" {
		t.Errorf("%q", out.String())
	}
}

// Without a quota nothing is throttled, and nothing is said about it: as with cAdvisor.
func TestNoQuota(t *testing.T) {
	for _, quota := range []struct {
		set   func(*Stats)
		lines int
	}{
		{func(*Stats) {}, 0},
		{func(s *Stats) { s.set(cpuQuota, 0) }, 0},
		{func(s *Stats) { s.set(cpuQuota, 50000) }, 5},
	} {
		e := newEndpoint(cadvisorFamilies)
		e.Begin()
		s := &Stats{}
		for _, k := range []key{cpuPeriods, cpuThrottledPeriods, cpuThrottled, cpuBursts, cpuBurst} {
			s.set(k, 1)
		}
		quota.set(s)
		e.Add(e.Owner("key"), &cgroupSource{stats: s})
		var out bytes.Buffer
		e.Write(&out)
		if n := strings.Count(out.String(), "\ncontainer_cpu_cfs_"); n != quota.lines {
			t.Errorf("%d series instead of %d: %s", n, quota.lines, out.String())
		}
	}
}

// A scrape of known series makes nothing new.
func BenchmarkScrape(b *testing.B) {
	e, s, m := newEndpoint(cadvisorFamilies), everything(), machine.New(nil)
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		e.Begin()
		for n := range 100 {
			e.Add(cgroupOwner(e, fmt.Sprint(n), "/pod/c", fmt.Sprint(n), "image", "id", "ns", "web"), &cgroupSource{stats: s, machine: m, seen: 1})
		}
		e.Write(&out)
	}
}
