package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// firstID is the host's id of a pod's user 0.
func (b *box) firstID(p *v1.Pod) int {
	b.t.Helper()
	fields := strings.Fields(readFile(b.t, fmt.Sprintf("/proc/%d/uid_map", b.pid(p, "main"))))
	if len(fields) != 3 || fields[0] != "0" || fields[2] != "65536" {
		b.t.Fatalf("the users of pod %s are mapped by %q", p.Name, fields)
	}
	first, err := strconv.Atoi(fields[1])
	if err != nil {
		b.t.Fatal(err)
	}
	return first
}

// ownUsers is a pod with users of its own and volumes of every kind; host is a directory of the machine.
func ownUsers(name, host, extra string, list ...container) string {
	return strings.NewReplacer("  hostNetwork: true\n", "  hostUsers: false\n",
		"volumes: [{name: own, emptyDir: {}}]", `volumes:
  - {name: own, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: claim, persistentVolumeClaim: {claimName: data}}
  - {name: host, hostPath: {path: `+host+`}}
  - {name: image, image: {reference: 'solopod.example/box:1'}}
  - {name: me, downwardAPI: {defaultMode: 0400, items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}`,
		"volumeMounts: [{name: own, mountPath: /own}]", "volumeMounts: [{name: own, mountPath: /own}, {name: memory, mountPath: /memory}, {name: claim, mountPath: /claim}, "+
			"{name: host, mountPath: /host}, {name: host, mountPath: /part, subPath: sub}, {name: image, mountPath: /image}, {name: me, mountPath: /me}]").
		Replace(containers(name, extra, nil, list...))
}

// Root in the pod is nobody on the host, and everything that the pod has is its own.
func TestHostUsers(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		host := b.path("shared")
		if err := os.MkdirAll(filepath.Join(host, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		b.writeFile("shared/of-root", "secret")
		b.writeFile("shared/of-user", "")
		if err := os.Chown(filepath.Join(host, "of-user"), 1000, 1000); err != nil {
			t.Fatal(err)
		}
		script := "id -u; touch /made /own/made /memory/made /claim/made /host/made /part/made /dev/shm/made && cat /me/name && echo; echo 127.0.0.9 me >>/etc/hosts && echo again >/proc/1/fd/1; " +
			"mount -t tmpfs none /tmp && echo mounted; echo last >/dev/termination-log; " + forever
		// AppArmor's default profile would deny the mount, as with a kubelet.
		pod := ownUsers("mine", host, "securityContext: {fsGroup: 2000}", container{"main", script,
			"securityContext: {capabilities: {add: [SYS_ADMIN]}, appArmorProfile: {type: Unconfined}, procMount: Unmasked}\nreadinessProbe: {exec: {command: [test, -O, /made]}, timeoutSeconds: 30}"})
		b.apply("mine.yaml", pod)
		if b.mode == outside && !b.mapsUsers() {
			b.waitPod("mine", "refused", func(p *v1.Pod) bool {
				w := status(p, "main").State.Waiting
				return w != nil && strings.Contains(w.Message, "cannot map its files") || strings.Contains(p.Status.Message, "cannot map its files")
			})
			return
		}
		p := b.waitReady("mine")
		b.eventually("all is said", func() error {
			if out := b.run("logs", "mine"); out != "0\nmine\nagain\nmounted\n" {
				return fmt.Errorf("%q", out)
			}
			return nil
		})
		first := b.firstID(p)
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d", b.pid(p, "main")), &st); err != nil || int(st.Uid) != first || first < 1<<16 {
			t.Errorf("the process is of user %d on the host, %v; not %d", st.Uid, err, first)
		}
		if got := b.mustInside(p, "stat -Lc %u:%g /bin/busybox /made /own/made /memory/made /claim/made /host/of-root /host/of-user /host/made /part/made /image/web /me/name /etc/hosts"); got !=
			"0:0\n0:0\n0:2000\n0:2000\n0:2000\n0:0\n1000:1000\n0:0\n0:0\n0:0\n0:2000\n0:0" {
			t.Errorf("files are of\n%s", got)
		}
		for _, file := range []string{"shared/made", "shared/sub/made", "root/claims/default/data/data/made"} {
			if err := unix.Stat(b.path(file), &st); err != nil || st.Uid != 0 {
				t.Errorf("%s is of user %d on the disk, %v", file, st.Uid, err)
			}
		}
		if got := b.mustInside(p, "grep -c ' /proc/' /proc/mounts || true"); got != "0" {
			t.Errorf("its /proc is masked by %s mounts", got)
		}
		// Power inside is none outside.
		if out, err := b.inside(p, "echo 1 >/proc/sys/kernel/panic"); err == nil {
			t.Errorf("the machine's settings can be changed: %s", out)
		}

		b.apply("other.yaml", strings.ReplaceAll(pod, "mine", "other"))
		if second := b.firstID(b.waitReady("other")); second == first {
			t.Errorf("both pods have the users from %d on", first)
		}
		b.crash()
		b.start()
		b.waitReady("mine")
		b.killContainer(p, "main")
		p = b.waitPod("mine", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		if again := b.firstID(p); again != first {
			t.Errorf("the users changed from %d to %d", first, again)
		}
		b.reboot()
		b.start()
		p = b.waitPod("mine", "ready after a reboot", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 2 })
		if got := b.mustInside(p, "stat -c %u:%g /own/made"); got != "0:2000" {
			t.Errorf("after a reboot the pod's file is of %s", got)
		}

		// An edit makes the pod anew, with the host's users.
		b.apply("other.yaml", strings.NewReplacer("hostUsers: false", "hostUsers: true", ", procMount: Unmasked", "").Replace(readFile(t, b.path("manifests/other.yaml"))))
		b.waitPod("other", "made anew", func(p *v1.Pod) bool {
			if !isReady(p) {
				return false
			}
			ids := strings.Fields(readFile(t, fmt.Sprintf("/proc/%d/uid_map", b.pid(p, "main"))))
			return len(ids) == 3 && ids[1] == "0"
		})

		// One first process owns all namespaces.
		b.apply("shared.yaml", ownUsers("together", host, "shareProcessNamespace: true", container{"main", forever, ""}, container{"other", forever, "tty: true\nsecurityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}"},
			container{"strong", "mount -t proc proc /tmp; " + forever, "securityContext: {privileged: true}"}))
		p = b.waitReady("together")
		if out := b.mustInside(p, "ps -o user,args"); !strings.Contains(out, " init\n") || !strings.Contains(out, "\n1000 ") {
			t.Errorf("processes:\n%s", out)
		}
		b.apply("devices.yaml", strings.Replace(ownUsers("devices", "/dev", "", container{"main", forever, ""}), "subPath: sub", "", 1))
		b.waiting("devices", "hostUsers: false")
		for _, file := range []string{"mine.yaml", "other.yaml", "shared.yaml", "devices.yaml"} {
			b.delete(file)
		}
		for _, name := range []string{"mine", "other", "together", "devices"} {
			b.waitGone(name)
		}
		if left, err := filepath.Glob(b.path("state/pods/*")); err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
}

// mapsUsers: can the containerd of this box give containers files of other users? Its version 2 can.
func (b *box) mapsUsers() bool { return strings.Contains(b.ctr("version"), "Version:  v2") }
