package monitor

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/telemetry"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// everyState is a pod whose containers are in all states.
type everyState struct{}

func (everyState) Pods() []*v1.Pod {
	now := metav1.Now()
	statuses := []v1.ContainerStatus{
		{Name: "w", State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, LastTerminationState: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Error"}}},
		{Name: "t", State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed"}}},
	}
	return []*v1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u", CreationTimestamp: now, Annotations: map[string]string{manifests.OwnerAnnotation: "job/j"}},
		Spec: v1.PodSpec{Containers: []v1.Container{{Name: "w", Resources: v1.ResourceRequirements{
			Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("1")}, Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("1Mi")},
		}}}},
		Status: v1.PodStatus{
			Reason: "Evicted", Phase: v1.PodRunning, StartTime: &now, ContainerStatuses: statuses, InitContainerStatuses: statuses,
			Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}},
		},
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

// labelsOf are those of the owners of cAdvisor's families.
func labelsOf(name string) []string {
	if strings.HasPrefix(name, "machine_") {
		return []string{"boot_id", "machine_id", "system_uuid"}
	}
	return []string{"container", "id", "image", "name", "namespace", "pod"}
}

func resourceLabels(name string) []string {
	switch kind, _, _ := strings.Cut(name, "_"); kind {
	case "container":
		return []string{"container", "namespace", "pod"}
	case "pod":
		return []string{"namespace", "pod"}
	}
	return nil
}

// The documentation names every family, and none that does not exist.
func TestDocumentedMetrics(t *testing.T) {
	counters := telemetry.New()
	counters.Probe("Readiness", "n", "p", "u", "c", time.Second, nil)
	sections := map[string]string{
		"own":      documentGathered(t, append(counters.Own(), NewStates(everyState{}))...),
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
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\w+)").FindAllStringSubmatch(string(docs), -1) {
		known[m[1]] = true
		if m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[m[1]+part] = true
			}
		}
	}
	name := regexp.MustCompile(`\b(?:container|kube|solopod|machine|pod|node|prober)_[a-z_]+`)
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
