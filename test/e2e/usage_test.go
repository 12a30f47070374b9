package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// summary asks as somebody does who wants everything.
func (b *box) summary() (s stats.Summary) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.mustGet("/stats/summary")), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// writes is a pod with volumes of each kind which it writes to, once, and is ready then.
const writes = `
metadata: {name: writes}
spec:
  terminationGracePeriodSeconds: 2
  volumes:
  - {name: scratch, emptyDir: {}}
  - {name: fast, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: data, persistentVolumeClaim: {claimName: data}}
  - {name: settings, configMap: {name: settings}}
  - {name: host, hostPath: {path: /etc}}
  containers:
  - name: main
    image: solopod.example/box:1
    resources: {limits: {cpu: 500m}}
    command: ["/bin/sh", "-c"]
    args:
    - |
      mib() { dd if=/dev/zero of=$1 bs=1M count=$2 2>/dev/null; }
      mib /scratch/file 3; mib /fast/file 2; mib /data/file 5; mib /layer 4
      echo it is written; touch /written
      trap 'exit 0' TERM; while true; do sleep 1000 & wait; done
    readinessProbe: {exec: {command: [test, -e, /written]}, periodSeconds: 1}
    volumeMounts:
    - {name: scratch, mountPath: /scratch}
    - {name: fast, mountPath: /fast}
    - {name: data, mountPath: /data}
    - {name: settings, mountPath: /settings}
    - {name: host, mountPath: /machine, readOnly: true}
`

// awkward is a pod whose volume is full of what one should not walk into.
const awkward = `
mkdir -p /own/wide; cd /own/wide
for n in $(seq 1500); do : >file$n; done
ln -s / root; ln -s . self; ln -s loop loop; mkfifo fifo; ln file1 again
cd /own; for n in $(seq 150); do mkdir deep; cd deep; done
touch /written; ` + forever

// What pods take up on disks is in the summary, and claims and layers are in metrics; it is measured in the background.
func TestDiskUsage(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("claim.yaml", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 2Gi}}\n")
	b.apply("settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {key: value}\n")
	b.apply("writes.yaml", "apiVersion: v1\nkind: Pod"+writes)
	b.apply("awkward.yaml", strings.Replace(containers("awkward", "", nil, container{"main", awkward, ""}), "hostNetwork: true", "", 1))
	pod, other := b.waitReady("writes"), b.waitReady("awkward")
	b.eventually("the awkward pod has made its files", func() error {
		_, err := b.inside(other, "test -e /written")
		return err
	})

	begun := time.Now()
	s := b.summary()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the first answer took %s", took)
	}
	find := func(s stats.Summary, name string) (p stats.PodStats) {
		for _, p := range s.Pods {
			if p.PodRef.Name == name {
				return p
			}
		}
		t.Fatalf("the summary is without %s", name)
		return p
	}
	b.eventually("everything is measured", func() error {
		s = b.summary()
		for _, name := range []string{"writes", "awkward"} {
			if p := find(s, name); p.EphemeralStorage == nil || len(p.VolumeStats) == 0 {
				return fmt.Errorf("pod %s: %+v", name, p)
			}
		}
		return nil
	})
	p := find(s, "writes")
	volumes := map[string]stats.VolumeStats{}
	for _, v := range p.VolumeStats {
		volumes[v.Name] = v
	}
	const mib = 1 << 20
	for name, want := range map[string]uint64{"scratch": 3, "fast": 2, "data": 5, "settings": 0} {
		v := volumes[name]
		if v.UsedBytes == nil || *v.UsedBytes < want*mib || *v.UsedBytes > want*mib+mib/2 || *v.InodesUsed < 2 || *v.CapacityBytes == 0 || *v.AvailableBytes > *v.CapacityBytes || v.Time.IsZero() {
			t.Errorf("volume %s: %+v", name, v)
		}
		if claim := v.PVCRef; (claim != nil) != (name == "data") || claim != nil && *claim != (stats.PVCReference{Name: "data", Namespace: "default"}) {
			t.Errorf("volume %s is claim %+v", name, claim)
		}
	}
	if fast := volumes["fast"]; fast.CapacityBytes == nil || *fast.CapacityBytes != 8*mib {
		t.Errorf("the volume in memory: %+v", fast)
	}
	if _, ok := volumes["host"]; ok || len(volumes) != 4 {
		t.Errorf("volumes: %v", volumes)
	}
	main := p.Containers[0]
	if r := main.Rootfs; r == nil || *r.UsedBytes < 4*mib || *r.UsedBytes > 5*mib || *r.InodesUsed < 3 || *r.CapacityBytes == 0 {
		t.Errorf("what the container has written: %+v", main.Rootfs)
	}
	if l := main.Logs; l == nil || *l.UsedBytes == 0 || *l.UsedBytes > mib {
		t.Errorf("the container's logs: %+v", main.Logs)
	}
	if e := p.EphemeralStorage; *e.UsedBytes < 7*mib || *e.UsedBytes > 9*mib || *e.InodesUsed < 6 { // scratch, layer and logs
		t.Errorf("ephemeral storage: %+v", e)
	}
	if v := find(s, "awkward").VolumeStats; len(v) != 1 || *v[0].InodesUsed < 1654 || *v[0].InodesUsed > 1700 || *v[0].UsedBytes > 8*mib {
		t.Errorf("the awkward volume: %+v", v)
	}
	b.nodeOfSummary(s)

	claim := []string{"namespace", "default", "persistentvolumeclaim", "data"}
	b.eventually("the claim is told in metrics", func() error {
		own := b.families("/metrics")
		used, ok := sample(own["kubelet_volume_stats_used_bytes"], claim...)
		capacity, _ := sample(own["kubelet_volume_stats_capacity_bytes"], claim...)
		free, _ := sample(own["kubelet_volume_stats_available_bytes"], claim...)
		inodes, _ := sample(own["kubelet_volume_stats_inodes_used"], claim...)
		if !ok || used < 5*mib || used > 6*mib || capacity < free || free == 0 || inodes < 2 {
			return fmt.Errorf("used %v (%v), capacity %v, available %v, inodes %v", used, ok, capacity, free, inodes)
		}
		return nil
	})
	b.cadvisorOf(string(pod.UID))
	// A pod that is gone takes up nothing.
	b.delete("writes.yaml")
	b.waitGone("writes")
	b.eventually("its claim is not told any more", func() error {
		if text := b.mustGet("/metrics"); strings.Contains(text, "kubelet_volume_stats") {
			return fmt.Errorf("it is")
		}
		return nil
	})
}

// nodeOfSummary looks at what a summary says of the machine.
func (b *box) nodeOfSummary(s stats.Summary) {
	b.t.Helper()
	if r := s.Node.Rlimit; r == nil || r.MaxPID == nil || *r.MaxPID < 100 || r.NumOfRunningProcesses == nil || *r.NumOfRunningProcesses < 2 {
		b.t.Errorf("the limit of processes: %+v", r)
	}
	names := map[string]bool{}
	for _, i := range s.Node.Network.Interfaces {
		names[i.Name] = true
	}
	for name := range names {
		if strings.HasPrefix(name, "veth") || len(name) == 10 && strings.HasPrefix(name, "sp") {
			b.t.Errorf("the machine's interfaces are %v, pods' among them", names)
		}
	}
	if len(names) == 0 {
		b.t.Error("the machine has no interface")
	}
}

// cadvisorOf looks at what /metrics/cadvisor says of the container of a pod that has a quota, of one that has none, and of the machine.
func (b *box) cadvisorOf(uid string) {
	b.t.Helper()
	limited, free, root := []string{"pod", "writes", "container", "main"}, []string{"pod", "awkward", "container", "main"}, []string{"id", "/"}
	b.eventually("what the container has written is told", func() error {
		used, ok := sample(b.families("/metrics/cadvisor")["container_fs_usage_bytes"], limited...)
		if !ok || used < 4<<20 || used > 5<<20 {
			return fmt.Errorf("%v, %v", used, ok)
		}
		return nil
	})
	families := b.families("/metrics/cadvisor")
	for _, name := range []string{"container_cpu_cfs_periods_total", "container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_throttled_seconds_total"} {
		if _, ok := sample(families[name], limited...); !ok {
			b.t.Errorf("%s is not told of a container with a quota (pod %s)", name, uid)
		}
		if v, ok := sample(families[name], free...); ok {
			b.t.Errorf("%s is %v of a container without a quota", name, v)
		}
	}
	for name, labels := range map[string][]string{
		"container_spec_memory_limit_bytes": root, "container_threads": root, "container_threads_max": root, "container_network_receive_bytes_total": root,
		"container_fs_usage_bytes": root, "container_memory_total_inactive_file_bytes": root, "container_memory_kernel_usage": limited,
		"container_memory_total_active_file_bytes": free, "container_fs_limit_bytes": free,
		"machine_thread_siblings_count": {"thread_id", "0"}, "machine_node_memory_capacity_bytes": {"node_id", "0"},
	} {
		mayBeZero := labels[0] == "pod" || strings.HasPrefix(name, "container_network_") // of the first interface
		if v, ok := sample(families[name], labels...); !ok || v < 0 || v == 0 && !mayBeZero {
			b.t.Errorf("%s %v is %v, %v", name, labels, v, ok)
		}
	}
	for _, m := range families["container_network_receive_bytes_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "interface" && len(l.GetValue()) == 10 && strings.HasPrefix(l.GetValue(), "sp") {
				b.t.Errorf("the machine's interfaces have a pod's: %s", l.GetValue())
			}
		}
	}
}
