package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A damaged database of containerd's, and damaged state files, are set aside, and everything is made anew from image
// archives and manifests.
func TestDamagedState(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut off": func(b []byte) []byte { return b[:min(len(b)/2, 3*os.Getpagesize())] }, // the second half of a database may be free pages
		"empty":   func([]byte) []byte { return nil },
		"zeroes":  func(b []byte) []byte { return make([]byte, len(b)) },
		"garbage": func(b []byte) []byte {
			return append(bytes.Clone(b[:len(b)/4]), bytes.Repeat([]byte("garbage "), len(b)/10)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, embedded)
			b.apply("web.yaml", web("web", ""))
			before := b.waitReady("web")
			b.crash()
			for _, pattern := range []string{"root/containerd/io.containerd.metadata.v1.bolt/meta.db", "root/pods/*/pod.json", "root/archives.json"} {
				for _, path := range b.matches(pattern) {
					text, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, damage(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.start()
			pod := b.waitPod("web", "ready in a new container", func(p *v1.Pod) bool {
				return isReady(p) && status(p, "web").ContainerID != status(before, "web").ContainerID
			})
			fetch(t, "http://"+pod.Status.PodIP+":8080/")
			if events := b.run("get", "events"); !strings.Contains(events, "StateDamaged") || !strings.Contains(events, "root/containerd.damaged") {
				t.Errorf("no event tells of it:\n%s", events)
			}
			b.eventually("one process runs", func() error {
				pids := b.containerProcesses()
				if len(pids) == 1 {
					return nil
				}
				var lines []string
				for _, pid := range pids {
					cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
					cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
					lines = append(lines, fmt.Sprintf("%d %q %s", pid, cmdline, cgroup))
				}
				return fmt.Errorf("%d do: %s", len(pids), strings.Join(lines, "\n"))
			})
		})
	}
}

func (b *box) matches(pattern string) []string {
	b.t.Helper()
	paths, err := filepath.Glob(b.path(pattern))
	if err != nil || len(paths) == 0 {
		b.t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	return paths
}

// An image that was not known to be on the disk when the power went is not believed: files are empty, while containerd
// calls the image complete. It is imported anew, and what is used is whole.
func TestUnsyncedImage(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("web.yaml", web("web", ""))
		b.waitReady("web")
		b.ctr("images", "label", "solopod.example/box:1", "io.solopod.image.synced=")
		emptied := 0
		for _, root := range []string{"root/containerd", "containerd-root"} {
			files, err := filepath.Glob(b.path(root + "/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/web"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				// Written anew, as a program that runs cannot be shortened.
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, nil, 0o755); err != nil {
					t.Fatal(err)
				}
				emptied++
			}
		}
		if emptied != 1 {
			t.Fatalf("%d files were emptied", emptied)
		}
		b.reboot()
		b.start()
		pod := b.waitPod("web", "ready again", func(p *v1.Pod) bool { return isReady(p) && status(p, "web").RestartCount == 1 })
		fetch(t, "http://"+pod.Status.PodIP+":8080/")
		if events := b.run("get", "events"); !strings.Contains(events, "ImageRemoved") {
			t.Errorf("no event tells of it:\n%s", events)
		}
	})
}

// Without the note of when images were looked at last, as after a version that wrote none: what runs tells that the machine
// has not booted since, and what it runs from stays.
func TestLostNoteOfTheLook(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.apply("web.yaml", web("web", ""))
		before := b.waitReady("web")
		b.ctr("images", "label", "solopod.example/box:1", "io.solopod.image.synced=")
		b.crash()
		if err := os.Remove(b.path("root/boot-id")); err != nil {
			t.Fatal(err)
		}
		b.start()
		pod := b.waitPod("web", "adopted", isReady)
		if status(pod, "web").ContainerID != status(before, "web").ContainerID {
			t.Error("the container was made anew")
		}
		b.matches("root/boot-id")
		if out := b.run("get", "events") + b.daemonOutput(); strings.Contains(out, "ImageRemoved") || strings.Contains(out, "power cut") {
			t.Errorf("what runs was taken for damaged:\n%s", out)
		}
	})
}
