package vm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestBox is the life of one box: installed, used, upgraded, rebooted, removed. Its steps build on each other.
func TestBox(t *testing.T) {
	t.Parallel()
	b := newBox(t, emptyDisk(t, "1G"))
	// What Solopod writes lies on a disk of its own, so that the writes can be counted.
	b.run("mkdir -p /var/lib/solopod /var/log/pods && echo '/dev/vdc /var/lib/solopod ext4 relatime 0 2' >>/etc/fstab && mount /var/lib/solopod")
	for _, step := range []struct {
		name string
		run  func(*box)
	}{
		{"install", install}, {"slices", inSlices}, {"restart", restart}, {"watchdog", watchdog},
		{"e2e", endToEnd}, {"idle", idle}, {"readonly", readOnlyRoot}, {"upgrade", upgrade}, {"clock", clockIsSet}, {"reboot", reboot}, {"remove", remove},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			begin := time.Now()
			step.run(&box{t, b.m})
			t.Logf("%s took %s", step.name, time.Since(begin).Round(time.Second))
		})
		if !ok {
			return
		}
	}
}

func install(b *box) {
	b.install()
	b.expect("systemctl is-active solopod; systemctl is-enabled solopod", "active\nenabled")
	b.run("test -s /usr/share/man/man1/solopod.1 && test -s /usr/share/bash-completion/completions/solopod && solopod version")
	b.run("cp /mnt/images/*.tar /var/lib/solopod/images/")
	b.apply("web", `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: solopod.example/web:1
    imagePullPolicy: Never
    readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 10}
    resources: {limits: {cpu: "1", memory: 64Mi}}
`)
	b.apply("shell", shell("shell", "echo begin >>/srv/shell; trap 'echo end >>/srv/shell; exit 0' TERM; while true; do sleep 1000 & wait; done", ""))
	b.ready(2)
}

func inSlices(b *box) {
	cgroup := b.run("cat /proc/$(pgrep -x web)/cgroup")
	if !strings.HasPrefix(cgroup, "0::/solopod.slice/solopod-guaranteed.slice/solopod-guaranteed-pod") || !strings.HasSuffix(cgroup, ".scope") {
		b.t.Errorf("the container is in %s", cgroup)
	}
	b.expect("systemctl show -p ActiveState --value $(basename "+strings.TrimPrefix(cgroup, "0::")+")", "active")
	// Nothing but the daemon is the service's: shims and keeper are in a scope of their own.
	b.expect("cat /sys/fs/cgroup/system.slice/solopod.service/cgroup.procs", b.run("systemctl show -p MainPID --value solopod"))
}

// containers are the ids of what runs; they tell whether anything was restarted.
func (b *box) containers() string {
	b.t.Helper()
	return b.run("solopod get pods -A -o json | grep -o 'containerd://[0-9a-f]*' | sort")
}

// adopted waits until the daemon answers and says whether the containers are the same as before.
func (b *box) adopted(before, after string) {
	b.t.Helper()
	b.eventually("the daemon is back", func() error {
		_, err := b.try("solopod get pods -A")
		return err
	})
	b.ready(2)
	if now := b.containers(); now != before {
		b.t.Errorf("after %s the containers are\n%s\nnot\n%s", after, now, before)
	}
}

func restart(b *box) {
	before := b.containers()
	b.run("systemctl restart solopod")
	b.adopted(before, "a restart of the service")
	b.run("systemctl kill -s KILL solopod")
	b.eventually("systemd starts the service again", func() error {
		_, err := b.try("systemctl is-active solopod && [ $(systemctl show -p NRestarts --value solopod) -ge 1 ]")
		return err
	})
	b.adopted(before, "a crash of the service")
	if text := b.run("journalctl --no-pager -u solopod"); strings.Contains(text, "left-over process") {
		b.t.Errorf("systemd stumbles over what outlives the service:\n%s", text)
	}
}

// watchdog: the daemon is stopped (SIGSTOP), so that it feeds the watchdog no more. systemd ends it, and the next one adopts what
// runs.
func watchdog(b *box) {
	before := b.containers()
	b.run("mkdir -p /run/systemd/system/solopod.service.d && printf '[Service]\\nWatchdogSec=20s\\nTimeoutAbortSec=5s\\n' >/run/systemd/system/solopod.service.d/watchdog.conf && systemctl daemon-reload && systemctl restart solopod")
	b.adopted(before, "a restart with another watchdog time")
	restarts := b.run("systemctl show -p NRestarts --value solopod")
	b.run("kill -STOP $(systemctl show -p MainPID --value solopod)")
	b.eventually("the watchdog ends the daemon", func() error {
		now, err := b.try("systemctl show -p NRestarts --value solopod")
		if err == nil && now == restarts {
			err = fmt.Errorf("it was restarted %s times", now)
		}
		return err
	})
	b.adopted(before, "the watchdog's end of the daemon")
	if text := b.run("journalctl --no-pager -u solopod"); !strings.Contains(text, "Watchdog timeout") {
		b.t.Error("the journal does not tell why the daemon was ended")
	}
	b.run("rm -r /run/systemd/system/solopod.service.d && systemctl daemon-reload && systemctl restart solopod")
	b.ready(2)
}

func upgrade(b *box) {
	before, old := b.containers(), b.run("dpkg-query -W -f '${Version}' solopod")
	b.run("echo 'listen: 127.0.0.1:10256' >>/etc/solopod/config.yaml && dpkg -i /mnt/solopod-next.deb")
	if now := b.run("dpkg-query -W -f '${Version}' solopod"); now == old {
		b.t.Errorf("the version is still %s", now)
	}
	b.adopted(before, "an upgrade")
	b.expect("tail -n 1 /etc/solopod/config.yaml", "listen: 127.0.0.1:10256")
}

// endToEnd runs the end-to-end tests that matter here, with the installed binary: slices and containerd inside and outside,
// and once directories in cgroup v2.
func endToEnd(b *box) {
	for _, args := range []string{
		"-test.run 'TestLifecycle|TestOOM$|TestOOMGroup|TestResources|TestPodResources'",
		"-test.run '(TestResize$|TestSharedNamespaces)/embedded'",
		"-test.run '(TestMetrics|TestResources|TestOOMGroup)/embedded' -cgroup-driver cgroupfs",
		"-test.run 'TestReserves(Bound|MemoryQoS)'",
		"-test.run 'TestOOMRecords$'",
	} {
		b.endToEnd(args)
	}
}

// endToEnd runs some of the end-to-end tests inside.
func (b *box) endToEnd(args string) {
	b.t.Helper()
	out := b.run("cd /mnt/test/e2e && ./e2e.test -test.v -patience 3m " + args)
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, "--- ") {
			b.t.Log(line)
		}
	}
	if !strings.HasSuffix(out, "PASS") {
		b.t.Error(out)
	}
}

// idle: ten pods that do nothing make nobody write anything for a minute, not even the kernel.
func idle(b *box) {
	for i := range 8 {
		b.apply(fmt.Sprintf("idle%d", i), shell(fmt.Sprintf("idle%d", i), forever, ""))
	}
	b.ready(10)
	written := func() (disk, processes int) {
		out := b.run("cut -d' ' -f5- </dev/null; awk '{print $7}' /sys/block/vdc/stat; for p in $(pgrep 'solopod|containerd-shim'); do sed -n 's/^write_bytes: //p' /proc/$p/io; done | awk '{s += $1} END {print s}'")
		fields := strings.Fields(out)
		if len(fields) != 2 {
			b.t.Fatalf("no counters: %q", out)
		}
		disk, err1 := strconv.Atoi(fields[0])
		processes, err2 := strconv.Atoi(fields[1])
		if err1 != nil || err2 != nil {
			b.t.Fatalf("no counters: %q", out)
		}
		return disk, processes
	}
	// First what the starts have left to do: writeback takes up to half a minute, and Solopod tidies up 20 s after a change.
	b.run("sync; sleep 45; sync")
	disk, processes := written()
	b.run("sleep 60")
	disk2, processes2 := written()
	b.t.Logf("ten idle pods, a minute: %d sectors and %d bytes written", disk2-disk, processes2-processes)
	if disk2 != disk || processes2 != processes {
		b.t.Errorf("an idle minute writes %d sectors to the disk, Solopod and its shims %d bytes", disk2-disk, processes2-processes)
	}
	b.run("rm /etc/solopod/manifests/idle*.yaml")
	b.eventually("they are gone", func() error {
		_, err := b.try("! solopod get pods -A | grep idle")
		return err
	})
}

// readOnlyRoot: everything that is written lies below the root, state and log directories.
func readOnlyRoot(b *box) {
	b.run("mkdir -p /var/lib/solopod/log && echo 'logDir: /var/lib/solopod/log' >>/etc/solopod/config.yaml")
	b.run("systemctl restart solopod") // which lets go of the log files on the root file system
	b.ready(2)
	// A file that is open for writing keeps the root writable, and so does one that is open and has been removed.
	b.run("sync; mount -o remount,ro / || { ls -l /proc/[0-9]*/fd | grep ' /' | grep -vE ' /(dev|proc|sys|run|var/lib/solopod)/'; grep -h deleted /proc/[0-9]*/maps | sort -u; exit 1; }")
	b.run("mount -t tmpfs tmpfs /srv && mkdir -p /run/m && cp /etc/solopod/manifests/*.yaml /run/m/ && mount --bind /run/m /etc/solopod/manifests && systemctl restart solopod")
	b.apply("extra", shell("extra", "echo on a read-only machine; "+forever, ""))
	b.ready(3)
	b.expect("solopod logs extra", "on a read-only machine")
	b.run("rm /etc/solopod/manifests/extra.yaml")
	b.ready(2)
	b.run("umount /etc/solopod/manifests; umount -l /srv; mount -o remount,rw / && sed -i '/^logDir/d' /etc/solopod/config.yaml && systemctl restart solopod")
	b.ready(2)
}

// clockIsSet: the clock jumps from 1970 to today and back, as on a box without a battery.
func clockIsSet(b *box) {
	now := b.run("date +%s")
	b.run("date -s @1000000 && systemctl restart solopod")
	b.apply("crash", shell("crash", "sleep 1; exit 3", ""))
	restarts := func(atLeast int) func() error {
		return func() error {
			out, err := b.try("solopod get pods crash -o json | sed -n 's/.*\"restartCount\": \\([0-9]*\\).*/\\1/p'")
			if n, convErr := strconv.Atoi(out); err == nil && (convErr != nil || n < atLeast) {
				err = fmt.Errorf("restarted %q times", out)
			}
			return err
		}
	}
	b.eventually("it has been restarted twice", restarts(2))
	b.run("date -s @" + now)
	// The back-off is 20 s now. Neither does the jump end it, nor does the jump back make it last for decades.
	b.run("date -s @2000000")
	b.eventually("it is restarted although the clock went back", restarts(3))
	b.run("date -s @" + now)
	b.eventually("its age is that of its pod, not of the epoch", func() error {
		out, err := b.try("solopod get pods crash --no-headers 2>/dev/null || solopod get pods crash | tail -n 1")
		if fields := strings.Fields(out); err == nil && (len(fields) < 5 || strings.Contains(fields[len(fields)-1], "d") || strings.Contains(fields[len(fields)-1], "y")) {
			err = fmt.Errorf("%q", out)
		}
		return err
	})
	b.run("rm /etc/solopod/manifests/crash.yaml")
	b.ready(2)
}

// reboot: pods get their grace periods, critical ones last, and come back by themselves.
func reboot(b *box) {
	ending := "trap 'echo %[1]s >>/srv/order; sync; exit 0' TERM; while true; do sleep 1000 & wait; done"
	b.run("rm -f /srv/order /srv/shell")
	b.apply("critical", shell("critical", fmt.Sprintf(ending, "critical"), "  priorityClassName: system-node-critical"))
	b.apply("plain", shell("plain", "trap 'sleep 3; echo plain >>/srv/order; sync; exit 0' TERM; while true; do sleep 1000 & wait; done", ""))
	b.apply("once", shell("once", "echo done >>/srv/once; sync", "  restartPolicy: Never"))
	b.ready(4)
	b.eventually("the one-time pod has succeeded", func() error {
		_, err := b.try("solopod get pods once | grep -q Completed")
		return err
	})
	begin := time.Now()
	b.reboots()
	b.t.Logf("shutdown and boot took %s", time.Since(begin).Round(time.Second))
	b.expect("cat /srv/order", "plain\ncritical")
	b.ready(4)
	b.expect("cat /srv/once", "done")
	if out := b.run("solopod get pods once"); !strings.Contains(out, "Completed") {
		b.t.Errorf("the one-time pod is now\n%s", out)
	}
	b.t.Logf("boot -> all pods ready: %s s after the kernel's start", b.readyTime())
}

// readyTime is when the last pod became ready, in seconds since the kernel's start.
func (b *box) readyTime() string {
	b.t.Helper()
	return b.run(`last=$(solopod get pods -A -o json | grep -B2 -A6 '"type": "Ready"' | sed -n 's/.*"lastTransitionTime": "\(.*\)".*/\1/p' | sort | tail -n 1)
booted=$(( $(date +%s) - $(cut -d. -f1 /proc/uptime) ))
echo $(( $(date -d "$last" +%s) - booted ))`)
}

// remove: a removal stops pods and keeps data, a purge keeps nothing.
func remove(b *box) {
	b.run("dpkg -r solopod")
	b.expect("pgrep -x 'web|solopod' | wc -l", "0")
	b.expect("mount | grep -c /run/solopod/pods/ || true", "0")
	b.run("test -e /etc/solopod/manifests/web.yaml && test -e /var/lib/solopod/images/web.tar && test -e /var/lib/solopod/containerd")
	b.run("dpkg -i /mnt/solopod.deb")
	b.eventually("the pods are back", func() error {
		_, err := b.try("solopod get pods web | grep -q ' 1/1 ' && solopod get pods shell | grep -q ' 1/1 '")
		return err
	})
	b.run("dpkg -P solopod")
	b.expect("ls -d /etc/solopod /run/solopod /var/log/pods/*solopod* 2>/dev/null; ls -A /var/lib/solopod; systemctl list-units --no-legend 'solopod*' | grep -v slice || true", "")
}
