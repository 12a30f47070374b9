package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// mixinManifests have something of all that has metrics of its own.
const mixinManifests = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, labels: {excluded-from-alerts: "true"}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: solopod.example/box:1
        command: [sh, -c, "while sleep 1; do dd if=/dev/zero of=/data/file bs=64k count=16 oflag=direct; dd if=/data/file of=/dev/null bs=64k iflag=direct; done & exec /web"]
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: db, image: "solopod.example/box:1", command: [sleep, infinity]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: agent, image: "solopod.example/box:1", command: [sleep, infinity]}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: works}
spec:
  template:
    spec: {restartPolicy: Never, terminationGracePeriodSeconds: 1, containers: [{name: works, image: "solopod.example/box:1", command: [sleep, infinity]}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: fails}
spec:
  backoffLimit: 0
  template:
    spec: {restartPolicy: Never, containers: [{name: fails, image: "solopod.example/box:1", command: ["false"]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: nightly, image: "solopod.example/box:1", command: ["true"]}]}}}}
`

// The paths that a kubelet's metrics are scraped from; the empty path is that of the state of objects.
const (
	ofKubelet  = "/metrics"
	ofCadvisor = "/metrics/cadvisor"
)

// mixinNames are the names of metrics that the rules, alerts and dashboards of kubernetes-mixin ask for and that one node has an answer to,
// by the path that they are scraped from, with the labels that are selected or joined by.
var mixinNames = map[string]map[string]string{
	"": {
		"kube_daemonset_status_current_number_scheduled": "namespace daemonset",
		"kube_daemonset_status_desired_number_scheduled": "namespace daemonset",
		"kube_daemonset_status_number_available":         "namespace daemonset",
		"kube_daemonset_status_number_misscheduled":      "namespace daemonset",
		"kube_daemonset_status_updated_number_scheduled": "namespace daemonset",
		"kube_deployment_metadata_generation":            "namespace deployment",
		"kube_deployment_spec_replicas":                  "namespace deployment",
		"kube_deployment_status_condition":               "namespace deployment condition status",
		"kube_deployment_status_observed_generation":     "namespace deployment",
		"kube_deployment_status_replicas_available":      "namespace deployment",
		"kube_deployment_status_replicas_updated":        "namespace deployment",
		"kube_job_failed":                                "namespace job_name condition",
		"kube_job_owner":                                 "namespace job_name",
		"kube_job_status_active":                         "namespace job_name",
		"kube_job_status_start_time":                     "namespace job_name",
		"kube_namespace_status_phase":                    "namespace",
		"kube_node_info":                                 "node",
		"kube_node_role":                                 "node role",
		"kube_node_spec_unschedulable":                   "node",
		"kube_node_status_allocatable":                   "node resource",
		"kube_node_status_capacity":                      "node resource",
		"kube_node_status_condition":                     "node condition status",
		"kube_persistentvolumeclaim_access_mode":         "namespace persistentvolumeclaim access_mode",
		"kube_persistentvolumeclaim_labels":              "namespace persistentvolumeclaim label_excluded_from_alerts",
		"kube_pod_container_resource_limits":             "namespace pod container node resource",
		"kube_pod_container_resource_requests":           "namespace pod container node resource",
		"kube_pod_container_status_waiting_reason":       "namespace pod container reason",
		"kube_pod_info":                                  "namespace pod node host_network",
		"kube_pod_owner":                                 "namespace pod owner_kind owner_name",
		"kube_pod_status_phase":                          "namespace pod phase",
		"kube_pod_status_ready":                          "namespace pod condition",
		"kube_pod_status_reason":                         "namespace pod reason",
		"kube_replicaset_owner":                          "namespace replicaset owner_kind owner_name",
		"kube_statefulset_metadata_generation":           "namespace statefulset",
		"kube_statefulset_replicas":                      "namespace statefulset",
		"kube_statefulset_status_current_revision":       "namespace statefulset revision",
		"kube_statefulset_status_observed_generation":    "namespace statefulset",
		"kube_statefulset_status_replicas_ready":         "namespace statefulset",
		"kube_statefulset_status_replicas_updated":       "namespace statefulset",
		"kube_statefulset_status_update_revision":        "namespace statefulset revision",
		"up": "instance",

		// Of issues before, and of the dashboards of others.
		"kube_cronjob_info":                                  "namespace cronjob schedule",
		"kube_job_status_failed":                             "namespace job_name reason",
		"kube_pod_container_info":                            "namespace pod container image container_id",
		"kube_pod_container_status_last_terminated_exitcode": "namespace pod container",
		"kube_pod_container_status_last_terminated_reason":   "namespace pod container reason",
		"kube_pod_container_status_restarts_total":           "namespace pod container",
		"kube_pod_status_qos_class":                          "namespace pod qos_class",
	},
	ofKubelet: {
		"go_goroutines": "instance",
		"kubelet_certificate_manager_server_ttl_seconds": "instance",
		"kubelet_cgroup_manager_duration_seconds_bucket": "operation_type le",
		"kubelet_cgroup_manager_duration_seconds_count":  "operation_type",
		"kubelet_evictions":                                  "eviction_signal",
		"kubelet_node_name":                                  "node",
		"kubelet_pod_start_duration_seconds_bucket":          "le",
		"kubelet_pod_start_duration_seconds_count":           "instance",
		"kubelet_pod_worker_duration_seconds_bucket":         "operation_type le",
		"kubelet_pod_worker_duration_seconds_count":          "operation_type",
		"kubelet_running_containers":                         "container_state",
		"kubelet_running_pods":                               "instance",
		"kubelet_runtime_operations_duration_seconds_bucket": "operation_type le",
		"kubelet_runtime_operations_errors_total":            "operation_type",
		"kubelet_runtime_operations_total":                   "operation_type",
		"kubelet_volume_stats_available_bytes":               "namespace persistentvolumeclaim",
		"kubelet_volume_stats_capacity_bytes":                "namespace persistentvolumeclaim",
		"kubelet_volume_stats_inodes":                        "namespace persistentvolumeclaim",
		"kubelet_volume_stats_inodes_free":                   "namespace persistentvolumeclaim",
		"kubelet_volume_stats_inodes_used":                   "namespace persistentvolumeclaim",
		"kubelet_volume_stats_used_bytes":                    "namespace persistentvolumeclaim",
		"process_cpu_seconds_total":                          "instance",
		"process_resident_memory_bytes":                      "instance",
		"storage_operation_duration_seconds_bucket":          "operation_name volume_plugin le",
		"storage_operation_duration_seconds_count":           "operation_name volume_plugin",
		"storage_operation_errors_total":                     "operation_name volume_plugin",
		"up":                                                 "instance",
		"volume_manager_total_volumes":                       "state",
	},
	ofCadvisor: {
		"container_cpu_cfs_periods_total":                  "namespace pod container",
		"container_cpu_cfs_throttled_periods_total":        "namespace pod container",
		"container_cpu_usage_seconds_total":                "namespace pod container image",
		"container_fs_reads_bytes_total":                   "device",
		"container_fs_reads_total":                         "device",
		"container_fs_writes_bytes_total":                  "namespace pod container device",
		"container_fs_writes_total":                        "namespace pod container device",
		"container_memory_cache":                           "namespace pod container image",
		"container_memory_rss":                             "namespace pod container image",
		"container_memory_swap":                            "namespace pod container image",
		"container_memory_working_set_bytes":               "namespace pod container image",
		"container_network_receive_bytes_total":            "namespace pod",
		"container_network_receive_packets_dropped_total":  "namespace pod",
		"container_network_receive_packets_total":          "namespace pod",
		"container_network_transmit_bytes_total":           "namespace pod",
		"container_network_transmit_packets_dropped_total": "namespace pod",
		"container_network_transmit_packets_total":         "namespace pod",
		"up": "instance",
	},
}

// mixinLeftOut are names of kubelets and kube-state-metrics that nothing here answers; docs/metrics.md says why.
var mixinLeftOut = []string{
	"kube_horizontalpodautoscaler_spec_max_replicas", "kube_horizontalpodautoscaler_spec_min_replicas", "kube_horizontalpodautoscaler_status_current_replicas",
	"kube_horizontalpodautoscaler_status_desired_replicas", "kube_poddisruptionbudget_status_current_healthy", "kube_poddisruptionbudget_status_desired_healthy",
	"kube_resourcequota", "kube_persistentvolume_status_phase", "kube_node_spec_taint", "kubelet_node_config_error", "kubelet_pleg_relist_duration_seconds_bucket",
	"kubelet_pleg_relist_duration_seconds_count", "kubelet_pleg_relist_interval_seconds_bucket", "rest_client_requests_total", "rest_client_request_duration_seconds_bucket",
	"kubelet_certificate_manager_client_ttl_seconds", "kubelet_certificate_manager_client_expiration_renew_errors", "kubelet_server_expiration_renew_errors", "kubernetes_build_info",
	"node_cpu_seconds_total", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_memory_Buffers_bytes", "node_memory_Cached_bytes", "node_memory_MemFree_bytes",
	"node_memory_Slab_bytes", "node_netstat_Tcp_RetransSegs", "node_netstat_Tcp_OutSegs", "node_netstat_TcpExt_TCPSynRetrans",
}

// selector asks for the series of a path that have all of some labels.
func selector(name, path, labels string) string {
	of := `job="kube-state-metrics"`
	if path != "" {
		of = fmt.Sprintf("job=\"kubelet\",metrics_path=%q", path)
	}
	for _, l := range strings.Fields(labels) {
		of += "," + l + `!=""`
	}
	return name + "{" + of + "}"
}

// Rules, alerts and dashboards that are made for a cluster find what they ask for, in a Prometheus with the example's configuration, and the
// example's own count nothing twice when everything is scraped twice: at /metrics with the state of objects, and by another address.
func TestMixins(t *testing.T) {
	listen := freePort(t)
	b := newBox(t, embedded, "--listen", listen)
	b.apply("all.yaml", mixinManifests)
	b.apply("plain.yaml", shell("plain", forever, ""))
	b.apply("late.yaml", shell("late", forever, "activeDeadlineSeconds: 1"))
	b.apply("crash.yaml", shell("crash", "exit 3", ""))
	// As a kill for memory before anybody has asked.
	b.apply("oom.yaml", strings.Replace(shell("oom", "exec tail /dev/zero", "restartPolicy: Never"), "    image:", "    resources: {limits: {memory: 16Mi}}\n    image:", 1))
	b.apply("near.yaml", shell("near", "head -c 30m /dev/zero >/own/full; "+forever, "volumes: [{name: own, emptyDir: {medium: Memory}}]")+
		"    resources: {limits: {memory: 32Mi}}\n    volumeMounts: [{name: own, mountPath: /own}]\n")
	b.waitReady("web-0")
	b.eventually("a container was killed for memory", func() error {
		if text := b.mustGet("/metrics/state"); !strings.Contains(text, `reason="OOMKilled"`) {
			return fmt.Errorf("there is no such reason")
		}
		return nil
	})
	_, port, _ := strings.Cut(listen, ":")
	p := startPrometheus(b, listen, fmt.Sprintf(`
- job_name: again
  static_configs:
  - {targets: ["localhost:%[1]s"], labels: {__metrics_path__: /metrics}}
  - {targets: ["localhost:%[1]s"], labels: {__metrics_path__: /metrics/cadvisor}}
  - {targets: ["localhost:%[1]s"], labels: {__metrics_path__: /metrics/resource}}
`, port))
	for path, names := range mixinNames {
		for name, labels := range names {
			if strings.HasPrefix(name, "container_fs_") && !unified() {
				continue // cgroup v1 counts no disk of a cgroup that has no limit for it
			}
			b.eventually("Prometheus has "+selector(name, path, labels), func() error {
				got, err := p.query(selector(name, path, labels))
				if err == nil && len(got) == 0 {
					all, _ := p.query(name)
					return fmt.Errorf("it has not, but %v", all)
				}
				return err
			})
		}
	}
	docs := readFile(t, "../../docs/metrics.md")
	for _, name := range mixinLeftOut {
		if got, err := p.query(name); err != nil || len(got) > 0 {
			t.Errorf("%s is left out, and there is %v, %v", name, got, err)
		}
		if family := strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"); !strings.Contains(docs, "`"+family+"`") {
			t.Errorf("docs/metrics.md does not say why %s is left out", family)
		}
	}
	// What the rules join.
	const replicaSets = `label_replace(kube_replicaset_owner{job="kube-state-metrics",owner_kind="Deployment"}, "of", "$1", "owner_name", "(.*)")`
	for q, want := range map[string]string{
		`count(label_replace(kube_pod_owner{owner_kind="ReplicaSet",job="kube-state-metrics"}, "replicaset", "$1", "owner_name", "(.*)") * on (namespace, replicaset) group_left (of) ` + replicaSets + `)`: "1",
		`count(kube_pod_owner{job="kube-state-metrics",owner_kind="",owner_name=""})`: "5",
		`count(kube_pod_owner{job="kube-state-metrics",owner_kind="Job"} * on (namespace, owner_name) group_left () label_replace(kube_job_owner{job="kube-state-metrics",owner_kind=""}, "owner_name", "$1", "job_name", "(.*)"))`: "2",
		`count(container_memory_working_set_bytes{job="kubelet",metrics_path="/metrics/cadvisor",image!="",pod="web-0"} * on (namespace, pod) group_left (node) kube_pod_info{job="kube-state-metrics",node!=""})`:                  "1",
		`count(kubelet_running_pods{job="kubelet"} * on (instance) group_left (node) kubelet_node_name / on (node) group_left () kube_node_status_capacity{job="kube-state-metrics",resource="cpu"})`:                               "1",
		`kube_job_failed{job="kube-state-metrics",job_name="fails",condition="true"}`:                                        "1",
		`kube_pod_status_reason{job="kube-state-metrics",reason="DeadlineExceeded",pod="late"}`:                              "1",
		`kube_pod_container_status_last_terminated_exitcode{job="kube-state-metrics",pod="crash"}`:                           "3",
		`count(count by (instance) (ALERTS{alertname="ContainerOOMKilled",alertstate="firing",pod="oom",container="main"}))`: "2", // by both addresses
		`count(ALERTS{alertname="ContainerOOMKilled",alertstate="firing",pod!="oom"}) or vector(0)`:                          "0",
		`count(ALERTS{alertname="ContainerNearMemoryLimit",alertstate="pending",pod="near",container="main"})`:               "2", // after minutes it fires
		`count(ALERTS{alertname="ContainerNearMemoryLimit"})`:                                                                "2",
		`count(ALERTS{alertname=~"PodEvicted|PodsNearMemoryLimit"}) or vector(0)`:                                            "0",
		`count(container_oom_events_total{job="kubelet",pod="plain"} == 0)`:                                                  "1",
	} {
		p.answers(q, want)
	}
	p.checkDashboard()
}

// quietPanels are those of the example that have nothing to show on a box without Services and probes that fail, whose kernel tells no
// pressure, disks in cgroup v2 alone, and evicts nobody.
var quietPanels = map[string]bool{"Memory left, and what must be left": true, "Disk, read and written by pod": true, "Waiting for memory, as part of the time": true, "Traffic of services": true, "DNS answers, 99th percentile": true, "Probes that failed": true}

// quietLines are those of panels that show others: on a box that keeps nothing for its system, and evicts nobody.
var quietLines = map[string]bool{"all pods of {{instance}}": true, "evicted now on {{node}}": true}

// checkDashboard evaluates the example's panels.
func (p *prometheusServer) checkDashboard() {
	t := p.b.t
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, "../../examples/grafana/solopod.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$instance", ".*", "$namespace", ".*", "$__rate_interval", "5s", "$__range", "1m")
	exprs := map[string]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expr := variables.Replace(target.Expr)
			if exprs[panel.Title] == "" {
				exprs[panel.Title] = expr
			}
			p.b.eventually(fmt.Sprintf("the panel %q shows something", panel.Title), func() error {
				got, err := p.query(expr)
				if err == nil && len(got) == 0 && !quietPanels[panel.Title] && !quietLines[target.LegendFormat] {
					return fmt.Errorf("nothing: %s", expr)
				}
				return err
			})
		}
	}
	// Nothing is counted twice.
	var list v1.PodList
	if err := json.Unmarshal([]byte(p.b.mustGet("/pods")), &list); err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, pod := range list.Items {
		if pod.Status.Phase == v1.PodRunning {
			running++
		}
	}
	p.answers(exprs["Pods running"], strconv.Itoa(running))
	const once = `sum by (namespace, pod) (max by (namespace, pod, container) (container_memory_working_set_bytes{id!="",container!="",pod="plain"} > 0))`
	p.b.eventually("memory is counted once", func() error {
		got, err := p.query("(" + exprs["Memory (working set), by pod"] + ") / " + once)
		if err != nil || len(got) != 1 {
			return fmt.Errorf("%v, %w", got, err)
		}
		if ratio, err := strconv.ParseFloat(fmt.Sprint(got[0].Value[1]), 64); err != nil || math.Abs(ratio-1) > 0.3 {
			return fmt.Errorf("it shows %v times what there is, %w", ratio, err)
		}
		return nil
	})
}
