package objects

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/internal/shop"
	"github.com/solopod/solopod/manifests"
)

// at is a time some seconds after a beginning.
func at(seconds int) metav1.Time {
	return metav1.NewTime(shop.Created.Add(time.Duration(seconds) * time.Second))
}

func meta(name string, change ...func(*metav1.ObjectMeta)) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: at(0), Generation: 3}
	for _, f := range change {
		f(&m)
	}
	return m
}

func ownedBy(kind, name string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) {
		m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: ptr.To(true)}}
	}
}

// crashing is a pod with an init container that is done, a container that crashes, and one that has no state yet.
func crashing() *v1.Pod {
	resources := v1.ResourceRequirements{
		Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m"), "vendor.example/gpu-x": resource.MustParse("1")},
		Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse("1Mi")},
	}
	ended := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137, StartedAt: at(5), FinishedAt: at(7)}}
	return &v1.Pod{
		ObjectMeta: meta("crash", func(m *metav1.ObjectMeta) { m.Labels = map[string]string{"app.kubernetes.io/name": "crash"} }),
		Spec: v1.PodSpec{
			NodeName: "box", RestartPolicy: v1.RestartPolicyAlways, PriorityClassName: "system-node-critical",
			InitContainers: []v1.Container{{Name: "first", Image: "busybox", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways)}},
			Containers:     []v1.Container{{Name: "c", Image: "web", Resources: resources}, {Name: "new", Image: "web"}},
			Volumes:        []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "db", ReadOnly: true}}}},
		},
		Status: v1.PodStatus{
			Phase: v1.PodRunning, HostIP: "192.0.2.1", PodIP: "10.85.0.5", PodIPs: []v1.PodIP{{IP: "10.85.0.5"}, {IP: "fd00::5"}}, QOSClass: v1.PodQOSBurstable,
			StartTime: ptr.To(at(1)),
			Conditions: []v1.PodCondition{
				{Type: v1.PodReady, Status: v1.ConditionFalse}, {Type: v1.PodInitialized, Status: v1.ConditionTrue, LastTransitionTime: at(2)}, {Type: v1.PodScheduled, Status: v1.ConditionTrue},
			},
			InitContainerStatuses: []v1.ContainerStatus{{Name: "first", Ready: true, State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: at(2)}}}},
			ContainerStatuses: []v1.ContainerStatus{{
				Name: "c", RestartCount: 2, Image: "docker.io/library/web:latest", ImageID: "sha256:1", ContainerID: "containerd://1",
				State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, LastTerminationState: ended,
			}},
		},
	}
}

// done is a Job's pod that is over.
func done() *v1.Pod {
	state := func(s int) v1.ContainerState {
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed", FinishedAt: at(s)}}
	}
	return &v1.Pod{
		ObjectMeta: meta("backup-0", ownedBy("Job", "backup")), Spec: v1.PodSpec{Containers: []v1.Container{{Name: "a"}, {Name: "b"}}},
		Status: v1.PodStatus{Phase: v1.PodSucceeded, ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: state(9)}, {Name: "b", State: state(8)}}},
	}
}

func everything() Sources {
	from := nothing()
	from.Pods = func() []*v1.Pod {
		return []*v1.Pod{crashing(), done(), {ObjectMeta: meta("web-0", ownedBy("Deployment", "web"))}, {ObjectMeta: meta("db-0", func(m *metav1.ObjectMeta) {
			m.Annotations = map[string]string{manifests.OwnerAnnotation: "statefulset/db"} // of a version without references
		})}}
	}
	from.Node = func() *v1.Node {
		list := v1.ResourceList{v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("1Gi"), v1.ResourcePods: resource.MustParse("110")}
		return &v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "box", CreationTimestamp: at(0), Labels: map[string]string{rolePrefix + "edge": ""}},
			Spec:       v1.NodeSpec{Taints: []v1.Taint{{Key: "k", Value: "v", Effect: v1.TaintEffectNoSchedule}}},
			Status: v1.NodeStatus{
				Capacity: list, Allocatable: list, Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}, {Type: v1.NodeDiskPressure, Status: v1.ConditionFalse}},
				Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "192.0.2.1"}, {Type: v1.NodeInternalIP, Address: "fd00::1"}, {Type: v1.NodeHostName, Address: "box"}},
				NodeInfo:  v1.NodeSystemInfo{KernelVersion: "6.18", OSImage: "Debian", ContainerRuntimeVersion: "containerd://2", KubeletVersion: "solopod-1", SystemUUID: "u"},
			},
		}
	}
	from.Workloads = func() Workloads {
		three, quarter := ptr.To(int32(3)), ptr.To(intstr.FromString("25%"))
		return Workloads{
			Deployments: []*appsv1.Deployment{{
				ObjectMeta: meta("web"),
				Spec:       appsv1.DeploymentSpec{Replicas: three, Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: quarter, MaxSurge: quarter}}},
				Status: appsv1.DeploymentStatus{Replicas: 4, ReadyReplicas: 2, AvailableReplicas: 1, UnavailableReplicas: 3, UpdatedReplicas: 2, ObservedGeneration: 2,
					Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: v1.ConditionTrue, Reason: "ReplicaSetUpdated"}}},
			}},
			ReplicaSets:  []*appsv1.ReplicaSet{{ObjectMeta: meta("plain"), Spec: appsv1.ReplicaSetSpec{Replicas: three}, Status: appsv1.ReplicaSetStatus{ReadyReplicas: 1}}},
			StatefulSets: []*appsv1.StatefulSet{{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{Replicas: three}, Status: appsv1.StatefulSetStatus{ReadyReplicas: 2, UpdatedReplicas: 1, CurrentRevision: "db-1", UpdateRevision: "db-2"}}},
			DaemonSets:   []*appsv1.DaemonSet{{ObjectMeta: meta("agent"), Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, CurrentNumberScheduled: 1}}},
			Jobs: []*batchv1.Job{
				{ObjectMeta: meta("backup", ownedBy("CronJob", "nightly")), Spec: batchv1.JobSpec{Completions: ptr.To(int32(1))}, Status: batchv1.JobStatus{
					Succeeded: 1, StartTime: ptr.To(at(1)), CompletionTime: ptr.To(at(9)), Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: v1.ConditionTrue}},
				}},
				{ObjectMeta: meta("broken"), Status: batchv1.JobStatus{Failed: 7, Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: v1.ConditionTrue, Reason: "BackoffLimitExceeded"}}}},
				{ObjectMeta: meta("trying"), Status: batchv1.JobStatus{Failed: 2, Active: 1}},
			},
			CronJobs: []*batchv1.CronJob{{ObjectMeta: meta("nightly"), Spec: batchv1.CronJobSpec{Schedule: "@daily", ConcurrencyPolicy: batchv1.ForbidConcurrent}, Status: batchv1.CronJobStatus{LastScheduleTime: ptr.To(at(0)), Active: []v1.ObjectReference{{}}}}},
			Claims: []*v1.PersistentVolumeClaim{{
				ObjectMeta: meta("db", func(m *metav1.ObjectMeta) { m.Labels = map[string]string{"excluded-from-alerts": "true"} }),
				Spec: v1.PersistentVolumeClaimSpec{
					AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, VolumeName: "db", Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
				},
				Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound},
			}},
			Namespaces: []*v1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "empty", CreationTimestamp: at(0)}}},
		}
	}
	return from
}

// The state of all kinds is told with kube-state-metrics' names and labels.
func TestStateMetrics(t *testing.T) {
	got := scrape(t, everything())
	for _, want := range strings.Split(strings.TrimSpace(`
kube_pod_info{host_ip="192.0.2.1",host_network="false",namespace="default",node="box",pod="crash",pod_ip="10.85.0.5",priority_class="system-node-critical",uid="uid-crash"} 1
kube_pod_info{created_by_kind="Job",created_by_name="backup",host_network="false",namespace="default",pod="backup-0",uid="uid-backup-0"} 1
kube_pod_ips{ip="fd00::5",ip_family="6",namespace="default",pod="crash",uid="uid-crash"} 1
kube_pod_labels{label_app_kubernetes_io_name="crash",namespace="default",pod="crash",uid="uid-crash"} 1
kube_pod_owner{namespace="default",pod="crash",uid="uid-crash"} 1
kube_pod_owner{namespace="default",owner_is_controller="true",owner_kind="ReplicaSet",owner_name="web",pod="web-0",uid="uid-web-0"} 1
kube_pod_owner{namespace="default",owner_is_controller="true",owner_kind="StatefulSet",owner_name="db",pod="db-0",uid="uid-db-0"} 1
kube_pod_owner{namespace="default",owner_is_controller="true",owner_kind="Job",owner_name="backup",pod="backup-0",uid="uid-backup-0"} 1
kube_pod_start_time{namespace="default",pod="crash",uid="uid-crash"} 1.767323046e+09
kube_pod_completion_time{namespace="default",pod="backup-0",uid="uid-backup-0"} 1.767323054e+09
kube_pod_status_phase{namespace="default",phase="Running",pod="crash",uid="uid-crash"} 1
kube_pod_status_phase{namespace="default",phase="Pending",pod="crash",uid="uid-crash"} 0
kube_pod_status_qos_class{namespace="default",pod="crash",qos_class="Burstable",uid="uid-crash"} 1
kube_pod_status_qos_class{namespace="default",pod="crash",qos_class="BestEffort",uid="uid-crash"} 0
kube_pod_status_ready{condition="false",namespace="default",pod="crash",uid="uid-crash"} 1
kube_pod_status_ready{condition="unknown",namespace="default",pod="crash",uid="uid-crash"} 0
kube_pod_status_initialized_time{namespace="default",pod="crash",uid="uid-crash"} 1.767323047e+09
kube_pod_restart_policy{namespace="default",pod="crash",type="Always",uid="uid-crash"} 1
kube_pod_spec_volumes_persistentvolumeclaims_info{namespace="default",persistentvolumeclaim="db",pod="crash",uid="uid-crash",volume="data"} 1
kube_pod_spec_volumes_persistentvolumeclaims_readonly{namespace="default",persistentvolumeclaim="db",pod="crash",uid="uid-crash",volume="data"} 1
kube_pod_container_info{container="c",container_id="containerd://1",image="docker.io/library/web:latest",image_id="sha256:1",image_spec="web",namespace="default",pod="crash",uid="uid-crash"} 1
kube_pod_container_info{container="new",image_spec="web",namespace="default",pod="crash",uid="uid-crash"} 1
kube_pod_container_status_restarts_total{container="c",namespace="default",pod="crash",uid="uid-crash"} 2
kube_pod_container_status_restarts_total{container="new",namespace="default",pod="crash",uid="uid-crash"} 0
kube_pod_container_status_waiting_reason{container="c",namespace="default",pod="crash",reason="CrashLoopBackOff",uid="uid-crash"} 1
kube_pod_container_status_last_terminated_reason{container="c",namespace="default",pod="crash",reason="OOMKilled",uid="uid-crash"} 1
kube_pod_container_status_last_terminated_exitcode{container="c",namespace="default",pod="crash",uid="uid-crash"} 137
kube_pod_container_status_last_terminated_timestamp{container="c",namespace="default",pod="crash",uid="uid-crash"} 1.767323052e+09
kube_pod_container_status_terminated_reason{container="a",namespace="default",pod="backup-0",reason="Completed",uid="uid-backup-0"} 1
kube_pod_container_resource_requests{container="c",namespace="default",node="box",pod="crash",resource="cpu",uid="uid-crash",unit="core"} 0.25
kube_pod_container_resource_requests{container="c",namespace="default",node="box",pod="crash",resource="vendor_example_gpu_x",uid="uid-crash",unit="integer"} 1
kube_pod_container_resource_limits{container="c",namespace="default",node="box",pod="crash",resource="memory",uid="uid-crash",unit="byte"} 1.048576e+06
kube_pod_init_container_info{container="first",image_spec="busybox",namespace="default",pod="crash",restart_policy="Always",uid="uid-crash"} 1
kube_pod_init_container_state_started{container="first",namespace="default",pod="crash",uid="uid-crash"} 1.767323047e+09
kube_pod_init_container_status_running{container="first",namespace="default",pod="crash",uid="uid-crash"} 1
kube_node_info{container_runtime_version="containerd://2",internal_ip="192.0.2.1",kernel_version="6.18",kubelet_version="solopod-1",node="box",os_image="Debian",system_uuid="u"} 1
kube_node_role{node="box",role="control-plane"} 1
kube_node_role{node="box",role="edge"} 1
kube_node_spec_unschedulable{node="box"} 0
kube_node_spec_taint{effect="NoSchedule",key="k",node="box",value="v"} 1
kube_node_status_addresses{address="fd00::1",node="box",type="InternalIP"} 1
kube_node_status_capacity{node="box",resource="pods",unit="integer"} 110
kube_node_status_allocatable{node="box",resource="memory",unit="byte"} 1.073741824e+09
kube_node_status_condition{condition="Ready",node="box",status="true"} 1
kube_node_status_condition{condition="DiskPressure",node="box",status="true"} 0
kube_node_status_condition{condition="DiskPressure",node="box",status="unknown"} 0
kube_namespace_status_phase{namespace="default",phase="Active"} 1
kube_namespace_status_phase{namespace="empty",phase="Terminating"} 0
kube_namespace_created{namespace="empty"} 1.767323045e+09
kube_deployment_spec_replicas{deployment="web",namespace="default"} 3
kube_deployment_metadata_generation{deployment="web",namespace="default"} 3
kube_deployment_status_observed_generation{deployment="web",namespace="default"} 2
kube_deployment_status_replicas_available{deployment="web",namespace="default"} 1
kube_deployment_status_replicas_updated{deployment="web",namespace="default"} 2
kube_deployment_status_condition{condition="Progressing",deployment="web",namespace="default",reason="ReplicaSetUpdated",status="true"} 1
kube_deployment_status_condition{condition="Progressing",deployment="web",namespace="default",reason="ReplicaSetUpdated",status="false"} 0
kube_deployment_spec_strategy_rollingupdate_max_surge{deployment="web",namespace="default"} 1
kube_deployment_spec_strategy_rollingupdate_max_unavailable{deployment="web",namespace="default"} 0
kube_replicaset_owner{namespace="default",owner_is_controller="true",owner_kind="Deployment",owner_name="web",replicaset="web"} 1
kube_replicaset_owner{namespace="default",replicaset="plain"} 1
kube_replicaset_status_ready_replicas{namespace="default",replicaset="plain"} 1
kube_statefulset_replicas{namespace="default",statefulset="db"} 3
kube_statefulset_status_current_revision{namespace="default",revision="db-1",statefulset="db"} 1
kube_statefulset_status_update_revision{namespace="default",revision="db-2",statefulset="db"} 1
kube_daemonset_status_desired_number_scheduled{daemonset="agent",namespace="default"} 1
kube_job_owner{job_name="backup",namespace="default",owner_is_controller="true",owner_kind="CronJob",owner_name="nightly"} 1
kube_job_owner{job_name="broken",namespace="default"} 1
kube_job_complete{condition="true",job_name="backup",namespace="default"} 1
kube_job_failed{condition="true",job_name="broken",namespace="default"} 1
kube_job_status_failed{job_name="broken",namespace="default",reason="BackoffLimitExceeded"} 1
kube_job_status_failed{job_name="trying",namespace="default"} 2
kube_job_status_active{job_name="trying",namespace="default"} 1
kube_job_status_completion_time{job_name="backup",namespace="default"} 1.767323054e+09
kube_cronjob_info{concurrency_policy="Forbid",cronjob="nightly",namespace="default",schedule="@daily",timezone="local"} 1
kube_cronjob_status_last_schedule_time{cronjob="nightly",namespace="default"} 1.767323045e+09
kube_cronjob_status_active{cronjob="nightly",namespace="default"} 1
kube_persistentvolumeclaim_info{namespace="default",persistentvolumeclaim="db",volumename="db"} 1
kube_persistentvolumeclaim_labels{label_excluded_from_alerts="true",namespace="default",persistentvolumeclaim="db"} 1
kube_persistentvolumeclaim_access_mode{access_mode="ReadWriteOnce",namespace="default",persistentvolumeclaim="db"} 1
kube_persistentvolumeclaim_resource_requests_storage_bytes{namespace="default",persistentvolumeclaim="db"} 1.073741824e+09
kube_persistentvolumeclaim_status_phase{namespace="default",persistentvolumeclaim="db",phase="Bound"} 1
`), "\n") {
		if !slices.Contains(got, want) {
			t.Errorf("there is no\n%s", want)
		}
	}
	for name, want := range map[string]int{"kube_pod_owner": 4, "kube_pod_container_status_restarts_total": 4, "kube_pod_status_phase": 20, "kube_replicaset_owner": 2, "kube_namespace_status_phase": 4, "kube_pod_completion_time": 1, "kube_job_failed": 3} {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(l string) bool { return !strings.HasPrefix(l, name+"{") })); n != want {
			t.Errorf("%s has %d series, not %d", name, n, want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(got, "\n"))
	}
}

// Every family that may be told has a name, a help and labels of its own; what is told is among them.
func TestStateFamilies(t *testing.T) {
	known := map[string]bool{}
	for _, f := range New(Sources{}).Families() {
		if known[f.Name] || f.Help == "" || len(f.Labels) == 0 || !strings.HasPrefix(f.Name, "kube_") {
			t.Errorf("%+v", f)
		}
		known[f.Name] = true
	}
	for _, line := range scrape(t, everything()) {
		if name, _, _ := strings.Cut(line, "{"); !known[name] {
			t.Errorf("%s is told, and not known", name)
		}
	}
}

// What changes between scrapes is told as it is then, what is gone is not, and the lines are made anew after they were forgotten.
func TestStateOverTime(t *testing.T) {
	pod := crashing()
	from := nothing()
	from.Pods = func() []*v1.Pod { return []*v1.Pod{pod} }
	state := New(from)
	write := func() string {
		var out bytes.Buffer
		if err := state.Write(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	first := write()
	pod = pod.DeepCopy()
	pod.Status.PodIP, pod.Labels = "10.85.0.6", map[string]string{"b": "c"}
	second := write()
	if strings.Contains(second, `pod_ip="10.85.0.5"`) || !strings.Contains(second, `pod_ip="10.85.0.6"`) || strings.Contains(second, "label_app") || !strings.Contains(second, `label_b="c"`) {
		t.Errorf("after a change there is\n%s", second)
	}
	pod = crashing()
	state.reset()
	if again := write(); again != first {
		t.Errorf("after a while there is\n%s\nnot\n%s", again, first)
	}
	from.Pods = func() []*v1.Pod { return nil }
	state.from = from
	if last := write(); strings.Contains(last, "kube_pod") {
		t.Errorf("without a pod there is\n%s", last)
	}
}

// A scrape of 50 pods of two containers.
func BenchmarkState(b *testing.B) {
	var pods []*v1.Pod
	for n := range 50 {
		p := crashing()
		p.Name, p.UID = fmt.Sprint("crash-", n), types.UID(fmt.Sprint("uid-", n))
		pods = append(pods, p)
	}
	from := nothing()
	from.Pods = func() []*v1.Pod { return pods }
	state := New(from)
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := state.Write(b.Context(), &out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes.Count(out.Bytes(), []byte("\n"))), "lines")
}
