package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// smallDisk puts a small file system in the place of one of the box's directories.
func (b *box) smallDisk(name, size string) {
	b.t.Helper()
	if err := os.MkdirAll(b.path(name), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", b.path(name), "tmpfs", 0, "size="+size+",mode=755"); err != nil {
		b.t.Fatal(err)
	}
	b.disks = append(b.disks, b.path(name))
}

// fill writes a file until a file system is full.
func (b *box) fill(name string) {
	b.t.Helper()
	f, err := os.Create(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		b.t.Fatalf("the file system is not full: %v", err)
	}
}

func (b *box) free(name string) {
	b.t.Helper()
	if err := os.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
}

// lives expects that the daemon has not ended.
func (b *box) lives() {
	b.t.Helper()
	if _, err := b.get("/pods"); err != nil {
		b.t.Fatalf("the daemon does not answer: %v", err)
	}
}

// keepFull fills a file system, and takes what gets free there, until free is called.
func (b *box) keepFull(name string) (free func()) {
	b.t.Helper()
	b.fill(name)
	f, err := os.OpenFile(b.path(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				f.Write(make([]byte, 4<<10)) //nolint:errcheck // there is room, or not
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-ended
		f.Close()
		b.free(name)
	})
}

// The state's file system is full, and stays so: what runs runs on, whatever its probes are, the daemon lives on, can be started, and
// takes pods away; when there is space again everything goes on.
func TestFullStateDisk(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("state", "24m")
	b.link(imageArchive, "images/box.tar")
	b.start()
	volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
	mount := indent(4, "volumeMounts: [{name: v, mountPath: /v}]") + "\n"
	b.apply("dots.yaml", shell("dots", "while :; do printf .; sleep 0.01; done", ""))
	b.apply("lines.yaml", shell("lines", "while [ ! -e /v/end ]; do echo line; sleep 0.1; done; rm /v/end; exit 1", volume)+mount)
	b.apply("goes.yaml", shell("goes", forever, ""))
	b.apply("probed.yaml", shell("probed", forever, "")+indent(4, "livenessProbe: {exec: {command: ['true']}, periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 30}")+"\n")
	dots, probed := b.waitReady("dots"), b.waitReady("probed")
	b.waitReady("lines")
	b.waitReady("goes")
	free := b.keepFull("state/fill")
	defer free()
	b.writeFile("v/end", "") // its restart wants a journal
	b.waitPod("lines", "ended", func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.RestartCount > 0 || s.State.Running == nil
	})
	b.lives()
	b.eventOf("ProbeNotRun", "Liveness probe of container main cannot be run", "is full; make room there")
	if out, err := b.try("exec", "probed", "--", "echo", "hello"); err == nil || !strings.Contains(out, "is full; make room there") {
		t.Errorf("exec says %q, %v", out, err)
	}
	b.delete("goes.yaml")
	b.waitGone("goes")
	b.apply("new.yaml", shell("new", "echo hello; "+forever, ""))
	b.waitPod("new", "waiting for room", func(p *v1.Pod) bool {
		return strings.Contains(p.Status.Message+waitingMessage(p), "no space left on device")
	})
	b.crash()
	b.start()
	b.lives()
	b.endsPromptly()
	b.start()
	free()
	b.waitPod("lines", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount > 0 })
	for _, before := range []*v1.Pod{dots, probed} {
		if a, c := status(before, "main"), status(b.waitReady(before.Name), "main"); a.ContainerID != c.ContainerID || c.RestartCount != 0 {
			t.Errorf("the container of %s did not live on", before.Name)
		}
	}
	b.waitReady("new")
	b.expectLog("new", "hello\n")
	if out := b.run("exec", "probed", "--", "echo", "hello"); out != "hello\n" {
		t.Errorf("exec says %q", out)
	}
}

// waitingMessage is why a pod's container waits.
func waitingMessage(p *v1.Pod) string {
	if w := status(p, "main").State.Waiting; w != nil {
		return w.Message
	}
	return ""
}

// littleAllowed is a container's security context that lets it do as little as possible.
const littleAllowed = `securityContext:
  runAsUser: 65534
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}`

// What containers can write of what lies in the state directory is bounded, and counts as their ephemeral storage: none fills the file
// system of the state directory, with whatever rights.
func TestContainersFillNoState(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("state", "40m")
	b.link(imageArchive, "images/box.tar")
	b.start()
	fills := func(name, extra string, files ...string) string {
		script := "while :; do for f in " + strings.Join(files, " ") + "; do dd if=/dev/zero of=$f bs=1M count=200; done; echo tried; sleep 1; done"
		return shell(name, script, "") + indent(4, extra) + "\n"
	}
	b.apply("evil.yaml", fills("evil", littleAllowed, "/dev/termination-log"))
	b.apply("root.yaml", fills("root", "", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log", "/dev/shm/file"))
	b.apply("bounded.yaml", fills("bounded", littleAllowed+"\nresources: {limits: {ephemeral-storage: 5Mi}}", "/dev/termination-log"))
	evil, root := b.waitReady("evil"), b.waitReady("root")
	before := map[string]string{}
	for _, p := range []*v1.Pod{evil, root} {
		before[p.Name] = status(p, "main").ContainerID
	}
	room := func(when string) {
		t.Helper()
		var st unix.Statfs_t
		if err := unix.Statfs(b.path("state"), &st); err != nil {
			t.Fatal(err)
		}
		if free := int64(st.Bfree) * st.Bsize >> 20; free < 36 {
			t.Errorf("%s only %d of 40 MiB are free on the state directory's file system", when, free)
		}
	}
	wrote := func(again int) {
		t.Helper()
		for _, name := range []string{"evil", "root"} {
			b.eventually(name+" has written", func() error {
				if out := b.run("logs", name); strings.Count(out, "tried") < again {
					return fmt.Errorf("it says %q", out)
				}
				return nil
			})
		}
	}
	wrote(2)
	room("when containers have written")
	b.waitPod("bounded", "evicted", func(p *v1.Pod) bool {
		return p.Status.Reason == "Evicted" && strings.Contains(p.Status.Message, `Container main exceeded its local ephemeral storage limit "5Mi"`)
	})
	b.apply("other.yaml", shell("other", forever, ""))
	b.waitReady("other")
	if out := b.run("exec", "evil", "--", "echo", "hello"); out != "hello\n" {
		t.Errorf("exec says %q", out)
	}
	// Adopted, and with a new attempt, nothing has changed.
	b.crash()
	b.start()
	for name, id := range before {
		if s := status(b.waitReady(name), "main"); s.ContainerID != id || s.RestartCount != 0 {
			t.Errorf("the container of %s did not live on", name)
		}
	}
	for name, id := range before {
		b.run("restart", name)
		b.waitPod(name, "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").ContainerID != id })
	}
	wrote(2)
	room("after a restart")
	b.lives()
}

// A process that the runtime cannot start, as a probe's whose command is missing, leaves something in the state directory each time; that
// is bounded.
func TestFailedProbesFillNoState(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("pod.yaml", shell("pod", forever, ""))
	b.waitReady("pod")
	long := strings.Repeat("x", 4000)
	var longest int64
	b.eventually("the runtime's log was cut", func() error {
		b.try("exec", "pod", "--", long) //nolint:errcheck // it is not there
		info, err := os.Stat(b.matches("state/containerd/io.containerd.runtime.v2.task/solopod/*/log.json")[0])
		if err == nil && info.Size() >= longest {
			err = fmt.Errorf("it has %d bytes", info.Size())
		}
		longest = max(longest, info.Size())
		return err
	})
	if longest > 80<<10 {
		t.Errorf("it had %d bytes", longest)
	}
}

// Whatever has happened to the journal of a container's log, the daemon starts, the container lives on, and so does its log.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	kinds := map[string]func(path string, size int) error{
		"empty": func(path string, _ int) error { return os.Truncate(path, 0) },
		"short": func(path string, size int) error { return os.Truncate(path, int64(size/3)) },
		"sparse": func(path string, size int) error {
			return errors.Join(os.Truncate(path, 0), os.Truncate(path, int64(size)))
		},
		"ones": func(path string, size int) error {
			return os.WriteFile(path, []byte(strings.Repeat("\xff", size)), 0o600)
		},
		"garbage": func(path string, size int) error {
			return os.WriteFile(path, []byte(strings.Repeat("garbage ", size/8)), 0o600)
		},
		"missing":   func(path string, _ int) error { return os.Remove(path) },
		"directory": func(path string, _ int) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	}
	before := map[string]*v1.Pod{}
	for kind := range kinds {
		b.apply(kind+".yaml", shell(kind, "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done", ""))
	}
	for kind := range kinds {
		before[kind] = b.waitReady(kind)
	}
	b.crash()
	for kind, damage := range kinds {
		for _, path := range b.matches("state/pods/" + string(before[kind].UID) + "/containers/main/*/io/*.journal") {
			info, err := os.Stat(path)
			if err == nil {
				err = damage(path, int(info.Size()))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	b.start()
	for kind := range kinds {
		after := b.waitReady(kind)
		if a, c := status(before[kind], "main"), status(after, "main"); a.ContainerID != c.ContainerID || c.RestartCount != 0 {
			t.Errorf("%s: the container did not live on", kind)
		}
		said := b.run("logs", kind)
		b.eventually(kind+"'s log goes on", func() error {
			if out := b.run("logs", "--tail", "1", kind); out == "" || strings.HasSuffix(said, out) {
				return fmt.Errorf("it ends with %q", out)
			}
			return nil
		})
	}
}

// A full disk of logs delays what containers say, and loses none of it, also when they end meanwhile and Solopod is killed.
func TestFullLogDisk(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.smallDisk("log", "4m")
	b.link(imageArchive, "images/box.tar")
	b.start()
	volume := "restartPolicy: Never\nvolumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
	mount := indent(4, "volumeMounts: [{name: v, mountPath: /v}]") + "\n"
	b.apply("short.yaml", shell("short", "echo first; while [ ! -e /v/go ]; do sleep 0.1; done; for i in 1 2 3 4 5; do echo line $i; done; exit 4", volume)+mount)
	b.apply("long.yaml", shell("long", "while [ ! -e /v/go ]; do sleep 0.1; done; i=0; while [ $i -lt 1300 ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo over; touch /v/over; "+forever, volume)+mount)
	b.waitReady("short")
	b.waitReady("long")
	b.expectLog("short", "first\n")
	b.fill("log/fill")
	b.writeFile("v/go", "")
	b.waitPod("short", "failed", func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodFailed && status(p, "main").State.Terminated.ExitCode == 4
	})
	b.lives()
	b.eventually("the other one has said all, which takes longer than last words are waited for", func() error { return b.exists("v/over") })
	b.crash()
	b.start()
	b.lives()
	b.free("log/fill")
	b.expectLog("short", "first\nline 1\nline 2\nline 3\nline 4\nline 5\n")
	var all strings.Builder
	for i := 1; i <= 1300; i++ {
		fmt.Fprintln(&all, i)
	}
	b.expectLog("long", all.String()+"over\n")
}

// loopDisk puts an ext4 file system in a file in the place of one of the box's directories.
func (b *box) loopDisk(name string) {
	b.t.Helper()
	if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", b.path(name+".img"), "160M").CombinedOutput(); err != nil {
		b.t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if err := os.Mkdir(b.path(name), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.mountLoop(name)
	b.disks = append(b.disks, b.path(name))
}

func (b *box) mountLoop(name string) {
	b.t.Helper()
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", b.path(name+".img"), b.path(name)).CombinedOutput(); err != nil {
		b.t.Fatalf("mount: %v: %s", err, out)
	}
}

// breakDisk makes the kernel find an error in a loopDisk, upon which it is read-only, and returns when it is.
func (b *box) breakDisk(name string) {
	b.t.Helper()
	source, err := exec.Command("findmnt", "-n", "-o", "SOURCE", b.path(name)).Output()
	if err != nil {
		b.t.Fatal("findmnt: ", err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(source))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("a test"), 0); err != nil {
		b.t.Fatal(err)
	}
	b.eventually("the disk is read-only", func() error {
		err := os.WriteFile(b.path(name+"/probe"), nil, 0o600)
		if !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("writing says %w", err)
		}
		return nil
	})
}

// repair is as if the machine were switched off, a loopDisk repaired, and the machine started.
func (b *box) repair(name string) {
	b.t.Helper()
	b.stop(syscall.SIGTERM)
	b.force()
	if out, err := exec.Command("e2fsck", "-fy", b.path(name+".img")).CombinedOutput(); err != nil && exitCode(err) != 1 { // 1: corrected
		b.t.Fatalf("e2fsck: %v: %s", err, out)
	}
	if err := os.RemoveAll(b.path("state")); err != nil {
		b.t.Fatal(err)
	}
	b.mountLoop(name)
	b.start()
}

// The root turns read-only, as Debian's does when its disk has an error: what runs runs on and is watched and restarted, also
// by a Solopod that is started then. When the disk was repaired everything goes on.
func TestReadOnlyRoot(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.loopDisk("root")
	b.link(imageArchive, "images/box.tar")
	b.start()
	volume := "volumes: [{name: v, hostPath: {path: " + b.path("v") + ", type: DirectoryOrCreate}}]"
	b.apply("stays.yaml", shell("stays", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done", ""))
	b.apply("ends.yaml", shell("ends", "while [ ! -e /v/end ]; do sleep 0.1; done; rm /v/end; exit 3", volume)+indent(4, "volumeMounts: [{name: v, mountPath: /v}]")+"\n")
	before := b.waitReady("stays")
	b.waitReady("ends")
	b.breakDisk("root")
	b.writeFile("v/end", "")
	b.eventually("its end is seen", func() error { // a watch may end, as the daemon begins anew
		p, err := b.findPod("default", "ends")
		if err != nil || p == nil || len(p.Status.ContainerStatuses) == 0 {
			return fmt.Errorf("its status is not known: %v", err) //nolint:errorlint // there may be none
		}
		if s := status(p, "main"); s.State.Running == nil || s.RestartCount > 0 {
			return nil
		}
		return errors.New("it runs")
	})
	b.apply("new.yaml", shell("new", forever, ""))
	b.eventually("the daemon has begun anew without the disk", func() error {
		text, err := b.get("/events")
		if err == nil && !strings.Contains(string(text), "RootReadOnly") {
			err = fmt.Errorf("%s", text)
		}
		return err
	})
	fresh := b.waitReady("new")
	b.waitReady("ends")
	b.mustInside(fresh, "dd if=/dev/zero of=/file bs=1M count=8")
	var inside, state unix.Stat_t
	written := b.matches("state/containerd/read-only-root/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/file")[0]
	if err := errors.Join(unix.Stat(written, &inside), unix.Stat(b.path("state"), &state)); err != nil || inside.Dev == state.Dev {
		t.Errorf("what a container writes meanwhile lies on the state directory's file system, %v", err)
	}
	if after := b.waitReady("stays"); status(before, "main").ContainerID != status(after, "main").ContainerID {
		t.Error("the container did not live on")
	}
	b.lives()
	for range 2 {
		b.crash()
		b.start()
		after := b.waitReady("stays")
		if a, c := status(before, "main"), status(after, "main"); a.ContainerID != c.ContainerID || c.RestartCount != 0 {
			t.Error("the container did not live on")
		}
	}
	ended := b.pod(v1.NamespaceDefault, "ends")
	b.run("restart", "ends")
	b.waitPod("ends", "ready in a new container", func(p *v1.Pod) bool {
		return isReady(p) && status(p, "main").ContainerID != status(ended, "main").ContainerID
	})
	said := b.run("logs", "--tail", "1", "stays")
	b.eventually("its log goes on", func() error {
		if out := b.run("logs", "--tail", "1", "stays"); out == said {
			return fmt.Errorf("it ends with %q", out)
		}
		return nil
	})
	if events := b.run("get", "events", "-A"); !strings.Contains(events, "RootReadOnly") {
		t.Errorf("no event tells that the root is read-only:\n%s", events)
	}

	b.repair("root")
	for _, name := range []string{"stays", "ends", "new"} {
		b.waitReady(name)
	}
}
