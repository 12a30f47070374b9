package container

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/allocate"
	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/resolver"
	"github.com/solopod/solopod/runner/sandbox"
	"github.com/solopod/solopod/runner/volume"
)

func TestMain(m *testing.M) { testbox.Main(m) }

const app = "docker.io/library/app:latest"

// lab is a machine with containers.
type lab struct {
	*Containers
	t         *testing.T
	dir       string
	engine    *testbox.Engine
	kills     *kills
	completed int
	answered  chan string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := testbox.Dir(t)
	l := &lab{t: t, dir: dir, engine: testbox.NewEngine(), kills: &kills{counts: map[string]uint64{}}, answered: make(chan string, 100)}
	l.engine.AddImage(testbox.Image{
		Image: engine.Image{Name: app, Config: ocispec.ImageConfig{Entrypoint: []string{"/app"}, User: "web", WorkingDir: "/srv", Env: []string{"PATH=/bin"}, StopSignal: "SIGQUIT"}},
		Files: map[string]string{"etc/passwd": "root:x:0:0::/:/bin/sh\nweb:x:100:101::/srv:/bin/sh\n", "etc/group": "web:x:101:\nextra:x:102:web\n"},
	})
	dirs := layout.Dirs{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Logs: filepath.Join(dir, "log")}
	if err := namespace.PrepareDir(dirs.States()); err != nil {
		t.Fatal(err)
	}
	cgroups := cgroup.NewManager(cgroup.NewLayout(testbox.CgroupRoot()+"/"+filepath.Base(filepath.Dir(dir)), cgroup.Cgroupfs))
	volumes := volume.Manager{Root: dirs.Records(), State: dirs.States(), Claims: dirs.Claims()}
	devices := device.New([]string{filepath.Join(dir, "cdi")})
	images := image.NewStore(l.engine, dirs.Root, image.Settings{Outside: true}, func([]engine.Image) {}, func(string, error) {}, func(string, time.Time, error) {})
	sandboxes := sandbox.New(sandbox.Config{
		Dirs: dirs, Network: network.New(network.Config{CNIConfDir: filepath.Join(dir, "cni.d"), StateDir: dirs.State, Bridge: "box0"}), Cgroups: cgroups, Volumes: volumes,
		Claims: allocate.New("test", devices), Images: images, Engine: l.engine, Resolver: resolver.New(resolver.DefaultPath), Warn: func(*v1.Pod, string, string) {}, ClusterDomain: "cluster.local", Freed: func() {},
	})
	l.Containers = l.newContainers(Config{
		Dirs: dirs, Instance: "test", Engine: l.engine, Changer: l.engine, Images: images, Sandboxes: sandboxes, Cgroups: cgroups, Volumes: volumes,
		Devices: devices, Kills: l.kills, Keeper: noKeeper{}, Limits: logfile.Limits{MaxSize: 1 << 20, MaxFiles: 3}, Slots: NewSlots(1), Memory: 1 << 30,
		RuntimeClasses: map[string]string{"other": "/usr/bin/other-runc"}, AppArmor: &apparmor.AppArmor{Enabled: filepath.Join(dir, "apparmor-enabled")}, LogComplete: func() { l.completed++ },
		Answered: func(kind string, _ *v1.Pod, name string, _ time.Duration, err error) {
			l.answered <- kind + " " + name + " " + errorText(err)
		},
	})
	return l
}

func errorText(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// newContainers makes what a Solopod has of containers. It lets go of them with the test.
func (l *lab) newContainers(c Config) *Containers {
	ctx, cancel := context.WithCancel(context.Background())
	out := New(ctx, c)
	l.t.Cleanup(func() {
		limited, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		out.Detach(limited)
		cancel()
	})
	return out
}

// noKeeper is a keeper that cannot be had.
type noKeeper struct{}

func (noKeeper) Hold(string, []keep.File) {}
func (noKeeper) Drop(string)              {}

// kills are the kernel's counts, by cgroup.
type kills struct {
	mu      sync.Mutex
	counts  map[string]uint64
	err     error
	report  map[string]func(uint64)
	stopped int
}

func (k *kills) Watch(path string, report func(uint64)) (func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return nil, k.err
	}
	if k.report == nil {
		k.report = map[string]func(uint64){}
	}
	k.report[path] = report
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stopped++
	}, nil
}

func (k *kills) Kills(path string) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts[path], k.err
}

// Gone: what has been killed has one.
func (k *kills) Gone(_ context.Context, _ string, killed bool) uint64 {
	if killed {
		return 1
	}
	return 0
}

// pod makes a pod and its sandbox, which goes with the test.
func (l *lab) pod(name, spec string, grant state.Grant) *v1.Pod {
	l.t.Helper()
	pod := testbox.Pod(l.t, name, spec)
	made := l.Sandboxes.SetUp(l.t.Context(), plan.SetUp{Pod: pod, Grant: grant, Inputs: &reference.Inputs{Pod: pod}})
	if made.Problem != (state.Problem{}) {
		l.t.Fatalf("the sandbox cannot be made: %+v", made.Problem)
	}
	l.t.Cleanup(func() {
		if got := l.Sandboxes.Clear(context.Background(), plan.Clear{Pod: pod, All: true, Gone: true}); got.Problem != (state.Problem{}) {
			l.t.Errorf("the sandbox cannot be cleared: %+v", got.Problem)
		}
	})
	return pod
}

// create is the effect for a container of the pod.
func (l *lab) create(pod *v1.Pod, name, id string) plan.Create {
	spec := manifests.ContainerOf(pod, name)
	return plan.Create{
		Target: plan.Target{Pod: pod, Name: name, ID: id}, Spec: spec, Revision: "r1",
		Inputs: &reference.Inputs{Pod: pod, Node: v1.ResourceList{}},
	}
}

// run makes a container and starts it.
func (l *lab) run(w plan.Create) state.Made {
	l.t.Helper()
	made := l.Create(l.t.Context(), w)
	if made.Problem != (state.Problem{}) || made.LeftBehind {
		l.t.Fatalf("the container cannot be created: %+v", made)
	}
	if started := l.Start(l.t.Context(), plan.Start{Target: w.Target, Spec: w.Spec}); started.Problem != (state.Problem{}) || started.When.IsZero() {
		l.t.Fatalf("the container cannot be started: %+v", started)
	}
	return made
}

func (l *lab) log(t plan.Target) string {
	data, err := os.ReadFile(l.Dirs.LogFile(t.Pod, t.Name, t.Attempt))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// sleeper is a process that has begun in these cgroups; it goes with the test.
func sleeper(t *testing.T, dirs ...string) *exec.Cmd {
	t.Helper()
	return sleeperOf(t, "tail", dirs...)
}

// sleeperOf is a sleeper of another program, which is tail by another name.
func sleeperOf(t *testing.T, program string, dirs ...string) *exec.Cmd {
	t.Helper()
	script := ""
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		script += "echo $$ > " + dir + "/cgroup.procs && "
	}
	c := exec.Command("sh", "-c", script+"echo && exec "+program+" -f /dev/null")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill() //nolint:errcheck // it may have ended
		c.Wait()         //nolint:errcheck // it was killed
	})
	if n, err := out.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("a process could not join its cgroups: %v", err)
	}
	return c
}
