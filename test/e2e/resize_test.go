package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// resized is a burstable pod with these limits.
func resized(limits, extra string) string {
	return shell("resized", "head -c 24m /dev/zero | tail >/dev/null & "+forever, "") + "    resources: {requests: {cpu: 10m, memory: 8Mi}, limits: " + limits + "}\n" + extra
}

// An edit of CPU and memory changes a running container, up and down, unless the policy asks for a restart.
func TestResize(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("resized.yaml", resized("{cpu: 100m, memory: 64Mi}", ""))
		before := b.waitReady("resized")
		expect := func(limits, quota, memory string) {
			t.Helper()
			b.apply("resized.yaml", resized(limits, ""))
			b.waitPod("resized", "resized", func(p *v1.Pod) bool {
				r := status(p, "main").Resources
				return r != nil && r.Limits.Memory().String()+"/"+r.Limits.Cpu().String() == memory+"/"+quota
			})
		}
		check := func(cpu, bytes string) {
			t.Helper()
			for _, cgroup := range []string{b.containerCgroup(before, "main"), b.podCgroup(before)} {
				b.eventually("the limits are "+cpu+" and "+bytes, func() error {
					if unified() {
						return b.differs(cgroup, "", "memory.max", bytes)
					}
					return b.differs(cgroup, "memory", "memory.limit_in_bytes", bytes)
				})
				if unified() {
					b.expectFile("resized", cgroup, "", "cpu.max", cpu+" 100000")
				} else {
					b.expectFile("resized", cgroup, "cpu", "cpu.cfs_quota_us", cpu)
				}
			}
		}
		expect("{cpu: 300m, memory: 128Mi}", "300m", "128Mi")
		check("30000", "134217728")
		expect("{cpu: 50m, memory: 48Mi}", "50m", "48Mi")
		check("5000", "50331648")
		if now := b.waitReady("resized"); status(now, "main").ContainerID != status(before, "main").ContainerID {
			t.Error("the container was restarted")
		}
		b.crash()
		b.start()
		if now := b.waitReady("resized"); status(now, "main").ContainerID != status(before, "main").ContainerID {
			t.Error("the container was restarted after a crash of Solopod")
		}
		b.apply("resized.yaml", resized("{cpu: 50m, memory: 64Mi}", "    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]\n"))
		b.waitPod("resized", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		b.apply("resized.yaml", resized("{cpu: 60m, memory: 80Mi}", "    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]\n"))
		b.waitPod("resized", "restarted for memory", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 2 })
	})
}

// Less memory than a container uses is not given to it; it is said, and the container runs on.
func TestResizeBelowUsage(t *testing.T) {
	b := newBox(t, embedded)
	hold := func(memory string) string {
		return shell("holds", "dd if=/dev/zero of=/memory/x bs=1M count=40 2>/dev/null; echo full; "+forever, "volumes: [{name: memory, emptyDir: {medium: Memory}}]") +
			"    volumeMounts: [{name: memory, mountPath: /memory}]\n    resources: {requests: {memory: 8Mi}, limits: {memory: " + memory + "}}\n"
	}
	b.apply("holds.yaml", hold("128Mi"))
	before := b.waitReady("holds")
	b.eventually("it has filled its memory", func() error {
		out, err := b.try("logs", "holds")
		if err == nil && !strings.Contains(out, "full") {
			err = os.ErrNotExist
		}
		return err
	})
	b.apply("holds.yaml", hold("16Mi"))
	b.eventually("it is said", func() error {
		if out := b.run("get", "events"); !strings.Contains(out, "ResizeDeferred") {
			return os.ErrNotExist
		}
		return nil
	})
	if now := b.waitReady("holds"); status(now, "main").ContainerID != status(before, "main").ContainerID {
		t.Error("the container was restarted")
	}
}

// Resources of the pod as a whole: what its containers do not say for themselves.
func TestPodResources(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("pod.yaml", containers("pod", "resources: {requests: {cpu: 300m, memory: 32Mi}, limits: {cpu: 400m, memory: 64Mi}}",
		[]container{{"init", "true", "resources: {requests: {cpu: 100m}}"}},
		container{"main", forever, "resources: {requests: {cpu: 100m}}"}, container{"other", forever, ""}))
	pod := b.waitReady("pod")
	if pod.Status.QOSClass != v1.PodQOSBurstable {
		t.Errorf("the class is %s", pod.Status.QOSClass)
	}
	b.expectLimits("pod", b.podCgroup(pod), limits{shares: "307", weight: "39", quota: "40000", memory: "67108864"}, "39", "40")
	b.expectLimits("container", b.containerCgroup(pod, "main"), limits{shares: "102", weight: "20", memory: ""}, "17", "20", "4", "18")
	b.apply("pod.yaml", strings.Replace(readFile(t, b.path("manifests/pod.yaml")), "memory: 64Mi", "memory: 96Mi", 1))
	b.eventually("the pod has more memory", func() error {
		if unified() {
			return b.differs(b.podCgroup(pod), "", "memory.max", "100663296")
		}
		return b.differs(b.podCgroup(pod), "memory", "memory.limit_in_bytes", "100663296")
	})
	if now := b.waitReady("pod"); status(now, "main").ContainerID != status(pod, "main").ContainerID {
		t.Error("the pod was made anew for it")
	}
}

// A pod that writes more than it may is evicted; one that shall be restarted begins anew without what it has written.
func TestEphemeralStorage(t *testing.T) {
	b := newBox(t, embedded)
	b.apply("volume.yaml", strings.Replace(containers("volume", "restartPolicy: Never", nil, container{"main", "dd if=/dev/zero of=/own/x bs=1M count=8 2>/dev/null; " + forever, ""}),
		"emptyDir: {}", "emptyDir: {sizeLimit: 4Mi}", 1))
	b.apply("layer.yaml", containers("layer", "restartPolicy: Never", nil, container{"main", "dd if=/dev/zero of=/x bs=1M count=8 2>/dev/null; " + forever, "resources: {limits: {ephemeral-storage: 4Mi}}"}))
	b.apply("again.yaml", strings.Replace(containers("again", "", nil, container{"main", "ls /own; dd if=/dev/zero of=/own/x bs=1M count=8 2>/dev/null; " + forever, ""}),
		"emptyDir: {}", "emptyDir: {sizeLimit: 4Mi}", 1))
	b.apply("small.yaml", strings.Replace(containers("small", "", nil, container{"main", "dd if=/dev/zero of=/own/x bs=1M count=2 2>/dev/null; " + forever, ""}),
		"emptyDir: {}", "emptyDir: {sizeLimit: 4Mi}", 1))
	for name, want := range map[string]string{"volume": `EmptyDir volume "own" exceeds the limit "4Mi"`, "layer": "Container main exceeded its local ephemeral storage limit"} {
		p := b.waitPod(name, "evicted", func(p *v1.Pod) bool {
			return p.Status.Phase == v1.PodFailed && status(p, "main").State.Terminated != nil
		})
		if p.Status.Reason != "Evicted" || !strings.Contains(p.Status.Message, want) {
			t.Errorf("%s: %s %s", name, p.Status.Reason, p.Status.Message)
		}
		if !slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
			return c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == v1.PodReasonTerminationByKubelet && strings.Contains(c.Message, want)
		}) {
			t.Errorf("%s: its conditions are %v", name, p.Status.Conditions)
		}
	}
	b.waitPod("again", "running anew", func(p *v1.Pod) bool {
		return status(p, "main").RestartCount >= 1 && status(p, "main").State.Running != nil
	})
	if out := b.run("logs", "again"); strings.Contains(out, "x") {
		t.Errorf("what it had written is still there: %s", out)
	}
	if p := b.pod("default", "small"); status(p, "main").RestartCount != 0 || p.Status.Phase != v1.PodRunning {
		t.Errorf("a pod within its limit is %s", p.Status.Phase)
	}
}

// A class of the configuration names another OCI runtime.
func TestRuntimeClass(t *testing.T) {
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	b.writeFile("other-runtime", "#!/bin/sh\necho \"$@\" >>"+b.path("called")+"\nexec "+runc+" \"$@\"\n")
	if err := os.Chmod(b.path("other-runtime"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("config.yaml", "runtimeClasses: {other: "+b.path("other-runtime")+"}\n")
	b.flags = []string{"--config", b.path("config.yaml")}
	b.start()
	b.apply("plain.yaml", shell("plain", forever, ""))
	b.waitReady("plain")
	if calls, err := os.ReadFile(b.path("called")); err == nil && strings.Contains(string(calls), "create") { // what it can do is asked at the start
		t.Errorf("the other runtime was used without its class: %s", calls)
	}
	b.apply("classed.yaml", shell("classed", forever, "runtimeClassName: other\noverhead: {memory: 8Mi}")+"    resources: {limits: {memory: 32Mi}}\n")
	pod := b.waitReady("classed")
	if calls := readFile(t, b.path("called")); !strings.Contains(calls, "create") {
		t.Errorf("the other runtime was called with %s", calls)
	}
	b.expectLimits("classed", b.podCgroup(pod), limits{shares: "2", weight: "1", memory: "41943040"}, "1")
	b.apply("none.yaml", shell("none", forever, "runtimeClassName: none"))
	b.waitPod("none", "waiting for its class", func(p *v1.Pod) bool {
		return strings.Contains(p.Status.Message, `runtimeClassName "none" is not configured`)
	})
	b.delete("classed.yaml")
	b.waitGone("classed")
}
