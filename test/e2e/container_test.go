package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// once runs a script in a pod with restartPolicy Never and returns what it printed. pod and container are added to the
// pod's spec and to the container.
func (b *box) once(name, script, pod, container string) string {
	b.t.Helper()
	b.apply(name+".yaml", shell(name, script, "restartPolicy: Never\n"+pod)+indent(4, container)+"\n")
	b.waitPod(name, "succeeded", func(p *v1.Pod) bool {
		if p.Status.Phase == v1.PodFailed {
			b.t.Fatalf("pod %s failed: %s\n%s", name, status(p, "main").State.Terminated, b.run("logs", name))
		}
		return p.Status.Phase == v1.PodSucceeded
	})
	return b.run("logs", name)
}

// Command, environment, working directory, identity and what a container may do.
func TestContainer(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		out := b.once("env", `echo "$FROM_IMAGE $A $B $C"; pwd; echo $(A)`, "",
			"env: [{name: A, value: a}, {name: B, value: \"$(A)b $$(A) $(NONE)\"}, {name: C, value: \"\"}]\nworkingDir: /tmp")
		if out != "yes a ab $(A) $(NONE) \n/tmp\na\n" {
			t.Errorf("environment: %q", out)
		}
		out = b.once("user", "id; touch /x 2>&1; grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/self/status", "securityContext: {runAsUser: 1234, runAsGroup: 2345}",
			"securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [CHOWN]}, seccompProfile: {type: RuntimeDefault}}")
		for _, want := range []string{"uid=1234 gid=2345", "Read-only file system", "NoNewPrivs:\t1", "CapBnd:\t0000000000000001", "Seccomp:\t2"} {
			if !strings.Contains(out, want) {
				t.Errorf("identity lacks %q:\n%s", want, out)
			}
		}
		out = b.once("plain", "grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/self/status; touch /x && echo written; mount -t tmpfs none /tmp 2>&1; true", "", "")
		for _, want := range []string{"NoNewPrivs:\t0", "CapBnd:\t00000000a80425fb", "Seccomp:\t0", "written", "ermi"} {
			if !strings.Contains(out, want) {
				t.Errorf("defaults lack %q:\n%s", want, out)
			}
		}
		out = b.once("privileged", "mount -t tmpfs none /tmp && echo mounted; ls /dev/kmsg", "", "securityContext: {privileged: true}")
		if !strings.Contains(out, "mounted") || !strings.Contains(out, "/dev/kmsg") {
			t.Errorf("privileged: %q", out)
		}
		out = b.once("tty", "test -t 1 && echo terminal; echo $TERM", "", "tty: true\nstdin: true")
		if !strings.Contains(out, "terminal") || !strings.Contains(out, "xterm") {
			t.Errorf("terminal: %q", out)
		}
		b.apply("says.yaml", shell("says", "printf 'last words' > /dev/termination-log; exit 3", "restartPolicy: Never"))
		pod := b.waitPod("says", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		if ended := status(pod, "main").State.Terminated; ended.Message != "last words" || ended.ExitCode != 3 || ended.Reason != "Error" {
			t.Errorf("it ended as %+v", ended)
		}
	})
}

// The three restart policies.
func TestRestartPolicies(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		counting := func(code int) string { return fmt.Sprintf("echo run >> /count/$HOSTNAME; exit %d", code) }
		count := "volumeMounts: [{name: count, mountPath: /count}]"
		volume := "volumes: [{name: count, hostPath: {path: " + b.path("count") + ", type: DirectoryOrCreate}}]"
		b.apply("never.yaml", shell("never", counting(4), "restartPolicy: Never\n"+volume)+indent(4, count))
		b.apply("success.yaml", shell("success", counting(0), "restartPolicy: OnFailure\n"+volume)+indent(4, count))
		b.apply("failure.yaml", shell("failure", "test -e /count/once && exit 0; touch /count/once; exit 5", "restartPolicy: OnFailure\n"+volume)+indent(4, count))
		failed := b.waitPod("never", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		succeeded := b.waitPod("success", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		second := b.waitPod("failure", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		if c := status(second, "main"); c.RestartCount != 1 || c.LastTerminationState.Terminated.ExitCode != 5 {
			t.Errorf("OnFailure: %+v", c)
		}
		// They stay so over a restart of Solopod.
		b.crash()
		b.start()
		for _, p := range []*v1.Pod{failed, succeeded, second} {
			now := b.waitPod(p.Name, "as it was", func(now *v1.Pod) bool { return now.Status.Phase == p.Status.Phase })
			if status(now, "main").RestartCount != status(p, "main").RestartCount {
				t.Errorf("pod %s was restarted", p.Name)
			}
		}
		if out := b.run("get", "pods", "success"); !strings.Contains(out, "Completed") {
			t.Errorf("get pods says\n%s", out)
		}
	})
}

// A container that ends again and again: its first restart is at once, the second 10 s after its end, and all can see it.
func TestCrashLoop(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("loop.yaml", shell("loop", "exit 3", ""))
		pod := b.waitPod("loop", "waiting after its first restart", func(p *v1.Pod) bool {
			c := status(p, "main")
			return c.RestartCount == 1 && c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
		})
		ended := status(pod, "main").LastTerminationState.Terminated
		next := ended.FinishedAt.Add(10 * time.Second).UTC().Format(time.RFC3339)
		if message := status(pod, "main").State.Waiting.Message; !strings.Contains(message, next) || ended.ExitCode != 3 {
			t.Errorf("it ended as %+v and waits: %s", ended, message)
		}
		if out := b.run("get", "pods"); !strings.Contains(out, "CrashLoopBackOff") {
			t.Errorf("get pods says\n%s", out)
		}
		if out := b.run("describe", "pod", "loop"); !strings.Contains(out, "next try at "+next) || !strings.Contains(out, "BackOff") {
			t.Errorf("describe says\n%s", out)
		}
		// The wait goes on over a restart of Solopod.
		b.crash()
		b.start()
		pod = b.waitPod("loop", "waiting after its second restart", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 2 && status(p, "main").State.Waiting != nil
		})
		again := status(pod, "main").LastTerminationState.Terminated
		if pause := again.StartedAt.Sub(ended.FinishedAt.Time); pause < 9*time.Second { // times are in whole seconds
			t.Errorf("it was restarted after %s", pause)
		}
	})
}

// SIGTERM, the image's own stop signal, and SIGKILL after the grace period.
func TestTermination(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		mount := "volumeMounts: [{name: out, mountPath: /out}]"
		volume := "volumes: [{name: out, hostPath: {path: " + b.path("out") + ", type: DirectoryOrCreate}}]"
		b.apply("polite.yaml", shell("polite", "trap 'echo term > /out/polite; exit 0' TERM; touch /out/ready; while true; do sleep 1000 & wait; done", volume)+indent(4, mount))
		b.apply("deaf.yaml", shell("deaf", "trap '' TERM; touch /out/deaf-ready; while true; do sleep 1; done", volume)+indent(4, mount))
		b.waitReady("polite")
		b.waitReady("deaf")
		for _, file := range []string{"out/ready", "out/deaf-ready"} {
			b.eventually(file, func() error { _, err := os.Stat(b.path(file)); return err })
		}
		b.delete("polite.yaml")
		b.waitGone("polite")
		b.ownSignal()
		if out, err := os.ReadFile(b.path("out/polite")); err != nil || string(out) != "term\n" {
			t.Errorf("the polite container got %q, %v", out, err)
		}
		b.delete("deaf.yaml")
		b.waitPod("deaf", "terminating", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
		b.waitGone("deaf")
		if out := b.run("get", "events"); !strings.Contains(out, "did not end within its grace period") {
			t.Errorf("get events says\n%s", out)
		}
	})
}

// ownSignal ends a container whose image names a stop signal; SIGTERM would not end it in time.
func (b *box) ownSignal() {
	b.t.Helper()
	out, err := exec.Command(packBinary, "-o", b.path("quit.tar"), "-name", "solopod.example/quit:1", "-stop-signal", "SIGQUIT",
		"-entrypoint", "/bin/sh", "/bin/busybox:/bin/busybox", "/bin/busybox:/bin/sh", "/bin/busybox:/bin/sleep").CombinedOutput()
	if err != nil {
		b.t.Fatalf("pack: %v\n%s", err, out)
	}
	b.run("images", "import", b.path("quit.tar"))
	script := "trap 'echo quit > /out/own; exit 0' QUIT; trap '' TERM; echo > /out/own-ready; while true; do sleep 1000 & wait; done"
	volume := "volumes: [{name: out, hostPath: {path: " + b.path("out") + "}}]"
	text := shell("own", script, volume) + indent(4, "volumeMounts: [{name: out, mountPath: /out}]")
	text = strings.Replace(text, "terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 600", 1)
	b.apply("own.yaml", strings.Replace(text, "solopod.example/box:1", "solopod.example/quit:1", 1))
	b.eventually("its trap is set", func() error { _, err := os.Stat(b.path("out/own-ready")); return err })
	b.delete("own.yaml")
	b.waitGone("own")
	if out, err := os.ReadFile(b.path("out/own")); err != nil || string(out) != "quit\n" {
		b.t.Errorf("the container with a stop signal of its own got %q, %v", out, err)
	}
}

// Every type of hostPath, and emptyDir on disk and in memory.
func TestVolumes(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.writeFile("file", "content")
	socket, err := net.Listen("unix", b.path("host.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := unix.Mknod(b.path("char"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(b.path("block"), unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))); err != nil {
		t.Fatal(err)
	}
	good := []struct{ kind, path string }{
		{"", "unset"}, {"DirectoryOrCreate", "made/deep"}, {"Directory", "manifests"}, {"FileOrCreate", "made-file"},
		{"File", "file"}, {"Socket", "host.sock"}, {"CharDevice", "char"}, {"BlockDevice", "block"},
	}
	volumes, mounts, script := "volumes:\n", "volumeMounts:\n", ""
	for i, g := range good {
		volumes += fmt.Sprintf("- {name: v%d, hostPath: {path: %s, type: %q}}\n", i, b.path(g.path), g.kind)
		mounts += fmt.Sprintf("- {name: v%d, mountPath: /v%d, readOnly: %t}\n", i, i, g.kind == "File")
		script += fmt.Sprintf("ls -ld /v%d\n", i)
	}
	out := b.once("types", script+"cat /v4; echo x > /v4\ntouch /v1/inside; true", volumes, mounts)
	if !strings.Contains(out, "content") || !strings.Contains(out, "Read-only file system") {
		t.Errorf("hostPath: %s", out)
	}
	if _, err := os.Stat(b.path("made/deep/inside")); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]struct{ kind, path, want string }{
		"missing-dir": {"Directory", "missing", "no such file"}, "missing-file": {"File", "missing", "no such file"},
		"dir-as-file": {"File", "manifests", "is a Directory, not a File"}, "file-as-socket": {"Socket", "file", "is a File, not a Socket"},
		"file-as-char": {"CharDevice", "file", "not a CharDevice"}, "file-as-dir": {"Directory", "file", "not a Directory"},
	} {
		b.apply(name+".yaml", shell(name, "true", fmt.Sprintf("volumes: [{name: v, hostPath: {path: %s, type: %s}}]", b.path(bad.path), bad.kind))+
			"    volumeMounts: [{name: v, mountPath: /v}]\n")
		pod := b.waitPod(name, "refused", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, bad.want) })
		if s := status(pod, "main").State.Waiting; s == nil || s.Reason != "ContainerCreating" {
			t.Errorf("%s: %+v", name, s)
		}
		b.eventOf("FailedMount", name, bad.want)
	}
	// The directory comes into being: the next try finds it; an edit is tried at once.
	if err := os.Mkdir(b.path("missing"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.apply("missing-dir.yaml", shell("missing-dir", forever, fmt.Sprintf("volumes: [{name: v, hostPath: {path: %s, type: Directory}}]", b.path("missing")))+
		"    volumeMounts: [{name: v, mountPath: /v}]\n")
	b.waitReady("missing-dir")

	out = b.once("empty", "grep -E ' /(disk|mem) ' /proc/mounts; touch /disk/a /mem/b; ls -ld /disk /mem; dd if=/dev/zero of=/mem/big bs=1M count=8 2>&1; true",
		"securityContext: {runAsUser: 99}\nvolumes: [{name: disk, emptyDir: {}}, {name: mem, emptyDir: {medium: Memory, sizeLimit: 4Mi}}]",
		"volumeMounts: [{name: disk, mountPath: /disk}, {name: mem, mountPath: /mem}]")
	for _, want := range []string{"tmpfs /mem tmpfs", "size=4096k", "drwxrwxrwx", "No space left on device"} {
		if !strings.Contains(out, want) {
			t.Errorf("emptyDir lacks %q:\n%s", want, out)
		}
	}
	matches, err := filepath.Glob(b.path("root/pods/*/volumes/disk/a"))
	if err != nil || len(matches) != 1 {
		t.Errorf("the emptyDir lies in %v, %v", matches, err)
	}
}

// An edit restarts only what changed.
func TestEdit(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		manifest := func(first, grace, volume string) string {
			return shell("edited", first+"\n"+forever, "terminationGracePeriodSeconds: "+grace+volume) +
				"  - name: second\n    image: solopod.example/box:1\n    command: [/bin/sh, -c, \"" + forever + "\"]\n"
		}
		manifest1 := func(first, grace, volume string) string {
			return strings.Replace(manifest(first, grace, volume), "  terminationGracePeriodSeconds: 2\n", "", 1)
		}
		b.apply("edited.yaml", manifest1("echo one", "2", ""))
		before := b.waitReady("edited")
		// Nothing to restart.
		b.apply("edited.yaml", strings.Replace(manifest1("echo one", "3", ""), "name: edited\n", "name: edited\n  labels: {new: label}\n", 1))
		now := b.waitPod("edited", "relabelled", func(p *v1.Pod) bool { return p.Labels["new"] == "label" })
		for _, name := range []string{"main", "second"} {
			if status(now, name).ContainerID != status(before, name).ContainerID {
				t.Errorf("a label restarted %s", name)
			}
		}
		// One container.
		b.apply("edited.yaml", manifest1("echo two", "2", ""))
		now = b.waitPod("edited", "running the new version", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "main").ContainerID != status(before, "main").ContainerID
		})
		if status(now, "second").ContainerID != status(before, "second").ContainerID {
			t.Error("the edit of one container restarted the other")
		}
		// What both share.
		b.apply("edited.yaml", manifest1("echo two", "2", "\nvolumes: [{name: new}]"))
		b.waitPod("edited", "made anew", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "second").ContainerID != status(before, "second").ContainerID
		})
		// A container less.
		b.apply("edited.yaml", strings.Replace(shell("edited", "echo two\n"+forever, "volumes: [{name: new}]"), "x", "x", 1))
		b.waitPod("edited", "smaller", func(p *v1.Pod) bool { return isReady(p) && len(p.Status.ContainerStatuses) == 1 })
		b.eventually("the other container's processes are gone", func() error {
			if n := len(b.containerProcesses()); n > 2 {
				return fmt.Errorf("%d processes", n)
			}
			return nil
		})
	})
}

// containerProcesses lists the processes of containers, by the box's cgroups; shims have cgroups of their own there.
func (b *box) containerProcesses() []int {
	var out []int
	for _, pid := range b.processes() {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && strings.Contains(string(cgroup), b.cgroupRoot()+"/") && !strings.Contains(string(cgroup), b.shimCgroup()) {
			out = append(out, pid)
		}
	}
	return out
}
