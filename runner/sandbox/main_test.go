package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/allocate"
	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/resolver"
	"github.com/solopod/solopod/runner/volume"
)

func TestMain(m *testing.M) { testbox.Main(m) }

// lab is a machine with sandboxes.
type lab struct {
	*Sandboxes
	t      *testing.T
	engine *testbox.Engine
	freed  int
	cni    string // directory of CNI configurations
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := testbox.Dir(t)
	dirs := layout.Dirs{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Logs: filepath.Join(dir, "log")}
	if err := namespace.PrepareDir(dirs.States()); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, engine: testbox.NewEngine(), cni: filepath.Join(dir, "cni.d")}
	store := image.NewStore(l.engine, dirs.Root, image.Settings{Outside: true}, func([]engine.Image) {}, func(string, error) {}, func(string, time.Time, error) {})
	l.Sandboxes = New(Config{
		Dirs: dirs,
		Network: network.New(network.Config{
			CNIBinDirs: []string{l.cni}, CNIConfDir: l.cni, CNICacheDir: filepath.Join(dirs.Root, "cni"), StateDir: dirs.State, Bridge: "box0",
		}),
		Cgroups: cgroup.NewManager(cgroup.NewLayout(testbox.CgroupRoot()+"/"+filepath.Base(filepath.Dir(dir)), cgroup.Cgroupfs)),
		Volumes: volume.Manager{Root: dirs.Records(), State: dirs.States(), Claims: dirs.Claims()},
		Claims:  allocate.New("test", device.New([]string{filepath.Join(dir, "cdi")})), Images: store, Engine: l.engine,
		Resolver: resolver.New(resolver.DefaultPath), Warn: func(*v1.Pod, string, string) {}, ClusterDomain: "cluster.local", PodPids: 100,
		RuntimeClasses: map[string]string{"known": "/usr/bin/other-runc"}, Freed: func() { l.freed++ },
	})
	return l
}

// clear takes a pod away for good, and fails the test when anything is left.
func (l *lab) clear(pod *v1.Pod) {
	l.t.Helper()
	got := l.Clear(l.t.Context(), plan.Clear{Pod: pod, All: true, Gone: true})
	if got != (state.Cleared{All: true}) {
		l.t.Fatalf("a clear has left something: %+v", got)
	}
	l.nothingLeft(pod)
}

func (l *lab) nothingLeft(pod *v1.Pod) {
	l.t.Helper()
	uid := string(pod.UID)
	for _, path := range []string{l.Dirs.StateDir(uid), filepath.Join(l.Dirs.RecordDir(uid), "volumes"), l.Dirs.LogDir(pod)} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			l.t.Errorf("%s is left (%v)", path, err)
		}
	}
	if mounts := read(l.t, "/proc/self/mountinfo"); strings.Contains(mounts, uid) {
		l.t.Errorf("mounts are left:\n%s", mounts)
	}
	if slices.Contains(l.Cgroups.Leftover(), uid) {
		l.t.Error("its cgroups are left")
	}
}

// setUp makes a pod's sandbox, but for its network.
func (l *lab) setUp(pod *v1.Pod, grant state.Grant) string {
	l.t.Helper()
	made := l.SetUp(l.t.Context(), plan.SetUp{Pod: pod, Grant: grant, Inputs: inputs(pod)})
	if made.Problem != (state.Problem{}) {
		l.t.Fatalf("the set-up failed: %+v", made.Problem)
	}
	return made.Limits
}

func inputs(pod *v1.Pod) *reference.Inputs { return &reference.Inputs{Pod: pod} }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
