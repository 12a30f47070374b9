package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// oomRecord is what get ooms -o json shows of a kill.
type oomRecord struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Pod  struct {
		UID, Namespace, Name string
	} `json:"pod"`
	Container, ContainerID, Process, Owner, Source, Message string
	PID                                                     int
	Main                                                    *bool
	Limit, Request                                          *int64
	Command                                                 string
	Growth                                                  *struct{ PerSecond, Seconds, From int64 }
}

// oomRecords are those of a pod.
func (b *box) oomRecords(pod string) (of []oomRecord) {
	b.t.Helper()
	var list struct{ Items []oomRecord }
	if err := json.Unmarshal([]byte(b.run("get", "ooms", "-o", "json")), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, r := range list.Items {
		if r.Pod.Name == pod {
			of = append(of, r)
		}
	}
	return of
}

// waitOOMRecords waits until so many records of a pod are there.
func (b *box) waitOOMRecords(pod string, n int) (of []oomRecord) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%s has %d records", pod, n), func() error {
		if of = b.oomRecords(pod); len(of) != n {
			return fmt.Errorf("there are %d: %+v", len(of), of)
		}
		return nil
	})
	return of
}

// settledOOMRecords compares the records of pods when nothing can come any more of what was before: a kill that is told twice has its second
// record when the log, or the counter, has been waited for. Another pod is killed, and its record becomes as old as that takes.
func (b *box) settledOOMRecords(marker string, counts map[string]int) {
	b.t.Helper()
	b.apply(marker+".yaml", shell(marker, "exec tail < /dev/zero", "restartPolicy: Never")+"    resources: {limits: {memory: 32Mi}}\n")
	last := b.waitOOMRecords(marker, 1)[0]
	b.eventually("all kills are settled", func() error {
		if age := time.Since(last.Time); age < 8*time.Second {
			return fmt.Errorf("the last one was %s ago", age)
		}
		return nil
	})
	for pod, n := range counts {
		ids, of := map[string]bool{}, b.oomRecords(pod)
		for _, r := range of {
			ids[r.ID] = true
		}
		if len(of) != n || len(ids) != n {
			b.t.Errorf("of %s there are %d records, %d by their names, not %d: %+v", pod, len(of), len(ids), n, of)
		}
	}
}

// Each kill for memory has a record, which says whose limit it was, also of what happened while Solopod was away; none has two, and a
// storm of one pod's takes no other's.
func TestOOMRecords(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	const limit = 32 << 20
	limits := "    resources: {limits: {memory: 32Mi}}\n"
	b.apply("limit.yaml", shell("limit", "exec tail < /dev/zero", "restartPolicy: Never")+limits)
	pod := b.waitPod("limit", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	r := b.waitOOMRecords("limit", 1)[0]
	if r.Owner != "container" || r.Source != "log" || r.Limit == nil || *r.Limit != limit || r.Container != "main" || r.Pod.UID != string(pod.UID) || r.PID == 0 || r.Process == "" ||
		"containerd://"+r.ContainerID != status(pod, "main").ContainerID || time.Since(r.Time).Abs() > patience || !strings.HasPrefix(r.Message, "killed at its limit of 32Mi: ") {
		t.Errorf("%+v", r)
	}
	if out := b.run("describe", "pod", "limit"); !strings.Contains(out, "\nOOM Kills:\n  ") || !strings.Contains(out, " ago, main: killed at its limit of 32Mi: ") {
		t.Errorf("it is described as\n%s", out)
	}
	if out := b.run("get", "ooms", "--field-selector", "pod.name=limit", "-o", "wide"); !strings.Contains(out, "32Mi") || !strings.Contains(out, r.ID) {
		t.Errorf("get ooms says\n%s", out)
	}
	if got := b.mustGet("/metrics"); !strings.Contains(got, `solopod_oom_last_kill_timestamp_seconds{container="main",namespace="default",pod="limit"} `) {
		t.Error("there is no metric of the last kill")
	}

	b.apply("pod.yaml", containers("whole", "restartPolicy: Never\nresources: {limits: {memory: 32Mi}}", nil, container{"main", "exec tail < /dev/zero", ""}))
	b.waitPod("whole", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if r := b.waitOOMRecords("whole", 1)[0]; r.Owner != "pod" || !strings.HasPrefix(r.Message, "killed at the pod's limit of 32Mi, not at the container's") {
		t.Errorf("%+v", r)
	}

	// A child is killed when a file is there: twice, and the second time nobody looks.
	if err := os.Mkdir(b.path("go"), 0o755); err != nil {
		t.Fatal(err)
	}
	child := "trap 'exit 0' TERM; for i in 1 2; do while [ ! -e /go/$i ]; do sleep 0.1; done; " + hog + "; done; while true; do sleep 1000 & wait; done"
	b.apply("child.yaml", livesOn("child", child, "volumes: [{name: go, hostPath: {path: "+b.path("go")+"}}]")+limits+"    volumeMounts: [{name: go, mountPath: /go}]\n")
	pod = b.waitReady("child")
	b.writeFile("go/1", "")
	if r := b.waitOOMRecords("child", 1)[0]; r.Main == nil || *r.Main || !strings.Contains(r.Message, "the container lived on") {
		t.Errorf("%+v", r)
	}
	procs := func() int {
		return len(strings.Fields(b.cgroupFile(b.containerCgroup(pod, "main"), "memory", "cgroup.procs")))
	}
	b.crash()
	b.writeFile("go/2", "")
	b.eventually("the second child is killed", func() error {
		counter := "memory.oom_control"
		if unified() {
			counter = "memory.events"
		}
		kills := b.cgroupFile(b.containerCgroup(pod, "main"), "memory", counter)
		if !strings.Contains(kills, "oom_kill 2") {
			return fmt.Errorf("%d processes, %s", procs(), kills)
		}
		return nil
	})
	before := b.oomRecordsOnDisk()
	b.start()
	again := b.waitOOMRecords("child", 2)
	if again[0].ID == again[1].ID || again[1].Owner != "container" && again[1].Owner != "unknown" {
		t.Errorf("%+v", again)
	}
	b.settledOOMRecords("first", map[string]int{"limit": 1, "whole": 1, "child": 2})
	if before == 0 {
		t.Error("nothing was written down before the crash")
	}

	// A storm. The kernel says little of most of its kills.
	for name, n := range map[string]int{"squall": 40, "storm": 60} { // of fewer than are kept of a pod all are there
		b.apply(name+".yaml", livesOn(name, fmt.Sprintf("trap 'exit 0' TERM; i=0; while [ $i -lt %d ]; do %s; i=$((i+1)); done; while true; do sleep 1000 & wait; done", n, hog), "")+
			strings.Replace(limits, "32Mi", "16Mi", 1))
		b.within(5*time.Minute, fmt.Sprintf("%d kills of %s are counted", n, name), func() error {
			return b.metricIs("/metrics/cadvisor", `container_oom_events_total\{container="main",.*pod="`+name+`"\}`, float64(n))
		})
	}
	b.waitOOMRecords("storm", 50)
	b.crash()
	b.start()
	b.settledOOMRecords("second", map[string]int{"limit": 1, "whole": 1, "child": 2, "squall": 40, "storm": 50})
	if out := b.run("describe", "pod", "storm"); !strings.Contains(out, "  45 before; solopod get ooms shows them\n") {
		t.Errorf("it is described as\n%s", out)
	}
}

// oomRecordsOnDisk is how long the file of records is.
func (b *box) oomRecordsOnDisk() int {
	b.t.Helper()
	return len(readFile(b.t, b.path("root/ooms.jsonl")))
}

// What is known of a kill is told in words: how memory grew, the command line of the process, and in the status of the container that
// ended by it why, also by the next Solopod. It runs alone: of many kills at once the kernel leaves out what it says of them.
func TestOOMExplained(t *testing.T) {
	b := newBox(t, embedded)
	limits := "    resources: {limits: {memory: 48Mi}}\n"
	// tail keeps what has no line end: two MiB more in a second.
	b.apply("leak.yaml", shell("leak", "while head -c 1048576 /dev/zero; do sleep 0.5; done | tail -n 123; exit $?", "restartPolicy: Never")+limits)
	b.apply("said.yaml", shell("said", "echo words of its own > /dev/termination-log; exec tail < /dev/zero", "restartPolicy: Never")+limits)
	b.apply("burst.yaml", shell("burst", "exec tail < /dev/zero", "")+limits)
	ended := func(name string) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed && status(p, name).State.Terminated != nil }
	}
	if last := status(b.waitPod("said", "failed", ended("main")), "main").State.Terminated; last.Message != "words of its own\n" || last.Reason != "OOMKilled" {
		t.Errorf("with words of its own: %+v", last)
	}
	b.waitPod("burst", "explained, in its last state", func(p *v1.Pod) bool {
		last := status(p, "main").LastTerminationState.Terminated
		return last != nil && last.Reason == "OOMKilled" && strings.HasPrefix(last.Message, "killed at its limit of 48Mi: ")
	})
	explained := func(p *v1.Pod) bool {
		last := status(p, "main").State.Terminated
		return last != nil && last.Reason == "OOMKilled" && strings.HasPrefix(last.Message, "killed at its limit of 48Mi: ") && strings.Contains(last.Message, "; grew ")
	}
	b.waitPod("leak", "killed, and explained", explained)
	r := b.waitOOMRecords("leak", 1)[0]
	if g := r.Growth; g == nil || g.PerSecond < 1<<20 || g.PerSecond > 4<<20 || g.Seconds < 5 {
		t.Errorf("it grew by %+v", g)
	}
	if !strings.HasSuffix(r.Command, "tail -n 123") || !strings.Contains(r.Message, "raise the limit to about 64Mi, which at that rate is full ") || r.Request == nil || *r.Request != 48<<20 {
		t.Errorf("%+v", r)
	}
	out := b.run("describe", "pod", "leak")
	for _, part := range []string{"; grew ", "/s for ", "tail -n 123\n", "OOMKilled", "OOM Kills:"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not said:\n%s", part, out)
		}
	}
	if out := b.run("get", "ooms", "-o", "wide"); !strings.Contains(out, "COMMAND") || !strings.Contains(out, "tail -n 123") {
		t.Errorf("get ooms says\n%s", out)
	}
	b.crash()
	b.start()
	b.waitPod("leak", "explained still", explained)
}
