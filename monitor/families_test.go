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
)

// everything is a cgroup of which all is known; the number of a key is its value.
func everything() *Stats {
	s := &Stats{devices: []deviceStats{{8, 0, 1, 2, 3, 4}, {8, 16, 5, 6, 7, 8}}}
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
	m := newMachine(nil)
	m.constants = constants{2, 1, 1, 1 << 30, 0}
	e := newEndpoint(cadvisorFamilies)
	var text string
	for range 2 { // the second time from what the first has kept
		e.Begin()
		e.Add(cgroupOwner(e, "key", "/pod/c", "c", image, "id", "ns", "web"), &cgroupSource{
			stats: everything(), machine: m, started: 1.25, seen: 1e9, kills: 3, counted: true,
			network:     []Interface{{"eth0", [4]float64{1, 2, 3, 4}, [4]float64{5, 6, 7, 8}}},
			fileSystems: []fileSystem{{device: "/dev/vda", capacity: 100, free: 40, inodes: 10, inodesFree: 5}},
			disks:       []disk{{"/dev/vda", [11]float64{0, 1, 2, 3000, 4, 5, 6, 7000, 8, 9000, 10000}}},
		})
		e.Add(m.owner, &cgroupSource{constants: &m.constants})
		var out bytes.Buffer
		e.Write(&out)
		text = out.String()
	}
	families := check(t, cadvisorFamilies, text)
	for name, want := range map[string]float64{
		"container_cpu_usage_seconds_total": float64(cpuUsage) + 0.5, "container_oom_events_total": 3, "container_start_time_seconds": 1.25,
		"container_fs_usage_bytes": 60, "container_fs_io_time_seconds_total": 9, "container_network_transmit_errors_total": 7, "machine_memory_bytes": 1 << 30,
	} {
		metric := families[name].Metric[0]
		if got := metric.GetCounter().GetValue() + metric.GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	for name, want := range map[string]int{"container_memory_failures_total": 4, "container_blkio_device_usage_total": 4, "container_fs_reads_total": 2} {
		if got := len(families[name].Metric); got != want {
			t.Errorf("%s has %d series, not %d", name, got, want)
		}
	}
	for _, l := range families["container_last_seen"].Metric[0].Label {
		if l.GetName() == "image" && l.GetValue() != strings.ToValidUTF8(image, "\uFFFD") {
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
	var out bytes.Buffer
	e.Write(&out)
	families := check(t, resourceFamilies, out.String())
	if got := families["node_swap_usage_bytes"].Metric[0]; got.GetGauge().GetValue() != 7 || len(got.Label) > 0 {
		t.Errorf("the node's swap is %v", got)
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

// A scrape of known series makes nothing new.
func BenchmarkScrape(b *testing.B) {
	e, s, m := newEndpoint(cadvisorFamilies), everything(), newMachine(nil)
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
