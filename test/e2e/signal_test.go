package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// deaf does not end on SIGTERM.
const deaf = "trap '' TERM; while :; do sleep 0.2; done"

// A SIGKILL that failed because the runtime did is sent again, and so is the removal tried that failed.
func TestKillFails(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.flags = []string{"--runtime", b.runtimeThat("runtime", `[ -e DIR/broken ] && for a in "$@"; do
  [ "$a" = kill ] && { echo tried >>DIR/tried; echo "no kill today" >&2; exit 1; }
done`)}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("deaf.yaml", shell("deaf", deaf, ""))
	b.waitReady("deaf")
	b.writeFile("broken", "")
	b.delete("deaf.yaml")
	b.goes("deaf")
	b.eventually("SIGKILL was tried", func() error { // after SIGTERM, which was tried again as well
		if p := b.pod(v1.NamespaceDefault, "deaf"); p == nil {
			t.Fatal("the pod is gone")
		}
		return b.killTried()
	})
	if err := os.Remove(b.path("broken")); err != nil {
		t.Fatal(err)
	}
	b.waitGone("deaf")
}

// killTried expects that the end of the grace period was told and that a signal failed since.
func (b *box) killTried() error {
	events := b.run("get", "events")
	if !strings.Contains(events, "did not end within its grace period") {
		return fmt.Errorf("the events are\n%s", events)
	}
	tried, err := os.ReadFile(b.path("tried"))
	if n := strings.Count(string(tried), "tried"); n < 2 {
		return fmt.Errorf("%d signals were tried, %w", n, err)
	}
	return nil
}

// An outside containerd is away while a container ends and while another is to be killed: the daemon lives on, restarts the one and
// kills the other when containerd is back.
func TestContainerdAway(t *testing.T) {
	t.Parallel()
	b := newBox(t, outside)
	b.apply("deaf.yaml", shell("deaf", deaf, ""))
	b.apply("ends.yaml", shell("ends", forever, ""))
	b.waitReady("deaf")
	ends := b.waitReady("ends")
	b.containerd.Process.Signal(syscall.SIGKILL) //nolint:errcheck // it runs
	b.containerd.Wait()                          //nolint:errcheck // it was killed
	b.containerd = nil
	b.killContainer(ends, "main")
	b.delete("deaf.yaml")
	b.goes("deaf")
	b.apply("new.yaml", shell("new", forever, ""))
	b.eventOf("Killing", "did not end within its grace period")
	b.waitPod("new", "known", func(*v1.Pod) bool { return true })
	b.lives()
	b.startContainerd()
	b.waitGone("deaf")
	b.waitPod("ends", "restarted", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	b.waitReady("new")
}

// The time of a removal is that of the removal, whatever happens to other manifests.
func TestDeletionTimestampStays(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("slow.yaml", strings.Replace(shell("slow", deaf, ""), "terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 600", 1))
	pod := b.waitReady("slow")
	b.delete("slow.yaml")
	first := b.waitPod("slow", "to be removed", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil }).DeletionTimestamp
	for i := range 3 { // each takes a second or so
		name := fmt.Sprintf("other%d", i)
		b.apply(name+".yaml", shell(name, forever, ""))
		b.waitReady(name)
		b.delete(name + ".yaml")
		b.waitGone(name)
	}
	b.crash()
	b.start()
	b.apply("last.yaml", shell("last", forever, ""))
	b.waitReady("last")
	now := b.waitPod("slow", "to be removed", func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
	if !now.DeletionTimestamp.Equal(first) {
		t.Errorf("the removal of %s is now that of %s", first, now.DeletionTimestamp)
	}
	b.killContainer(pod, "main")
	b.waitGone("slow")
}
