package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// Whatever of Solopod's own files is missing or of the wrong kind when it starts: it is set aside and told, and everything that
// the manifests name runs.
func TestLostState(t *testing.T) {
	directory := func(b *box, pattern string) {
		for _, path := range b.matches(pattern) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				b.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(path, "within"), nil, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	remove := func(b *box, pattern string) {
		for _, path := range b.matches(pattern) {
			os.RemoveAll(path) // what is mounted below stays, as it would
		}
	}
	for _, c := range []struct {
		name  string
		lose  func(b *box)
		lives bool // the containers do
	}{
		{"records are directories", func(b *box) { directory(b, "root/pods/*/pod.json") }, false},
		{"notes are directories", func(b *box) {
			directory(b, "root/boot-id")
			directory(b, "root/archives.json")
		}, true},
		{"no database", func(b *box) { remove(b, "root/containerd/io.containerd.metadata.v1.bolt/meta.db") }, false},
		{"no state", func(b *box) { remove(b, "state/*") }, false},
		{"no root", func(b *box) { remove(b, "root/*") }, false},
		{"no database of snapshots", func(b *box) { remove(b, "root/containerd/io.containerd.snapshotter.v1.overlayfs/metadata.db") }, false},
		{"no bundles", func(b *box) {
			remove(b, "state/containerd/io.containerd.runtime.v2.task/solopod/*/*.json")
		}, false},
		{"no state of the runtime", func(b *box) { remove(b, "state/runc") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, embedded)
			b.apply("one.yaml", shell("one", "echo hello; "+forever, ""))
			b.apply("web.yaml", strings.Replace(web("web", ""), "spec:\n", "spec:\n  terminationGracePeriodSeconds: 2\n", 1))
			one, was := b.waitReady("one"), b.waitReady("web")
			b.crash()
			c.lose(b)
			b.start()
			// Until it is known what runs a pod is shown as it was recorded.
			anew := func(old *v1.Pod) func(*v1.Pod) bool {
				name := old.Spec.Containers[0].Name
				return func(p *v1.Pod) bool {
					s := status(p, name)
					return isReady(p) && s.State.Running != nil && (c.lives || s.ContainerID != status(old, name).ContainerID)
				}
			}
			after := b.waitPod("one", "ready, with a process", anew(one))
			if c.lives && status(after, "main").ContainerID != status(one, "main").ContainerID {
				t.Error("the container did not live on")
			}
			pod := b.waitPod("web", "ready, with a process", anew(was))
			if body := fetch(t, "http://"+pod.Status.PodIP+":8080/"); !strings.Contains(body, "Hello from web") {
				t.Errorf("the pod answers %q", body)
			}
			b.eventually("one process runs for each", func() error {
				if n := len(b.containerProcesses()); n != 3 { // a shell with its sleep
					return errors.New("there are others")
				}
				return nil
			})
			// A second start finds nothing to mend.
			before := b.waitReady("one")
			b.crash()
			b.start()
			if again := b.waitReady("one"); status(again, "main").ContainerID != status(before, "main").ContainerID {
				t.Error("the container did not live on over the second start")
			}
		})
	}
}
