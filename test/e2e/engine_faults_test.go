package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	v1 "k8s.io/api/core/v1"
)

// shimOf returns the process id of the shim that runs a container.
func (b *box) shimOf(pod *v1.Pod) int {
	b.t.Helper()
	id := strings.TrimPrefix(status(pod, "web").ContainerID, "containerd://")
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || !strings.Contains(string(line), "shim-runc") || !strings.Contains(string(line), "\x00"+id+"\x00") {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err == nil {
			return pid
		}
	}
	b.t.Fatalf("no shim runs %s", id)
	return 0
}

// A shim that does not answer while the daemon starts is not a dead container: the daemon starts, the other pods are adopted, and so is
// this one when its shim goes on.
func TestStoppedShimAtStart(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("slow.yaml", web("slow", ""))
	b.apply("good.yaml", web("good", ""))
	slow, good := b.waitReady("slow"), b.waitReady("good")
	shim := b.shimOf(slow)
	b.crash()
	if err := unix.Kill(shim, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Kill(shim, unix.SIGCONT) }) //nolint:errcheck // it may have ended
	began := time.Now()
	b.start()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the start took %s", took)
	}
	if again := b.waitReady("good"); status(again, "web").ContainerID != status(good, "web").ContainerID {
		t.Error("the other pod's container was made anew")
	}
	// Longer than containerd waits for a shim.
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); <-time.After(time.Second) {
		if pod := b.pod("default", "slow"); pod == nil || status(pod, "web").RestartCount != 0 {
			t.Fatal("the container was given up while its shim was stopped")
		}
	}
	if err := unix.Kill(shim, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	pod := b.waitPod("slow", "ready", isReady)
	if status(pod, "web").ContainerID != status(slow, "web").ContainerID {
		t.Error("the container was made anew")
	}
	if out := b.run("exec", "slow", "--", "echo", "here"); !strings.Contains(out, "here") {
		t.Errorf("exec in it: %q", out)
	}
}

// A root that has turned read-only: the daemon starts, adopts, answers, and starts containers again.
func TestReadOnlyRoot(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	if err := os.Mkdir(b.path("root"), 0o755); err != nil {
		t.Fatal(err)
	}
	image := b.path("disk.img")
	for _, args := range [][]string{
		{"truncate", "-s", "200M", image}, {"mkfs.ext4", "-q", image}, {"mount", "-o", "loop,errors=remount-ro", image, b.path("root")},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() { unix.Unmount(b.path("root"), unix.MNT_DETACH) }) //nolint:errcheck // the box tells what is left
	b.start()
	b.apply("web.yaml", web("web", ""))
	before := b.waitReady("web")
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", b.path("root")).Output()
	if err != nil {
		t.Fatal(err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(out))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	b.crash()
	b.start()
	pod := b.waitReady("web")
	if status(pod, "web").ContainerID != status(before, "web").ContainerID {
		t.Error("the container was made anew")
	}
	b.run("restart", "web")
	b.waitPod("web", "ready in a new container", func(p *v1.Pod) bool {
		return isReady(p) && status(p, "web").ContainerID != status(before, "web").ContainerID
	})
	if events := b.run("get", "events"); !strings.Contains(events, "RootReadOnly") {
		t.Errorf("no event tells of it:\n%s", events)
	}
}

// Databases or directories of containerd's that are lost: what ran is ended, and everything runs again, once.
func TestLostState(t *testing.T) {
	for name, patterns := range map[string][]string{
		"database":           {"root/containerd/io.containerd.metadata.v1.bolt/meta.db"},
		"snapshots database": {"root/containerd/io.containerd.snapshotter.v1.overlayfs/metadata.db"},
		"root":               {"root/containerd"},
		"bundles":            {"state/containerd/io.containerd.runtime.v2.task/solopod/*/*.json", "state/containerd/io.containerd.runtime.v2.task/solopod/*/address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, embedded)
			b.apply("web.yaml", web("web", ""))
			before := b.waitReady("web")
			b.crash()
			for _, pattern := range patterns {
				paths, err := filepath.Glob(b.path(pattern))
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range paths {
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.start()
			b.waitPod("web", "ready in a new container", func(p *v1.Pod) bool {
				return isReady(p) && status(p, "web").ContainerID != status(before, "web").ContainerID
			})
			b.eventually("one process runs", func() error {
				if pids := b.containerProcesses(); len(pids) != 1 {
					return fmt.Errorf("%d do", len(pids))
				}
				return nil
			})
		})
	}
}
