package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// A limit that is larger than any number is none that was exceeded.
func TestMeasureWithLargeLimits(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "writes", `
volumes: [{name: scratch, emptyDir: {sizeLimit: 1e30}}]
containers:
- {name: a, image: app, resources: {limits: {ephemeral-storage: 1e19}}}
- {name: b, image: app, resources: {limits: {ephemeral-storage: 10E}}}
`)
	l.setUp(pod, state.Grant{})
	w := plan.Measure{Pod: pod, Running: []plan.Target{{Pod: pod, Name: "a", ID: "id-a"}, {Pod: pod, Name: "b", ID: "id-b"}}}
	write(t, filepath.Join(l.Volumes.Find(pod)["scratch"], "file"), "some", 0o644)
	write(t, l.Dirs.LogFile(pod, "a", 0), "a line\n", 0o644)
	write(t, l.Dirs.LogFile(pod, "b", 0), "a line\n", 0o644)
	if got := l.Measure(t.Context(), w); got.Over != "" || got.Problem != (state.Problem{}) {
		t.Errorf("it is %+v", got)
	}
}

// What a pod may write is measured with its volumes, its containers' file systems and its logs.
func TestMeasure(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "writes", `
volumes: [{name: scratch, emptyDir: {sizeLimit: 1Mi}}, {name: free, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}]
containers:
- {name: a, image: app, resources: {limits: {ephemeral-storage: 1Mi}}}
- {name: b, image: app, resources: {limits: {ephemeral-storage: 1Mi}}}
`)
	l.setUp(pod, state.Grant{})
	volumes := l.Volumes.Find(pod)
	target := func(name string) plan.Target { return plan.Target{Pod: pod, Name: name, ID: "id-" + name} }
	w := plan.Measure{Pod: pod, Running: []plan.Target{target("a"), target("b")}}
	for _, name := range []string{"a", "b"} {
		write(t, l.Dirs.LogFile(pod, name, 0), "a line\n", 0o644)
	}
	measure := func(want string) {
		t.Helper()
		if got := l.Measure(t.Context(), w); got.Over != want || got.Problem != (state.Problem{}) {
			t.Errorf("it is %+v, and should be %q", got, want)
		}
	}
	fill := func(path string, kib int) { write(t, path, strings.Repeat("x", kib<<10), 0o644) }

	measure("")
	fill(filepath.Join(volumes["memory"], "file"), 4096) // counts as memory
	measure("")
	fill(filepath.Join(volumes["scratch"], "file"), 1100)
	measure(`Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".`)
	fill(filepath.Join(volumes["scratch"], "file"), 1)
	deep := filepath.Join(volumes["scratch"], strings.Repeat("deep/", 200))
	if err := errors.Join(os.MkdirAll(deep, 0o755), unix.Mkfifo(filepath.Join(deep, "fifo"), 0o644)); err != nil {
		t.Fatal(err)
	}
	fill(filepath.Join(deep, "file"), 1100)
	measure(`Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".`)
	if err := os.RemoveAll(filepath.Join(volumes["scratch"], "deep")); err != nil {
		t.Fatal(err)
	}
	fill(filepath.Join(volumes["scratch"], "file"), 600)
	if err := os.Link(filepath.Join(volumes["scratch"], "file"), filepath.Join(volumes["scratch"], "again")); err != nil {
		t.Fatal(err)
	}
	measure("")
	l.engine.Written = 2 << 20
	measure(`Container a exceeded its local ephemeral storage limit "1Mi".`)
	l.engine.Written = 0
	dirs, err := l.Volumes.MakeImageDirs(string(pod.UID), "a", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	fill(filepath.Join(dirs[0], "file"), 1100)
	measure(`Container a exceeded its local ephemeral storage limit "1Mi".`)
	fill(filepath.Join(dirs[0], "file"), 1)
	fill(l.Dirs.LogFile(pod, "b", 0), 1100)
	measure(`Container b exceeded its local ephemeral storage limit "1Mi".`)
	fill(l.Dirs.LogFile(pod, "b", 0), 1)
	fill(TerminationFile(l.Dirs, string(pod.UID), "b", 0), 1100)
	measure(`Container b exceeded its local ephemeral storage limit "1Mi".`)
	fill(TerminationFile(l.Dirs, string(pod.UID), "b", 0), 1)
	fill(l.Files(pod)["/etc/hosts"], 2100) // all containers can write to it
	measure(`Pod ephemeral local storage usage exceeds the total limit of containers 2Mi.`)
	fill(l.Files(pod)["/etc/hosts"], 1)
	fill(filepath.Join(volumes["free"], "file"), 2100)
	measure(`Pod ephemeral local storage usage exceeds the total limit of containers 2Mi.`)

	l.engine.Fail("Usage", errors.New("the shim is gone"))
	if got := l.Measure(t.Context(), w); got.Over != "" || got.Problem.Message != "the shim is gone" {
		t.Errorf("a container that cannot be measured: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := l.Measure(ctx, w); got.Problem == (state.Problem{}) {
		t.Error("a measurement that was cancelled says that all is well")
	}
	l.clear(pod)
	if got := l.Measure(t.Context(), plan.Measure{Pod: pod}); got.Problem == (state.Problem{}) {
		t.Error("volumes that are gone are said to be small")
	}
}
