package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// prometheusTool finds a program of Prometheus': in PATH, or where make deps-test unpacks it.
func prometheusTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := filepath.Abs("../../.cache/prometheus/usr/bin/" + name)
	if err != nil || !exists(path) {
		t.Fatalf("there is no %s (make deps-test)", name)
	}
	return path
}

// families parses what a metrics path answers.
func (b *box) families(path string) map[string]*dto.MetricFamily {
	b.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	out, err := parser.TextToMetricFamilies(strings.NewReader(b.mustGet(path)))
	if err != nil {
		b.t.Fatalf("%s: %v", path, err)
	}
	return out
}

// sample finds the one sample of a family that has these labels, names and values in turn; ok is false when there is none.
func sample(f *dto.MetricFamily, labels ...string) (value float64, ok bool) {
	for _, m := range f.GetMetric() {
		matches := 0
		for _, l := range m.GetLabel() {
			for i := 0; i < len(labels); i += 2 {
				if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
					matches++
				}
			}
		}
		if matches != len(labels)/2 {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.Counter.GetValue(), true
		case m.Gauge != nil:
			return m.Gauge.GetValue(), true
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount()), true
		}
	}
	return 0, false
}

// The kubelet's paths of metrics say what the kernel does.
func TestKubeletMetrics(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("web.yaml", web("web", `resources: {limits: {memory: 64Mi, cpu: 500m}}
livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1000}`))
	pod := b.waitReady("web")
	cgroup := b.containerCgroup(pod, "web")
	kernel := func() float64 {
		file := "memory.usage_in_bytes"
		if unified() {
			file = "memory.current"
		}
		v, err := strconv.ParseFloat(b.cgroupFile(cgroup, "memory", file), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	own := []string{"container", "web", "id", cgroup, "pod", "web", "namespace", "default"}
	// A probe's command may come or go between the two looks.
	b.eventually("container_memory_usage_bytes is what the kernel says", func() error {
		usage, _ := sample(b.families("/metrics/cadvisor")["container_memory_usage_bytes"], own...)
		if want := kernel(); math.Abs(usage-want) > want/4 {
			return fmt.Errorf("it is %v, and the kernel says %v", usage, want)
		}
		return nil
	})
	advisor := b.families("/metrics/cadvisor")
	for name, want := range map[string]float64{
		"container_spec_memory_limit_bytes": 64 << 20, "container_spec_cpu_quota": 50000, "container_spec_cpu_period": 100000, "container_spec_cpu_shares": 512,
		"container_processes": 1,
	} {
		if got, ok := sample(advisor[name], own...); !ok || got != want {
			t.Errorf("%s is %v (%v), not %v", name, got, ok, want)
		}
	}
	for name, labels := range map[string][]string{
		"container_cpu_usage_seconds_total": append([]string{"cpu", "total"}, own...), "container_threads": own, "container_file_descriptors": own,
		"container_ulimits_soft":                append([]string{"ulimit", "max_open_files"}, own...),
		"container_memory_failures_total":       append([]string{"failure_type", "pgfault", "scope", "hierarchy"}, own...),
		"container_network_receive_bytes_total": {"interface", "eth0", "pod", "web", "container", ""},
		"container_fs_limit_bytes":              {"id", "/"}, "container_memory_working_set_bytes": {"id", "/"}, "machine_memory_bytes": nil, "machine_cpu_cores": nil,
	} {
		if got, ok := sample(advisor[name], labels...); !ok || got <= 0 {
			t.Errorf("%s %v is %v, %v", name, labels, got, ok)
		}
	}
	// An edit of limits, without a restart, is seen by the next scrape.
	b.apply("web.yaml", strings.Replace(readFile(t, b.path("manifests/web.yaml")), "memory: 64Mi", "memory: 96Mi", 1))
	b.eventually("the new limit is told", func() error {
		if got, _ := sample(b.families("/metrics/cadvisor")["container_spec_memory_limit_bytes"], own...); got != 96<<20 {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})

	resource := b.families("/metrics/resource")
	for name, labels := range map[string][]string{
		"container_cpu_usage_seconds_total": {"container", "web", "namespace", "default", "pod", "web"}, "pod_memory_working_set_bytes": {"namespace", "default", "pod", "web"},
		"container_start_time_seconds": {"container", "web", "namespace", "default", "pod", "web"}, "node_cpu_usage_seconds_total": nil, "node_memory_working_set_bytes": nil,
		"solopod_memory_limit_ratio": {"container", "web", "namespace", "default", "pod", "web"},
	} {
		if got, ok := sample(resource[name], labels...); !ok || got <= 0 {
			t.Errorf("/metrics/resource: %s %v is %v, %v", name, labels, got, ok)
		}
	}
	b.eventually("both probes have answered", func() error {
		probes := b.families("/metrics/probes")
		good, _ := sample(probes["prober_probe_total"], "probe_type", "Readiness", "result", "successful", "container", "web", "pod_uid", string(pod.UID))
		bad, _ := sample(probes["prober_probe_total"], "probe_type", "Liveness", "result", "failed", "container", "web", "namespace", "default", "pod", "web")
		times, _ := sample(probes["prober_probe_duration_seconds"], "probe_type", "Liveness", "pod", "web")
		if good < 1 || bad < 1 || times < 1 {
			return fmt.Errorf("successes %v, failures %v, times %v", good, bad, times)
		}
		return nil
	})

	summary := func() (s stats.Summary, main stats.ContainerStats) {
		if err := json.Unmarshal([]byte(b.mustGet("/stats/summary")), &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Pods) != 1 || len(s.Pods[0].Containers) != 1 {
			t.Fatalf("the summary is of %+v", s.Pods)
		}
		return s, s.Pods[0].Containers[0]
	}
	s, main := summary()
	if main.Logs == nil || main.Logs.UsedBytes == nil || *main.Logs.UsedBytes == 0 || main.Rootfs == nil || *main.Rootfs.CapacityBytes == 0 {
		t.Errorf("the container's files: %+v, %+v", main.Logs, main.Rootfs)
	}
	if p := s.Pods[0]; p.PodRef.UID != string(pod.UID) || p.Network == nil || p.Network.Name != "eth0" || *p.ProcessStats.ProcessCount != 1 || p.StartTime.IsZero() {
		t.Errorf("the pod is %+v", p)
	}
	if n := s.Node; n.NodeName == "" || *n.Fs.CapacityBytes == 0 || *n.Memory.WorkingSetBytes == 0 || n.Runtime == nil || n.StartTime.IsZero() {
		t.Errorf("the node is %+v", n)
	}
	b.eventually("the second summary knows a rate, and what the kernel says of memory", func() error {
		_, main := summary()
		if usage, want := float64(*main.Memory.UsageBytes), kernel(); math.Abs(usage-want) > want/4 { // a probe's command may come or go
			return fmt.Errorf("usageBytes is %v, and the kernel says %v", usage, want)
		}
		if main.CPU.UsageNanoCores == nil || *main.CPU.UsageCoreNanoSeconds == 0 {
			return fmt.Errorf("the processor: %+v", main.CPU)
		}
		return nil
	})

	// A file's name may be no text.
	b.apply("b\xfcro.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: wrong}\nspec: {}\n")
	b.eventually("errors are told of a file whose name is not UTF-8", func() error {
		if n, _ := sample(b.families("/metrics")["solopod_manifest_errors"], "file", `b\xfcro.yaml`); n != 1 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})

	for _, path := range []string{"/metrics", "/metrics/state", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes"} {
		b.promtoolTakes(path)
	}
	// Nothing is left of a pod that is gone.
	b.delete("web.yaml")
	b.waitGone("web")
	for _, path := range []string{"/metrics", "/metrics/state", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes"} {
		if text := b.mustGet(path); strings.Contains(text, `pod="web"`) {
			t.Errorf("%s still tells of the pod", path)
		}
	}
}

// oddNames are those of cAdvisor and the kubelet that promtool has something against.
var oddNames = regexp.MustCompile(`^(container_fs_inodes_total|container_memory_failcnt|container_hugetlb_failcnt|machine_(dimm|node_hugepages|thread_siblings)_count|kubelet_evictions) `)

// promtoolTakes looks whether promtool finds something wrong with metrics, but for oddNames.
func (b *box) promtoolTakes(path string) {
	b.t.Helper()
	check := exec.Command(prometheusTool(b.t, "promtool"), "check", "metrics")
	check.Stdin = strings.NewReader(b.mustGet(path))
	out, err := check.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !oddNames.MatchString(line) {
			b.t.Errorf("%s: %s", path, line)
		}
	}
	if err != nil && len(out) == 0 {
		b.t.Errorf("%s: promtool: %v", path, err)
	}
}

// The example's alerts do what their tests say.
func TestAlerts(t *testing.T) {
	check := exec.Command(prometheusTool(t, "promtool"), "test", "rules", "alerts_test.yml")
	check.Dir = "../../examples/prometheus"
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// prometheusServer is a real Prometheus.
type prometheusServer struct {
	b       *box
	address string
}

// startPrometheus has a Prometheus scrape a box as the example's configuration says, but each second; more is added to the configuration.
func startPrometheus(b *box, listen, more string) *prometheusServer {
	b.t.Helper()
	p := &prometheusServer{b, freePort(b.t)}
	alerts, err := filepath.Abs("../../examples/prometheus/alerts.yml")
	if err != nil {
		b.t.Fatal(err)
	}
	config := strings.NewReplacer("127.0.0.1:10255", listen, "scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s", "- alerts.yml", "- "+alerts).
		Replace(readFile(b.t, "../../examples/prometheus/prometheus.yml"))
	b.writeFile("prometheus.yml", config+more)
	server := exec.Command(prometheusTool(b.t, "prometheus"), "--config.file="+b.path("prometheus.yml"), "--storage.tsdb.path="+b.path("tsdb"), "--web.listen-address="+p.address)
	var out bytes.Buffer
	server.Stdout, server.Stderr = &out, &out
	if err := server.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		server.Process.Kill() //nolint:errcheck // it may have ended
		server.Wait()         //nolint:errcheck // it was killed
		if b.t.Failed() {
			b.t.Log(out.String())
		}
	})
	return p
}

// series is one that a query answers with.
type series struct {
	Metric map[string]string
	Value  [2]any
}

// query asks the Prometheus.
func (p *prometheusServer) query(q string) ([]series, error) {
	var answer struct {
		Error string
		Data  struct{ Result []series }
	}
	text := httpGet("http://" + p.address + "/api/v1/query?query=" + url.QueryEscape(q))
	_, body, _ := strings.Cut(text, " ") // after the status
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", q, answer.Error)
	}
	return answer.Data.Result, nil
}

// answers waits until a query has one series, with this value.
func (p *prometheusServer) answers(q, want string) {
	p.b.t.Helper()
	p.b.eventually("Prometheus answers "+q, func() error {
		got, err := p.query(q)
		if err == nil && (len(got) != 1 || got[0].Value[1] != want) {
			return fmt.Errorf("%v, not one of value %s", got, want)
		}
		return err
	})
}

// A real Prometheus scrapes Solopod, with the example's configuration, and answers queries.
func TestPrometheus(t *testing.T) {
	listen := freePort(t)
	b := newBox(t, embedded, "--listen", listen)
	b.apply("web.yaml", web("web", ""))
	b.waitReady("web")
	p := startPrometheus(b, listen, "")
	for q, want := range map[string]string{
		`sum(up{job="kubelet"})`: "4", `up{job="kube-state-metrics"}`: "1",
		`count(container_memory_working_set_bytes{job="kubelet",metrics_path="/metrics/cadvisor",pod="web",container="web"} > 0)`: "1",
		`kube_pod_status_phase{phase="Running",pod="web"}`:                                                                        "1",
		`count(rate(container_cpu_usage_seconds_total{metrics_path="/metrics/cadvisor",pod="web",container="web"}[1m]))`:          "1",
		`count(prober_probe_total{pod="web",result="successful"} > 0)`:                                                            "1",
		`count(pod_memory_working_set_bytes{pod="web"} > 0)`:                                                                      "1",
	} {
		p.answers(q, want)
	}
}
