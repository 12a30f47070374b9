package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// waiting waits until the pod's main container is not started, and the reason holds want.
func (b *box) waiting(name, want string) {
	b.t.Helper()
	b.waitPod(name, "waiting with "+want, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && strings.Contains(w.Message, want)
	})
}

func TestSecurity(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("root.yaml", shell("root", forever, "securityContext: {runAsNonRoot: true}"))
		b.waiting("root", "would run as root")
		b.delete("root.yaml")
		out := b.once("nonroot", "id", "securityContext: {runAsNonRoot: true, runAsUser: 1000, supplementalGroups: [3000, 4000], supplementalGroupsPolicy: Strict}", "")
		if !strings.Contains(out, "uid=1000 gid=0") || !strings.Contains(out, "3000,4000") {
			t.Errorf("identity: %s", out)
		}

		profiles := b.path("root/seccomp")
		if err := os.MkdirAll(profiles, 0o755); err != nil {
			t.Fatal(err)
		}
		b.writeFile("root/seccomp/no-mkdir.json", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}`)
		out = b.once("seccomp", "mkdir /x 2>&1; grep Seccomp: /proc/self/status", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: no-mkdir.json}}", "")
		if !strings.Contains(out, "not permitted") || !strings.Contains(out, "Seccomp:\t2") {
			t.Errorf("the profile is not applied: %s", out)
		}
		b.apply("none.yaml", shell("none", forever, "securityContext: {seccompProfile: {type: Localhost, localhostProfile: none.json}}"))
		b.waiting("none", "cannot read the seccomp profile")
		b.delete("none.yaml")

		own := strings.Replace(shell("sysctls", "cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; nc -l -p 80 & for i in $(seq 200); do grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6 && echo listens && break; sleep 0.05; done; kill %1",
			"restartPolicy: Never\nsecurityContext: {runAsUser: 1000, sysctls: [{name: net/ipv4/tcp_syncookies, value: \"0\"}, {name: kernel.shm_rmid_forced, value: \"1\"}]}"), "  hostNetwork: true\n", "", 1)
		b.apply("sysctls.yaml", own)
		b.waitPod("sysctls", "ended", func(p *v1.Pod) bool { return status(p, "main").State.Terminated != nil })
		if out := b.run("logs", "sysctls"); out != "0\n0\n1\nlistens\n" {
			t.Errorf("sysctls: %q", out)
		}

		// A device of the host by its name, and no other.
		device := "volumes: [{name: fuse, hostPath: {path: /dev/fuse, type: CharDevice}}]"
		if _, err := os.Stat("/dev/fuse"); err != nil {
			device = "volumes: [{name: fuse, hostPath: {path: /dev/kmsg, type: CharDevice}}]"
		}
		out = b.once("device", "exec 3<>/dev/given && echo opened", device, "volumeMounts: [{name: fuse, mountPath: /dev/given}]")
		if !strings.Contains(out, "opened") {
			t.Errorf("the device cannot be opened: %s", out)
		}
	})
}

// Namespaces that a pod shares with the host, or its containers with each other.
func TestSharedNamespaces(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		out := b.once("hostpid", "cat /proc/1/comm; readlink /proc/1/ns/pid; readlink /proc/self/ns/pid", "hostPID: true", "")
		if init := readFile(t, "/proc/1/comm"); !strings.HasPrefix(out, init) {
			t.Errorf("hostPID: %s", out)
		}
		ipc, err := os.Readlink("/proc/self/ns/ipc")
		if err != nil {
			t.Fatal(err)
		}
		if out := b.once("hostipc", "readlink /proc/self/ns/ipc", "hostIPC: true", ""); strings.TrimSpace(out) != ipc {
			t.Errorf("hostIPC: %s, not %s", out, ipc)
		}

		b.apply("shared.yaml", containers("shared", "shareProcessNamespace: true", nil,
			container{"main", "while ! grep -q other-marker /proc/[0-9]*/cmdline 2>/dev/null; do sleep 0.05; done; echo seen; " + forever, ""},
			container{"other", ": other-marker; (sleep 0.01 &); trap 'exit 7' TERM; while true; do sleep 1000 & wait; done", ""}))
		pod := b.waitReady("shared")
		b.eventually("one container sees the other", func() error {
			if out := b.run("logs", "shared", "-c", "main"); !strings.Contains(out, "seen") {
				return fmt.Errorf("%q", out)
			}
			return nil
		})
		// The kernel buries what is left behind: the first process is nothing but an init.
		b.eventually("no zombie is left", func() error {
			out, err := exec.Command("nsenter", "-t", fmt.Sprint(b.pid(pod, "main")), "-p", "-m", "-r", "--", "/bin/ps").CombinedOutput()
			if err == nil && (strings.Contains(string(out), "Z") || !strings.Contains(string(out), "init")) {
				err = fmt.Errorf("%s", out)
			}
			return err
		})
		// One container ends and comes back, the other runs on; so it is after a crash of Solopod.
		b.crash()
		b.start()
		b.waitReady("shared")
		b.killContainer(pod, "other")
		again := b.waitPod("shared", "restarted in part", func(p *v1.Pod) bool { return isReady(p) && status(p, "other").RestartCount == 1 })
		if status(again, "main").RestartCount != 0 {
			t.Error("the other container was restarted")
		}
		// Without its first process the namespace is gone, and the pod is made anew.
		text := readFile(t, b.matches("state/pods/" + string(pod.UID) + "/ns/init")[0])
		var init int
		if _, err := fmt.Sscan(text, &init); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(init, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		b.waitPod("shared", "ready again", func(p *v1.Pod) bool {
			return isReady(p) && status(p, "main").RestartCount >= 1 && status(p, "other").RestartCount >= 2
		})
		b.delete("shared.yaml")
		b.waitGone("shared")
		if left, err := filepath.Glob(b.path("state/pods/" + string(pod.UID))); err != nil || len(left) > 0 {
			t.Errorf("left are %v %v", left, err)
		}
	})
}
