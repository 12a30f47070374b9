package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
)

const oneContainer = "containers: [{name: c, image: app}]"

// A container from its creation to its end, with its output, and nothing left of it but its log.
func TestLife(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", oneContainer, state.Grant{})
	w := l.create(pod, "c", "id-1")
	w.Attempt, w.Revision = 2, "rev"
	made := l.run(w)
	if made.Image != app || made.ImageID != "docker.io/library/app@sha256:"+strings.Repeat("1", 64) || made.StopSignal != 3 || made.Pid == 0 || made.Limits == "" {
		t.Errorf("it is %+v", made)
	}
	r, _ := l.engine.Request("id-1")
	want := map[string]string{
		"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "uid-of-web",
		"io.kubernetes.container.name": "c", "io.solopod.revision": "rev", "io.solopod.attempt": "2", "io.solopod.root": l.Dirs.Root,
	}
	if !reflect.DeepEqual(r.Labels, want) {
		t.Errorf("its labels are %v", r.Labels)
	}
	if r.Spec.Annotations[engine.GroupAnnotation] != "test-uid-of-web" || r.ShimCgroup != l.Cgroups.Shim("uid-of-web") {
		t.Errorf("its shim's group is %v, its cgroup %s", r.Spec.Annotations, r.ShimCgroup)
	}
	if u := r.Spec.Process.User; u.UID != 100 || u.GID != 101 || !reflect.DeepEqual(u.AdditionalGids, []uint32{101, 102}) {
		t.Errorf("its user is %+v", u)
	}
	if err := l.engine.Write("id-1", "one\ntwo"); err != nil {
		t.Fatal(err)
	}
	testbox.Eventually(t, "the first line is in the log", func() bool { return strings.Contains(l.log(w.Target), "stdout F one\n") })

	l.kills.counts[l.cgroupOf(w.Target)] = 4
	if err := os.WriteFile(l.Dirs.TerminationFile("uid-of-web", "c", 2), []byte("it broke"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := l.Signal(t.Context(), plan.Signal{Target: w.Target, Signal: 3}); got != (state.SignalSent{Signal: 3}) {
		t.Errorf("a signal: %+v", got)
	}
	if got := l.Examine(t.Context(), plan.Examine{Target: w.Target}); got != (state.Examined{Kills: 4, Group: groupOf(w.Pod, false), Message: "it broke"}) {
		t.Errorf("it has left %+v", got)
	}
	if got := l.Drain(t.Context(), plan.Drain{Target: w.Target, Text: true}); got != (state.LogComplete{Text: "one\ntwo"}) && got != (state.LogComplete{Text: "one\ntwo\n"}) {
		t.Errorf("the log's end is %+v", got)
	}
	if got := l.Delete(t.Context(), plan.Delete{Target: w.Target}); got != (state.LeftoverGone{}) {
		t.Errorf("it cannot be deleted: %+v", got)
	}
	if calls := l.engine.Calls("Create", "Start", "Kill", "Delete"); !reflect.DeepEqual(calls, []string{"Create id-1", "Start id-1", "Kill id-1 3", "Delete id-1"}) {
		t.Errorf("containerd was asked for %v", calls)
	}
	if _, err := os.Stat(l.Dirs.ContainerDir("uid-of-web", "c", 2)); err == nil {
		t.Error("its directory is left")
	}
	if len(l.outputs.list) != 0 || l.completed != 1 {
		t.Errorf("%d outputs are left, and who follows the log was told %d times", len(l.outputs.list), l.completed)
	}
}

// The files of the attempt stay where another one has them.
func TestDeleteKeepsFiles(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", oneContainer, state.Grant{})
	w := l.create(pod, "c", "id-1")
	dir := l.Dirs.ContainerDir("uid-of-web", "c", 0)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.Delete(t.Context(), plan.Delete{Target: w.Target, KeepFiles: true})
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	l.engine.Fail("Delete", errors.New("the shim does not answer"))
	got := l.Delete(t.Context(), plan.Delete{Target: w.Target})
	if got.Problem.Reason != "FailedRemoveContainer" {
		t.Errorf("a deletion that failed: %+v", got)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the files of a container that may live are gone: %v", err)
	}
}

// What keeps a container from being created is said in the kubelet's words, and a deletion removes what is left of it.
func TestCreateProblems(t *testing.T) {
	l := newLab(t)
	write := func(name, text string) {
		path := filepath.Join(l.Dirs.Root, "seccomp", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("broken.json", "{")
	write("other.json", `{"syscalls": []}`)
	if err := unix.Mkfifo(filepath.Join(l.Dirs.Root, "seccomp", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	profile := func(name string) string {
		return "securityContext: {seccompProfile: {type: Localhost, localhostProfile: " + name + "}}"
	}
	for i, c := range []struct {
		name, spec, reason, says string
		before                   func()
		left                     bool
	}{
		{name: "image is missing", spec: "image: nowhere", reason: "ErrImagePull", says: "not found"},
		{name: "image cannot be looked at", reason: "ImageInspectError", says: "the database is gone", before: func() { l.engine.Fail("Image", errors.New("the database is gone")) }},
		{
			name: "object is missing", spec: "env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: a}}}]", left: true,
			reason: "CreateContainerConfigError", says: `ConfigMap "settings"`,
		},
		{name: "root", spec: "securityContext: {runAsNonRoot: true, runAsUser: 0}", left: true, reason: "CreateContainerConfigError", says: "would run as root"},
		{name: "user is unknown", spec: "image: other", left: true, reason: "CreateContainerConfigError", says: "nobody-knows"},
		{name: "users cannot be read", spec: "image: third", left: true, reason: "CreateContainerConfigError", says: "it cannot be mounted", before: func() {
			l.engine.Fail("ReadFiles", errors.New("it cannot be mounted"))
		}},
		{name: "no profile", spec: profile("none.json"), left: true, reason: "CreateContainerConfigError", says: "cannot read the seccomp profile"},
		{name: "profile is damaged", spec: profile("broken.json"), left: true, reason: "CreateContainerConfigError", says: "is not a seccomp profile"},
		{name: "profile is none", spec: profile("other.json"), left: true, reason: "CreateContainerConfigError", says: "is not a seccomp profile"},
		{name: "profile is a FIFO", spec: profile("fifo"), left: true, reason: "CreateContainerConfigError", says: "cannot read the seccomp profile"},
		{
			name: "path leads out", spec: "volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(A)}], env: [{name: A, value: ../..}]", left: true,
			reason: "CreateContainerConfigError", says: `subPathExpr of volume "v"`,
		},
		{name: "runtime fails", left: true, reason: "CreateContainerError", says: "runc says no", before: func() { l.engine.Fail("Create", errors.New("runc says no")) }},
		{name: "no such command", left: true, reason: "StartError", says: "no such file", before: func() {
			l.engine.Fail("Create", fmt.Errorf("no such file: %w", engine.ErrRefused))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := c.spec
			if !strings.Contains(spec, "image:") {
				spec = "image: app, " + spec
			}
			l.engine.AddImage(testbox.Image{Image: userImage("docker.io/library/other:latest", "nobody-knows")})
			l.engine.AddImage(testbox.Image{Image: engine.Image{Name: "docker.io/library/third:latest"}})
			if c.before != nil {
				c.before()
			}
			defer func() {
				for _, op := range []string{"Image", "ReadFiles", "Create"} {
					l.engine.Fail(op, nil)
				}
			}()
			pod := l.pod(fmt.Sprintf("pod-%d", i), "volumes: [{name: v, emptyDir: {}}]\ncontainers: [{name: c, "+strings.TrimSuffix(spec, ", ")+"}]", state.Grant{})
			w := l.create(pod, "c", fmt.Sprintf("id-%d", i))
			made := l.Create(t.Context(), w)
			if made.Problem.Reason != c.reason || !strings.Contains(made.Problem.Message, c.says) || made.LeftBehind != c.left {
				t.Errorf("it says %+v", made)
			}
			if made.Problem.Refused != (c.reason == "StartError") {
				t.Errorf("whether the attempt has ended: %v", made.Problem.Refused)
			}
			if (made.Problem.Lacks != "") != (c.name == "image is missing") {
				t.Errorf("it lacks the image %q", made.Problem.Lacks)
			}
			if got := l.Delete(t.Context(), plan.Delete{Target: w.Target, Kill: true}); got != (state.LeftoverGone{}) {
				t.Errorf("what is left cannot be removed: %+v", got)
			}
			if entries, _ := os.ReadDir(filepath.Join(l.Dirs.StateDir(string(pod.UID)), "containers", "c")); len(entries) > 0 || len(l.outputs.list) > 0 {
				t.Errorf("there is left: %v, and %d outputs", entries, len(l.outputs.list))
			}
		})
	}
}

func userImage(name, user string) engine.Image {
	i := engine.Image{Name: name, ChainID: "chain of a user"}
	i.Config.User = user
	return i
}

// With users of its own a pod has so many and no more.
func TestUserBeyondRange(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "users", "hostUsers: false\ncontainers: [{name: c, image: app, securityContext: {runAsUser: 70000}}]")
	w := l.create(pod, "c", "id-1")
	w.Grant.FirstID = 1 << 20
	image, err := l.Images.Get(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.user(t.Context(), w, image); err == nil || !strings.Contains(err.Error(), "there are the ids 0 to 65535") {
		t.Errorf("it says %v", err)
	}
}

// A runtime that hangs takes its container's time, and nobody else's.
func TestCreateHangs(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", "containers: [{name: a, image: app}, {name: b, image: app}, {name: c, image: app}]", state.Grant{})
	release := l.engine.Hang("Create", false)
	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan state.Made, 1)
	a, b := l.create(pod, "a", "id-a"), l.create(pod, "b", "id-b")
	go func() { hung <- l.Create(ctx, a) }()
	testbox.Eventually(t, "the runtime is asked", func() bool { return len(l.engine.Calls("Create")) == 1 })

	// The only slot is held: who gives up the wait for it says so.
	short, done := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer done()
	if made := l.Create(short, b); !strings.Contains(made.Problem.Message, "not this one's turn") || !made.LeftBehind {
		t.Errorf("it says %+v", made)
	}
	cancel()
	if made := <-hung; made.Problem.Reason != "CreateContainerError" || !made.LeftBehind {
		t.Errorf("a creation that was cancelled: %+v", made)
	}
	release()
	l.run(l.create(pod, "c", "id-c"))
	l.engine.Fail("Start", errors.New("no such file"))
	if got := l.Start(t.Context(), plan.Start{Target: a.Target}); got.Problem.Reason != "RunContainerError" || !got.When.IsZero() {
		t.Errorf("a start that failed: %+v", got)
	}
	l.engine.Fail("Start", fmt.Errorf("%s: %w", strings.Repeat("x", 10000), engine.ErrRefused))
	if got := l.Start(t.Context(), plan.Start{Target: a.Target}); got.Problem.Reason != "StartError" || !got.Problem.Refused || len(got.Problem.Message) != maxMessage {
		t.Errorf("a start that the runtime refuses: %+v", got)
	}
}

// A slot is free when it is given back, and after five seconds in any case: what takes longer hangs, and costs nothing.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(0)
		release, err := s.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		second, err := s.Take(t.Context())
		if err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("the slot of one that hangs was free after %s (%v)", time.Since(began), err)
		}
		release() // late: it gives nothing back that is not its own
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slot that another one has was given: %v", err)
		}
		second()
		second()
		began = time.Now()
		third, err := s.Take(t.Context())
		if err != nil || time.Since(began) != 0 {
			t.Errorf("a slot that was given back was free after %s (%v)", time.Since(began), err)
		}
		third()
	})
}

// A pod whose new limits are refused keeps its old ones, says so, and its container starts.
func TestLimitsRefused(t *testing.T) {
	l := newLab(t)
	l.pod("web", oneContainer, state.Grant{})
	edited := testbox.Pod(t, "web", "containers: [{name: c, image: app}, {name: other, image: app, resources: {limits: {hugepages-3Mi: 3Mi, cpu: 1, memory: 1Mi}}}]")
	made := l.Create(t.Context(), l.create(edited, "c", "id-1"))
	if made.Problem != (state.Problem{}) || made.Limits != "" || len(made.Warnings) != 1 || made.Warnings[0].Reason != "FailedResize" {
		t.Errorf("%+v", made)
	}
}

// What the machine cannot give is told, and the container runs without.
func TestWarnings(t *testing.T) {
	pod := testbox.Pod(t, "web", "containers: [{name: c, image: app, securityContext: {seLinuxOptions: {type: web_t}, capabilities: {add: [NO_SUCH_THING]}}}]")
	w := plan.Create{Target: plan.Target{Pod: pod, Name: "c"}, Spec: &pod.Spec.Containers[0]}
	var reasons []string
	for _, r := range warnings(w, newLab(t).AppArmor) {
		reasons = append(reasons, r.Reason)
		if r.Container != "c" || !r.Warning {
			t.Errorf("%+v", r)
		}
	}
	if got := strings.Join(reasons, " "); !strings.Contains(got, "NoSELinux") || !strings.Contains(got, "MissingCapabilities") {
		t.Errorf("it is told of %v", reasons)
	}
}

// The pod's shared processes went with their first one: the sandbox must be made anew.
func TestFirstProcessKilled(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", "shareProcessNamespace: true\n"+oneContainer, state.Grant{})
	first := namespace.FirstProcess(l.Dirs.Namespaces("uid-of-web"))
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testbox.Eventually(t, "the first process ends", func() bool { return namespace.FirstProcess(l.Dirs.Namespaces("uid-of-web")) == 0 })
	made := l.Create(t.Context(), l.create(pod, "c", "id-1"))
	if !made.Problem.Sandbox || !strings.Contains(made.Problem.Message, "first process") || len(l.engine.Calls("Create")) > 0 {
		t.Errorf("it says %+v", made)
	}
}

// A signal that finds no process says what there is instead.
func TestSignal(t *testing.T) {
	l := newLab(t)
	target := plan.Target{Pod: testbox.Pod(t, "web", oneContainer), Name: "c", ID: "id-1"}
	send := func() state.SignalSent { return l.Signal(t.Context(), plan.Signal{Target: target, Signal: 15}) }
	if got := send(); got.Found == nil || got.Found.Status != state.FoundUnknown || got.Found.ID != "id-1" {
		t.Errorf("a container that does not exist: %+v", got)
	}
	at := time.Now()
	l.engine.Put(engine.Container{ID: "id-1", State: engine.Stopped, ExitCode: 7, ExitedAt: at, Labels: map[string]string{LabelContainerName: "c", LabelAttempt: "3"}})
	if got := send(); got.Found == nil || got.Found.Status != state.FoundStopped || got.Found.ExitCode != 7 || !got.Found.ExitedAt.Equal(at) || got.Found.Attempt != 3 {
		t.Errorf("a container that has ended: %+v", got)
	}
	l.engine.Fail("Get", errors.New("no answer"))
	if got := send(); got.Found != nil || got.Problem.Reason != "FailedKillContainer" {
		t.Errorf("a container of which nobody knows: %+v", got)
	}
	l.engine.Fail("Kill", errors.New("no answer"))
	if got := send(); got.Found != nil || got.Problem.Message != "no answer" {
		t.Errorf("a signal that was not sent: %+v", got)
	}
	release := l.engine.Hang("Kill", false)
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got := l.Signal(ctx, plan.Signal{Target: target, Signal: 9}); got.Problem == (state.Problem{}) {
		t.Errorf("a signal that hangs: %+v", got)
	}
}

// A process that lives although the runtime says that it has ended is killed by its cgroup; another signal is tried again.
func TestSignalUnsent(t *testing.T) {
	l := newLab(t)
	target := plan.Target{Pod: testbox.Pod(t, "web", oneContainer), Name: "c", ID: "id-1"}
	l.engine.Put(engine.Container{ID: "id-1", State: engine.Running})
	l.engine.Fail("Kill", fmt.Errorf("runc's note is lost: %w", engine.ErrNotRunning))
	if got := l.Signal(t.Context(), plan.Signal{Target: target, Signal: 15}); got.Found != nil || !strings.Contains(got.Problem.Message, "runc's note is lost") {
		t.Errorf("%+v", got)
	}
	process := sleeper(t, l.cgroupDirs(target)...)
	if got := l.Signal(t.Context(), plan.Signal{Target: target, Signal: 9}); got != (state.SignalSent{Signal: 9}) {
		t.Errorf("%+v", got)
	}
	killed(t, process)
}

// Without an answer of its shim a container is killed by its cgroup, and one that has no process counts as ended. Nothing else of its
// pod runs then: the shim is ended, too.
func TestSignalToSilentShim(t *testing.T) {
	l := newLab(t)
	pod := testbox.Pod(t, "web", oneContainer)
	target := plan.Target{Pod: pod, Name: "c", ID: "id-1"}
	l.engine.Put(engine.Container{ID: "id-1", State: engine.Unanswered})
	unanswered := func(call string) { l.engine.Fail(call, fmt.Errorf("the shim: %w", engine.ErrUnanswered)) }
	send := func(signal int) state.SignalSent {
		unanswered("Kill")
		return l.Signal(t.Context(), plan.Signal{Target: target, Signal: signal})
	}
	process := sleeper(t, l.cgroupDirs(target)...)
	if got := send(15); got.Found != nil || !strings.Contains(got.Problem.Message, "no answer") {
		t.Errorf("SIGTERM that nobody has sent: %+v", got)
	}
	if got := send(9); got.Found == nil || *got.Found != (state.Found{ID: "id-1", Status: state.FoundUnknown}) || got.Problem.Failed() {
		t.Errorf("SIGKILL: %+v", got)
	}
	killed(t, process)
	if got := send(15); got.Found == nil || got.Found.Status != state.FoundUnknown {
		t.Errorf("a container without a process: %+v", got)
	}

	shim, other := l.shim(pod, "containerd-shim-runc-v2"), l.shim(pod, "init")
	neighbour := sleeper(t, l.cgroupDirs(plan.Target{Pod: pod, Name: "d", ID: "id-2"})...)
	remove := func() {
		t.Helper()
		unanswered("Delete")
		if got := l.Delete(t.Context(), plan.Delete{Target: target}); !got.Problem.Failed() {
			t.Errorf("what is left counts as removed: %+v", got)
		}
	}
	remove()
	if err := shim.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the shim of a container that runs was ended: %v", err)
	}
	if err := neighbour.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	neighbour.Wait() //nolint:errcheck // it was killed
	remove()
	killed(t, shim)
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another process of the pod was ended: %v", err)
	}
}

// shim begins a process of that name in the cgroup of a pod's shims.
func (l *lab) shim(pod *v1.Pod, name string) *exec.Cmd {
	l.t.Helper()
	tail, err := exec.LookPath("tail")
	if err != nil {
		l.t.Fatal(err)
	}
	path := filepath.Join(l.dir, name)
	if err := os.Symlink(tail, path); err != nil {
		l.t.Fatal(err)
	}
	var dirs []string
	for _, root := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		if _, err := os.Stat(root + "/cgroup.procs"); err == nil {
			dirs = append(dirs, root+l.Cgroups.Shim(string(pod.UID)))
		}
	}
	return sleeperOf(l.t, path, dirs...)
}

// killed waits for the end of a process, which must be SIGKILL's.
func killed(t *testing.T, process *exec.Cmd) {
	t.Helper()
	err := process.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the process has ended with %v", err)
	}
}

// cgroupDirs are those of a container, one where all processes are listed and one for its memory.
func (l *lab) cgroupDirs(target plan.Target) (dirs []string) {
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		if _, err := os.Stat(root + "/cgroup.procs"); err == nil {
			dirs = append(dirs, root+l.cgroupOf(target))
		}
	}
	return dirs
}

// Files of the pod that are lost make its sandbox be made anew.
func TestFilesLost(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", oneContainer, state.Grant{})
	if err := os.Remove(l.Sandboxes.Files(pod)["/etc/hosts"]); err != nil {
		t.Fatal(err)
	}
	made := l.Create(t.Context(), l.create(pod, "c", "id-1"))
	if !made.Problem.Sandbox || len(l.engine.Calls("Create")) > 0 {
		t.Errorf("it says %+v", made)
	}
}

func TestFound(t *testing.T) {
	for from, want := range map[string]state.FoundStatus{
		engine.Created: state.FoundCreated, engine.Running: state.FoundRunning, engine.Stopped: state.FoundStopped, engine.Unknown: state.FoundUnknown,
		engine.Unanswered: state.FoundUnanswered,
	} {
		c := engine.Container{ID: "id", State: from, Pid: 4, Labels: map[string]string{LabelContainerName: "c", LabelAttempt: "x", LabelRevision: "r"}}
		if got := Found(c); got != (state.Found{ID: "id", Name: "c", Revision: "r", Pid: 4, Status: want}) {
			t.Errorf("%s is found as %+v", from, got)
		}
	}
}

// What a container leaves in the place of its termination message is not waited for, and not followed.
func TestTerminationMessage(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"none":      {func(string) error { return nil }, ""},
		"FIFO":      {func(path string) error { return unix.Mkfifo(path, 0o666) }, ""},
		"link":      {func(path string) error { return os.Symlink(secret, path) }, ""},
		"directory": {func(path string) error { return os.Mkdir(path, 0o755) }, ""},
		"long":      {func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o666) }, string(make([]byte, 4096))},
	} {
		path := filepath.Join(t.TempDir(), "message")
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		if got := readMessage(path); got != c.want {
			t.Errorf("%s: the message has %d bytes", name, len(got))
		}
	}
}

// Of a container whose shim is gone processes may live: they end.
func TestExamineLost(t *testing.T) {
	l := newLab(t)
	target := plan.Target{Pod: testbox.Pod(t, "web", oneContainer), Name: "c", ID: "id-1"}
	process := sleeper(t, l.cgroupDirs(target)...)
	if got := l.Examine(t.Context(), plan.Examine{Target: target, Lost: true}); got != (state.Examined{}) {
		t.Errorf("%+v", got)
	}
	killed(t, process)
	l.kills.err = errors.New("no such cgroup")
	for _, was := range []bool{false, true} { // then it is asked what is known without it
		if got := l.Examine(t.Context(), plan.Examine{Target: target, Killed: was}); got.Kills != map[bool]uint64{true: 1}[was] {
			t.Errorf("it was killed: %t, %+v", was, got)
		}
	}
}

// A Solopod that ends lets the container run on; the next one reads on, whoever asks first, and however many ask.
func TestAdoptedOutput(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", "containers: [{name: c, image: app, stdin: true}]", state.Grant{})
	w := l.create(pod, "c", "id-1")
	l.run(w)
	if err := l.engine.Write("id-1", "before\n"); err != nil {
		t.Fatal(err)
	}
	// The keeper's part: somebody has the pipes open for reading meanwhile.
	for _, name := range []string{"stdout", "stderr"} {
		held, err := os.OpenFile(filepath.Join(l.Dirs.StreamDir("uid-of-web", "c", 0), name), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l.Detach(ctx)
	if err := l.engine.Write("id-1", "between\n"); err != nil {
		t.Fatal(err)
	}
	later := l.newContainers(l.Config)
	l.kills.counts[l.cgroupOf(w.Target)] = 2
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got := later.ReadOutput(ctx, plan.ReadOutput{Target: w.Target, Stdin: true}); got != (state.OutputRead{Kills: 2}) {
				t.Errorf("%+v", got)
			}
		})
	}
	wait.Wait()
	if len(later.outputs.list) != 1 {
		t.Errorf("there are %d outputs", len(later.outputs.list))
	}
	if err := l.engine.Write("id-1", "after\n"); err != nil {
		t.Fatal(err)
	}
	l.engine.Exit("id-1", 0)
	if got := later.Drain(ctx, plan.Drain{Target: w.Target, Stdin: true, Text: true}); got != (state.LogComplete{Text: "before\nbetween\nafter\n"}) && got.Text != "before\nbetween\nafter" {
		t.Errorf("the log's end is %+v", got)
	}
	if got := later.Delete(ctx, plan.Delete{Target: w.Target}); got != (state.LeftoverGone{}) {
		t.Errorf("%+v", got)
	}
}

// An output whose opening hangs: who asks as well gives up with its context, and what is opened late is let go of.
func TestOutputOpensLate(t *testing.T) {
	l := newLab(t)
	pod := l.pod("web", oneContainer, state.Grant{})
	target := plan.Target{Pod: pod, Name: "c", ID: "id-1"}
	l.outputs.list["id-1"] = &output{opened: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got := l.ReadOutput(ctx, plan.ReadOutput{Target: target}); got.Problem.Reason != "OutputNotRead" {
		t.Errorf("%+v", got)
	}
	if got := l.Drain(ctx, plan.Drain{Target: target}); got.Problem.Reason != "LogIncomplete" {
		t.Errorf("%+v", got)
	}
	if l.outputs.pump("id-1") != nil || l.outputs.take("id-1") != nil || len(l.outputs.list) != 0 {
		t.Error("an output that is not open is given away")
	}
	for _, finish := range []bool{false, true} {
		p, err := l.outputs.openPump(target, false, false)
		if err != nil {
			t.Fatal(err)
		}
		letGo(t.Context(), "id-1", p, finish)
		_, err = os.Stat(l.Dirs.StreamDir("uid-of-web", "c", 0))
		if finish != os.IsNotExist(err) {
			t.Errorf("finish is %t, and the pipes: %v", finish, err)
		}
	}
}

// Where a container's pipes cannot be had, its log still gives the message.
func TestDrainWithoutPipes(t *testing.T) {
	l := newLab(t)
	target := plan.Target{Pod: testbox.Pod(t, "web", oneContainer), Name: "c", ID: "id-1"}
	dir := filepath.Dir(l.Dirs.ContainerDir("uid-of-web", "c", 0))
	log := l.Dirs.LogFile(target.Pod, "c", 0)
	if err := errors.Join(
		os.MkdirAll(filepath.Dir(dir), 0o755), os.WriteFile(dir, nil, 0o644),
		os.MkdirAll(filepath.Dir(log), 0o755), os.WriteFile(log, []byte("2026-01-02T03:04:05.000000000Z stdout F the end\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	got := l.Drain(t.Context(), plan.Drain{Target: target, Text: true})
	if got.Problem.Reason != "LogIncomplete" || strings.TrimSpace(got.Text) != "the end" {
		t.Errorf("%+v", got)
	}
	if got := l.ReadOutput(t.Context(), plan.ReadOutput{Target: target}); got.Problem.Reason != "OutputNotRead" {
		t.Errorf("%+v", got)
	}
	l.engine.Put(engine.Container{ID: "id-1"})
	made := l.Create(t.Context(), l.create(target.Pod, "c", "id-2"))
	if made.Problem.Reason != "CreateContainerError" || !made.LeftBehind || len(l.outputs.list) != 0 {
		t.Errorf("%+v", made)
	}
}

// Kills are said while the container runs, and log shippers find its log.
func TestWatchKills(t *testing.T) {
	l := newLab(t)
	target := plan.Target{Pod: testbox.Pod(t, "web", oneContainer), Name: "c", ID: strings.Repeat("a", 64)}
	watch := func() (said chan state.Result, end func()) {
		said = make(chan state.Result, 10)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan state.WatchEnded)
		go func() {
			ended <- l.WatchKills(ctx, plan.WatchKills{Target: target}, func(r state.Result) { said <- r })
		}()
		link := l.Dirs.LinkPath(target.Pod, "c", target.ID)
		testbox.Eventually(t, "the log is linked", func() bool {
			to, err := os.Readlink(link)
			return err == nil && to == l.Dirs.LogFile(target.Pod, "c", 0)
		})
		return said, func() {
			cancel()
			if got := <-ended; got != (state.WatchEnded{}) {
				t.Errorf("%+v", got)
			}
			if err := os.Remove(link); err != nil {
				t.Error(err)
			}
		}
	}
	said, end := watch()
	l.kills.mu.Lock()
	report := l.kills.report[l.cgroupOf(target)]
	l.kills.mu.Unlock()
	report(3)
	if got := <-said; got != (state.KillsSeen{Kills: 3, Group: groupOf(target.Pod, false)}) {
		t.Errorf("it says %+v", got)
	}
	end()
	if l.kills.stopped != 1 {
		t.Error("the watch goes on")
	}
	l.kills.err = errors.New("inotify is used up")
	_, end = watch()
	end()
}

// CloseStdin is told of what cannot be closed, also of a shim that does not answer.
func TestCloseStdin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testbox.NewEngine()
		c := &Containers{Config: Config{Changer: e}, outputs: &outputs{list: map[string]*output{"id": {pump: new(logs.Pump)}}}}
		failed := make(chan error, 1)
		c.CloseStdin(t.Context(), "unknown", func(err error) { failed <- err })
		c.CloseStdin(t.Context(), "id", func(err error) { failed <- err })
		synctest.Wait()
		if len(failed) > 0 || len(e.Calls("CloseStdin")) != 1 {
			t.Errorf("%v, and %d failures", e.Calls(), len(failed))
		}
		release := e.Hang("CloseStdin", false)
		defer release()
		began := time.Now()
		c.CloseStdin(t.Context(), "id", func(err error) { failed <- err })
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c.CloseStdin(ctx, "id", func(err error) { failed <- err })
		cancel() // Solopod ends
		synctest.Wait()
		if len(failed) > 0 {
			t.Error("it is told while Solopod ends")
		}
	})
}

func TestKilledAsGroup(t *testing.T) {
	pod := testbox.Pod(t, "web", oneContainer)
	for _, c := range []struct {
		single bool
		choice string
		want   bool
	}{{false, "", true}, {true, "", false}, {true, "true", true}, {false, "false", false}} {
		pod.Annotations = nil
		if c.choice != "" {
			pod.Annotations = map[string]string{"solopod.io/oom-group": c.choice}
		}
		if got := killedAsGroup(pod, c.single); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
