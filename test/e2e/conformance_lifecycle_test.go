package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// ending is how containers end, what is then told, and when they are started again.
var ending = area{name: "ends and restarts", behaviours: []behaviour{
	{name: "exit code 0 is Completed and a pod that Succeeded", script: "exit 0", check: func(c *trial) {
		c.endedAs(0, "Completed")
		c.phase(v1.PodSucceeded)
	}},
	{name: "exit code 3 is Error and a pod that Failed", script: "exit 3", check: func(c *trial) {
		c.endedAs(3, "Error")
		c.phase(v1.PodFailed)
	}},
	{name: "exit code 255 is told as it is", script: "exit 255", check: func(c *trial) { c.endedAs(255, "Error") }},
	{name: "an end by SIGKILL is exit code 137", spec: "shareProcessNamespace: true", script: "kill -9 $$$$", check: func(c *trial) { c.endedAs(137, "Error") }},
	{name: "an end by SIGSEGV is exit code 139", spec: "shareProcessNamespace: true", script: "kill -SEGV $$$$", check: func(c *trial) { c.endedAs(139, "Error") }},
	{name: "the end has the times of start and end, and the container's id", script: "sleep 1", check: func(c *trial) {
		e := c.ended()
		if d := e.FinishedAt.Sub(e.StartedAt.Time); d < time.Second || d > 30*time.Second {
			c.errorf("it ran for %s", d)
		}
		c.contains("the id", e.ContainerID, "containerd://")
	}},
	{name: "a command that is not there is StartError with exit code 128", main: "command: [/no/such/command]", check: func(c *trial) {
		e := c.ended()
		c.equal("the reason", e.Reason, "StartError")
		c.equal("the exit code", e.ExitCode, int32(128))
		c.phase(v1.PodFailed)
	}},
	{name: "a command that is not there is tried again with Always", spec: "restartPolicy: Always", main: "command: [/no/such/command]", check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool {
			s := status(p, "main")
			return s.RestartCount == 1 && s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.Reason == "StartError"
		})
	}},
	{name: "a file that cannot be executed is not started", main: "command: [/data/file]", check: func(c *trial) {
		c.until("it is told", func() error {
			for _, s := range c.history() {
				for _, text := range []string{fmt.Sprint(status(s.pod, "main").State.Terminated), fmt.Sprint(status(s.pod, "main").State.Waiting)} {
					if strings.Contains(text, "permission denied") {
						return nil
					}
				}
			}
			return fmt.Errorf("not yet")
		})
	}},

	{name: "Always restarts after failure and success, and the pod is Running", spec: countingSpec("Always"), main: mountedAt, script: counting, check: func(c *trial) {
		p := c.wait("running the third time", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 2 && status(p, "main").State.Running != nil
		})
		c.equal("the phase", p.Status.Phase, v1.PodRunning)
		c.equal("it is ready", status(p, "main").Ready, true)
		c.equal("the last exit code", status(p, "main").LastTerminationState.Terminated.ExitCode, int32(0))
	}},
	{name: "OnFailure restarts after a failure alone, and the pod is Succeeded", spec: countingSpec("OnFailure"), main: mountedAt, script: counting, check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		c.equal("the restarts", status(p, "main").RestartCount, int32(1))
		c.equal("it is ready", status(p, "main").Ready, false)
	}},
	{name: "Never restarts nothing, and the pod is Failed", spec: countingSpec("Never"), main: mountedAt, script: counting, check: func(c *trial) {
		p := c.phase(v1.PodFailed)
		c.equal("the restarts", status(p, "main").RestartCount, int32(0))
		c.stays(2*time.Second, "unrestarted", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed && status(p, "main").RestartCount == 0 })
	}},
	{name: "with Never a pod runs until its last container has ended", script: "exit 1", beside: item("other", "sleep 3", ""), check: func(c *trial) {
		p := c.wait("ended in part", func(p *v1.Pod) bool {
			return status(p, "main").State.Terminated != nil && status(p, "other").State.Running != nil
		})
		c.equal("the phase", p.Status.Phase, v1.PodRunning)
		c.phase(v1.PodFailed)
	}},
	{name: "with Never a pod is Succeeded when all containers are", script: "true", beside: item("other", "sleep 1", ""), check: func(c *trial) { c.phase(v1.PodSucceeded) }},
	{name: "with OnFailure a pod is Running while one container is restarted", spec: "restartPolicy: OnFailure", script: "true", beside: item("other", "exit 1", ""), check: func(c *trial) {
		p := c.wait("backing off", func(p *v1.Pod) bool {
			w := status(p, "other").State.Waiting
			return w != nil && w.Reason == "CrashLoopBackOff"
		})
		c.equal("the phase", p.Status.Phase, v1.PodRunning)
	}},
	{name: "a container that ends again and again waits with CrashLoopBackOff", spec: "restartPolicy: Always", script: "exit 7", check: func(c *trial) {
		c.contains("the message", c.waiting("CrashLoopBackOff").Message, "back-off 10s restarting failed container")
		p := c.history()[len(c.history())-1].pod
		c.equal("the last exit code", status(p, "main").LastTerminationState.Terminated.ExitCode, int32(7))
		c.event("BackOff", "restarting failed container")
	}},
	{name: "the first restart is at once, the second after 10 seconds", spec: "restartPolicy: Always", script: "exit 7", check: func(c *trial) {
		first := c.wait("restarted", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "main").State.Waiting != nil
		})
		end := status(first, "main").LastTerminationState.Terminated.FinishedAt
		second := c.wait("restarted again", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 2 && status(p, "main").State.Waiting != nil
		})
		last := status(second, "main").LastTerminationState.Terminated
		if d := last.StartedAt.Sub(end.Time); d < 9*time.Second || d > 40*time.Second {
			c.errorf("the second restart was after %s", d)
		}
	}},
	{name: "restarts of one container leave the others alone", spec: "restartPolicy: Always", script: "sleep 1; exit 1", beside: item("other", forever, ""), check: func(c *trial) {
		before := c.wait("running", func(p *v1.Pod) bool { return status(p, "other").State.Running != nil })
		after := c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
		c.equal("the other container", status(after, "other").ContainerID, status(before, "other").ContainerID)
	}},
	{name: "a restarted container begins with the image's files", spec: "restartPolicy: OnFailure", script: "[ -e /f ] && exit 0; touch /f; exit 1", check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount >= 1 })
		c.stays(2*time.Second, "unfinished", func(p *v1.Pod) bool { return p.Status.Phase != v1.PodSucceeded })
	}},
	{name: "the output of the container before can be read", spec: countingSpec("OnFailure"), main: mountedAt, script: "touch /v/f; echo run $(wc -l </v/f)\n" + counting, check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		c.equal("the output before", c.get("/containerLogs/default/"+c.pod+"/main?previous=true"), "run 0\n")
		c.equal("the output", c.logs("main"), "run 1\n")
	}},

	{name: "a rule restarts a container of a pod with Never", main: restartRule("Restart", "In", "[42]") + "\n" + mountedAt, spec: volume("emptyDir: {}"), script: "[ -e /v/f ] && exit 0; touch /v/f; exit 42", check: func(c *trial) {
		c.equal("the restarts", status(c.phase(v1.PodSucceeded), "main").RestartCount, int32(1))
	}},
	{name: "a rule whose exit code does not match restarts nothing", main: restartRule("Restart", "In", "[42]"), script: "exit 1", check: func(c *trial) {
		c.equal("the restarts", status(c.phase(v1.PodFailed), "main").RestartCount, int32(0))
	}},
	{name: "a rule may name the exit codes that do not count", main: restartRule("Restart", "NotIn", "[7]") + "\n" + mountedAt, spec: volume("emptyDir: {}"), script: "[ -e /v/f ] && exit 7; touch /v/f; exit 1", check: func(c *trial) {
		p := c.phase(v1.PodFailed)
		c.equal("the restarts", status(p, "main").RestartCount, int32(1))
		c.equal("the exit code", status(p, "main").State.Terminated.ExitCode, int32(7))
	}},
	{name: "a container's policy Never wins over the pod's Always", spec: "restartPolicy: Always", main: "restartPolicy: Never", script: "exit 1", check: func(c *trial) {
		c.endedAs(1, "Error")
		c.stays(2*time.Second, "unrestarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 0 })
	}},
	{name: "a container's policy Always wins over the pod's Never", main: "restartPolicy: Always", script: "exit 1", check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.equal("the phase", c.waitingPod("CrashLoopBackOff").Status.Phase, v1.PodRunning)
	}},
	{name: "a container's policy OnFailure lets a pod with Always succeed", spec: "restartPolicy: Always", main: "restartPolicy: OnFailure", script: "exit 0", check: func(c *trial) { c.phase(v1.PodSucceeded) }},
	{name: "RestartAllContainers runs init containers and sidecars anew, too", spec: volume("emptyDir: {}"), main: restartRule("RestartAllContainers", "In", "[42]") + "\n" + mountedAt, script: "echo main >>/v/order; [ $(grep -c main /v/order) = 2 ] && exit 0; exit 42",
		init: item("one", "echo one >>/v/order", mountedAt) + item("side", "echo side >>/v/order; "+forever, "restartPolicy: Always\n"+mountedAt), check: func(c *trial) {
			p := c.phase(v1.PodSucceeded)
			for _, s := range []v1.ContainerStatus{initStatus(p, "one"), initStatus(p, "side"), status(p, "main")} {
				c.equal("the restarts of "+s.Name, s.RestartCount, int32(1))
			}
		}},
	{name: "RestartAllContainers keeps the volumes and the address", spec: "hostNetwork: false\n" + volume("emptyDir: {}"), main: restartRule("RestartAllContainers", "In", "[42]") + "\n" + mountedAt, script: "hostname -i >>/v/f; [ $(wc -l </v/f) = 2 ] && exec cat /v/f; exit 42", check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		if lines := strings.Fields(c.logs("main")); len(lines) != 2 || lines[0] != lines[1] {
			c.errorf("the addresses are %q", lines)
		}
	}},
	{name: "RestartAllContainers by a container that is not main", spec: volume("emptyDir: {}"), main: mountedAt, script: "echo main >>/v/order; [ $(grep -c main /v/order) = 2 ] && exit 0; exec sleep 1000", beside: item("other", "[ -e /v/f ] && exit 0; touch /v/f; sleep 1; exit 42", restartRule("RestartAllContainers", "In", "[42]")+"\n"+mountedAt), check: func(c *trial) {
		c.equal("the restarts of main", status(c.phase(v1.PodSucceeded), "main").RestartCount, int32(1))
	}},

	{name: "RestartAllContainers works after an ordinary restart, too", spec: always + "\n" + volume("emptyDir: {}"), main: strings.Replace(restartRule("RestartAllContainers", "In", "[42]"), "Never", "Always", 1) + "\n" + mountedAt, script: "echo run >>/v/f; case $(wc -l </v/f) in 1) exit 1;; 2) exit 42;; esac\n" + forever, beside: item("other", forever, ""), check: func(c *trial) {
		p := c.wait("running the third time", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 2 && status(p, "main").State.Running != nil && status(p, "other").State.Running != nil
		})
		c.equal("the other's restarts", status(p, "other").RestartCount, int32(1))
	}},
	{name: "RestartAllContainers by two containers at once is one round, not a loop", spec: volume("emptyDir: {}"), main: restartRule("RestartAllContainers", "In", "[42]") + "\n" + mountedAt, script: "[ -e /v/f ] && exec sleep 1000; touch /v/f; sleep 2; exit 42", beside: item("other", "trap 'exit 42' TERM; while :; do sleep 1000 & wait; done", restartRule("RestartAllContainers", "In", "[42]")), check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil && status(p, "other").State.Running != nil
		})
		c.stays(3*time.Second, "as it is", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "other").RestartCount == 1
		})
	}},
	{name: "the termination message is what the container has written", script: "printf DONE >/dev/termination-log", check: hasMessage("DONE")},
	{name: "the termination message may lie elsewhere", main: "terminationMessagePath: /some/where/log", script: "printf DONE >/some/where/log", check: hasMessage("DONE")},
	{name: "a user who is not root can write the termination message", main: "terminationMessagePath: /dev/custom-log\nsecurityContext: {runAsUser: 10000}", script: "printf DONE >/dev/custom-log", check: hasMessage("DONE")},
	{name: "the output is no termination message by default", script: "echo said; exit 1", check: hasMessage("")},
	{name: "FallbackToLogsOnError takes the output of a failure", main: "terminationMessagePolicy: FallbackToLogsOnError", script: "echo said; exit 1", check: hasMessage("said\n")},
	{name: "FallbackToLogsOnError takes output without a newline as it is", main: "terminationMessagePolicy: FallbackToLogsOnError", script: "printf said; exit 1", check: hasMessage("said")},
	{name: "FallbackToLogsOnError takes no output of a success", main: "terminationMessagePolicy: FallbackToLogsOnError", script: "echo said", check: hasMessage("")},
	{name: "FallbackToLogsOnError takes what was written, if anything was", main: "terminationMessagePolicy: FallbackToLogsOnError", script: "echo said; printf written >/dev/termination-log; exit 1", check: hasMessage("written")},
	{name: "FallbackToLogsOnError takes 2048 bytes at most", main: "terminationMessagePolicy: FallbackToLogsOnError", script: "seq 10000 19999 | tr '\\n' ' '; echo; exit 1", check: func(c *trial) {
		if m := c.message(); len(m) > 2048 || !strings.HasSuffix(m, "19998 19999 \n") {
			c.errorf("it has %d bytes: %q", len(m), m)
		}
	}},
	{name: "FallbackToLogsOnError takes 80 lines at most", main: "terminationMessagePolicy: FallbackToLogsOnError", script: "seq 1 200; exit 1", check: func(c *trial) {
		m := c.message()
		c.equal("the lines", strings.Count(m, "\n"), 80)
		c.equal("the first line", strings.SplitN(m, "\n", 2)[0], "121")
	}},
	{name: "a termination message has 4096 bytes at most", script: "head -c 5000 /dev/zero | tr '\\0' x >/dev/termination-log", check: func(c *trial) {
		c.equal("the length", len(c.message()), 4096)
	}},
	{name: "a termination message of one attempt is not the next one's", spec: "restartPolicy: OnFailure\n" + volume("emptyDir: {}"), main: mountedAt, script: "[ -e /v/f ] && exit 0; touch /v/f; printf first >/dev/termination-log; exit 1", check: func(c *trial) {
		s := status(c.phase(v1.PodSucceeded), "main")
		c.equal("the message", s.State.Terminated.Message, "")
		c.equal("the message before", s.LastTerminationState.Terminated.Message, "first")
	}},
	{name: "a last line without a newline is logged as partial and read back as it is", script: "printf DONE", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		c.equal("the output", c.logs("main"), "DONE")
		data, err := os.ReadFile(c.b.path(fmt.Sprintf("log/pods/default_%s_%s/main/0.log", c.pod, p.UID)))
		if err != nil {
			c.fatalf("%v", err)
		}
		c.contains("the file", string(data), " stdout P DONE")
	}},

	{name: "activeDeadlineSeconds ends a pod as DeadlineExceeded", spec: "activeDeadlineSeconds: 2", script: forever, check: func(c *trial) {
		p := c.phase(v1.PodFailed)
		c.equal("the reason", p.Status.Reason, "DeadlineExceeded")
		if d := time.Since(p.Status.StartTime.Time); d < 2*time.Second {
			c.errorf("it ended after %s", d)
		}
	}},
	{name: "activeDeadlineSeconds counts for a pod that has not started", spec: "activeDeadlineSeconds: 2", main: "image: solopod.example/none:1\nimagePullPolicy: Never", script: "true", check: func(c *trial) {
		c.equal("the reason", c.phase(v1.PodFailed).Status.Reason, "DeadlineExceeded")
	}},
	{name: "activeDeadlineSeconds can be given by an edit", spec: always, script: forever, check: func(c *trial) {
		c.ready()
		edited := c.behaviour
		edited.spec = always + "\nactiveDeadlineSeconds: 2"
		c.apply(edited)
		c.equal("the reason", c.phase(v1.PodFailed).Status.Reason, "DeadlineExceeded")
	}},
	{name: "a back-off ends when the image is edited", spec: always, script: "exit 1", check: func(c *trial) {
		c.wait("backing off for long", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && w.Reason == "CrashLoopBackOff" && status(p, "main").RestartCount == 2
		})
		edited := c.behaviour
		edited.main, edited.script = "image: "+entryImage, forever
		began := time.Now()
		c.apply(edited)
		c.ready()
		if d := time.Since(began); d > 10*time.Second {
			c.errorf("it was ready after %s", d)
		}
	}},
	{name: "activeDeadlineSeconds leaves a pod alone that ends in time", spec: "activeDeadlineSeconds: 30", script: "true", check: func(c *trial) {
		c.equal("the reason", c.phase(v1.PodSucceeded).Status.Reason, "")
	}},
}}

const counting = "echo run >>/v/f; case $(wc -l </v/f) in 1) exit 1;; 2) exit 0;; esac\n" + forever

// countingSpec is a pod whose container fails first, then succeeds, and then runs on.
func countingSpec(policy string) string {
	return volume("emptyDir: {medium: Memory}") + "\nrestartPolicy: " + policy
}

func restartRule(action, operator, codes string) string {
	return fmt.Sprintf("restartPolicy: Never\nrestartPolicyRules: [{action: %s, exitCodes: {operator: %s, values: %s}}]", action, operator, codes)
}

func (c *trial) endedAs(code int32, reason string) {
	e := c.ended()
	c.equal("the exit code", e.ExitCode, code)
	c.equal("the reason", e.Reason, reason)
}

// waitingPod is the pod once main waits for this reason.
func (c *trial) waitingPod(reason string) *v1.Pod {
	return c.wait("waiting: "+reason, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == reason
	})
}

// message is main's termination message. One that is taken from its output may come after the news of its end.
func (c *trial) message() string {
	p := c.wait("ended with a message", func(p *v1.Pod) bool { e := status(p, "main").State.Terminated; return e != nil && e.Message != "" })
	return status(p, "main").State.Terminated.Message
}

func hasMessage(want string) func(c *trial) {
	return func(c *trial) {
		if want != "" {
			c.equal("the message", c.message(), want)
			return
		}
		c.ended()
		c.logs("main")
		c.stays(time.Second, "without a message", func(p *v1.Pod) bool { e := status(p, "main").State.Terminated; return e != nil && e.Message == "" })
	}
}

// telling is what the status of a pod says, and what becomes of edits and removals.
var telling = area{name: "status, edits and removals", behaviours: []behaviour{
	{name: "a pod that runs has all its conditions", script: forever, spec: "hostNetwork: false", check: func(c *trial) {
		p := c.ready()
		for _, kind := range []v1.PodConditionType{v1.PodScheduled, v1.PodInitialized, v1.ContainersReady, v1.PodReady, v1.PodReadyToStartContainers} {
			c.equal(string(kind), condition(p, kind).Status, v1.ConditionTrue)
		}
		c.equal("the phase", p.Status.Phase, v1.PodRunning)
	}},
	{name: "a pod that has succeeded is not ready, with the reason PodCompleted", script: "true", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		for _, kind := range []v1.PodConditionType{v1.ContainersReady, v1.PodReady} {
			c.equal(string(kind), string(condition(p, kind).Status)+condition(p, kind).Reason, "FalsePodCompleted")
		}
		c.equal("Initialized", condition(p, v1.PodInitialized).Status, v1.ConditionTrue)
	}},
	{name: "a pod that has ended has no sandbox any more", script: "true", check: func(c *trial) {
		c.wait("without a sandbox", func(p *v1.Pod) bool {
			return p.Status.Phase == v1.PodSucceeded && condition(p, v1.PodReadyToStartContainers).Status == v1.ConditionFalse
		})
	}},
	{name: "a pod that is not ready names its containers", script: forever, main: "readinessProbe: {exec: {command: ['false']}}", beside: item("other", forever, ""), check: func(c *trial) {
		p := c.wait("running", func(p *v1.Pod) bool {
			return status(p, "main").State.Running != nil && status(p, "other").Ready
		})
		c.equal("the condition", condition(p, v1.PodReady).Reason, "ContainersNotReady")
		c.equal("the message", condition(p, v1.PodReady).Message, "containers with unready status: [main]")
	}},
	{name: "a container's status tells its id, its image and its start", script: forever, check: func(c *trial) {
		s := status(c.ready(), "main")
		c.equal("the image", s.Image, conformanceImage)
		if !regexp.MustCompile(`sha256:[0-9a-f]{64}$`).MatchString(s.ImageID) || !regexp.MustCompile(`^containerd://[0-9a-f]{64}$`).MatchString(s.ContainerID) {
			c.errorf("the ids are %s and %s", s.ImageID, s.ContainerID)
		}
		c.equal("it has started", s.Started != nil && *s.Started, true)
		if d := time.Since(s.State.Running.StartedAt.Time); d < -time.Second || d > time.Minute {
			c.errorf("it started %s ago", d)
		}
	}},
	{name: "containers that wait for init containers say PodInitializing", script: "true", init: item("one", forever, ""), check: func(c *trial) {
		c.contains("the reason", c.waiting("PodInitializing").Reason, "PodInitializing")
	}},
	{name: "a pod whose volume is missing has no sandbox, and says so", spec: volume("configMap: {name: @pod}"), main: mountedAt, script: "true", check: func(c *trial) {
		p := c.wait("told", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, c.pod) })
		c.equal("PodReadyToStartContainers", condition(p, v1.PodReadyToStartContainers).Status, v1.ConditionFalse)
		c.equal("PodScheduled", condition(p, v1.PodScheduled).Status, v1.ConditionTrue)
		c.equal("Ready", condition(p, v1.PodReady).Status, v1.ConditionFalse)
	}},
	{name: "a pod that waits for its init container has a sandbox, and is not Initialized", init: item("one", forever, ""), script: "true", check: func(c *trial) {
		p := c.wait("initializing", func(p *v1.Pod) bool { return initStatus(p, "one").State.Running != nil })
		c.equal("PodReadyToStartContainers", condition(p, v1.PodReadyToStartContainers).Status, v1.ConditionTrue)
		c.equal("Initialized", condition(p, v1.PodInitialized).Status, v1.ConditionFalse)
	}},
	{name: "conditions come in their order", spec: bridged, init: item("one", "sleep 1", ""), main: "readinessProbe: {exec: {command: ['true']}, initialDelaySeconds: 1}", script: forever, check: func(c *trial) {
		p := c.ready()
		last := condition(p, v1.PodScheduled)
		for _, kind := range []v1.PodConditionType{v1.PodReadyToStartContainers, v1.PodInitialized, v1.ContainersReady, v1.PodReady} {
			next := condition(p, kind)
			if next.LastTransitionTime.Before(&last.LastTransitionTime) {
				c.errorf("%s was before %s", next.Type, last.Type)
			}
			last = next
		}
	}},
	{name: "the QoS class without resources is BestEffort", script: "true", check: hasQOS(v1.PodQOSBestEffort)},
	{name: "the QoS class with requests is Burstable", script: "true", main: "resources: {requests: {memory: 16Mi}}", check: hasQOS(v1.PodQOSBurstable)},
	{name: "the QoS class with equal limits and requests is Guaranteed", script: "true", main: "resources: {limits: {memory: 32Mi, cpu: 100m}, requests: {memory: 32Mi, cpu: 100m}}", check: hasQOS(v1.PodQOSGuaranteed)},
	{name: "limits alone become requests, and the class Guaranteed", script: "true", main: "resources: {limits: {memory: 32Mi, cpu: 100m}}", check: hasQOS(v1.PodQOSGuaranteed)},
	{name: "one container without limits makes the class Burstable", script: "true", main: "resources: {limits: {memory: 32Mi, cpu: 100m}}", beside: item("other", "true", ""), check: hasQOS(v1.PodQOSBurstable)},
	{name: "a pod on the host's network has its address", script: forever, check: func(c *trial) {
		p := c.ready()
		c.equal("the address", p.Status.PodIP, p.Status.HostIP)
		c.contains("the address", p.Status.PodIP, ".")
	}},
	{name: "a pod of its own network has another address than the host", spec: "hostNetwork: false", script: forever, check: func(c *trial) {
		p := c.ready()
		if p.Status.PodIP == "" || p.Status.PodIP == p.Status.HostIP || p.Status.PodIPs[0].IP != p.Status.PodIP {
			c.errorf("the addresses are %q, %v and of the host %q", p.Status.PodIP, p.Status.PodIPs, p.Status.HostIP)
		}
	}},
	{name: "a pod keeps its address when a container is restarted", spec: "hostNetwork: false\nrestartPolicy: Always", script: "sleep 1; exit 1", check: func(c *trial) {
		before := c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		after := c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.equal("the address", after.Status.PodIP, before.Status.PodIP)
		if before.Status.PodIP == "" {
			c.errorf("there is none")
		}
	}},
	{name: "a transition time stays over a restart of another container", spec: "restartPolicy: Always", script: forever, check: func(c *trial) {
		before := c.ready()
		c.stays(1500*time.Millisecond, "ready", isReady)
		edited := c.behaviour
		edited.meta = "labels: {new: label}"
		c.apply(edited)
		after := c.wait("relabelled", func(p *v1.Pod) bool { return p.Labels["new"] == "label" })
		for _, kind := range []v1.PodConditionType{v1.PodReady, v1.PodInitialized, v1.PodScheduled} {
			c.equal("the time of "+string(kind), condition(after, kind).LastTransitionTime, condition(before, kind).LastTransitionTime)
		}
	}},
	{name: "the pod's phase is Pending until its first container runs", main: "image: solopod.example/none:1\nimagePullPolicy: Never", script: "true", check: func(c *trial) {
		c.equal("the phase", c.waitingPod("ErrImageNeverPull").Status.Phase, v1.PodPending)
	}},
	{name: "the events of a start are Pulled, Created and Started", script: "true", check: func(c *trial) {
		c.ended()
		c.event("Pulled", "already present on machine")
		c.event("Created", "main")
		c.event("Started", "main")
	}},
	{name: "the status counts what was applied of the manifest", script: forever, check: func(c *trial) {
		p := c.ready()
		if p.Generation == 0 || p.Status.ObservedGeneration != p.Generation {
			c.errorf("generation %d, observed %d", p.Generation, p.Status.ObservedGeneration)
		}
	}},
	{name: "a static pod says so in its annotations", script: forever, check: func(c *trial) {
		p := c.ready()
		c.equal("the source", p.Annotations["kubernetes.io/config.source"], "file")
		if p.Annotations["kubernetes.io/config.hash"] == "" || p.Annotations["kubernetes.io/config.seen"] == "" {
			c.errorf("the annotations are %v", p.Annotations)
		}
	}},
	{name: "the status tells the resources that are in force", main: "resources: {limits: {memory: 32Mi, cpu: 100m}}", script: forever, check: func(c *trial) {
		s := status(c.ready(), "main")
		if s.Resources == nil || s.Resources.Limits.Memory().String() != "32Mi" || s.Resources.Requests.Cpu().String() != "100m" {
			c.errorf("the resources are %+v", s.Resources)
		}
	}},
	{name: "the status tells the resources that are allocated", main: "resources: {limits: {memory: 32Mi, cpu: 100m}}", script: forever, check: func(c *trial) {
		s := status(c.ready(), "main")
		c.equal("the memory", s.AllocatedResources.Memory().String(), "32Mi")
	}},
	{name: "the status tells the stop signal", main: "lifecycle: {stopSignal: SIGUSR1}", spec: "os: {name: linux}", script: forever, check: func(c *trial) {
		s := status(c.ready(), "main")
		if s.StopSignal == nil || *s.StopSignal != v1.SIGUSR1 {
			c.errorf("the signal is %v", s.StopSignal)
		}
	}},

	{name: "a removed pod gets SIGTERM, and has its grace period", spec: "terminationGracePeriodSeconds: 20\n" + volume("hostPath: {path: @host}"), main: mountedAt, script: "trap 'echo term >>/v/f; sleep 2; echo end >>/v/f; exit 0' TERM; touch /v/f; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.runningWith("f")
		c.remove(c.pod + ".yaml")
		p := c.wait("terminating", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
		if p.DeletionGracePeriodSeconds == nil || *p.DeletionGracePeriodSeconds != 20 {
			c.errorf("the grace period is %v", p.DeletionGracePeriodSeconds)
		}
		c.goneWithin(2*time.Second, 12*time.Second)
		c.equal("the file", c.hostFile("f"), "term\nend\n")
	}},
	{name: "a removed pod that ignores SIGTERM is killed after its grace period", spec: "terminationGracePeriodSeconds: 3\n" + volume("hostPath: {path: @host}"), main: mountedAt, script: "trap '' TERM; touch /v/f; while :; do sleep 1; done", check: func(c *trial) {
		c.runningWith("f")
		c.remove(c.pod + ".yaml")
		c.goneWithin(3*time.Second, 12*time.Second)
	}},
	{name: "the containers of a removed pod get SIGTERM together", spec: "terminationGracePeriodSeconds: 20\n" + volume("hostPath: {path: @host}"), main: mountedAt, script: "trap 'sleep 3; exit 0' TERM; touch /v/f; while :; do sleep 1000 & wait; done", beside: item("other", "trap 'sleep 3; exit 0' TERM; touch /v/g; while :; do sleep 1000 & wait; done", mountedAt), check: func(c *trial) {
		c.runningWith("f", "g")
		c.remove(c.pod + ".yaml")
		c.goneWithin(3*time.Second, 5500*time.Millisecond)
	}},
	{name: "a removed pod that is not ready any more says so", spec: "terminationGracePeriodSeconds: 20", main: "readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1, failureThreshold: 1}", script: "trap 'rm /ready; sleep 5; exit 0' TERM; touch /ready; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.wait("unready while it ends", func(p *v1.Pod) bool {
			return p.DeletionTimestamp != nil && condition(p, v1.PodReady).Status == v1.ConditionFalse && status(p, "main").State.Running != nil
		})
	}},
	{name: "a removed pod that is still ready says so", spec: "terminationGracePeriodSeconds: 20\n" + volume("hostPath: {path: @host}"), main: mountedAt, script: "trap 'touch /v/g; sleep 4; exit 0' TERM; touch /v/f; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.runningWith("f")
		c.ready()
		c.remove(c.pod + ".yaml")
		c.runningWith("g")
		c.stays(2*time.Second, "ready while it ends", func(p *v1.Pod) bool {
			return p.DeletionTimestamp != nil && condition(p, v1.PodReady).Status == v1.ConditionTrue
		})
	}},
	{name: "a container is stopped with the signal of its lifecycle", spec: "terminationGracePeriodSeconds: 20\nos: {name: linux}\n" + volume("hostPath: {path: @host}"), main: "lifecycle: {stopSignal: SIGUSR1}\n" + mountedAt, script: "trap 'echo usr1 >>/v/f; exit 0' USR1; trap '' TERM; touch /v/f; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.runningWith("f")
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 12*time.Second)
		c.equal("the file", c.hostFile("f"), "usr1\n")
	}},
	{name: "a pod can be removed before its image is there", main: "image: solopod.example/none:1\nimagePullPolicy: Never", script: "true", check: func(c *trial) {
		c.waiting("ErrImageNeverPull")
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 10*time.Second)
	}},
	{name: "a pod can be removed while it waits for a volume", spec: volume("configMap: {name: @pod}"), main: mountedAt, script: "true", check: func(c *trial) {
		c.wait("told", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, c.pod) })
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 10*time.Second)
	}},
	{name: "a pod can be removed while its init container runs", spec: "terminationGracePeriodSeconds: 20", init: item("one", forever, ""), script: "true", check: func(c *trial) {
		c.wait("initializing", func(p *v1.Pod) bool { return initStatus(p, "one").State.Running != nil })
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 10*time.Second)
		for _, s := range c.history() {
			c.equal("main has no container", status(s.pod, "main").ContainerID, "")
		}
	}},
	{name: "a pod can be removed while it backs off", spec: always, script: "exit 1", check: func(c *trial) {
		c.waiting("CrashLoopBackOff")
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 8*time.Second)
	}},
	{name: "an edited container begins when the old one has ended", spec: always + "\nterminationGracePeriodSeconds: 20\n" + volume("hostPath: {path: @host}"), main: mountedAt, script: "echo begin >>/v/f; trap 'sleep 2; echo end >>/v/f; exit 0' TERM; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.runningWith("f")
		edited := c.behaviour
		edited.script = "echo anew >>/v/f; " + forever
		c.apply(edited)
		c.until("the new one has begun", func() error { return c.hostFileHas("f", "anew") })
		c.equal("the file", c.hostFile("f"), "begin\nend\nanew\n")
	}},
	{name: "a pod that has ended can be removed", script: "true", check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 10*time.Second)
	}},
	{name: "a pod that is removed and comes again is a new one", spec: "restartPolicy: Always\n" + volume("emptyDir: {}"), main: mountedAt, script: "ls -A /v; touch /v/f; " + forever, check: func(c *trial) {
		before := c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 20*time.Second)
		c.apply(c.behaviour)
		after := c.wait("ready again", func(p *v1.Pod) bool { return isReady(p) && p.DeletionTimestamp == nil })
		c.equal("the restarts", status(after, "main").RestartCount, int32(0))
		if status(after, "main").ContainerID == status(before, "main").ContainerID {
			c.errorf("it has the same container")
		}
		c.equal("the old files", c.logs("main"), "")
	}},
	{name: "an edit of an image restarts that container alone", spec: "restartPolicy: Always", script: forever, beside: item("other", forever, ""), check: func(c *trial) {
		before := c.ready()
		edited := c.behaviour
		edited.main = "image: " + entryImage
		c.apply(edited)
		after := c.wait("running the new image", func(p *v1.Pod) bool {
			s := status(p, "main")
			return isReady(p) && s.Image == entryImage && s.State.Running != nil && s.ContainerID != status(before, "main").ContainerID
		})
		c.equal("the restarts", status(after, "main").RestartCount, int32(1))
		c.equal("the other container", status(after, "other").ContainerID, status(before, "other").ContainerID)
	}},
	{name: "an edit during init containers takes effect without a restart", spec: volume("hostPath: {path: @host}"), init: item("one", "until [ -e /v/go ]; do sleep 0.1; done", mountedAt), script: "echo before", check: func(c *trial) {
		c.wait("initializing", func(p *v1.Pod) bool { return initStatus(p, "one").State.Running != nil })
		edited := c.behaviour
		edited.script = "echo after"
		c.apply(edited)
		c.wait("taken up", func(p *v1.Pod) bool { return strings.Contains(fmt.Sprint(p.Spec.Containers[0].Args), "after") })
		c.equal("no container of it", status(c.history()[len(c.history())-1].pod, "main").ContainerID, "")
		if err := os.WriteFile(c.host+"/go", nil, 0o644); err != nil {
			c.fatalf("%v", err)
		}
		p := c.phase(v1.PodSucceeded)
		c.equal("the output", c.logs("main"), "after\n")
		c.equal("the restarts", status(p, "main").RestartCount, int32(0))
	}},
	{name: "an edit to an image that is missing leaves the pod waiting, and a mended one starts it", spec: "restartPolicy: Always", script: forever, check: func(c *trial) {
		c.ready()
		edited := c.behaviour
		edited.main = "image: solopod.example/none:1\nimagePullPolicy: Never"
		c.apply(edited)
		c.waiting("ErrImageNeverPull")
		c.apply(c.behaviour)
		c.ready()
	}},
	{name: "a pod of one name in two files is refused in the second", script: forever, check: func(c *trial) {
		p := c.ready()
		c.write(c.pod+"-twin.yaml", c.manifest(c.pod))
		c.until("the second is refused", func() error {
			if out := c.get("/manifests"); !strings.Contains(out, "already defined by") {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		c.equal("the pod", c.ready().UID, p.UID)
	}},
	{name: "a new uid makes a new pod when the old one has gone", meta: "uid: 11111111-2222-3333-4444-777777777771", spec: "terminationGracePeriodSeconds: 20\n" + volume("hostPath: {path: @host}"), main: mountedAt, script: "trap 'sleep 2; echo end >>/v/f; exit 0' TERM; echo begin >>/v/f; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.runningWith("f")
		edited := c.behaviour
		edited.meta = "uid: 11111111-2222-3333-4444-777777777772"
		c.apply(edited)
		c.until("both have written", func() error {
			if text := c.hostFile("f"); strings.Count(text, "begin") < 2 {
				return fmt.Errorf("%q", text)
			}
			return c.hostFileHas("f", "end")
		})
		c.equal("the file", c.hostFile("f"), "begin\nend\nbegin\n")
	}},

	{name: "Never does not pull an image that is missing", main: "image: solopod.example/none:1\nimagePullPolicy: Never", script: "true", check: func(c *trial) {
		c.contains("the message", c.waiting("ErrImageNeverPull").Message, "solopod.example/none:1")
	}},
	{name: "a registry that is not there is ErrImagePull, then ImagePullBackOff", main: "image: 127.0.0.1:1/none:1", script: "true", check: func(c *trial) {
		c.waiting("ErrImagePull")
		c.waiting("ImagePullBackOff")
		c.event("Failed", "127.0.0.1:1/none:1")
	}},
	{name: "an image name that is none is refused, where a kubelet would wait with it for ever", main: "image: 'solopod.example/UPPER:1'", script: "true", check: refused("is no reference of an image")},
	{name: "an image may be named by its digest", spec: always, script: forever, check: func(c *trial) {
		id := status(c.ready(), "main").ImageID
		edited := c.behaviour
		edited.main = "image: '" + id + "'\nimagePullPolicy: Never"
		c.apply(edited)
		c.wait("running it", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "main").RestartCount == 1 && status(p, "main").ImageID == id
		})
	}},
	{name: "an image may be named by its tag and its digest", spec: always, script: forever, check: func(c *trial) {
		_, digest, _ := strings.Cut(status(c.ready(), "main").ImageID, "@")
		edited := c.behaviour
		edited.main = "image: '" + conformanceImage + "@" + digest + "'\nimagePullPolicy: Never"
		c.apply(edited)
		c.wait("running it", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "main").RestartCount == 1 && strings.HasSuffix(status(p, "main").ImageID, "@"+digest)
		})
	}},
	{name: "IfNotPresent uses an image that is present", main: "image: " + entryImage + "\nimagePullPolicy: IfNotPresent", log: "entrypoint cmd of image\n"},
	{name: "Always asks the registry although the image is present", main: "image: " + entryImage + "\nimagePullPolicy: Always", check: func(c *trial) { c.waiting("ErrImagePull") }},
}}

func hasQOS(class v1.PodQOSClass) func(c *trial) {
	return func(c *trial) { c.equal("the class", c.phase(v1.PodSucceeded).Status.QOSClass, class) }
}

// runningWith waits for files that containers make when they have set their traps.
func (c *trial) runningWith(files ...string) {
	c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
	for _, name := range files {
		c.until(name, func() error {
			_, err := os.Stat(c.host + "/" + name)
			return err
		})
	}
}

// goneWithin waits until a pod whose manifest was just taken away is gone, and looks at how long that took.
func (c *trial) goneWithin(least, most time.Duration) {
	began := time.Now()
	c.until("the pod is gone", func() error {
		if list := c.history(); len(list) > 0 && !list[len(list)-1].gone {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	if d := time.Since(began); d < least-200*time.Millisecond || d > most {
		c.errorf("it was gone after %s, not within %s and %s", d, least, most)
	}
}
