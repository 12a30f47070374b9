package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// shims are the processes of the pod's shim.
func (b *box) shims(pod *v1.Pod) []int {
	var out []int
	for _, pid := range b.processes() {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && strings.Contains(string(cgroup), b.shimCgroup()+"/pod"+string(pod.UID)) {
			out = append(out, pid)
		}
	}
	return out
}

// A shim that is slow while Solopod starts, as on a machine that swaps, is waited for: its container lives on.
func TestSlowShim(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("slow.yaml", shell("slow", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done", ""))
	b.apply("other.yaml", shell("other", forever, ""))
	before := b.waitReady("slow")
	b.waitReady("other")
	shims := b.shims(before)
	if len(shims) != 1 {
		t.Fatalf("the pod's shims are %v", shims)
	}
	b.crash()
	if err := syscall.Kill(shims[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wake := func() { syscall.Kill(shims[0], syscall.SIGCONT) } //nolint:errcheck // it may have ended
	t.Cleanup(wake)
	const held = 8 * time.Second // longer than containerd waits for a shim
	timer := time.AfterFunc(held, wake)
	defer timer.Stop()
	began := time.Now()
	b.start()
	b.waitReady("other")
	b.within(patience, "the shim goes on", func() error {
		if left := held - time.Since(began); left > 0 {
			return fmt.Errorf("in %s", left)
		}
		return nil
	})
	after := b.waitReady("slow")
	if a, c := status(before, "main"), status(after, "main"); a.ContainerID != c.ContainerID || c.RestartCount != 0 {
		t.Errorf("the container did not live on: %+v", c)
	}
	if out := b.run("exec", "slow", "--", "echo", "here"); out != "here\n" {
		t.Errorf("a command in it says %q", out)
	}
	said := b.run("logs", "--tail", "1", "slow")
	b.eventually("its log goes on", func() error {
		if out := b.run("logs", "--tail", "1", "slow"); out == said {
			return fmt.Errorf("it ends with %q", out)
		}
		return nil
	})
	b.restarts("slow") // its end is seen
}

// Shims that never answer again hold neither their pods' removal nor their pods' next attempts up: one ran while Solopod was killed,
// of the other the container has ended meanwhile.
func TestSilentShim(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		for _, name := range []string{"runs", "ended", "other"} {
			b.apply(name+".yaml", shell(name, forever, ""))
		}
		runs, ended := b.waitReady("runs"), b.waitReady("ended")
		b.waitReady("other")
		b.crash()
		for _, pod := range []*v1.Pod{runs, ended} {
			shims := b.shims(pod)
			if len(shims) != 1 {
				t.Fatalf("the pod's shims are %v", shims)
			}
			if err := syscall.Kill(shims[0], syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { syscall.Kill(shims[0], syscall.SIGCONT) }) //nolint:errcheck // it may have ended
		}
		b.killContainer(ended, "main")
		b.start()
		b.waitReady("other")
		b.waitPod("ended", "made anew", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
		if c := status(b.waitReady("runs"), "main"); c.RestartCount != 0 || c.ContainerID != status(runs, "main").ContainerID {
			t.Errorf("a container was given up with its shim: %+v", c)
		}
		b.delete("runs.yaml")
		b.waitGone("runs")
		b.delete("ended.yaml")
		b.waitGone("ended")
	})
}

// A keeper that does not go on holds nothing up.
func TestStoppedKeeper(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	many := make([]container, 10)
	for i := range many {
		many[i] = container{fmt.Sprintf("c%d", i), forever, ""}
	}
	b.apply("many.yaml", containers("many", "", nil, many...))
	b.waitReady("many")
	keeper := 0
	for _, pid := range b.processes() {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.HasSuffix(cmdline, []byte("keep\x00"+b.path("state")+"\x00")) {
			keeper = pid
		}
	}
	if keeper == 0 {
		t.Fatal("there is no keeper")
	}
	if err := syscall.Kill(keeper, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(keeper, syscall.SIGCONT) }) //nolint:errcheck // it may have ended
	rounds := 3
	if *slow {
		rounds = 20 // more messages than its socket takes
	}
	for i := range rounds {
		b.run("restart", "many")
		b.waitPod("many", "restarted", func(p *v1.Pod) bool {
			for _, c := range p.Status.ContainerStatuses {
				if int(c.RestartCount) != i+1 {
					return false
				}
			}
			return isReady(p)
		})
	}
	b.apply("new.yaml", shell("new", "echo hello; "+forever, ""))
	b.waitReady("new")
	b.expectLog("new", "hello\n")
	b.delete("new.yaml")
	b.waitGone("new")
	b.healthy()
	b.endsPromptly()
	if err := syscall.Kill(keeper, syscall.SIGCONT); err != nil {
		t.Log(err) // it was given up
	}
	b.start()
	b.waitReady("many")
}
