package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// own is a file of a pod's volume /own.
func (b *box) own(p *v1.Pod, name string) string {
	b.t.Helper()
	text, err := os.ReadFile(b.path("root/pods/" + string(p.UID) + "/volumes/own/" + name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return string(text)
}

// told waits until an event says something.
func (b *box) told(says ...string) {
	b.t.Helper()
	b.eventually(strings.Join(says, ", "), func() error {
		out := b.run("get", "events")
		for _, s := range says {
			if !strings.Contains(out, s) {
				return fmt.Errorf("no event says %q:\n%s", s, out)
			}
		}
		return nil
	})
}

// What was ended for a probe or its hook comes back though it ends with 0, also when Solopod is killed in between.
func TestVerdictOutlivesCrash(t *testing.T) {
	b := newBox(t, embedded)
	// The first attempt of each fails what it is asked, and takes its time to end.
	main := func(name, extra string) container {
		return container{name, "echo x >>/own/" + name + "; trap 'sleep 2; exit 0' TERM; while true; do sleep 1000 & wait $!; done", extra}
	}
	second := func(name string) string { return `exec: {command: [sh, -c, "[ $(wc -l </own/` + name + `) != 1 ]"]}` }
	b.apply("judged.yaml", containers("judged", "restartPolicy: OnFailure", nil,
		main("live", "livenessProbe: {"+second("live")+", periodSeconds: 1, failureThreshold: 1}"),
		main("start", "startupProbe: {"+second("start")+", periodSeconds: 1, failureThreshold: 1}"),
		main("hook", "lifecycle: {postStart: {"+second("hook")+"}}")))
	b.apply("never.yaml", containers("never", "restartPolicy: Never", nil,
		main("live", "livenessProbe: {exec: {command: [\"false\"]}, periodSeconds: 1, failureThreshold: 1}")))
	pod := b.waitPod("judged", "running", func(p *v1.Pod) bool {
		return status(p, "live").State.Running != nil && status(p, "start").State.Running != nil && status(p, "hook").State.Running != nil
	})
	pids := map[string]int{}
	for _, name := range []string{"live", "start", "hook"} {
		pids[name] = b.pid(pod, name)
	}
	b.told("Stopping container live: it failed its liveness probe", "Stopping container start: it failed its startup probe",
		"Stopping container hook: its postStart hook failed")
	b.crash()
	b.eventually("all have ended", func() error {
		for name, pid := range pids {
			if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(data), ") Z") {
				return fmt.Errorf("%s still runs", name)
			}
		}
		return nil
	})
	b.start()
	pod = b.waitReady("judged")
	for name := range pids {
		if s := status(pod, name); s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := status(b.waitPhase("never", v1.PodSucceeded), "live"); s.RestartCount != 0 { // as a kubelet has it
		t.Errorf("never: %+v", s)
	}
}

// uptimes are the times that a file of /own has, by what stands before them.
func (b *box) uptimes(path string) map[string]float64 {
	b.t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(readFile(b.t, path)) {
		fields := strings.Fields(line)
		at, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, ok := out[fields[0]]; !ok {
			out[fields[0]] = at
		}
	}
	return out
}

// When a pod ends all its preStop hooks begin at once, and the signals take turns; hooks that hang end with the grace period.
func TestHooksBeginTogether(t *testing.T) {
	b := newBox(t, embedded)
	volume := b.path("host")
	if err := os.Mkdir(volume, 0o777); err != nil {
		t.Fatal(err)
	}
	keep := func(manifest string) string {
		return strings.Replace(manifest, "volumes: [{name: own, emptyDir: {}}]", "volumes: [{name: own, hostPath: {path: "+volume+"}}]", 1)
	}
	note := func(file, what string) string { return "echo " + what + " $(cat /proc/uptime) >>/own/" + file }
	one := func(file, name, onTerm, hook, extra string) container {
		return container{
			name, "trap '" + note(file, "term-"+name) + "; " + onTerm + note(file, "exit-"+name) + "; exit 0' TERM; while true; do sleep 1000 & wait $!; done",
			"lifecycle: {preStop: {exec: {command: [sh, -c, \"" + note(file, "hook-"+name) + hook + "\"]}}}\n" + extra,
		}
	}
	const sidecar = "restartPolicy: Always"
	b.apply("order.yaml", keep(containers("order", "", []container{one("order", "s1", "", "", sidecar), one("order", "s2", "sleep 1; ", "", sidecar)},
		one("order", "main", "sleep 2; ", "", ""))))
	b.apply("hung.yaml", strings.Replace(keep(containers("hung", "", []container{one("hung", "s1", "", "; sleep 1000", sidecar), one("hung", "s2", "", "; sleep 1000", sidecar)},
		one("hung", "main", "", "; sleep 1000", ""))), "terminationGracePeriodSeconds: 5", "terminationGracePeriodSeconds: 3", 1))
	b.waitReady("order")
	b.waitReady("hung")
	b.delete("order.yaml")
	b.delete("hung.yaml")
	b.waitGone("order")
	b.waitGone("hung")
	order, hung := b.uptimes(volume+"/order"), b.uptimes(volume+"/hung")
	for name, times := range map[string]map[string]float64{"order": order, "hung": hung} {
		if len(times) != 9 {
			t.Fatalf("%s: not all were asked to end: %v", name, times)
		}
	}
	for _, name := range []string{"s1", "s2"} {
		if order["hook-"+name] >= order["exit-main"] {
			t.Errorf("the hook of %s began when main had ended: %v", name, order)
		}
		// Sidecars have no grace period of their own: all are told at its end.
		if hung["term-"+name]-hung["hook-main"] > 6 {
			t.Errorf("%s was told late: %v", name, hung)
		}
	}
	if order["term-s2"] < order["exit-main"] || order["term-s1"] < order["exit-s2"] {
		t.Errorf("the signals did not take turns: %v", order)
	}
}

// Containers start one after the other: each when the postStart hook of the one before has ended, or failed.
func TestPostStartHoldsBack(t *testing.T) {
	b := newBox(t, embedded)
	hook := func(command string) string {
		return "lifecycle: {postStart: {exec: {command: [sh, -c, \"" + command + "\"]}}}"
	}
	app := container{"app", "[ -e /own/ready ] || echo early >/own/early; echo begun >/own/begun; " + forever, ""}
	b.apply("hold.yaml", containers("hold", "", nil, container{"proxy", forever, hook("sleep 2; touch /own/ready")}, app))
	b.apply("hung.yaml", containers("hung", "", nil, container{"proxy", forever, hook("touch /own/hooked; sleep 1000")}, app))
	b.apply("fails.yaml", containers("fails", "", nil, container{"proxy", forever, hook("exit 1")}, app))
	b.apply("gone.yaml", containers("gone", "", nil, container{"proxy", forever, hook("touch /own/hooked; sleep 1000")}, app))
	pod := b.waitReady("hold")
	b.eventually("the app has begun", func() error {
		if b.own(pod, "begun") == "" {
			return errors.New("not yet")
		}
		return nil
	})
	if b.own(pod, "early") != "" {
		t.Error("the app began before the hook of the proxy had ended")
	}
	b.waitPod("fails", "running beside what fails", func(p *v1.Pod) bool { return status(p, "app").State.Running != nil })

	// A hook that hangs holds back what comes after it: no removal, no edit, no restart, and no other pod.
	for _, name := range []string{"hung", "gone"} {
		pod = b.waitPod(name, "running its hook", func(p *v1.Pod) bool { return status(p, "proxy").State.Running != nil })
		b.eventually("the hook runs", func() error { return syscall.Access(b.path("root/pods/"+string(pod.UID)+"/volumes/own/hooked"), 0) })
		if s := status(b.pod(v1.NamespaceDefault, name), "app"); s.State.Waiting == nil {
			t.Errorf("the app did not wait: %+v", s)
		}
	}
	b.delete("gone.yaml")
	b.waitGone("gone")
	b.crash()
	b.start()
	b.apply("hung.yaml", containers("hung", "", nil, container{"proxy", forever, hook("touch /own/ready")}, app))
	pod = b.waitReady("hung")
	b.eventually("the app has begun", func() error {
		if b.own(pod, "begun") == "" {
			return errors.New("not yet")
		}
		return nil
	})
	if b.own(pod, "early") != "" {
		t.Error("the app began before the hook that an edit has mended")
	}
}

// A command that cannot be started has ended with that: it counts, and the restart policy decides.
func TestStartError(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		pod := func(name, policy, container string) string {
			return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  hostNetwork: true\n  terminationGracePeriodSeconds: 2\n  restartPolicy: %s\n  containers: [{name: main, image: \"solopod.example/box:1\", %s}]\n", name, policy, container)
		}
		for name, c := range map[string]string{
			"missing": "command: [/no/such/command]", "unfound": "command: [no-such-command]", "plain": "command: [/etc/passwd]",
			"directory": "command: [/etc]", "workdir": "command: [sh], workingDir: /bin/sh",
		} {
			b.apply(name+".yaml", pod(name, "Never", c))
		}
		// What the kernel finds out when the process begins has an exit code of the runtime's own.
		script := b.path("script")
		if err := os.WriteFile(script, []byte("#!/no/such/shell\n"), 0o755); err != nil { //nolint:gosec // it is executed
			t.Fatal(err)
		}
		b.apply("interpreter.yaml", pod("interpreter", "Never", "command: [/script], volumeMounts: [{name: v, mountPath: /script}]")+
			"  volumes: [{name: v, hostPath: {path: "+script+"}}]\n")
		b.apply("loop.yaml", pod("loop", "Always", "command: [/no/such/command]"))
		b.apply("job.yaml", `apiVersion: batch/v1
kind: Job
metadata: {name: typo}
spec:
  backoffLimit: 0
  template:
    spec:
      hostNetwork: true
      restartPolicy: Never
      containers: [{name: main, image: "solopod.example/box:1", command: [/no/such/command]}]
`)
		for _, name := range []string{"missing", "unfound", "plain", "directory", "workdir"} {
			p := b.waitPhase(name, v1.PodFailed)
			end := status(p, "main").State.Terminated
			if end == nil || end.Reason != "StartError" || end.ExitCode != 128 || end.Message == "" || end.FinishedAt.IsZero() || status(p, "main").ImageID == "" {
				t.Errorf("%s: %+v", name, status(p, "main"))
			}
		}
		if end := status(b.waitPhase("interpreter", v1.PodFailed), "main").State.Terminated; end == nil || end.ExitCode == 0 {
			t.Errorf("interpreter: %+v", end)
		}
		loop := b.waitPod("loop", "backing off", func(p *v1.Pod) bool {
			s := status(p, "main")
			return s.RestartCount >= 1 && s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff"
		})
		if last := status(loop, "main").LastTerminationState.Terminated; last == nil || last.Reason != "StartError" {
			t.Errorf("loop: %+v", loop.Status)
		}
		b.eventually("the Job has failed", func() error {
			if out := b.run("get", "jobs"); !strings.Contains(out, "Failed") {
				return errors.New(out)
			}
			return nil
		})
		b.crash() // it is not tried again
		b.start()
		if s := status(b.waitPhase("missing", v1.PodFailed), "main"); s.RestartCount != 0 || s.State.Terminated == nil {
			t.Errorf("after a crash of Solopod: %+v", s)
		}
		b.apply("missing.yaml", pod("missing", "Never", "command: [sh, -c, \"sleep 1000\"]"))
		b.waitReady("missing")
	})
}

// A pod has ended when its sidecars have ended, too.
func TestPhaseWaitsForSidecars(t *testing.T) {
	b := newBox(t, embedded)
	slow := container{"side", "trap 'sleep 2; exit 0' TERM; while true; do sleep 1000 & wait $!; done", "restartPolicy: Always"}
	b.apply("done.yaml", containers("done", "restartPolicy: Never", []container{slow}, container{"main", "exit 0", ""}))
	b.apply("fails.yaml", containers("fails", "restartPolicy: Never", []container{slow}, container{"main", "exit 1", ""}))
	b.apply("late.yaml", containers("late", "activeDeadlineSeconds: 2", []container{slow}, container{"main", forever, ""}))
	for name, phase := range map[string]v1.PodPhase{"done": v1.PodSucceeded, "fails": v1.PodFailed, "late": v1.PodFailed} {
		b.waitPod(name, string(phase), func(p *v1.Pod) bool {
			side := initStatus(p, "side")
			ended := p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
			if ended && side.State.Running != nil { // where the machine was slow it never ran
				t.Errorf("%s is %s, and its sidecar runs", name, p.Status.Phase)
			}
			return p.Status.Phase == phase
		})
	}
	if out := b.run("get", "pods", "late", "-o", "json"); !strings.Contains(out, "DeadlineExceeded") {
		t.Errorf("the reason is not told:\n%s", out)
	}
}
