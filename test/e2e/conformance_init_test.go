package e2e

import (
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// sidecar is an init container that runs on; its end is noted in the pod's volume.
func sidecar(name, extra string) string {
	return item(name, "echo "+name+" >>/v/order; trap 'echo end-"+name+" >>/v/order; exit 0' TERM; while :; do sleep 1000 & wait; done", strings.TrimSuffix("restartPolicy: Always\n"+mountedAt+"\n"+extra, "\n"))
}

// noted is a container that notes in the pod's volume that it was there.
func noted(name string) string { return item(name, "echo "+name+" >>/v/order", mountedAt) }

const (
	hostVolume = "volumes: [{name: v, hostPath: {path: @host}}]"
	noteMain   = "echo main >>/v/order"
	noteEnd    = "echo main >>/v/order; trap 'echo end-main >>/v/order; exit 0' TERM; while :; do sleep 1000 & wait; done"
)

func hasOrder(want string) func(c *trial) {
	return func(c *trial) {
		c.phase(v1.PodSucceeded)
		c.equal("the order", strings.TrimSpace(strings.ReplaceAll(c.hostFile("order"), "\n", " ")), want)
	}
}

// removedOrder removes a pod that runs, and looks at what it has noted.
func removedOrder(want string) func(c *trial) {
	return func(c *trial) {
		c.ready()
		c.until("main has noted its start", func() error {
			return c.hostFileHas("order", "main")
		})
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 20*time.Second)
		c.equal("the order", strings.TrimSpace(strings.ReplaceAll(c.hostFile("order"), "\n", " ")), want)
	}
}

// initializing is init containers and sidecars.
var initializing = area{name: "init containers and sidecars", behaviours: []behaviour{
	{name: "init containers run one after another before the others", spec: hostVolume, init: item("one", "echo one >>/v/order; sleep 1; echo end-one >>/v/order", mountedAt) + noted("two"), main: mountedAt, script: noteMain, check: hasOrder("one end-one two main")},
	{name: "init containers that have ended say so, and the pod is Initialized", init: item("one", "true", "") + item("two", "true", ""), spec: "restartPolicy: Always", script: forever, check: func(c *trial) {
		p := c.ready()
		for _, name := range []string{"one", "two"} {
			s := initStatus(p, name)
			if s.State.Terminated == nil || s.State.Terminated.Reason != "Completed" || !s.Ready || s.RestartCount != 0 {
				c.errorf("%s is %+v", name, s)
			}
		}
		c.equal("Initialized", condition(p, v1.PodInitialized).Status, v1.ConditionTrue)
	}},
	{name: "while init containers run the pod is Pending, and says which", init: item("one", forever, "") + item("two", "true", ""), script: "true", check: func(c *trial) {
		p := c.wait("initializing", func(p *v1.Pod) bool { return initStatus(p, "one").State.Running != nil })
		c.equal("the phase", p.Status.Phase, v1.PodPending)
		c.equal("the reason", condition(p, v1.PodInitialized).Reason, "ContainersNotInitialized")
		c.equal("the message", condition(p, v1.PodInitialized).Message, "containers with incomplete status: [one two]")
	}},
	{name: "with Never a failed init container fails the pod, and nothing else runs", init: item("one", "exit 5", "") + item("two", "true", ""), script: "true", check: func(c *trial) {
		p := c.phase(v1.PodFailed)
		c.equal("the exit code", initStatus(p, "one").State.Terminated.ExitCode, int32(5))
		for _, s := range []v1.ContainerStatus{initStatus(p, "two"), status(p, "main")} {
			if s.ContainerID != "" || s.State.Waiting == nil || s.State.Waiting.Reason != "PodInitializing" {
				c.errorf("%s is %+v", s.Name, s)
			}
		}
	}},
	{name: "with Always a failed init container is tried again, and nothing else runs", spec: "restartPolicy: Always", init: item("one", "exit 5", ""), script: "true", check: func(c *trial) {
		p := c.wait("tried again", func(p *v1.Pod) bool { s := initStatus(p, "one"); return s.RestartCount == 1 && s.State.Waiting != nil })
		c.equal("the phase", p.Status.Phase, v1.PodPending)
		c.equal("the reason", initStatus(p, "one").State.Waiting.Reason, "CrashLoopBackOff")
		c.equal("the container", status(p, "main").ContainerID, "")
	}},
	{name: "with OnFailure an init container that succeeds in the end lets the pod run", spec: "restartPolicy: OnFailure\n" + hostVolume, init: item("one", "echo one >>/v/order; [ $(wc -l </v/order) = 2 ]", mountedAt), main: mountedAt, script: noteMain, check: hasOrder("one one main")},
	{name: "init containers do not run again when a container is restarted", spec: "restartPolicy: OnFailure\n" + hostVolume, init: noted("one"), main: mountedAt, script: noteMain + "; [ $(wc -l </v/order) = 3 ]", check: hasOrder("one main main")},
	{name: "init containers see the volumes, and have filled them for the others", spec: volume("emptyDir: {}"), init: item("one", "echo filled >/v/f", mountedAt), main: mountedAt, script: "cat /v/f", log: "filled\n"},
	{name: "the output of an init container can be read", init: item("one", "echo from one", ""), script: "true", check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		c.equal("the output", c.logs("one"), "from one\n")
	}},
	{name: "probes of an init container that ends are refused", init: item("one", "true", "readinessProbe: {exec: {command: ['true']}}"), script: "true", check: refused("only a sidecar has this")},
	{name: "hooks of an init container that ends are refused", init: item("one", "true", "lifecycle: {postStart: {exec: {command: ['true']}}}"), script: "true", check: refused("only a sidecar has this")},
	{name: "a container's policy Never of an init container fails a pod with Always", spec: "restartPolicy: Always", init: item("one", "exit 5", "restartPolicy: Never"), script: "true", check: func(c *trial) { c.phase(v1.PodFailed) }},
	{name: "a rule restarts an init container of a pod with Never", spec: hostVolume, init: item("one", "echo one >>/v/order; [ $(wc -l </v/order) = 2 ] || exit 42", restartRule("Restart", "In", "[42]")+"\n"+mountedAt), main: mountedAt, script: noteMain, check: hasOrder("one one main")},
	{name: "RestartAllContainers by an init container begins with the first", spec: hostVolume, init: noted("one") + item("two", "echo two >>/v/order; [ $(grep -c two /v/order) = 2 ] || exit 42", restartRule("RestartAllContainers", "In", "[42]")+"\n"+mountedAt), main: mountedAt, script: noteMain, check: hasOrder("one two one two main")},

	{name: "a sidecar starts in its turn, and runs beside the rest", spec: hostVolume, init: noted("one") + sidecar("side", "") + item("two", "until grep -q side /v/order; do usleep 100000; done; echo two >>/v/order", mountedAt), main: mountedAt, script: noteMain, check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		c.equal("the order", strings.ReplaceAll(strings.TrimSuffix(c.hostFile("order"), "end-side\n"), "\n", " "), "one side two main ")
	}},
	{name: "sidecars end after the others, in reverse order", spec: "terminationGracePeriodSeconds: 20\n" + hostVolume, init: sidecar("s1", "startupProbe: {exec: {command: [grep, s1, /v/order]}, periodSeconds: 1}") + sidecar("s2", "startupProbe: {exec: {command: [grep, s2, /v/order]}, periodSeconds: 1}"), main: mountedAt, script: noteEnd, check: removedOrder("s1 s2 main end-main end-s2 end-s1")},
	{name: "a sidecar that waits for its startup probe holds back what follows", spec: hostVolume, init: sidecar("side", "startupProbe: {exec: {command: [sh, -c, 'sleep 1; echo probed >>/v/order']}, timeoutSeconds: 5, periodSeconds: 1}"), main: mountedAt, script: noteMain, check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		if text := c.hostFile("order"); !strings.HasPrefix(text, "side\nprobed\n") {
			c.errorf("the order is %q", text)
		}
	}},
	{name: "a sidecar that is not ready holds nothing back but the pod's readiness", init: item("side", forever, "restartPolicy: Always\nreadinessProbe: {exec: {command: ['false']}, periodSeconds: 1}"), script: forever, spec: "restartPolicy: Always", check: func(c *trial) {
		p := c.wait("running", func(p *v1.Pod) bool { return status(p, "main").Ready })
		c.equal("the pod is ready", isReady(p), false)
		c.equal("Initialized", condition(p, v1.PodInitialized).Status, v1.ConditionTrue)
		c.contains("the message", condition(p, v1.PodReady).Message, "side")
	}},
	{name: "a sidecar's postStart hook holds back what follows", spec: hostVolume, init: sidecar("side", "lifecycle: {postStart: {exec: {command: [sh, -c, 'sleep 1; echo hook >>/v/order']}}}"), main: mountedAt, script: noteMain, check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		if text := c.hostFile("order"); !strings.HasSuffix(strings.TrimSuffix(text, "end-side\n"), "hook\nmain\n") {
			c.errorf("the order is %q", text)
		}
	}},
	{name: "a pod with a sidecar has succeeded when its containers have", init: item("side", forever, "restartPolicy: Always"), script: "true", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		c.wait("without its sidecar", func(p *v1.Pod) bool { return initStatus(p, "side").State.Terminated != nil })
		c.equal("main", status(p, "main").State.Terminated.ExitCode, int32(0))
	}},
	{name: "a pod is Running until its sidecars have ended", spec: "terminationGracePeriodSeconds: 20", init: item("side", "trap 'sleep 2; exit 0' TERM; while :; do sleep 1000 & wait; done", "restartPolicy: Always"), script: "sleep 1", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		if initStatus(p, "side").State.Terminated == nil {
			c.errorf("the sidecar still runs: %+v", initStatus(p, "side").State)
		}
	}},
	{name: "a sidecar that fails when it is told to end does not fail the pod", init: item("side", "trap 'exit 9' TERM; while :; do sleep 1000 & wait; done", "restartPolicy: Always"), script: "sleep 1", check: func(c *trial) {
		p := c.wait("ended", func(p *v1.Pod) bool { return initStatus(p, "side").State.Terminated != nil })
		c.equal("the exit code", initStatus(p, "side").State.Terminated.ExitCode, int32(9))
		c.phase(v1.PodSucceeded)
	}},
	{name: "a sidecar that does not end is killed after the grace period", spec: "terminationGracePeriodSeconds: 2", init: item("side", "trap '' TERM; while :; do sleep 1; done", "restartPolicy: Always"), script: "sleep 1", check: func(c *trial) {
		p := c.wait("ended", func(p *v1.Pod) bool { return initStatus(p, "side").State.Terminated != nil })
		c.equal("the exit code", initStatus(p, "side").State.Terminated.ExitCode, int32(137))
		c.phase(v1.PodSucceeded)
	}},
	{name: "a sidecar that ends is restarted, whatever its exit code and the pod's policy", spec: volume("emptyDir: {}"), init: item("side", "[ -e /v/f ] && exec sleep 1000; touch /v/f; exit 0", "restartPolicy: Always\n"+mountedAt), script: forever, check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool {
			return initStatus(p, "side").RestartCount == 1 && initStatus(p, "side").State.Running != nil
		})
		c.equal("main's restarts", status(p, "main").RestartCount, int32(0))
	}},
	{name: "a sidecar that fails again and again waits with CrashLoopBackOff, and main runs", init: item("side", "exit 3", "restartPolicy: Always"), script: forever, check: func(c *trial) {
		p := c.wait("backing off", func(p *v1.Pod) bool {
			w := initStatus(p, "side").State.Waiting
			return w != nil && w.Reason == "CrashLoopBackOff" && status(p, "main").State.Running != nil
		})
		c.equal("the phase", p.Status.Phase, v1.PodRunning)
	}},
	{name: "a sidecar's liveness probe restarts it alone", spec: volume("emptyDir: {}"), init: item("side", "touch /alive; sleep 1; [ -e /v/f ] || rm /alive; touch /v/f; "+forever, "restartPolicy: Always\nlivenessProbe: {exec: {command: [cat, /alive]}, periodSeconds: 1, failureThreshold: 2, initialDelaySeconds: 1}\n"+mountedAt), script: forever, check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool { return initStatus(p, "side").RestartCount == 1 })
		c.equal("main's restarts", status(p, "main").RestartCount, int32(0))
	}},
	{name: "a sidecar whose startup probe fails is restarted, and main does not start", init: item("side", forever, "restartPolicy: Always\nstartupProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 2}"), script: "true", check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool { return initStatus(p, "side").RestartCount == 1 })
		c.equal("main", status(p, "main").ContainerID, "")
		c.equal("the phase", p.Status.Phase, v1.PodPending)
	}},
	{name: "a sidecar that has started shows it", init: item("side", forever, "restartPolicy: Always"), script: forever, check: func(c *trial) {
		s := initStatus(c.ready(), "side")
		c.equal("it has started, and is ready", s.Started != nil && *s.Started && s.Ready, true)
	}},
	{name: "sidecars run while init containers after them fail and are tried again", spec: "restartPolicy: OnFailure\n" + hostVolume, init: sidecar("side", "") + item("one", "echo one >>/v/order; [ $(grep -c one /v/order) = 2 ]", mountedAt), main: mountedAt, script: noteMain, check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		c.equal("the sidecar's restarts", initStatus(p, "side").RestartCount, int32(0))
		c.equal("the init container's restarts", initStatus(p, "one").RestartCount, int32(1))
	}},
	{name: "a sidecar of a pod whose init container fails is ended", init: item("side", forever, "restartPolicy: Always") + item("one", "sleep 1; exit 1", ""), script: "true", check: func(c *trial) {
		c.phase(v1.PodFailed)
		c.wait("without its sidecar", func(p *v1.Pod) bool { return initStatus(p, "side").State.Terminated != nil })
	}},
	{name: "preStop hooks of sidecars begin with the pod's end", spec: "terminationGracePeriodSeconds: 20\n" + hostVolume, init: sidecar("side", "lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >>/v/order']}}}\nstartupProbe: {exec: {command: [grep, side, /v/order]}, periodSeconds: 1}"),
		main: mountedAt, script: "echo main >>/v/order; trap 'sleep 2; echo end-main >>/v/order; exit 0' TERM; while :; do sleep 1000 & wait; done", check: removedOrder("side main hook end-main end-side")},
	{name: "a sidecar's preStop hook runs before its signal", spec: "terminationGracePeriodSeconds: 20\n" + hostVolume, init: sidecar("side", "lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >>/v/order']}}}\nstartupProbe: {exec: {command: [grep, side, /v/order]}, periodSeconds: 1}"),
		main: mountedAt, script: noteEnd, check: func(c *trial) {
			c.ready()
			c.until("main has noted its start", func() error {
				return c.hostFileHas("order", "main")
			})
			c.remove(c.pod + ".yaml")
			c.goneWithin(0, 20*time.Second)
			text := c.hostFile("order")
			if hook, end := strings.Index(text, "hook"), strings.Index(text, "end-side"); hook < 0 || hook > end {
				c.errorf("the order is %q", text)
			}
		}},
	{name: "a sidecar shares the pod's network with init containers", spec: "hostNetwork: false", init: item("side", "while :; do nc -l -p 8080 -e echo from side; done", "restartPolicy: Always\nstartupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}") + item("one", "nc 127.0.0.1 8080 >/dev/termination-log", ""), script: "true", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		c.equal("what the init container read", initStatus(p, "one").State.Terminated.Message, "from side\n")
	}},
	{name: "an edited sidecar is restarted alone", spec: "restartPolicy: Always", init: item("side", forever, "restartPolicy: Always"), script: forever, check: func(c *trial) {
		before := c.ready()
		edited := c.behaviour
		edited.init = item("side", "true; "+forever, "restartPolicy: Always")
		c.apply(edited)
		after := c.wait("with the new sidecar", func(p *v1.Pod) bool {
			s := initStatus(p, "side")
			return isReady(p) && s.State.Running != nil && s.ContainerID != initStatus(before, "side").ContainerID
		})
		c.equal("main", status(after, "main").ContainerID, status(before, "main").ContainerID)
	}},
}}
