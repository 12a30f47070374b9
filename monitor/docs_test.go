package monitor

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/internal/shop"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/monitor/kills"
	"github.com/solopod/solopod/monitor/objects"
	"github.com/solopod/solopod/monitor/room"
	"github.com/solopod/solopod/monitor/usage"
	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/oom/total"
	"github.com/solopod/solopod/runner/eviction/supply"
	"github.com/solopod/solopod/runner/eviction/threshold"
	machine "github.com/solopod/solopod/runner/pressure"
	"github.com/solopod/solopod/runner/storage"
	"github.com/solopod/solopod/runner/telemetry"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// everyState is a pod whose containers are in all states, and a manifest.
type everyState struct{}

func (everyState) Pods() []*v1.Pod {
	return []*v1.Pod{{
		Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "v"}, {Name: "s", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{}}}}},
		Status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{
			{Name: "w", State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}},
			{Name: "c", ContainerID: "containerd://1", State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{}}},
			{Name: "r", State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}},
			{Name: "t", State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed"}}},
		}},
	}}
}

func (everyState) Files() (files []manifests.File, problem, unwatched string) {
	return []manifests.File{{Name: "f", State: manifests.StateActive}}, "", ""
}

func (everyState) Busy() (int, time.Duration) { return 1, 0 }

// row describes a family in the documentation.
func docRow(name, kind string, labels []string, help string) string {
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), help)
}

// supplied are the metrics of what pods are evicted for.
func supplied() prometheus.Collector {
	list, _ := threshold.Parse(threshold.Text{})
	return supply.New(machine.Linux{}, "/", "/").Metrics(list)
}

const tableHead = "\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n"

// documentGathered describes what collectors collect.
func documentGathered(t *testing.T, collectors ...prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(collectors...)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := tableHead
	for _, f := range families {
		labels := map[string]bool{}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				labels[l.GetName()] = true
			}
		}
		out += docRow(f.GetName(), strings.ToLower(dto.MetricType_name[int32(f.GetType())]), slices.Sorted(maps.Keys(labels)), f.GetHelp())
	}
	return out
}

func documentFamilies[S any](rows []familyRow[S], labels func(name string) []string) string {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b familyRow[S]) int { return strings.Compare(a.Name, b.Name) })
	out := tableHead
	for _, r := range rows {
		kind := "gauge"
		if r.Counter {
			kind = "counter"
		}
		out += docRow(r.Name, kind, slices.Sorted(slices.Values(append(labels(r.Name), r.Labels...))), r.Help)
	}
	return out
}

// documentState describes the state of objects.
func documentState() string {
	out := tableHead
	for _, f := range objects.New(objects.Sources{}).Families() {
		kind := "gauge"
		if f.Counter {
			kind = "counter"
		}
		out += docRow(f.Name, kind, f.Labels, f.Help)
	}
	return out
}

// labelsOf are those of the owners of cAdvisor's families.
func labelsOf(name string) []string {
	if strings.HasPrefix(name, "machine_") {
		return []string{"boot_id", "machine_id", "system_uuid"}
	}
	return []string{"container", "id", "image", "name", "namespace", "pod"}
}

func resourceLabels(name string) []string {
	switch kind, _, _ := strings.Cut(name, "_"); kind {
	case "container", "solopod":
		return []string{"container", "namespace", "pod"}
	case "pod":
		return []string{"namespace", "pod"}
	}
	return nil
}

// noRoom is a machine without any.
type noRoom struct{}

func (noRoom) Allocatable() v1.ResourceList { return nil }
func (noRoom) Requested() v1.ResourceList   { return nil }

// oneClaim is a box whose only volume is a claim.
type oneClaim struct{}

func (oneClaim) Places() []storage.Place {
	return []storage.Place{{Namespace: "n", Pod: "p", UID: "u", Kind: storage.Volume, Name: "data", Claim: "db"}}
}

func (oneClaim) Measure(context.Context, storage.Place, time.Duration) (storage.Measured, error) {
	return storage.Measured{At: time.Now()}, nil
}

// claimed collects what a claim takes up that has been measured.
func claimed(t *testing.T) prometheus.Collector {
	t.Helper()
	m := usage.New(oneClaim{})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	m.Await(ctx, usage.Claims, time.Minute)
	return m.ClaimMetrics()
}

// killed collects of a box of which one pod was killed for memory, and one is gone.
func killed() prometheus.Collector {
	of := func(pod string, at int64) record.Record {
		return record.Record{Time: time.UnixMilli(at), Pod: record.PodName{UID: pod, Namespace: "n", Name: pod}, Container: "c"}
	}
	return kills.New(kills.Source{
		Totals:  func() total.Totals { return total.Totals{} },
		Records: func() []record.Record { return []record.Record{of("p", 1500), of("gone", 2000)} },
		Pods: func() []*v1.Pod {
			return []*v1.Pod{{ObjectMeta: metav1.ObjectMeta{UID: "p"}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c"}}}}}
		},
	})
}

// The documentation names every family, and none that does not exist.
func TestDocumentedMetrics(t *testing.T) {
	counters := telemetry.New()
	counters.Probe("Readiness", "n", "p", "u", "c", time.Second, nil)
	counters.Operation("pull_image", time.Second, true)
	counters.CgroupChanged("create", time.Second)
	counters.VolumeSetUp("kubernetes.io/secret", time.Second, nil)
	counters.PodStarted(time.Second)
	counters.DNS("udp", "ipv4", "A", "NOERROR", "cluster", time.Millisecond, 0)
	served := shop.New()
	own := slices.Concat(counters.Own(), room.Metrics(noRoom{}), []prometheus.Collector{NewStates(everyState{}, "box"), objects.NewTraffic(served.Services, served.Traffic), claimed(t), killed(), supplied()})
	sections := map[string]string{
		"own":      documentGathered(t, own...),
		"state":    documentState(),
		"cadvisor": documentFamilies(cadvisorFamilies, labelsOf),
		"resource": documentFamilies(resourceFamilies, resourceLabels),
		"probes":   documentGathered(t, counters.Probes()...),
	}
	const path = "../docs/metrics.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, content := range sections {
		marker := regexp.MustCompile(`(?s)(<!-- ` + name + `: begin -->\n).*(\n<!-- ` + name + `: end -->)`)
		if !marker.MatchString(want) {
			t.Errorf("%s has no place for %s", path, name)
		}
		want = marker.ReplaceAllStringFunc(want, func(s string) string {
			m := marker.FindStringSubmatch(s)
			return m[1] + strings.Trim(content, "\n") + m[2]
		})
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the tables in %s are not what the code makes; write them with go test ./monitor -run TestDocumentedMetrics -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Alerts and dashboard ask for nothing that does not exist.
func TestExamplesUseKnownFamilies(t *testing.T) {
	docs, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"solopod_build_info": true, "solopod_audit_lines_lost_total": true} // the command line registers these
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (gauge|counter|histogram) ").FindAllStringSubmatch(string(docs), -1) {
		known[m[1]] = true
		if m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[m[1]+part] = true
			}
		}
	}
	name := regexp.MustCompile(`\b(?:container|kube|kubelet|solopod|machine|pod|node|prober|storage|volume)_[a-z_]+`)
	for _, path := range []string{"../examples/prometheus/alerts.yml", "../examples/prometheus/alerts_test.yml", "../examples/grafana/solopod.json"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllString(string(text), -1)
		if len(found) < 5 {
			t.Errorf("%s names only %v", path, found)
		}
		for _, f := range found {
			if !known[f] && f != "pod_uid" {
				t.Errorf("%s asks for %s, which does not exist", path, f)
			}
		}
	}
}
