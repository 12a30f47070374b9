package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// limit is a container's limit as its own cgroup has it; runtimes disagree about weights, so a want may be one of several.
func limit(name, main, file1, want1, file2, want2 string) behaviour {
	file, want := file1, want1
	if unified() {
		file, want = file2, want2
	}
	return behaviour{name: name, main: main, script: "cat /sys/fs/cgroup/" + file, check: func(c *trial) {
		if got := strings.TrimSpace(c.logsOfEnded("main")); !slices.Contains(strings.Split(want, "|"), got) {
			c.errorf("%s has %q, want %s", file, got, want)
		}
	}}
}

// Files of a container's cgroup, in versions 1 and 2.
func memoryFile() string {
	if unified() {
		return "/sys/fs/cgroup/memory.max"
	}
	return "/sys/fs/cgroup/memory/memory.limit_in_bytes"
}

func quotaScript() string {
	if unified() {
		return "cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
	}
	return "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
}

const always = "restartPolicy: Always"

// resourceful is requests, limits, and their changes.
var resourceful = area{name: "resources", behaviours: []behaviour{
	limit("a limit of memory is the cgroup's", "resources: {limits: {memory: 64Mi}}", "memory/memory.limit_in_bytes", "67108864", "memory.max", "67108864"),
	limit("a limit of CPU is the cgroup's quota", "resources: {limits: {cpu: 250m}}", "cpu/cpu.cfs_quota_us", "25000", "cpu.max", "25000 100000"),
	limit("a request of CPU is the cgroup's share", "resources: {requests: {cpu: 500m}}", "cpu/cpu.shares", "512", "cpu.weight", "20|59"),
	limit("without a request of CPU the share is the least", "", "cpu/cpu.shares", "2", "cpu.weight", "1"),
	limit("without a limit of CPU there is no quota", "resources: {requests: {cpu: 100m}}", "cpu/cpu.cfs_quota_us", "-1", "cpu.max", "max 100000"),
	limit("a limit of CPU alone is the request, too", "resources: {limits: {cpu: 500m}}", "cpu/cpu.shares", "512", "cpu.weight", "20|59"),
	limit("a small limit of CPU is at least a millisecond", "resources: {limits: {cpu: 5m}}", "cpu/cpu.cfs_quota_us", "1000", "cpu.max", "1000 100000"),
	{name: "a request that exceeds its limit is refused", main: "resources: {requests: {cpu: '2'}, limits: {cpu: '1'}}", script: "true", check: refused("limit")},
	{name: "a negative limit is refused", main: "resources: {limits: {memory: -1}}", script: "true", check: refused("must not be negative")},
	{name: "a resource that is unknown is refused", main: "resources: {limits: {coffee: 1}}", script: "true", check: refused("not implemented")},
	{name: "a best-effort container has the OOM score 1000", script: "cat /proc/1/oom_score_adj", log: "1000\n"},
	{name: "a burstable container has an OOM score by its request", main: "resources: {requests: {memory: 1Gi}}", script: "cat /proc/1/oom_score_adj; sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo", check: func(c *trial) {
		fields := strings.Fields(c.logsOfEnded("main"))
		total, err := strconv.Atoi(fields[1])
		if err != nil {
			c.fatalf("%v", err)
		}
		c.equal("the score", fields[0], fmt.Sprint(1000-1000*(1<<20)/total))
	}},
	{name: "a burstable container with a small request has the OOM score 999", main: "resources: {requests: {memory: 1Mi}}", script: "cat /proc/1/oom_score_adj", log: "999\n"},
	{name: "a guaranteed container has the OOM score -997 where the machine allows it", main: "resources: {limits: {memory: 32Mi, cpu: 100m}}", script: "cat /proc/1/oom_score_adj", check: func(c *trial) {
		c.equal("the score", strings.TrimSpace(c.logsOfEnded("main")), fmt.Sprint(c.b.expectedOOMScore(v1.PodQOSGuaranteed)))
	}},
	{name: "a container that takes more memory than its limit is OOMKilled", main: "resources: {limits: {memory: 16Mi}}", script: "exec tail /dev/zero", check: func(c *trial) {
		c.endedAs(137, "OOMKilled")
		c.phase(v1.PodFailed)
	}},
	{name: "an init container that takes more memory than its limit is OOMKilled", init: item("one", "exec tail /dev/zero", "resources: {limits: {memory: 16Mi}}"), script: "true", check: func(c *trial) {
		e := initStatus(c.phase(v1.PodFailed), "one").State.Terminated
		c.equal("the end", fmt.Sprint(e.ExitCode)+e.Reason, "137OOMKilled")
	}},
	{name: "an OOMKilled container is restarted as its policy says", spec: always, main: "resources: {limits: {memory: 16Mi}}", script: "exec tail /dev/zero", check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.equal("the reason", status(p, "main").LastTerminationState.Terminated.Reason, "OOMKilled")
	}},
	{name: "an OOMKilled container leaves the others of its pod alone", main: "resources: {limits: {memory: 16Mi}}", script: "exec tail /dev/zero", beside: item("other", forever, ""), check: func(c *trial) {
		c.endedAs(137, "OOMKilled")
		c.wait("with the other running", func(p *v1.Pod) bool { return status(p, "other").State.Running != nil })
		c.stays(time.Second, "running", func(p *v1.Pod) bool { return status(p, "other").State.Running != nil })
	}},
	{name: "a pod has no more processes than podPidsLimit", script: "i=0; while [ $i -lt 400 ]; do sleep 100 & i=$((i+1)); done", check: func(c *trial) {
		c.ended()
		c.contains("the output", c.logs("main"), "can't fork")
	}},
	{name: "a pod with an ephemeral-storage limit that writes more is evicted", main: "resources: {limits: {ephemeral-storage: 1Mi}}", script: "dd if=/dev/zero of=/f bs=1M count=3; " + forever, check: func(c *trial) {
		p := c.phase(v1.PodFailed)
		c.equal("the reason", p.Status.Reason, "Evicted")
		c.contains("the message", p.Status.Message, "ephemeral")
	}},
	{name: "an evicted pod is marked as disrupted", main: "resources: {limits: {ephemeral-storage: 1Mi}}", script: "dd if=/dev/zero of=/f bs=1M count=3; " + forever, check: func(c *trial) {
		c.equal("the condition", condition(c.phase(v1.PodFailed), v1.DisruptionTarget).Status, v1.ConditionTrue)
	}},

	resize("more CPU", "resources: {limits: {cpu: 100m, memory: 32Mi}}", "resources: {limits: {cpu: 200m, memory: 32Mi}}", "20000 33554432", false),
	resize("less CPU", "resources: {limits: {cpu: 200m, memory: 32Mi}}", "resources: {limits: {cpu: 100m, memory: 32Mi}}", "10000 33554432", false),
	resize("more memory", "resources: {limits: {cpu: 100m, memory: 32Mi}}", "resources: {limits: {cpu: 100m, memory: 64Mi}}", "10000 67108864", false),
	resize("less memory", "resources: {limits: {cpu: 100m, memory: 64Mi}}", "resources: {limits: {cpu: 100m, memory: 32Mi}}", "10000 33554432", false),
	resize("more CPU and less memory", "resources: {limits: {cpu: 100m, memory: 64Mi}}", "resources: {limits: {cpu: 200m, memory: 32Mi}}", "20000 33554432", false),
	resize("a limit of CPU of a burstable container", "resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 100m, memory: 32Mi}}", "resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 150m, memory: 32Mi}}", "15000 33554432", false),
	resize("requests and limits of a burstable container", "resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 100m, memory: 32Mi}}", "resources: {requests: {cpu: 60m, memory: 20Mi}, limits: {cpu: 120m, memory: 40Mi}}", "12000 41943040", false),
	resize("CPU where memory alone asks for a restart", "resources: {limits: {cpu: 100m, memory: 32Mi}}\nresizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}, {resourceName: cpu, restartPolicy: NotRequired}]", "resources: {limits: {cpu: 200m, memory: 32Mi}}\nresizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}, {resourceName: cpu, restartPolicy: NotRequired}]", "20000 33554432", false),
	resize("memory where it asks for a restart", "resources: {limits: {cpu: 100m, memory: 32Mi}}\nresizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]", "resources: {limits: {cpu: 100m, memory: 64Mi}}\nresizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]", "10000 67108864", true),
	resize("CPU where it asks for a restart", "resources: {limits: {cpu: 100m, memory: 32Mi}}\nresizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]", "resources: {limits: {cpu: 200m, memory: 32Mi}}\nresizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]", "20000 33554432", true),
	{name: "a limit that is added is in force without a restart", spec: always, main: "resources: {requests: {cpu: 50m, memory: 16Mi}}", script: forever, pending: "a limit that comes restarts its container, as one that goes does", check: func(c *trial) {
		before := c.ready()
		c.resizes("resources: {requests: {cpu: 60m, memory: 16Mi}, limits: {cpu: 120m, memory: 64Mi}}", "12000 67108864")
		c.equal("the container", status(c.ready(), "main").ContainerID, status(before, "main").ContainerID)
	}},
	{name: "a change of CPU below a millisecond shows in the status alone", spec: always, main: "resources: {requests: {cpu: 2m}, limits: {cpu: 10m}}", script: forever, check: func(c *trial) {
		before := c.ready()
		edited := c.behaviour
		edited.main = "resources: {requests: {cpu: 1m}, limits: {cpu: 5m}}"
		c.apply(edited)
		after := c.wait("told", func(p *v1.Pod) bool {
			r := status(p, "main").Resources
			return r != nil && r.Limits.Cpu().String() == "5m" && r.Requests.Cpu().String() == "1m"
		})
		c.equal("the quota", c.sh(quotaScript()), "1000")
		c.equal("the container", status(after, "main").ContainerID, status(before, "main").ContainerID)
	}},
	{name: "requests alone change in place", spec: always, main: "resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}}", script: forever, check: func(c *trial) {
		before := c.ready()
		edited := c.behaviour
		edited.main = "resources: {requests: {cpu: 200m, memory: 32Mi}, limits: {cpu: 500m, memory: 64Mi}}"
		c.apply(edited)
		after := c.wait("told", func(p *v1.Pod) bool {
			r := status(p, "main").Resources
			return r != nil && r.Requests.Cpu().String() == "200m" && r.Requests.Memory().String() == "32Mi"
		})
		c.equal("the container", status(after, "main").ContainerID, status(before, "main").ContainerID)
	}},
	{name: "a sidecar's resources change in place", spec: always, init: item("side", forever, "restartPolicy: Always\nresources: {limits: {cpu: 100m, memory: 32Mi}}"), script: forever, check: func(c *trial) {
		before := c.ready()
		edited := c.behaviour
		edited.init = item("side", forever, "restartPolicy: Always\nresources: {limits: {cpu: 200m, memory: 64Mi}}")
		c.apply(edited)
		c.until("the limits are in force", func() error {
			got, _ := c.exec("side", "/bin/sh", "-c", "echo $("+quotaScript()+") $(cat "+memoryFile()+")")
			if strings.TrimSpace(got) != "20000 67108864" {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
		c.equal("the container", initStatus(c.ready(), "side").ContainerID, initStatus(before, "side").ContainerID)
	}},
	{name: "a change of resources can be taken back", spec: always, main: "resources: {limits: {cpu: 100m, memory: 32Mi}}", script: forever, check: func(c *trial) {
		before := c.ready()
		c.resizes("resources: {limits: {cpu: 200m, memory: 64Mi}}", "20000 67108864")
		c.resizes("resources: {limits: {cpu: 100m, memory: 32Mi}}", "10000 33554432")
		c.equal("the container", status(c.ready(), "main").ContainerID, status(before, "main").ContainerID)
	}},
	{name: "a container keeps its changed resources when it is restarted", spec: always, main: "resources: {limits: {cpu: 100m, memory: 32Mi}}", script: "until [ -e /end ]; do usleep 100000; done", check: func(c *trial) {
		c.ready()
		c.resizes("resources: {limits: {cpu: 200m, memory: 64Mi}}", "20000 67108864")
		c.sh("touch /end")
		c.wait("restarted", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil
		})
		c.until("the limits are in force", func() error {
			got, _ := c.exec("main", "/bin/sh", "-c", "echo $("+quotaScript()+") $(cat "+memoryFile()+")")
			if strings.TrimSpace(got) != "20000 67108864" {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	}},
	{name: "a change of resources of one container leaves the others alone", spec: always, main: "resources: {limits: {cpu: 100m, memory: 32Mi}}", script: forever, beside: item("other", forever, "resources: {limits: {cpu: 100m, memory: 32Mi}}"), check: func(c *trial) {
		before := c.ready()
		c.resizes("resources: {limits: {cpu: 300m, memory: 32Mi}}", "30000 33554432")
		after := c.ready()
		c.equal("the other", status(after, "other").ContainerID, status(before, "other").ContainerID)
		c.equal("the other's limit", status(after, "other").Resources.Limits.Cpu().String(), "100m")
	}},
	{name: "the status tells the resources after a change", spec: always, main: "resources: {limits: {cpu: 100m, memory: 32Mi}}", script: forever, check: func(c *trial) {
		c.ready()
		c.resizes("resources: {limits: {cpu: 200m, memory: 64Mi}}", "20000 67108864")
		c.wait("told", func(p *v1.Pod) bool {
			r := status(p, "main").Resources
			return r != nil && r.Limits.Cpu().String() == "200m" && r.Limits.Memory().String() == "64Mi"
		})
	}},
	{name: "less memory than is in use is not forced, and the container lives on", spec: always, main: "resources: {limits: {cpu: 100m, memory: 64Mi}}", script: "head -c 40000000 /dev/zero >/dev/shm/f; touch /ready; " + forever, check: func(c *trial) {
		before := c.ready()
		c.until("it has the memory", func() error {
			_, code := c.exec("main", "ls", "/ready")
			if code != 0 {
				return errGivenUp
			}
			return nil
		})
		edited := c.behaviour
		edited.main = "resources: {limits: {cpu: 100m, memory: 16Mi}}"
		c.apply(edited)
		c.event("ResizeDeferred", "")
		after := c.ready()
		c.equal("the container", status(after, "main").ContainerID, status(before, "main").ContainerID)
		c.equal("the limit", c.sh("cat "+memoryFile()), "67108864")
	}},
	{name: "limits of the pod bound all its containers", spec: "resources: {limits: {cpu: 200m, memory: 32Mi}}", script: "exec tail /dev/zero", beside: item("other", "true", ""), check: func(c *trial) { c.endedAs(137, "OOMKilled") }},
	{name: "limits of the pod make its QoS class", spec: "resources: {limits: {cpu: 200m, memory: 32Mi}}", script: "true", check: hasQOS(v1.PodQOSGuaranteed)},
	{name: "a container's limit that exceeds the pod's is refused", spec: "resources: {limits: {memory: 32Mi}}", main: "resources: {limits: {memory: 64Mi}}", script: "true", check: refused("64Mi")},
}}

// resize is an edit of resources that changes the cgroup of what runs, or restarts it where it says so.
func resize(name, before, after, want string, restarts bool) behaviour {
	how := "changes in place"
	if restarts {
		how = "restarts the container"
	}
	return behaviour{name: name + " " + how, spec: always, main: before, script: forever, check: func(c *trial) {
		first := c.ready()
		c.resizes(after, want)
		then := c.ready()
		c.equal("it was restarted", status(then, "main").ContainerID != status(first, "main").ContainerID, restarts)
		c.equal("the restarts", status(then, "main").RestartCount == 1, restarts)
	}}
}

// resizes edits main and waits until its cgroup has the limits of CPU and memory.
func (c *trial) resizes(main, want string) {
	edited := c.behaviour
	edited.main = main
	c.apply(edited)
	c.until("the limits are in force", func() error {
		got, _ := c.exec("main", "/bin/sh", "-c", "echo $("+quotaScript()+") $(cat "+memoryFile()+")")
		if strings.TrimSpace(got) != want {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
}
