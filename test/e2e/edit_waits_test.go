package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// anew waits until a pod's container is another one, which is ready.
func (b *box) anew(name, container string) *v1.Pod {
	b.t.Helper()
	return b.waitPod(name, "of its new version", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").ContainerID != container })
}

// An edit whose image is not there stops nothing: the old version runs on, is restarted when it ends, over a crash of Solopod and a reboot
// as well, and is replaced when the image comes.
func TestEditWaitsForImage(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		version := func(image, more string) string {
			return strings.Replace(shell("web", forever, more), "solopod.example/box:1", image, 1)
		}
		b.apply("web.yaml", version("solopod.example/box:1", ""))
		first := status(b.waitReady("web"), "main").ContainerID
		archive := b.path("later.tar")
		if out, err := exec.Command(packBinary, "-o", archive, "-name", "solopod.example/later:1", "-link", "/bin/sh=busybox", "-link", "/bin/sleep=busybox", "/bin/busybox:/bin/busybox").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		later := version("solopod.example/later:1\n    imagePullPolicy: Never", "restartPolicy: Always")
		b.apply("web.yaml", later)
		waits := func() *v1.Pod {
			t.Helper()
			b.eventually("the edit waits", func() error { return b.events(`image "solopod.example/later:1" is not present`) })
			return b.waitPod("web", "of its old version", func(p *v1.Pod) bool {
				return isReady(p) && p.Spec.Containers[0].Image == "solopod.example/box:1" && p.Generation == p.Status.ObservedGeneration+1
			})
		}
		if s := status(waits(), "main"); s.ContainerID != first || s.RestartCount != 0 {
			t.Errorf("it was %s, and is %+v", first, s)
		}
		b.run("restart", "web")
		second := status(b.anew("web", first), "main").ContainerID
		b.crash()
		b.start()
		if s := status(waits(), "main"); s.ContainerID != second {
			t.Errorf("after a crash of Solopod it was %s, and is %+v", second, s)
		}
		b.reboot()
		b.start()
		third := status(b.anew("web", second), "main").ContainerID
		if s := status(waits(), "main"); s.ContainerID != third {
			t.Errorf("after a reboot it was %s, and is %+v", third, s)
		}
		b.run("images", "import", archive)
		p := b.anew("web", third)
		if p.Spec.Containers[0].Image != "solopod.example/later:1" || p.Generation != p.Status.ObservedGeneration {
			t.Errorf("it runs %s, generation %d, observed %d", p.Spec.Containers[0].Image, p.Generation, p.Status.ObservedGeneration)
		}
	})
}

// An edit waits for objects and host ports, too. Two pods may change ports with each other; an edit that is taken back was none.
func TestEditWaitsForOthers(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	port := func(name string, port int, more string) string {
		out := strings.Replace(shell(name, forever, more), "  hostNetwork: true\n", "", 1)
		return strings.Replace(out, "    command:", fmt.Sprintf("    ports: [{containerPort: 80, hostPort: %d}]\n    command:", port), 1)
	}
	const one, two = 24311, 24312
	b.apply("a.yaml", port("a", one, ""))
	b.apply("b.yaml", port("b", two, ""))
	before := []string{status(b.waitReady("a"), "main").ContainerID, status(b.waitReady("b"), "main").ContainerID}

	const volume = "volumes: [{name: v, configMap: {name: missing}}]"
	b.apply("a.yaml", port("a", one, volume))
	b.eventually("it waits for a ConfigMap", func() error { return b.events(`missing`) })
	b.apply("a.yaml", port("a", two, ""))
	b.eventually("it waits for a port", func() error { return b.events(fmt.Sprintf("%d/TCP belongs to pod default/b", two)) })
	b.apply("a.yaml", port("a", one, ""))
	b.waitPod("a", "as before", func(p *v1.Pod) bool { return p.Generation == p.Status.ObservedGeneration })
	if after := b.containers("a", "b"); after[0] != before[0] || after[1] != before[1] {
		t.Fatalf("containers were %s, and are %s", before, after)
	}

	b.apply("a.yaml", port("a", two, ""))
	b.apply("b.yaml", port("b", one, ""))
	for i, name := range []string{"a", "b"} {
		p := b.anew(name, before[i])
		if got, want := p.Spec.Containers[0].Ports[0].HostPort, []int32{two, one}[i]; got != want {
			t.Errorf("%s has port %d, not %d", name, got, want)
		}
	}
}
