package container

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

// A probe says each of its answers until its context ends, and counts them.
func TestProbe(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", "containers: [{name: c, image: app, livenessProbe: {exec: {command: [ask, me]}, periodSeconds: 1}}]", state.Grant{})
	w := l.create(pod, "c", "id-1")
	l.run(w)
	code := uint32(0)
	l.engine.OnExec = func(_ context.Context, id string, p *specs.Process, sio engine.ExecIO) (uint32, error) {
		if id != "id-1" || strings.Join(p.Args, " ") != "ask me" || p.Cwd != "/srv" {
			t.Errorf("%s runs %v in %s", id, p.Args, p.Cwd)
		}
		_, err := sio.Stdout.Write([]byte("not now"))
		return code, err
	}
	for _, c := range []struct {
		code           uint32
		failure, count string
	}{{0, "", "Liveness c ok"}, {3, "not now", "Liveness c "}} {
		code = c.code
		ctx, cancel := context.WithCancel(t.Context())
		said := make(chan state.Result, 10)
		ended := make(chan state.WatchEnded)
		go func() {
			ended <- l.Probe(ctx, plan.Probe{Target: w.Target, Spec: w.Spec, Kind: state.Liveness, Host: "127.0.0.1"}, func(r state.Result) { said <- r })
		}()
		got := (<-said).(state.Probed)
		cancel()
		if end := <-ended; end != (state.WatchEnded{}) {
			t.Errorf("%+v", end)
		}
		if got.Kind != state.Liveness || (got.Failure == "") != (c.failure == "") || !strings.Contains(got.Failure, c.failure) {
			t.Errorf("exit code %d is %+v", c.code, got)
		}
		if counted := <-l.answered; !strings.HasPrefix(counted, c.count) {
			t.Errorf("exit code %d is counted as %q", c.code, counted)
		}
	}
}

func TestHook(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", oneContainer, state.Grant{})
	w := l.create(pod, "c", "id-1")
	l.run(w)
	hook := plan.Hook{Target: w.Target, PreStop: true, Host: "127.0.0.1", Handler: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"bye"}}}}
	if got := l.Hook(t.Context(), hook); got != (state.HookEnded{PreStop: true}) {
		t.Errorf("%+v", got)
	}
	l.engine.OnExec = func(context.Context, string, *specs.Process, engine.ExecIO) (uint32, error) { return 5, nil }
	if got := l.Hook(t.Context(), hook); !got.PreStop || !strings.Contains(got.Failure, "5") {
		t.Errorf("%+v", got)
	}
	l.engine.Fail("Exec", errors.New("the shim is gone"))
	if got := l.Hook(t.Context(), hook); !strings.Contains(got.Failure, "the shim is gone") {
		t.Errorf("%+v", got)
	}
	defer l.engine.Hang("Exec", false)()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := l.Hook(ctx, hook); got.Failure == "" {
		t.Error("a hook that was cancelled says that it has ended well")
	}
}

// A running container gets new resources, after or before its pod, and never less memory than it uses.
func TestResize(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", "containers: [{name: c, image: app, resources: {limits: {cpu: 1, memory: 64Mi}}}]", state.Grant{})
	w := l.create(pod, "c", "id-1")
	l.run(w)
	edited := testbox.Pod(t, "web", "containers: [{name: c, image: app, resources: {limits: {cpu: 2, memory: 32Mi}}}]")
	resize := plan.Resize{Target: w.Target, Spec: &edited.Spec.Containers[0], Resources: "r2"}
	resize.Pod = edited
	got := l.Resize(t.Context(), resize)
	if got.Problem != (state.Problem{}) || got.Resources != "r2" || got.Limits == "" {
		t.Errorf("%+v", got)
	}
	if r := l.engine.Updated("id-1"); r == nil || *r.Memory.Limit != 32<<20 || *r.CPU.Quota != 200000 {
		t.Errorf("the container was given %+v", r)
	}
	l.engine.Fail("Update", errors.New("the shim does not answer"))
	if got := l.Resize(t.Context(), resize); got.Problem.Reason != "ResizeDeferred" || got.Resources != "" || got.Limits == "" {
		t.Errorf("%+v", got)
	}
	l.engine.Fail("Update", nil)

	// Its own cgroup, as the runtime would have made it, with a process that uses memory.
	dir := "/sys/fs/cgroup/memory" + l.cgroupOf(w.Target)
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		dir = "/sys/fs/cgroup" + l.cgroupOf(w.Target)
	}
	sleeper(t, dir)
	testbox.Eventually(t, "the process uses memory", func() bool {
		used, err := cgroup.MemoryUsage(l.cgroupOf(w.Target))
		return err == nil && used > 4096
	})
	resize.Spec = manifests.ContainerOf(testbox.Pod(t, "web", "containers: [{name: c, image: app, resources: {limits: {cpu: 2, memory: 4Ki}}}]"), "c")
	before := len(l.engine.Calls("Update"))
	if got := l.Resize(t.Context(), resize); got.Problem.Reason != "ResizeDeferred" || !strings.Contains(got.Problem.Message, "more than the new limit of 4096") {
		t.Errorf("%+v", got)
	}
	if len(l.engine.Calls("Update")) != before {
		t.Error("the container was given less memory than it uses")
	}
}
